"""From stages to a graph that can run: specs, the builder, validation and compilation."""
