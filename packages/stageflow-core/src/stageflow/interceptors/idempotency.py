"""Idempotency: the same work has one effect, however often and from wherever it is asked for.

A stage's work is known by tenant, pipeline, stage and key. Whoever asks first does it; all others, at the same time or
later, get what came of it. Work that failed or was cancelled was not done: its key becomes free, and of those who wait
one goes on. The same key with other parameters is refused, since one of the two must be wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from stageflow.conformance import conforming
from stageflow.context.identity import RunIdentity, uuid7
from stageflow.core.kinds import StageStatus
from stageflow.core.output import StageOutput
from stageflow.errors import IdempotencyConflictError
from stageflow.events.secret_text import redacted_text
from stageflow.interceptors.base import BaseInterceptor, InterceptorContext, Proceed
from stageflow.interceptors.fingerprint import fingerprint_of
from stageflow.interceptors.idempotency_memory import InMemoryIdempotencyStore
from stageflow.interceptors.outcome import told
from stageflow.protocols import Claim, IdempotencyStore
from stageflow.wording import shown

logger = logging.getLogger(__name__)

T = TypeVar("T")

SETTLE_SECONDS = 5.0
"""How long a store may take to note what came of work, once the stage has been cancelled."""


class IdempotencyInterceptor(BaseInterceptor):
    """Lets the work of a stage have one effect for each key.

    Only outcomes that are OK are kept, whole: what is asked for again gets the same output, and publishes its artifacts
    and events again. With the same key and other parameters a stage fails with IdempotencyConflictError. A store that
    fails or hangs keeps the stage from running.

    Args:
        store: Where it is remembered; an InMemoryIdempotencyStore unless given.
        key: Gives the key of an attempt, or None for work that may be repeated. Unless given: `ctx.idempotency_key`,
            which is new in each run, and stays for its attempts and when it is resumed.
        parameters: Gives what must be equal for the same key, as data. Unless given: what the stage reads of its
            dependencies, and the run's `input` and `input_text`.
        hook_timeout: Seconds that a call waits for another one that is at the same work.

    Raises:
        ProtocolMismatchError: `store` does not fit its protocol.
    """

    priority = 200

    def __init__(
        self,
        store: IdempotencyStore | None = None,
        *,
        key: Callable[[InterceptorContext], str | None] | None = None,
        parameters: Callable[[InterceptorContext], Any] | None = None,
        hook_timeout: float = 600.0,
    ) -> None:
        self._store: IdempotencyStore = InMemoryIdempotencyStore() if store is None else store
        conforming(self._store, IdempotencyStore, f"The store of {self.name}")
        self._key = key
        self._parameters = parameters or parameters_of
        self.hook_timeout = hook_timeout

    async def around(self, ctx: InterceptorContext, call: Proceed) -> StageOutput[Any]:
        key = ctx.idempotency_key if self._key is None else self._key(ctx)
        if key is None:
            return await call()
        if not isinstance(key, str) or not key:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"An idempotency key is a non-empty string, or None, not {shown(key)}.")
        work, owner = work_of(ctx, key), uuid7()
        fingerprint = fingerprint_of(self._parameters(ctx), "parameters")
        while True:
            claim = await self._claimed(work, fingerprint, owner)
            if claim.state == "granted":
                ctx.observations["idempotency"] = "executed"
                return await self._do(work, owner, call)
            if claim.state == "done":
                ctx.observations["idempotency"] = "replayed"
                return claim.value
            if claim.state == "conflict":
                return StageOutput.fail(IdempotencyConflictError(ctx.stage_name, key))
            if claim.state != "running":
                raise ValueError(f"An IdempotencyStore answers as `Claim` says, not {shown(claim.state)}.")
            await self._store.wait(work)

    async def _claimed(self, work: str, fingerprint: str, owner: str) -> Claim:
        try:
            return await self._store.claim(work, fingerprint=fingerprint, owner=owner)
        except GeneratorExit:  # the event loop was closed: a lease ends by itself
            raise
        except BaseException:
            # What is not told may have been granted, and nobody else would ever release it.
            await _settled(self._store.release(work, owner=owner), hurry=True)
            raise

    async def _do(self, work: str, owner: str, call: Proceed) -> StageOutput[Any]:
        store = self._store
        try:
            async with self._renewing(work, owner):
                output = await call()
        except GeneratorExit:  # the event loop was closed: a lease ends by itself
            raise
        except asyncio.CancelledError:
            await _settled(store.release(work, owner=owner), hurry=True)
            raise
        except BaseException:
            await _settled(store.release(work, owner=owner))
            raise
        if output.status is not StageStatus.OK:
            await _settled(store.release(work, owner=owner))
        elif not await _settled(store.complete(work, owner=owner, value=output)):
            raise RuntimeError("the lease of its key ended while it ran, so that it may have run twice")
        return output

    @contextlib.asynccontextmanager
    async def _renewing(self, work: str, owner: str) -> AsyncGenerator[None]:
        """Keep the claim alive, if it is one that ends."""
        lease = self._store.lease_seconds
        if lease is None:
            yield
            return
        renewal = asyncio.create_task(self._renew(work, owner, lease / 3), name="stageflow idempotency lease")
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.wait({renewal})

    async def _renew(self, work: str, owner: str, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                if not await self._store.renew(work, owner=owner):
                    return  # `complete` will say so
            except Exception as error:  # noqa: BLE001 - a store may raise anything, and may be there again next time
                why = redacted_text(told(error))
                logger.warning("The lease of an idempotency key could not be renewed: %s.", why)


async def _settled(noting: Coroutine[Any, Any, T], *, hurry: bool = False) -> T | None:
    """Let the store note what came of work, even if the stage is cancelled, but for `SETTLE_SECONDS` at most then.

    What goes wrong is raised, or logged if there is a cancellation to pass on: `hurry` says that the caller has one.
    """
    task = asyncio.create_task(noting, name="stageflow idempotency")
    cancelled: asyncio.CancelledError | None = None
    try:
        await asyncio.wait({task}, timeout=SETTLE_SECONDS if hurry else None)
    except asyncio.CancelledError as interruption:
        cancelled = interruption
        await asyncio.wait({task}, timeout=SETTLE_SECONDS)
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if cancelled is None and not hurry:
        return task.result()
    error = None if task.cancelled() else task.exception()
    if task.cancelled() or error is not None:
        why = "it took too long" if error is None else redacted_text(told(error))
        logger.warning("An idempotency store could not note what came of work: %s.", why)
    if cancelled is not None:
        raise cancelled
    return None


def work_of(ctx: InterceptorContext, key: str) -> str:
    """Return what names a piece of work in a store: tenant, pipeline, stage and key, each with its length."""
    parts = (tenant_of(ctx.run.snapshot.run_id), ctx.pipeline, ctx.stage_name, key)
    return "".join(f"{len(part)}:{part}" for part in parts)


def tenant_of(identity: RunIdentity) -> str:
    """Return for whom a run is: the organisation, else the user, else nobody in particular."""
    if identity.org_id is not None:
        return f"org={identity.org_id}"
    return "" if identity.user_id is None else f"user={identity.user_id}"


def parameters_of(ctx: InterceptorContext) -> dict[str, Any]:
    """Return what a stage works on: what it reads of its dependencies, and the run's input."""
    snapshot, inputs = ctx.run.snapshot, ctx.inputs
    outputs = {name: inputs.get_output(name) for name in inputs.declared}
    return {
        "input": snapshot.input,
        "input_text": snapshot.input_text,
        "inputs": {name: None if output is None else output.value for name, output in outputs.items()},
    }
