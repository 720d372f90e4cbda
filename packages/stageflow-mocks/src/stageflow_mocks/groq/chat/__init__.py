"""Chat completions: what a request may say, and how the answer is written."""
