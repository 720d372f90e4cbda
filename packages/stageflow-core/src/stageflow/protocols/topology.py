"""What the topology of a run means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class PipelineMetadata(Protocol):
    """Says what the `topology` of a run means: which service it is, which variant, in the application's own words."""

    def interpret(self, topology: str) -> Mapping[str, str]:
        """Return the meanings by their names, such as `{"service": "voice", "variant": "fast"}`."""
        ...


class NoOpPipelineMetadata:
    """Finds no meaning in a topology."""

    def interpret(self, topology: str) -> Mapping[str, str]:
        return {}
