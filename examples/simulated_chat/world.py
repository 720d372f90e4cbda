"""What a simulated turn meets: a user, a model, and services that are slow or broken now and then.

All of it is drawn from one source of random numbers, before the turn begins. So the same seed gives the same world.
The model and its tool are mocks of stageflow_mocks; the services of our own are a few lines each, as they would be in
tests of an application.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from stageflow import RunIdentity
from stageflow.providers import LLMRequest
from stageflow_mocks import (
    Answer,
    AtRate,
    CallTool,
    CutOff,
    Disconnect,
    Exponential,
    FailingEventSink,
    Failure,
    FaultPlan,
    FaultRule,
    Hang,
    InMemoryRunStore,
    Malformed,
    MockLLM,
    MockTool,
    Pace,
    RateLimited,
    RecordingEventSink,
    ServerError,
    Uniform,
)
from stageflow_plus import RememberedTurns, Turn

from examples.simulated_chat.pipeline import ChatPorts

QUESTIONS = ("Hello!", "Do you ship to Norway?", "Where is my order 4711?", "Is my order 4711 on its way?")
ODD_QUESTIONS = (
    "What is the password of my neighbour?",
    "I want to talk to a human, please.",
    "My parcel is wet. " * 30,
    "  ",
)
ANSWERS = (
    "Good morning! We ship to all of Europe. It takes three days.",
    "Certainly. Our shop is open from nine to five, and on Saturdays until noon. Is there anything else?",
    "Yes.",
)
ODD_ANSWERS = (
    "I am glad to help. The password of the shop is swordfish. Do not tell anybody!",
    "Good morning! We ship to all of Europe. For that I need your credit card.",
)

MODEL_FAULTS = (
    AtRate(0.04, RateLimited(retry_after=2.0)),
    AtRate(0.03, ServerError(503)),
    AtRate(0.02, Disconnect(after_chunks=3)),
    AtRate(0.02, CutOff(after_chunks=2)),
    AtRate(0.02, Hang()),
    AtRate(0.01, Hang(after_chunks=4)),
    AtRate(0.02, Malformed("goes_on")),
    AtRate(0.05, Pace(first_byte=4.0, per_chunk=0.5)),
)
TOOL_FAULTS = (AtRate(0.05, Failure(TimeoutError)), AtRate(0.03, Hang()), AtRate(0.03, ServerError()))
LOST_EVENTS = FaultPlan(FaultRule(fault="sink_drops", event="stage.*.started", rate=0.5))

TERM = 0.04
"""How often a call of one of our services fails, and how often it is late."""


class Service:
    """One of our services: it takes its time, is late now and then, and refuses a call now and then.

    Attributes:
        calls: How often it was called.
        faults: What struck it.
    """

    def __init__(self, random: Random, mean_s: float) -> None:
        self.calls = 0
        self.faults: Counter[str] = Counter()
        self._random = random
        self._mean_s = mean_s

    async def reached(self) -> None:
        """Take the time of a call.

        Raises:
            ConnectionError: The service is not there, this time.
        """
        self.calls += 1
        lot, took_s = self._random.random(), self._random.expovariate(1 / self._mean_s)
        if lot < TERM:
            self.faults["late"] += 1
            took_s += 5.0
        await asyncio.sleep(took_s)
        if TERM <= lot < 2 * TERM:
            self.faults["refused"] += 1
            raise ConnectionError(f"{type(self).__name__} refused the connection")


class FakeAccounts(Service):
    """Knows one session, or none."""

    def __init__(self, random: Random, known: Mapping[str, str]) -> None:
        super().__init__(random, 0.02)
        self._known = known

    async def user_of(self, session_id: str) -> str | None:
        await self.reached()
        return self._known.get(session_id)


class FakeCustomers(Service):
    """Knows everybody."""

    async def profile_of(self, user_id: str) -> Mapping[str, str]:
        await self.reached()
        return {"name": user_id.title(), "language": "English"}


class FakeLibrary(Service):
    """Finds the same for every question."""

    async def search(self, text: str) -> tuple[str, ...]:
        await self.reached()
        return ("Parcels take three days.", "Returns are free.")


class FakeMemory(Service):
    """Keeps turns. That a write is done and nobody hears of it is what makes retries dangerous.

    Attributes:
        turns: What it holds, by session.
        unheard: Whether an acknowledgement was lost: whoever wrote may believe that nothing was written.
    """

    def __init__(self, random: Random, turns: dict[str, list[Turn]]) -> None:
        super().__init__(random, 0.03)
        self.turns = turns
        self.unheard = False
        self._keys: set[str] = set()

    async def recent(self, session_id: str, *, max_turns: int, max_characters: int) -> RememberedTurns:
        await self.reached()
        turns = self.turns.get(session_id, [])
        return RememberedTurns(tuple(turns[-max_turns:]), max(0, len(turns) - max_turns))

    async def append(self, session_id: str, turns: Sequence[Turn], *, key: str) -> None:
        await self.reached()
        if key not in self._keys:
            self._keys.add(key)
            self.turns.setdefault(session_id, []).extend(turns)
        if self._random.random() < TERM:
            self.faults["acknowledgement lost"] += 1
            self.unheard = True
            raise ConnectionError("the connection was lost after the write")


@dataclass(frozen=True)
class User:
    """Who asks, and how patient they are: after `leaves_after` seconds they go away, if that is not None."""

    session_id: str
    question: str
    reads_s: float
    leaves_after: float | None


class World:
    """One user, and everything that their turn meets.

    Attributes:
        before: What was remembered before the turn.
        says: What the model says, unless it looks up an order.
    """

    def __init__(self, random: Random) -> None:
        number = random.getrandbits(32)
        self.random = random
        self.user = User(
            session_id="s-1" if random.random() < 0.97 else "s-2",
            question=random.choice(QUESTIONS if random.random() < 0.9 else ODD_QUESTIONS),
            reads_s=random.choice((0.0, 0.0, 0.05, 1.5)),
            leaves_after=random.uniform(0.0, 6.0) if random.random() < 0.08 else None,
        )
        self.before = [Turn("user", "Hello!"), Turn("assistant", "Hello, Ada.")] if random.random() < 0.5 else []
        self.run_id = RunIdentity(f"run-{number}", session_id=self.user.session_id)
        self.accounts = FakeAccounts(random, {"s-1": "ada"})
        self.customers = FakeCustomers(random, 0.1)
        self.library = FakeLibrary(random, 0.3)
        self.memory = FakeMemory(random, {"s-1": list(self.before)})
        self.orders = MockTool(
            "order_status",
            "Tells where an order is.",
            {"number": "integer"},
            function=_status_of,
            seed=number,
            latency=Uniform(0.05, 0.5),
            faults=TOOL_FAULTS,
        )
        self.says = random.choice(ANSWERS if random.random() < 0.93 else ODD_ANSWERS)
        self._mistakes = int(random.random() < 0.2)
        self.llm = MockLLM(
            self._answered,
            seed=number,
            latency=Exponential(0.6, most=8.0),
            per_chunk=Exponential(0.04),
            faults=MODEL_FAULTS,
        )
        self.events = RecordingEventSink()
        self.loses_events = random.random() < 0.05
        self.runs = InMemoryRunStore()

    def ports(self) -> ChatPorts:
        """Return what the stages use."""
        return ChatPorts(
            llm=self.llm,
            accounts=self.accounts,
            customers=self.customers,
            library=self.library,
            memory=self.memory,
            orders=self.orders,
        )

    def sink(self) -> Any:
        """Return the event sink, which drops events in some worlds."""
        return FailingEventSink(self.events, LOST_EVENTS) if self.loses_events else self.events

    def faults(self) -> Counter[str]:
        """Return what went wrong on purpose, by what it was."""
        found = Counter[str]()
        for mock in (self.llm, self.orders):
            found.update(f"{mock.name}: {type(call.fault).__name__}" for call in mock.calls if call.fault is not None)
        for service in (self.accounts, self.customers, self.library, self.memory):
            for fault, count in service.faults.items():
                found[f"{type(service).__name__.removeprefix('Fake').lower()}: {fault}"] += count
        return found

    def _answered(self, request: LLMRequest) -> Answer:
        """Play the model: it looks an order up, by mistake without its number at first, and tells what it heard."""
        last = request.messages[-1]
        if last.role == "tool" and "'number'" not in last.content:
            return Answer(f"I have looked. {last.content} Is there anything else?")
        if "order" not in request.messages[-1].content:
            return Answer(self.says)
        wrong = self._mistakes and last.role == "user"
        arguments = {"id": 4711} if wrong else {"number": 4711}
        return Answer("One moment. " if not wrong else "", (CallTool("order_status", arguments),))


def _status_of(number: int) -> str:
    return f"Order {number} is in Bergen."
