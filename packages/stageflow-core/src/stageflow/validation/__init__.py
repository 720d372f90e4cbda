"""Whether a value is what an annotation says, down to its last field, and where it is not."""
