"""What an application may plug into a run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, Self, get_args, runtime_checkable


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
