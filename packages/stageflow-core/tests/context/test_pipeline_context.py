"""What a run is given beside its snapshot."""

from __future__ import annotations

import dataclasses

import pytest
from stageflow import ContextSnapshot, Limits, NoOpEventSink, PipelineContext
from stageflow.errors import ProtocolMismatchError


def test_a_context_without_anything_has_a_new_snapshot() -> None:
    """Nothing is shared between two contexts."""
    first, second = PipelineContext(), PipelineContext()
    assert (None, None) == (first.event_sink, first.ports)
    assert first.snapshot.run_id != second.snapshot.run_id


def test_a_context_holds_what_it_was_given() -> None:
    """Live objects are kept as they are."""
    snapshot, sink, ports = ContextSnapshot(), NoOpEventSink(), object()
    context = PipelineContext(snapshot=snapshot, event_sink=sink, ports=ports)
    assert (True, True, True) == (context.snapshot is snapshot, context.event_sink is sink, context.ports is ports)


def test_a_context_is_frozen() -> None:
    """Runs may share it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        PipelineContext().ports = 1


def test_the_snapshot_is_a_snapshot() -> None:
    """A text in its place is refused where it is given, not where it is read."""
    with pytest.raises(TypeError, match="is a ContextSnapshot, not 'hello'"):
        PipelineContext(snapshot="hello")  # type: ignore[arg-type]


def test_the_limits_are_a_limits() -> None:
    """A mapping in their place would bound nothing."""
    limits = Limits({"groq": 8})
    assert PipelineContext(limits=limits).limits is limits
    with pytest.raises(TypeError, match=r"are a Limits, not \{'groq': 8\}\. .*limits=Limits\(\{'groq': 8\}\)"):
        PipelineContext(limits={"groq": 8})  # type: ignore[arg-type]


def test_what_is_no_sink_is_refused_where_it_is_given() -> None:
    """Like all that an application plugs in, and not when the first run begins."""
    with pytest.raises(ProtocolMismatchError, match="The event sink is not an EventSink, but an object: "):
        PipelineContext(event_sink=object())  # pyright: ignore[reportArgumentType]


class Shows(NoOpEventSink):
    """Has a key, and shows it."""

    def __repr__(self) -> str:
        return "<client with key hunter2>"


def test_its_repr_shows_nothing_of_what_is_plugged_in() -> None:
    """Settings hold keys, and an interceptor that logs its run logs this."""
    context = PipelineContext(event_sink=Shows(), ports=Shows(), config={"api_key": "hunter2"})
    assert "hunter2" not in repr(context)
    assert repr(context).startswith("PipelineContext(snapshot=ContextSnapshot(")
