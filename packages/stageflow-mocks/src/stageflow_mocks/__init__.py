"""Fakes, loopback provider servers and a harness for testing Stageflow pipelines."""
