"""The calls of a mock: which there were, how long each takes, and what goes wrong with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar, Literal

from stageflow.errors import ProviderProtocolError

from stageflow_mocks.provider_faults import Hang, Pace
from stageflow_mocks.providers.faults import (
    FAULTS,
    AtCall,
    AtRate,
    Malformed,
    MockFault,
    check_fault,
    chunks_before,
    error_of,
    request_id,
)
from stageflow_mocks.providers.timing import Latency, check_latency, drawn
from stageflow_mocks.wording import shown

__tracebackhide__ = True  # pytest shows who asked, and not how it is answered

CallEnding = Literal["running", "ok", "error", "cancelled", "closed", "cut off"]


@dataclass(slots=True)
class RecordedCall:
    """One call of a mock. Times are those of the event loop's clock, in seconds.

    Attributes:
        number: Which it was, from 1, in the order in which they began.
        operation: "chat", "transcribe", "synthesize", "call".
        request: What was asked: the request of a provider, the arguments of a tool.
        started_at, ended_at: When; a stream begins with its first chunk being asked for.
        ended: "ok"; "error"; "cancelled"; "closed" by its reader before its end; "cut off" by a fault that tells
            nobody; or "running" still.
        fault: What went wrong with it on purpose.
        error: What it raised.
        chunks: How many pieces of the answer there were.
        first_chunk_at: When the first of them was given.
        answer: What was answered, if it was whole.
        pieces: What was taken of the request's text or audio, as it came; one, if it was given as a whole.
    """

    number: int
    operation: str
    request: Any
    started_at: float
    ended_at: float | None = None
    ended: CallEnding = "running"
    fault: MockFault | None = None
    error: BaseException | None = field(default=None, compare=False)
    chunks: int = 0
    first_chunk_at: float | None = None
    answer: Any = None
    pieces: list[Any] = field(default_factory=list[Any])

    def __str__(self) -> str:
        begun = f"{self.number}. {self.operation} at {self.started_at:.6g} s"
        if self.ended_at is None:
            return f"{begun}: running, {self._counted()} so far"
        told = f" ({type(self.error).__qualname__})" if self.ended == "error" else ""
        return f"{begun}: {self.ended}{told} after {self.ended_at - self.started_at:.6g} s, {self._counted()}"

    def _counted(self) -> str:
        return "1 chunk" if self.chunks == 1 else f"{self.chunks} chunks"


class LiveCall:
    """A call that is going on: the pace at which its pieces go out, and the fault that strikes among them."""

    def __init__(self, record: RecordedCall, mock: str, random: Random, latency: Latency, per_chunk: Latency) -> None:
        self.record = record
        self.request_id = request_id(mock, record.number)
        self._mock = mock
        self._random = random
        self._latency = latency
        self._per_chunk = per_chunk

    @property
    def fault(self) -> MockFault | None:
        return self.record.fault

    @fault.setter
    def fault(self, fault: MockFault) -> None:
        self.record.fault = fault

    @property
    def strikes_first(self) -> bool:
        """Whether its fault strikes before anything of an answer is given."""
        return chunks_before(self.fault) == 0

    def malformed(self, ways: tuple[str, ...]) -> str | None:
        """Return how its answer is malformed, of the ways in which it can be."""
        return (self.fault.how or ways[0]) if isinstance(self.fault, Malformed) else None

    async def passes_chunk(self) -> bool:
        """Wait until the next piece goes out; False if the answer is cut off there.

        Raises:
            Exception: The fault of the call, at this place.
        """
        await self._wait(self._per_chunk if self.record.chunks else self._latency)
        if not await self._passes(is_end=False):
            return False
        self.record.chunks += 1
        if self.record.first_chunk_at is None:
            self.record.first_chunk_at = asyncio.get_running_loop().time()
        return True

    async def passes_end(self) -> bool:
        """Wait, if nothing was sent, for the end of the answer; False if the answer is cut off before it.

        Raises:
            Exception: The fault of the call, which strikes here at the latest.
        """
        if not self.record.chunks:
            await self._wait(self._latency)
        return await self._passes(is_end=True)

    async def _wait(self, latency: Latency) -> None:
        fault = self.record.fault
        if fault is not None and isinstance(fault, Pace):
            latency = fault.per_chunk if self.record.chunks else fault.first_byte
        await asyncio.sleep(drawn(latency, self._random))

    async def _passes(self, *, is_end: bool) -> bool:
        fault = self.record.fault
        before = None if fault is None else chunks_before(fault)
        if fault is None or before is None or not (is_end or self.record.chunks >= before):
            return True
        if isinstance(fault, Hang):
            await asyncio.get_running_loop().create_future()
        error = error_of(fault, self._mock, self.record.number)
        if error is not None:
            raise error
        return False


class Mock:
    """What all mocks have in common: a name, a pace, faults, and a record of each call.

    Args:
        name: What errors and records call it.
        seed: Decides what is drawn: times and faults. The same seed gives the same again, call by call, whatever
            calls go on at once.
        latency: Seconds before the first piece of an answer, the whole of it, or the error in its place.
        per_chunk: Seconds before each further piece.
        faults: What goes wrong, and when. The first that strikes a call is the one.

    Raises:
        TypeError, ValueError: One of them cannot be what it is; the message names it.
    """

    faults_taken: ClassVar[tuple[type[Any], ...]] = FAULTS
    malformed_ways: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, name: str, *, seed: int, latency: Latency, per_chunk: Latency, faults: Sequence[AtCall | AtRate]
    ) -> None:
        kind = type(self).__name__
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"name of a {kind} is a string that is not empty, not {shown(name)}.")
        if isinstance(seed, bool) or not isinstance(seed, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"seed of a {kind} is a whole number, not {shown(seed)}.")
        check_latency(f"latency of a {kind}", latency)
        check_latency(f"per_chunk of a {kind}", per_chunk)
        self.name = name
        self._seed = seed
        self._latency: Latency = latency
        self._per_chunk: Latency = per_chunk
        self._calls: list[RecordedCall] = []
        self._next_faults: deque[MockFault] = deque()
        if not isinstance(faults, list | tuple):
            raise TypeError(f"faults of a {kind} is a list of AtCall and AtRate, not {shown(faults)}.")
        self._faults = tuple(faults)
        for place, rule in enumerate(self._faults):
            if not isinstance(rule, AtCall | AtRate):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(
                    f"faults[{place}] of a {kind} is an AtCall or an AtRate, which say when; not {shown(rule)}."
                )
            self._check(f"faults[{place}] of a {kind}", rule.fault)

    @property
    def calls(self) -> tuple[RecordedCall, ...]:
        """The calls, in the order in which they began."""
        return tuple(self._calls)

    @property
    def requests(self) -> tuple[Any, ...]:
        """What was asked in each of the calls."""
        return tuple(call.request for call in self._calls)

    def fail_next(self, *faults: MockFault) -> None:
        """Let the next calls go wrong, one for each of the faults, whatever else was planned for them.

        Raises:
            TypeError, ValueError: One of them is no fault, or not one of this kind of mock.
        """
        for fault in faults:
            self._check(f"A fault of a {type(self).__name__}", fault)
        self._next_faults.extend(faults)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}', {len(self._calls)} calls>"

    def _require(self, request: Any, kind: type[Any]) -> None:
        """Refuse what is no request at all, which the type checker has refused before."""
        if not isinstance(request, kind):
            name = kind.__name__
            article = "an" if name.startswith(("LLM", "STT")) else "a"
            raise TypeError(
                f"{type(self).__name__} '{self.name}' is asked with {article} {name}, not {shown(request)}."
            )

    def _check(self, what: str, fault: Any) -> None:
        check_fault(what, fault, self.faults_taken, self.malformed_ways)

    @contextmanager
    def _recorded(self, operation: str, request: Any) -> Generator[LiveCall]:
        """Record a call, from here to the end of the block."""
        loop = asyncio.get_running_loop()
        record = RecordedCall(len(self._calls) + 1, operation, request, loop.time())
        self._calls.append(record)
        random = Random(f"{self._seed}/{record.number}")  # of its own, or calls that overlap would draw by turns
        record.fault = self._drawn_fault(record.number, random)
        try:
            yield LiveCall(record, self.name, random, self._latency, self._per_chunk)
        except asyncio.CancelledError:
            record.ended = "cancelled"
            raise
        except GeneratorExit:
            record.ended = "closed"
            raise
        except BaseException as error:
            record.ended, record.error = "error", error
            raise
        else:
            record.ended = "ok" if record.ended == "running" else record.ended
        finally:
            record.ended_at = loop.time()

    async def _drained(self, call: LiveCall, chunks: AsyncGenerator[Any]) -> Any:
        """Return what all of the chunks make: those of speech put it into the record at their end.

        Raises:
            ProviderProtocolError: It is cut off, or malformed.
        """
        async with aclosing(chunks):
            async for _ in chunks:
                pass
        if call.record.answer is None:
            told = f"The answer of mock '{self.name}' is incomplete, as it was told to be."
            raise ProviderProtocolError(told, provider=self.name, request_id=call.request_id)
        return call.record.answer

    def _drawn_fault(self, call: int, random: Random) -> MockFault | None:
        # Each rate is drawn for, so that what strikes this call does not change what is drawn after it.
        struck = [
            rule.fault
            for rule in self._faults
            if (rule.call == call if isinstance(rule, AtCall) else random.random() < rule.rate)
        ]
        if self._next_faults:
            return self._next_faults.popleft()
        return struck[0] if struck else None
