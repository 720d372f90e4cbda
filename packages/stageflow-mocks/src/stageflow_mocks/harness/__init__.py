"""What a test of one stage or one pipeline needs around it."""
