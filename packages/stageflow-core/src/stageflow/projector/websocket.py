"""Events as JSON-ready messages, for a WebSocket or any other connection that takes JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from stageflow.conformance import conforming
from stageflow.errors import InvalidOptionError, ProjectionError
from stageflow.events.event import PipelineEvent
from stageflow.events.event_classes import fits
from stageflow.protocols import NoOpPipelineMetadata, PipelineMetadata
from stageflow.wording import shown, type_name, with_article

_ENDS = frozenset({"completed", "failed", "skipped", "cancelled", "suspended"})
_RUN_ENDS = frozenset({"pipeline.completed", "pipeline.failed", "pipeline.cancelled", "pipeline.suspended"})


class WSMessageProjector:
    """Makes a dict of each event that a client may see; docs/reference/projection.md has the shapes.

    The first message is of type `metadata`, the last of type `end`, those between are `status`, `progress`, `artifact`
    and `event`. What is not told to a client unless it is asked for here is what stages did not write for one: texts
    of errors, and what a human is asked.

    Args:
        metadata: Says what the topology of a run means, under `labels` of the first message.
        errors: Whether the texts and types of errors are told, and reasons that repeat them; else their codes only.
        requests: Whether it is told what a stage that suspended asks.
        events: Patterns of the stages' own events that are told, such as "chat.*"; `*` stands for any text.
        artifacts: Patterns of the types of artifacts that are told.

    Raises:
        InvalidOptionError: An option cannot be what it is.
        ProtocolMismatchError: `metadata` is no PipelineMetadata.
    """

    _called: ClassVar[str | None] = None  # by another projector, which is what its user has made

    def __init__(
        self,
        *,
        metadata: PipelineMetadata | None = None,
        errors: bool = False,
        requests: bool = False,
        events: str | Iterable[str] = "*",
        artifacts: str | Iterable[str] = "*",
    ) -> None:
        owner = with_article(self._called or type(self).__name__)
        self._metadata = conforming(
            NoOpPipelineMetadata() if metadata is None else metadata, PipelineMetadata, f"The metadata of {owner}"
        )
        self._tells_errors = _switch("errors", errors, owner)
        self._tells_requests = _switch("requests", requests, owner)
        self._events = _patterns("events", events, owner)
        self._artifacts = _patterns("artifacts", artifacts, owner)

    def project(self, event: PipelineEvent) -> dict[str, Any] | None:
        """Return the message for an event, or None for one that is not for the client."""
        return self._of_run(event) if event.stage is None else self._of_stage(event, event.stage)

    def text(self, run_id: str, stage: str, text: str, *, offset: int) -> dict[str, Any]:
        """Return a message with text of a stage that streams, which `run.stream(stage)` gives and no event has.

        Args:
            run_id: The run.
            stage: The stage.
            text: A piece of what it has written.
            offset: How many characters it had written before that, so that a client that gets text twice knows.
        """
        return {"type": "text", "run_id": run_id, "stage": stage, "offset": offset, "text": text}

    # --- the run ---------------------------------------------------------------------------------------------------

    def _of_run(self, event: PipelineEvent) -> dict[str, Any] | None:
        if event.event_type == "pipeline.created":
            return self._first(event)
        if event.event_type == "pipeline.started":
            return {**_head("status", event), "stage": None, "status": "running"}
        if event.event_type in _RUN_ENDS:
            message = {**_head("end", event), "status": event.status, "duration_ms": event.duration_ms}
            message |= {name: event.data[name] for name in ("failed", "suspended", "reason") if name in event.data}
            return message
        return None

    def _first(self, event: PipelineEvent) -> dict[str, Any]:
        data = event.data
        message = {
            **_head("metadata", event),
            "pipeline": data.get("pipeline"),
            "stages": data.get("stages"),
            "topology": (topology := data.get("topology")),
            "labels": {} if topology is None else self._labels(topology),
            "execution_mode": data.get("execution_mode"),
            "transport": data.get("transport"),
            "request_id": event.request_id,
            "parent_run_id": event.parent_run_id,
        }
        return message | {name: data[name] for name in ("parent_stage", "depth", "resumed_from") if name in data}

    def _labels(self, topology: str) -> dict[str, str]:
        name = type_name(self._metadata)
        try:
            labels = self._metadata.interpret(topology)
        except Exception as error:
            raise ProjectionError(name, f"raised {type_name(error)} for the topology {topology!r}") from error
        if not _is_text_by_name(labels):
            problem = f"gave {shown(labels)} for the topology {topology!r}"
            raise ProjectionError(name, problem, hint="It gives texts by name: {'service': 'voice'}.")
        return dict(labels)

    # --- its stages --------------------------------------------------------------------------------------------------

    def _of_stage(self, event: PipelineEvent, stage: str) -> dict[str, Any] | None:
        about = event.event_type.removeprefix(f"stage.{stage}.")
        if about != event.event_type:  # else it is the stage's own
            if about in _ENDS and event.status is not None:
                return self._ended(event, stage)
            if about == "started":
                return {**_head("status", event), "stage": stage, "status": "running", "attempt": event.attempt}
            if about == "retrying":
                return self._retrying(event, stage)
            if about == "straggling":
                return {**_head("status", event), "stage": stage, "status": "straggling"}
            if about == "progress":
                done, total = event.data.get("done"), event.data.get("total")
                return {**_head("progress", event), "stage": stage, "done": done, "total": total}
            if about == "artifact":
                return self._artifact(event, stage)
        if not any(fits(pattern, event.event_type) for pattern in self._events):
            return None
        own = {"event": event.event_type, "data": event.data}
        return {**_head("event", event), "stage": stage, "attempt": event.attempt, **own}

    def _ended(self, event: PipelineEvent, stage: str) -> dict[str, Any]:
        data = event.data
        message = {
            **_head("status", event),
            "stage": stage,
            "status": event.status,
            "attempt": event.attempt,
            "duration_ms": event.duration_ms,
        }
        if "error" in data:
            message["error"] = self._error(data["error"])
        if "origin" in data:
            message["origin"] = data["origin"]
        # The reason of a skip that began elsewhere repeats the text of the error there.
        if "reason" in data and (self._tells_errors or not (event.status == "skip" and "origin" in data)):
            message["reason"] = data["reason"]
        if "request" in data and self._tells_requests:
            message["request"] = data["request"]
        return message

    def _retrying(self, event: PipelineEvent, stage: str) -> dict[str, Any]:
        data = event.data
        message = {**_head("status", event), "stage": stage, "status": "retrying", "attempt": event.attempt}
        message |= {name: data[name] for name in ("next_attempt", "delay_s", "index") if name in data}
        return message | {"error": self._error(data.get("error", {}))}

    def _artifact(self, event: PipelineEvent, stage: str) -> dict[str, Any] | None:
        kind = str(event.data.get("type"))
        if not any(fits(pattern, kind) for pattern in self._artifacts):
            return None
        published = {"artifact": kind, "payload": event.data.get("payload")}
        return {**_head("artifact", event), "stage": stage, "attempt": event.attempt, **published}

    def _error(self, error: Mapping[str, Any]) -> dict[str, Any]:
        return dict(error) if self._tells_errors else {"code": error.get("code")}


def _head(type: str, event: PipelineEvent) -> dict[str, Any]:
    return {
        "type": type,
        "run_id": event.pipeline_run_id,
        "sequence": event.sequence,
        "event_id": event.event_id,
        "timestamp": event.timestamp,
    }


def _is_text_by_name(labels: Any) -> bool:
    return isinstance(labels, Mapping) and all(
        isinstance(name, str) and isinstance(text, str)
        for name, text in labels.items()  # pyright: ignore[reportUnknownVariableType]
    )


def _switch(name: str, value: bool, owner: str) -> bool:
    if not isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOptionError(name, f"is True or False, not {shown(value)}", of=owner)
    return value


def _patterns(name: str, patterns: str | Iterable[str], owner: str) -> tuple[str, ...]:
    given: tuple[Any, ...] = ()
    if isinstance(patterns, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        given = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    else:
        raise InvalidOptionError(name, f"is made of patterns, such as 'chat.*', not {shown(patterns)}", of=owner)
    for pattern in given:
        if not isinstance(pattern, str) or not pattern:
            problem = f"is made of patterns, such as 'chat.*', not {shown(pattern)}"
            raise InvalidOptionError(name, problem, of=owner)
    return given
