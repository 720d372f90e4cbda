"""Providers and tools that say what they are told to; `stageflow_mocks` is where their names are imported from."""
