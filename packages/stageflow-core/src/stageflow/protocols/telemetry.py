"""Where traces and measurements go."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol, Self, runtime_checkable

Attributes = Mapping[str, str | bool | int | float]
"""What spans and measurements carry: flat, and small."""


@runtime_checkable
class Span(Protocol):
    """Some work that is being traced."""

    def set_attribute(self, name: str, value: str | bool | float, /) -> None: ...

    def record_error(self, type: str, message: str, /) -> None:
        """Note that the work failed, and with what."""
        ...


@runtime_checkable
class Tracer(Protocol):
    """Records what was done within what, and for how long."""

    def span(self, name: str, /, *, attributes: Attributes) -> AbstractContextManager[Span]:
        """Return a span that is current from when it is entered until it is left, inside of the one that was."""
        ...


@runtime_checkable
class Counter(Protocol):
    """Counts something."""

    def add(self, amount: float, /, *, attributes: Attributes) -> None: ...


@runtime_checkable
class Histogram(Protocol):
    """Collects measured values."""

    def record(self, value: float, /, *, attributes: Attributes) -> None: ...


@runtime_checkable
class Meter(Protocol):
    """Makes the instruments that measurements go to; asked for each of them once."""

    def counter(self, name: str, /, *, unit: str, description: str) -> Counter: ...

    def histogram(self, name: str, /, *, unit: str, description: str) -> Histogram: ...


class NoOpSpan:
    """Records nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def set_attribute(self, name: str, value: str | bool | float, /) -> None:
        return None

    def record_error(self, type: str, message: str, /) -> None:
        return None


class NoOpTracer:
    """Traces nothing."""

    def span(self, name: str, /, *, attributes: Attributes) -> AbstractContextManager[Span]:
        return _NO_SPAN


class NoOpInstrument:
    """Takes measurements and drops them."""

    def add(self, amount: float, /, *, attributes: Attributes) -> None:
        return None

    def record(self, value: float, /, *, attributes: Attributes) -> None:
        return None


class NoOpMeter:
    """Measures nothing."""

    def counter(self, name: str, /, *, unit: str, description: str) -> Counter:
        return _NO_INSTRUMENT

    def histogram(self, name: str, /, *, unit: str, description: str) -> Histogram:
        return _NO_INSTRUMENT


_NO_SPAN = NoOpSpan()
_NO_INSTRUMENT = NoOpInstrument()
