"""Thousands of simulated turns of a chat, each judged by rules: `python -m examples.simulated_chat`."""
