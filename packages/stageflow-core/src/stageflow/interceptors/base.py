"""What an interceptor is: hooks around each attempt of each stage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, cast

from stageflow.context.pipeline_context import PipelineContext
from stageflow.core.context import StageContext
from stageflow.core.inputs import StageInputs
from stageflow.core.kinds import StageKind
from stageflow.core.output import StageOutput
from stageflow.interceptors.guard import HookScope
from stageflow.wording import shown

HOOK_TIMEOUT = 30.0
"""Seconds that a hook may take unless its interceptor says otherwise."""

Proceed = Callable[[], Awaitable[StageOutput[Any]]]
"""What `around` is given: `await call()` runs what is inside, once unless its interceptor `calls_again`."""


class ErrorAction(StrEnum):
    """What is to become of a stage that failed, as `on_error` decides."""

    FAIL = "fail"
    """The failure stands, as far as this interceptor is concerned."""
    RETRY = "retry"
    """Try again, if the stage's RetryPolicy has attempts left."""
    FALLBACK = "fallback"
    """Let this interceptor's `fallback` give the outcome."""


class InterceptorResult:
    """What `before` returns to give the outcome in the stage's place, which then does not run.

    Raises:
        TypeError: The output is no StageOutput.
    """

    __slots__ = ("output",)

    def __init__(self, output: StageOutput[Any]) -> None:
        if not isinstance(output, StageOutput):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"InterceptorResult takes a StageOutput (of StageOutput.ok, say), not {shown(output)}.")
        self.output = output

    def __repr__(self) -> str:
        return f"InterceptorResult({self.output!r})"


class FailStage(Exception):
    """Raised by `before` or `around` to fail the stage with an error, as though the stage had raised it.

    The stage's RetryPolicy and the `on_error` of the interceptors further out see that error. Anything else that a hook
    raises is a fault of the interceptor. To fail the stage for good, whatever its policy, give StageOutput.fail(...).
    """

    def __init__(self, error: Exception) -> None:
        if not isinstance(error, Exception):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"FailStage takes an exception (an instance), not {shown(error)}.")
        super().__init__(error)
        self.error = error

    def reason(self) -> Exception:
        """Return the error, with what this was raised `from` as its cause if it has none."""
        if self.error.__cause__ is None:
            self.error.__cause__ = self.__cause__
        return self.error


class InterceptorContext:
    """What the hooks see of one attempt of a stage; all interceptors of that attempt share it.

    Attributes:
        kind: What the stage is for.
    """

    __slots__ = ("_observations", "accept", "kind", "scope", "stage")

    # Without __init__: it would double what making one costs, which each attempt does.
    stage: StageContext
    kind: StageKind
    scope: HookScope
    accept: Any  # there only if the stage says what it returns: checks what is given in its place
    _observations: dict[str, Any]

    @classmethod
    def of(cls, stage: StageContext, kind: StageKind, scope: HookScope) -> InterceptorContext:
        """Return the context of an attempt."""
        ctx = cls()
        ctx.stage = stage
        ctx.kind = kind
        ctx.scope = scope
        return ctx

    @property
    def observations(self) -> dict[str, Any]:
        """Notes that interceptors leave for each other, JSON-ready; empty at the start of each attempt."""
        try:
            return self._observations
        except AttributeError:
            self._observations = {}
            return self._observations

    @property
    def pipeline(self) -> str:
        """The name of the pipeline."""
        return self.scope.pipeline

    @property
    def run(self) -> PipelineContext:
        """What the run was given: its snapshot, ports, event sink."""
        return self.scope.run

    @property
    def stage_name(self) -> str:
        """The name that the stage has in this pipeline."""
        return self.stage.stage_name

    @property
    def attempt(self) -> int:
        """Counts from 1."""
        return self.stage.attempt

    @property
    def inputs(self) -> StageInputs:
        """The outputs of the stage's declared dependencies, as the stage sees them."""
        return self.stage.inputs

    @property
    def idempotency_key(self) -> str:
        """The stage's key, the same for each attempt."""
        return self.stage.idempotency_key


class _NameOfClass:
    """The name of an interceptor that gives none: that of its class."""

    def __get__(self, interceptor: object, owner: type) -> str:
        return owner.__name__


class BaseInterceptor:
    """An interceptor with no hooks yet: override those that are wanted; the others cost nothing.

    For each attempt: `before`, then `around`, then `after` or `on_error`. Interceptors with a lower `priority` are
    further out: their `before` comes earlier, their `after` later; equal ones keep the order in which they were given.
    **A hook that raises, or takes longer than `hook_timeout`, fails the stage** with an InterceptorError.
    One object serves all stages and runs of its pipeline at the same time: what belongs to an attempt goes into
    `ctx.observations` or the local variables of `around`.

    Attributes:
        name: What errors call it; the name of the class unless given.
        priority: Any number.
        hook_timeout: Seconds that each hook may take; for `around` without what `call()` takes.
        only_watches: Whether no outcome depends on it: a suspended run may go on without it, or with one more.
        calls_again: Whether its `around` may await `call()` again once that has ended. The stage then runs more than
            once in one attempt, as no policy knows of: for tests that want to see what becomes of it.
    """

    name: str = cast("str", _NameOfClass())
    priority: float = 0
    hook_timeout: float = HOOK_TIMEOUT
    only_watches: bool = False
    calls_again: bool = False

    async def before(self, ctx: InterceptorContext) -> InterceptorResult | None:
        """Return None to let the stage run, or an InterceptorResult, which is the outcome in its place."""

    async def around(self, ctx: InterceptorContext, call: Proceed) -> StageOutput[Any]:
        """Run what is inside with `await call()`, once unless it `calls_again`, and return the outcome.

        `call()` raises what the stage raised; let that pass, or return another outcome in its place.
        """
        return await call()

    async def after(self, ctx: InterceptorContext, output: StageOutput[Any]) -> None:
        """Take note of an outcome other than a failure; to change it, use `around`."""

    async def on_error(self, ctx: InterceptorContext, error: BaseException) -> ErrorAction:
        """Decide on a failure: what the stage raised, or gave to StageOutput.fail. A cancellation never comes here."""
        return ErrorAction.FAIL

    async def fallback(self, ctx: InterceptorContext, error: BaseException) -> StageOutput[Any]:
        """Return the outcome that takes the place of a failure; asked when `on_error` said FALLBACK."""
        raise NotImplementedError(f"{self.name} answers FALLBACK and has no `fallback`.")
