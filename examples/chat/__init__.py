"""A chat on the terminal: `python -m examples.chat`, or `make demo`."""
