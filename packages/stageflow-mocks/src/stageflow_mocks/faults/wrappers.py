"""What a run is given, wrapped so that a fault plan strikes its calls: providers of models, and stores."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar, cast

from stageflow import RunStore
from stageflow.conformance import conforming
from stageflow.protocols import Claim, IdempotencyStore
from stageflow.providers import (
    LLMChunk,
    LLMProvider,
    LLMRequest,
    LLMResponse,
    STTChunk,
    STTProvider,
    STTRequest,
    STTResponse,
    TTSChunk,
    TTSProvider,
    TTSRequest,
    TTSResponse,
    closing_stream,
)

from stageflow_mocks.faults.answers import bare, cut
from stageflow_mocks.faults.calls import Changes, strike_call
from stageflow_mocks.faults.plan import FaultPlan
from stageflow_mocks.faults.streams import strike_stream
from stageflow_mocks.faults.striking import Strike, Striker
from stageflow_mocks.faults.targets import Kind

P = TypeVar("P")
T = TypeVar("T")


class _Faulty(Generic[P]):
    """Something of a protocol, and a plan that strikes its calls; they are counted over the life of this object.

    What the protocol does not have, `aclose` say, is that of what is wrapped.
    """

    _protocol: ClassVar[type[Any]]
    _operations: ClassVar[Mapping[str, Kind]]

    def __init__(self, wrapped: P, plan: FaultPlan, name: str | None) -> None:
        taker = type(self).__name__
        self.wrapped: P = conforming(wrapped, self._protocol, f"What {taker} wraps")
        self._striker = Striker(plan, taker)
        self.name: str = cast("Any", wrapped).name if name is None else name
        self.plan = plan
        plan.check_operations(self.name, self._operations, "has")

    def record(self) -> dict[str, Any]:
        """Return what was done so far: JSON-ready, for `FaultPlan.replay`, in the order of operations and calls."""
        return self._striker.record.to_dict()

    def check(self) -> None:
        """Refuse the plan, after the runs, if a rule was about no operation of this that was called.

        Raises:
            FaultPlanError: It is the first such rule.
        """
        called: dict[str, Kind] = {each.name: self._operations[each.name] for each in self._striker.record.places()}
        self.plan.check_operations(self.name, called, "was asked for")

    async def _call(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        for strike in reversed(self._strikes(operation)):
            call = partial(strike_call, strike, call, _CHANGES)
        return await call()

    async def _read(self, open_stream: Callable[[], AsyncIterator[T]]) -> AsyncGenerator[T]:
        for strike in reversed(self._strikes("stream")):
            open_stream = partial(strike_stream, strike, open_stream)
        async with closing_stream(open_stream()) as chunks:
            async for chunk in chunks:
                yield chunk

    def _strikes(self, operation: str) -> list[Strike]:
        return self._striker.strikes(self._operations[operation], self.name, operation)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "wrapped":  # asked while a copy is made, which has nothing yet
            raise AttributeError(name)
        return getattr(self.wrapped, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} around {self.wrapped!r}>"


class FaultyLLM(_Faulty[LLMProvider]):
    """A language model whose answers are struck as a fault plan says; an LLMProvider.

    Args:
        llm: Any LLMProvider.
        plan: What is to be done to calls of "complete" and "stream".
        name: What it is called, in rules too; the provider's own name unless given.

    Raises:
        FaultPlanError: A rule is about this provider, and cannot be done to it.
        ProtocolMismatchError: `llm` is no LLMProvider.
    """

    _protocol = LLMProvider
    _operations: ClassVar[Mapping[str, Kind]] = {"complete": "answer", "stream": "stream"}

    def __init__(self, llm: LLMProvider, plan: FaultPlan, *, name: str | None = None) -> None:
        super().__init__(llm, plan, name)

    async def complete(self, request: LLMRequest) -> LLMResponse:
        return await self._call("complete", partial(self.wrapped.complete, request))

    def stream(self, request: LLMRequest) -> AsyncIterator[LLMChunk]:
        return self._read(partial(self.wrapped.stream, request))


class FaultySTT(_Faulty[STTProvider]):
    """Speech to text whose answers are struck as a fault plan says; an STTProvider. See `FaultyLLM`."""

    _protocol = STTProvider
    _operations: ClassVar[Mapping[str, Kind]] = {"transcribe": "answer", "stream": "stream"}

    def __init__(self, stt: STTProvider, plan: FaultPlan, *, name: str | None = None) -> None:
        super().__init__(stt, plan, name)

    async def transcribe(self, request: STTRequest) -> STTResponse:
        return await self._call("transcribe", partial(self.wrapped.transcribe, request))

    def stream(self, request: STTRequest) -> AsyncIterator[STTChunk]:
        return self._read(partial(self.wrapped.stream, request))


class FaultyTTS(_Faulty[TTSProvider]):
    """Text to speech whose answers are struck as a fault plan says; a TTSProvider. See `FaultyLLM`."""

    _protocol = TTSProvider
    _operations: ClassVar[Mapping[str, Kind]] = {"synthesize": "answer", "stream": "stream"}

    def __init__(self, tts: TTSProvider, plan: FaultPlan, *, name: str | None = None) -> None:
        super().__init__(tts, plan, name)

    async def synthesize(self, request: TTSRequest) -> TTSResponse:
        return await self._call("synthesize", partial(self.wrapped.synthesize, request))

    def stream(self, request: TTSRequest) -> AsyncIterator[TTSChunk]:
        return self._read(partial(self.wrapped.stream, request))


class FaultyRunStore(_Faulty[RunStore]):
    """A run store whose calls are struck as a fault plan says; a RunStore. Rules call it "run_store"."""

    _protocol = RunStore
    _operations: ClassVar[Mapping[str, Kind]] = {"create_run": "step", "update_status": "step", "get_run": "step"}

    def __init__(self, store: RunStore, plan: FaultPlan, *, name: str = "run_store") -> None:
        super().__init__(store, plan, name)

    async def create_run(self, run_id: str, **metadata: Any) -> None:
        await self._call("create_run", partial(self.wrapped.create_run, run_id, **metadata))

    async def update_status(self, run_id: str, status: str, **data: Any) -> None:
        await self._call("update_status", partial(self.wrapped.update_status, run_id, status, **data))

    async def get_run(self, run_id: str) -> Mapping[str, Any] | None:
        return await self._call("get_run", partial(self.wrapped.get_run, run_id))


class FaultyIdempotencyStore(_Faulty[IdempotencyStore]):
    """A store of done work whose calls are struck as a fault plan says; an IdempotencyStore.

    Rules call it "idempotency_store".
    """

    _protocol = IdempotencyStore
    _operations: ClassVar[Mapping[str, Kind]] = {
        "claim": "step",
        "wait": "step",
        "renew": "step",
        "complete": "step",
        "release": "step",
    }

    def __init__(self, store: IdempotencyStore, plan: FaultPlan, *, name: str = "idempotency_store") -> None:
        super().__init__(store, plan, name)
        self.lease_seconds = store.lease_seconds

    async def claim(self, key: str, *, fingerprint: str, owner: str) -> Claim:
        return await self._call("claim", partial(self.wrapped.claim, key, fingerprint=fingerprint, owner=owner))

    async def wait(self, key: str) -> None:
        await self._call("wait", partial(self.wrapped.wait, key))

    async def renew(self, key: str, *, owner: str) -> bool:
        return await self._call("renew", partial(self.wrapped.renew, key, owner=owner))

    async def complete(self, key: str, *, owner: str, value: Any) -> bool:
        return await self._call("complete", partial(self.wrapped.complete, key, owner=owner, value=value))

    async def release(self, key: str, *, owner: str) -> None:
        await self._call("release", partial(self.wrapped.release, key, owner=owner))


_CHANGES: Changes = {
    "wrong_type": lambda answer, _: bare(answer),
    "truncated": lambda answer, strike: cut(answer, cast("float", strike.rule.keep)),
}
