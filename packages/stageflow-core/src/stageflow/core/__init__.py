"""What the author of a stage meets: kinds, outputs, inputs and the context."""
