"""Sinks, stores and exporters that show what Stageflow pipelines did."""
