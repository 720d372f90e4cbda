"""What a stage is asked and given, made for a test."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from stageflow import (
    ConfigProvider,
    ContextSnapshot,
    Conversation,
    CorrelationIds,
    EventSink,
    PipelineContext,
    RunIdentity,
    StageContext,
)

from stageflow_mocks.wording import nearest

_MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
_IDENTITY = ("pipeline_run_id", "request_id", "session_id", "user_id", "org_id", "interaction_id")
_FIELDS = (*(name for name in inspect.signature(ContextSnapshot).parameters if name != "self"), *_IDENTITY)


def make_snapshot(input_text: str | None = None, **fields: Any) -> ContextSnapshot:
    """Return a snapshot that is the same each time: the run id is "test-run", and it was made at the start of 2026.

    Args:
        input_text: What the run is asked.
        fields: The fields of a ContextSnapshot, and those of a RunIdentity: `user_id="ada"`. As `conversation` pairs of
            role and content do.

    Raises:
        TypeError: There is no such field, or its value is of another type.
    """
    unknown = [name for name in fields if name not in _FIELDS]
    if unknown:
        meant = nearest(unknown[0], _FIELDS)
        raise TypeError(f"make_snapshot() takes no '{unknown[0]}'. {meant}It takes: {', '.join(_FIELDS)}.")
    identity = {name: fields.pop(name) for name in _IDENTITY if name in fields}
    if identity and "run_id" in fields:
        raise TypeError(f"make_snapshot() takes run_id or its parts, not both: {', '.join(identity)}.")
    fields.setdefault("run_id", RunIdentity(**{"pipeline_run_id": "test-run", **identity}))
    fields.setdefault("created_at", _MADE_AT)
    said = fields.get("conversation")
    if said is not None and not isinstance(said, Conversation):
        conversation = Conversation()
        for pair in said:
            if not isinstance(pair, tuple | list) or len(cast("tuple[Any, ...]", pair)) != 2:
                raise TypeError(f"conversation of make_snapshot() is pairs of role and content, not {pair!r}.")
            role, content = cast("tuple[Any, Any]", pair)
            conversation = conversation.with_message(role, content)
        fields["conversation"] = conversation
    return ContextSnapshot(input_text=input_text, **fields)


def make_context(
    stage_name: str = "stage",
    *,
    inputs: Mapping[str, Any] | None = None,
    snapshot: ContextSnapshot | None = None,
    ports: Any = None,
    config: ConfigProvider | None = None,
    event_sink: EventSink | None = None,
    correlation: CorrelationIds | None = None,
    attempt: int = 1,
    decision: Any = None,
) -> StageContext:
    """Return a context for calling `execute` by hand; see `StageContext.alone`. `run_stage` does more.

    Args:
        stage_name: The name that the stage is to have.
        inputs: By name, what the stages returned that it declares as dependencies.
        snapshot: What the run was asked; that of `make_snapshot()` unless given.
        ports: What it may use from outside.
        config: Where it looks settings up.
        event_sink: Where its events go.
        correlation: Under which ids others know the work.
        attempt: Which attempt it is.
        decision: What was decided for it.

    Raises:
        TypeError, ValueError: One of them is something else.
    """
    if not isinstance(stage_name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"stage_name of make_context() is a name, not {stage_name!r}.")
    if inputs is not None and not isinstance(inputs, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"inputs of make_context() is a mapping of what dependencies returned, by name, not {inputs!r}."
        )
    if attempt < 1:
        raise ValueError(f"attempt of make_context(): attempts count from 1, not {attempt!r}.")
    context = PipelineContext(
        snapshot=make_snapshot() if snapshot is None else snapshot,
        ports=ports,
        config=config,
        event_sink=event_sink,
        correlation=correlation,
    )
    return StageContext.alone(stage_name, context, inputs=inputs or {}, attempt=attempt, decision=decision)
