"""What a run tells the outside: the event schema, sinks and the emitter."""
