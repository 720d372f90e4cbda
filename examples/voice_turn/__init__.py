"""One turn of a voice assistant: `python -m examples.voice_turn`, or `make voice`."""
