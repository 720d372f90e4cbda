"""What the examples show on a terminal, and how."""
