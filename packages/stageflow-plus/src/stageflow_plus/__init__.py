"""Stages, tools and providers to build Stageflow pipelines from."""
