"""What a run tells an application, and what it may look up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

from stageflow.frozen import EMPTY, FrozenDict
from stageflow.value import Value
from stageflow.wording import shown


@runtime_checkable
class EventSink(Protocol):
    """Takes the events of runs.

    While stages run, events come through `try_emit`, which must not block. The last event of a run comes through
    `emit`, which may take its time within a limit. Both may return False to say that an event of the run was dropped,
    this one or one before it, which the run then counts in `results.events_lost`. `data` is the whole event as
    JSON-ready data, see `PipelineEvent.to_dict`; it belongs to the sink.
    """

    async def emit(self, *, type: str, data: dict[str, Any] | None) -> bool | None: ...

    def try_emit(self, *, type: str, data: dict[str, Any] | None) -> bool | None: ...


@runtime_checkable
class RunStore(Protocol):
    """Keeps what becomes of runs, for whoever asks later, and elsewhere.

    For each run comes one `create_run`, then `update_status` with "running", and at its end with "completed", "failed",
    "cancelled" or "suspended": one after the other, beside the stages. A store that raises or takes too long changes
    nothing in the run: the loss is logged, and counted in `results.records_lost`. What it is given is JSON-ready, and
    the store's own; later versions may say more.
    """

    async def create_run(self, run_id: str, **metadata: Any) -> None:
        """Note a run that begins. `run_id` is its `pipeline_run_id`, and new."""
        ...

    async def update_status(self, run_id: str, status: str, **data: Any) -> None:
        """Note what has become of a run, which may not have been created: that may have failed."""
        ...

    async def get_run(self, run_id: str) -> Mapping[str, Any] | None:
        """Return what is known of a run, or None; `run_id` and `status` are among the keys."""
        ...


class NoOpRunStore:
    """Keeps nothing."""

    async def create_run(self, run_id: str, **metadata: Any) -> None:
        return None

    async def update_status(self, run_id: str, status: str, **data: Any) -> None:
        return None

    async def get_run(self, run_id: str) -> Mapping[str, Any] | None:
        return None


@runtime_checkable
class ConfigProvider(Protocol):
    """Gives settings, by key. Stages read them as `ctx.config`; a dict is one, too.

    It answers at once, since it is called between awaits: one that reads from elsewhere does so beforehand.
    """

    def get(self, key: str, default: Any = None, /) -> Any: ...


class NoOpConfigProvider:
    """Has no settings: every key has its default."""

    def get(self, key: str, default: Any = None) -> Any:
        return default

    def __reduce__(self) -> str:
        return "NO_CONFIG"  # as a PipelineContext is copied or pickled that has none


NO_CONFIG: ConfigProvider = NoOpConfigProvider()


class CorrelationIds(Value):
    """Under which ids others know the work that a run is part of.

    Attributes:
        run_id: The id of the run at the root; that run's own `pipeline_run_id` unless given.
        request_id: Of the request that caused it; that of the run's identity unless given.
        trace_id: Of the trace that it belongs to, such as the trace-id of a W3C traceparent.
        extra: Any others, by name.
    """

    __slots__ = ("extra", "request_id", "run_id", "trace_id")

    run_id: str | None
    request_id: str | None
    trace_id: str | None
    extra: Mapping[str, str]

    def __init__(
        self,
        run_id: str | None = None,
        request_id: str | None = None,
        trace_id: str | None = None,
        extra: Mapping[str, str] = EMPTY,
    ) -> None:
        for name, value in (("run_id", run_id), ("request_id", request_id), ("trace_id", trace_id)):
            if value is not None and not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"{name} of CorrelationIds is a string, not {shown(value)}.")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "extra", _texts(extra))


def _texts(extra: Any) -> Mapping[str, str]:
    if not isinstance(extra, Mapping):
        raise TypeError(f"extra of CorrelationIds is a mapping of strings, not {shown(extra)}.")
    for name, value in cast("Mapping[Any, Any]", extra).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"extra of CorrelationIds is a mapping of strings; it has {shown(value)} as {shown(name)}.")
    return FrozenDict(cast("Mapping[str, str]", extra))
