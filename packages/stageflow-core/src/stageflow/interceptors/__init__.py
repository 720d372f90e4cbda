"""What can be put around every stage of a pipeline: the chain, and the interceptors that come with core."""
