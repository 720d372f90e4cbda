"""One run of a plan, and what it leaves behind."""
