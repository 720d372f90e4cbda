"""From the arguments of run to a context."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any, get_type_hints

import pytest
from stageflow import ContextSnapshot, Conversation, NoOpEventSink, PipelineContext, RunIdentity
from stageflow.pipeline.invocation import RunFields, make_context

FIELDS: dict[str, Any] = {
    "run_id": RunIdentity("r"),
    "input_text": "hi",
    "input": {"a": 1},
    "input_audio_duration_ms": 5.0,
    "topology": "fast",
    "execution_mode": "live",
    "transport": "http",
    "conversation": Conversation().with_message("user", "a"),
    "enrichments": {"a": 1},
    "extensions": {"b": 2},
    "metadata": {"c": 3},
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
}
SINK, PORTS = NoOpEventSink(), object()


def make(context: Any = None, **fields: Any) -> PipelineContext:
    """Call make_context as run does."""
    given: Any = fields
    return make_context(context, given)


def test_keywords_make_a_snapshot_and_its_context() -> None:
    """Each goes where it belongs."""
    context = make(**FIELDS, event_sink=SINK, ports=PORTS)
    assert ContextSnapshot(**FIELDS) == context.snapshot
    assert (SINK, PORTS) == (context.event_sink, context.ports)


def test_without_arguments_the_run_is_new() -> None:
    """Two runs never share an identity."""
    assert make().snapshot.run_id != make().snapshot.run_id
    assert (None, None) == (make().event_sink, make().ports)


def test_a_snapshot_may_stand_beside_what_is_no_part_of_it() -> None:
    """It is taken as it is."""
    snapshot = ContextSnapshot()
    context = make(snapshot, event_sink=SINK, ports=PORTS)
    assert (True, SINK, PORTS) == (context.snapshot is snapshot, context.event_sink, context.ports)


def test_a_context_is_taken_as_it_is() -> None:
    """It holds everything."""
    context = PipelineContext()
    assert context is make(context)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: make("hi"),
            (
                "run() takes a PipelineContext or a ContextSnapshot, not a str. "
                "Give fields as keywords: run(input_text=..., input=...)."
            ),
        ),
        (
            lambda: make({"input_text": "hi"}),
            (
                "run() takes a PipelineContext or a ContextSnapshot, not a dict. "
                "Give fields as keywords: run(input_text=..., input=...)."
            ),
        ),
        (
            lambda: make(PipelineContext),
            (
                "run() takes a PipelineContext or a ContextSnapshot, not a type. "
                "Give fields as keywords: run(input_text=..., input=...)."
            ),
        ),
        (lambda: make(inputtext="hi"), "run() takes no keyword 'inputtext'. Did you mean 'input_text'?"),
        (
            lambda: make(snapshot=ContextSnapshot()),
            ("run() takes no keyword 'snapshot'. Give it as the first argument: run(snapshot)."),
        ),
        (
            lambda: make(session_id="s"),
            (
                "run() takes no keyword 'session_id'. "
                "It is part of the run's identity: run_id=RunIdentity(session_id=...)."
            ),
        ),
        (
            lambda: make(ContextSnapshot(), org_id="s"),
            (
                "run() beside a ContextSnapshot takes no keyword 'org_id'. It is part of the run's identity: "
                "run_id=RunIdentity(org_id=...). Use snapshot.replace(...) for its fields."
            ),
        ),
        (
            lambda: make(qqq=1),
            (
                "run() takes no keyword 'qqq'. They are: config, conversation, correlation, created_at, decisions, "
                "enrichments, event_sink, execution_mode, extensions, input, input_audio_duration_ms, input_text, "
                "limits, metadata, "
                "ports, resume, run_id, run_store, "
                "topology, transport."
            ),
        ),
        (lambda: make(resum=1), "run() takes no keyword 'resum'. Did you mean 'resume'?"),
        (lambda: make(decision=1), "run() takes no keyword 'decision'. Did you mean 'decisions'?"),
        (
            lambda: make(ContextSnapshot(), input_text="hi"),
            (
                "run() beside a ContextSnapshot takes no keyword "
                "'input_text'. They are: config, correlation, event_sink, limits, ports, run_store. "
                "Use snapshot.replace(...) for its fields."
            ),
        ),
        (
            lambda: make(ContextSnapshot(), prots=1),
            (
                "run() beside a ContextSnapshot takes no keyword 'prots'. "
                "Did you mean 'ports'? Use snapshot.replace(...) for its fields."
            ),
        ),
        (
            lambda: make(PipelineContext(), ports=1),
            ("run() beside a PipelineContext takes no keyword 'ports'. Put everything into the context."),
        ),
    ],
)
def test_wrong_arguments_are_refused(call: Any, text: str) -> None:
    """The error names the right type or the right keyword."""
    with pytest.raises(TypeError) as caught:
        call()
    assert text == str(caught.value)


def test_the_keywords_of_run_are_those_of_snapshot_and_context() -> None:
    """The type that checkers see lists exactly what is taken, with the same types."""
    hints = get_type_hints(RunFields)
    snapshot = {name: hint for name, hint in get_type_hints(ContextSnapshot.__init__).items() if name in set(FIELDS)}
    beside = {"event_sink", "ports", "limits", "run_store", "config", "correlation", "resume", "decisions"}
    assert {*FIELDS, *beside} == set(hints)
    assert set(FIELDS) == set(inspect.signature(ContextSnapshot).parameters)
    hint_free = {"run_id", "created_at"}  # None stands for "make one", which nobody says with a keyword
    assert {n: h for n, h in snapshot.items() if n not in hint_free} == {
        n: h for n, h in hints.items() if n in snapshot and n not in hint_free
    }
