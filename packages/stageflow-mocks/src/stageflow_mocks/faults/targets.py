"""What a fault can be done to, and with which options there: stages, events, and calls of what a run is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Target = Literal["stage", "event", "provider"]
"""The field of a rule that says what it strikes."""

Kind = Literal["stage", "event", "answer", "stream", "step"]
"""What is struck: of the calls of a provider those that return an answer, and those that yield it in pieces; of a store
those that return nothing that could be cut."""

OPTION_NAMES = ("seconds", "distribution", "error", "retry_after", "keep", "at_await", "after_chunks")
"""All options, which rules have as fields."""

_DELAY = frozenset({"seconds", "distribution"})
_ERROR = frozenset({"error", "retry_after"})
_NO_OPTIONS: frozenset[str] = frozenset()

_TO_ANY_CALL: Mapping[str, frozenset[str]] = {
    "latency": _DELAY,
    "error": _ERROR,
    "hang": _NO_OPTIONS,
    "duplicated": _NO_OPTIONS,
    "reordered": _DELAY,
    "partial_write": _ERROR,
    "cancel": frozenset({"at_await"}),
}
_TO_ANSWERS = {**_TO_ANY_CALL, "wrong_type": _NO_OPTIONS, "truncated": frozenset({"keep"})}

OPTIONS: Mapping[Kind, Mapping[str, frozenset[str]]] = {
    "stage": {**_TO_ANSWERS, "clock_skew": _DELAY},
    "event": {"sink_raises": _NO_OPTIONS, "sink_hangs": _NO_OPTIONS, "sink_drops": _NO_OPTIONS, "clock_skew": _DELAY},
    "answer": _TO_ANSWERS,
    "stream": {
        **_TO_ANSWERS,
        "hang": frozenset({"after_chunks"}),
        "truncated": frozenset({"after_chunks"}),
        "reordered": _NO_OPTIONS,
        "partial_write": _ERROR | {"after_chunks"},
    },
    "step": _TO_ANY_CALL,
}
"""For each kind of thing the faults that can be done to it, each with its options there."""

_STAGE_FAULTS = ("latency", "error", "hang", "wrong_type", "truncated", "duplicated", "reordered", "partial_write")
FAULTS = (*_STAGE_FAULTS, "cancel", "clock_skew", "sink_raises", "sink_hangs", "sink_drops")
"""All faults."""

OPERATIONS: Mapping[str, tuple[Kind, ...]] = {
    "complete": ("answer", "step"),  # of a language model, and of an IdempotencyStore
    "transcribe": ("answer",),
    "synthesize": ("answer",),
    "stream": ("stream",),
    "create_run": ("step",),
    "update_status": ("step",),
    "get_run": ("step",),
    "claim": ("step",),
    "wait": ("step",),
    "renew": ("step",),
    "release": ("step",),
}
"""The calls of providers and stores that can be struck."""

DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "latency": {"seconds": 1.0, "distribution": "fixed"},
    "error": {"error": "provider-transient"},
    "hang": {"after_chunks": 0},
    "truncated": {"keep": 0.5, "after_chunks": 1},
    "reordered": {"seconds": 1.0, "distribution": "uniform"},
    "partial_write": {"error": "provider-transient", "after_chunks": 1},
    "cancel": {"at_await": 1},
    "clock_skew": {"seconds": 3600.0, "distribution": "fixed"},
}
"""What the options are unless given."""


def targets_of(fault: str) -> tuple[Target, ...]:
    """Return the fields by which a rule with this fault may say what it strikes."""
    found: dict[Target, None] = {}
    for kind, faults in OPTIONS.items():
        if fault in faults:
            found["stage" if kind == "stage" else "event" if kind == "event" else "provider"] = None
    return tuple(found)
