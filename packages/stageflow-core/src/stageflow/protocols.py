"""What an application may plug into a run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, Self, cast, get_args, runtime_checkable

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


# --- what becomes of runs ---------------------------------------------------------------------------------------


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


# --- what a run may look up -------------------------------------------------------------------------------------


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


class EnrichmentRequest:
    """What an EnrichmentProvider is asked.

    Attributes:
        name: What is wanted: the name of the stage that asks, unless it says otherwise.
        user_id, org_id, session_id: For whom.
        input_text: What the run was asked.
        attributes: What else the stage tells.
    """

    __slots__ = ("attributes", "input_text", "name", "org_id", "session_id", "user_id")

    def __init__(
        self,
        name: str,
        *,
        user_id: str | None = None,
        org_id: str | None = None,
        session_id: str | None = None,
        input_text: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.user_id = user_id
        self.org_id = org_id
        self.session_id = session_id
        self.input_text = input_text
        self.attributes: Mapping[str, Any] = attributes or {}


@runtime_checkable
class EnrichmentProvider(Protocol):
    """Finds out what is known about a user, a tenant or a request: a profile, documents, settings."""

    async def enrich(self, request: EnrichmentRequest) -> Mapping[str, Any] | None:
        """Return what is known, or None if nothing is."""
        ...


class NoOpEnrichmentProvider:
    """Knows nothing."""

    async def enrich(self, request: EnrichmentRequest) -> Mapping[str, Any] | None:
        return None


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


# --- idempotency -------------------------------------------------------------------------------------------------


ClaimState = Literal["granted", "running", "done", "conflict"]
"""What an IdempotencyStore says to a claim: the key was free and is the caller's now, to `complete` or `release`;
another caller is at it, so `wait` and claim again; the work has been done; the key stands for other parameters."""


class Claim:
    """The answer of an IdempotencyStore. `value` is what the work gave, if it has been done."""

    __slots__ = ("state", "value")

    def __init__(self, state: ClaimState, value: Any = None) -> None:
        self.state = state
        self.value = value

    def __repr__(self) -> str:
        return f"Claim({self.state!r})"


@runtime_checkable
class IdempotencyStore(Protocol):
    """Remembers which work has been done, so that it has one effect however often it is asked for.

    `key` names the work, `fingerprint` its parameters, `owner` one caller of `claim`. What is kept is a StageOutput,
    which can be pickled; a store in the same process may keep the object itself.

    Attributes:
        lease_seconds: How long a claim lasts unless it is renewed, so that the key of a caller that died becomes free;
            None if claims last until they are completed or released.
    """

    lease_seconds: float | None

    async def claim(self, key: str, *, fingerprint: str, owner: str) -> Claim:
        """Take the key for this owner if it is free: in one step, so that of two callers one gets it."""
        ...

    async def wait(self, key: str) -> None:
        """Return when it may be worth claiming the key again; a store that cannot be told sleeps for a moment."""
        ...

    async def renew(self, key: str, *, owner: str) -> bool:
        """Begin the lease anew; False if the key is no longer this owner's."""
        ...

    async def complete(self, key: str, *, owner: str, value: Any) -> bool:
        """Keep what came of the work, and end the claim; False if the key is no longer this owner's."""
        ...

    async def release(self, key: str, *, owner: str) -> None:
        """Free the key, since the work was not done; nothing happens if it is no longer this owner's."""
        ...


class NoOpIdempotencyStore:
    """Grants every claim and remembers nothing: work is done as often as it is asked for."""

    lease_seconds: float | None = None

    async def claim(self, key: str, *, fingerprint: str, owner: str) -> Claim:
        return Claim("granted")

    async def wait(self, key: str) -> None:
        return None

    async def renew(self, key: str, *, owner: str) -> bool:
        return True

    async def complete(self, key: str, *, owner: str, value: Any) -> bool:
        return True

    async def release(self, key: str, *, owner: str) -> None:
        return None


# --- policy ------------------------------------------------------------------------------------------------------


PolicyEffect = Literal["allow", "deny", "require-decision"]
"""What a policy says to a stage that is about to run; the last, that a human must decide first."""


class PolicyDecision:
    """What a PolicyEvaluator decides; made by `allow`, `deny` and `require_decision`.

    Attributes:
        effect: Whether the stage may run.
        reason: Why not; empty if it may.
        request: What the human is asked, JSON-ready.
    """

    __slots__ = ("effect", "reason", "request")

    def __init__(self, effect: PolicyEffect, reason: str = "", request: Mapping[str, Any] | None = None) -> None:
        if effect not in get_args(PolicyEffect):
            raise ValueError(f"A policy says {', '.join(map(repr, get_args(PolicyEffect)))}, not {effect!r}.")
        self.effect: PolicyEffect = effect
        self.reason = reason
        self.request = request

    @staticmethod
    def allow() -> PolicyDecision:
        """The stage may run."""
        return PolicyDecision("allow")

    @staticmethod
    def deny(reason: str) -> PolicyDecision:
        """The stage may not run."""
        return PolicyDecision("deny", reason)

    @staticmethod
    def require_decision(reason: str, request: Mapping[str, Any] | None = None) -> PolicyDecision:
        """The stage may not run before a human has decided."""
        return PolicyDecision("require-decision", reason, request)

    def __repr__(self) -> str:
        return f"PolicyDecision({self.effect!r}, {self.reason!r})"


class PolicyRequest:
    """What a policy is asked: may this stage run, for whom, on what.

    Attributes:
        action: What is to be done: the name of the stage unless the application says otherwise.
        pipeline, stage, kind: What is to run.
        user_id, org_id: For whom.
        attributes: What else the application wants the policy to know.
        decision: What a human has decided, once one has.
    """

    __slots__ = ("action", "attributes", "decision", "kind", "org_id", "pipeline", "stage", "user_id")

    def __init__(
        self,
        *,
        action: str,
        pipeline: str,
        stage: str,
        kind: str,
        user_id: str | None = None,
        org_id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        decision: Any = None,
    ) -> None:
        self.action = action
        self.pipeline = pipeline
        self.stage = stage
        self.kind = kind
        self.user_id = user_id
        self.org_id = org_id
        self.attributes: Mapping[str, Any] = attributes or {}
        self.decision = decision


@runtime_checkable
class PolicyEvaluator(Protocol):
    """Decides whether a stage may run. One that raises or hangs keeps it from running."""

    async def evaluate(self, request: PolicyRequest) -> PolicyDecision: ...


class AllowAllPolicy:
    """Allows everything: for an application without policies."""

    async def evaluate(self, request: PolicyRequest) -> PolicyDecision:
        return PolicyDecision.allow()


# --- telemetry ---------------------------------------------------------------------------------------------------

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
