"""The application's own data in a snapshot, by key and typed."""

from stageflow.extensions.registry import default_registry

__all__ = ["default_registry"]
