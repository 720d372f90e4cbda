"""What fits a protocol, and what does not: as it is handed over, and as often as it is."""

import functools
import gc
import os
import types
import weakref
from collections.abc import AsyncIterator, Awaitable, Coroutine
from dataclasses import dataclass
from typing import Protocol
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec

import pytest
from stageflow import EnrichmentProvider, EventSink, LoggingEventSink, NoOpEventSink
from stageflow.conformance import conforming
from stageflow.errors import ProtocolMismatchError
from stageflow.interceptors.idempotency_memory import InMemoryIdempotencyStore
from stageflow.observability.circuit_breaker import CircuitBreaker, InMemoryCircuitBreaker
from stageflow.protocols import (
    AllowAllPolicy,
    ConfigProvider,
    IdempotencyStore,
    Meter,
    NoOpConfigProvider,
    NoOpEnrichmentProvider,
    NoOpIdempotencyStore,
    NoOpMeter,
    NoOpPipelineMetadata,
    NoOpRunStore,
    NoOpTracer,
    PipelineMetadata,
    PolicyEvaluator,
    RunStore,
    Tracer,
)

ENRICH = "`async def enrich(self, request: EnrichmentRequest) -> Mapping[str, Any] | None`"


def problems(value, protocol=EnrichmentProvider):
    """Return what is amiss, the same whenever it is asked."""
    found = []
    for _ in range(2):
        with pytest.raises(ProtocolMismatchError) as caught:
            conforming(value, protocol, "The x")
        found.append((caught.value.problems, str(caught.value)))
    assert found[0] == found[1]
    return caught.value.problems


def fits(value, protocol=EnrichmentProvider):
    """Return whether a value is taken, as it is, whenever it is asked."""
    return all(conforming(value, protocol, "The x") is value for _ in range(2))


class Plain:
    async def enrich(self, request):
        """Find something."""


def passing_on(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def with_database(function):
    @functools.wraps(function)
    async def wrapper(self, request):
        return await function(self, request, "database")

    return wrapper


class Decorated:
    @passing_on
    async def enrich(self, request):
        """Find something."""


class Injected:
    @with_database
    async def enrich(self, request, database):
        """Find something."""


class Partial:
    enrich = staticmethod(functools.partial(Plain().enrich))


class OfTheClass:
    @classmethod
    async def enrich(cls, request):
        """Find something."""


class Static:
    @staticmethod
    async def enrich(request):
        """Find something."""


class Called:
    async def __call__(self, request):
        """Find something."""


class WithCalled:
    enrich = Called()


class WithProperty:
    @property
    def enrich(self):
        """Give a method."""
        return Plain().enrich


class Saying:
    def enrich(self, request) -> Awaitable[None]:
        """Say that it may be awaited."""
        return Plain().enrich(request)


class SayingCoroutine:
    def enrich(self, request) -> "Coroutine[None, None, None]":
        """Say so in a text."""
        return Plain().enrich(request)


class More:
    async def enrich(self, req, *, language="en"):
        """Take more, and by another name."""


class Anything:
    async def enrich(self, *args, **kwargs):
        """Take anything."""


class Overriding(EnrichmentProvider):
    async def enrich(self, request):
        """Find something."""


class Proxy:
    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


class Slotted:
    __slots__ = ("enrich",)

    def __init__(self, *enrich):
        if enrich:
            (self.enrich,) = enrich


@pytest.mark.parametrize(
    "value",
    [
        Plain(),
        Decorated(),
        Injected(),
        Partial(),
        OfTheClass(),
        OfTheClass,
        Static(),
        Static,
        WithCalled(),
        WithProperty(),
        Saying(),
        SayingCoroutine(),
        More(),
        Anything(),
        Overriding(),
        Proxy(Plain()),
        Slotted(Plain().enrich),
        types.SimpleNamespace(enrich=Plain().enrich),
        types.SimpleNamespace(enrich=AsyncMock()),
        AsyncMock(),
        Mock(spec=EnrichmentProvider),
        create_autospec(EnrichmentProvider, instance=True),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_can_be_called_as_the_protocol_writes_it_fits(value):
    """However it came to have the method."""
    assert fits(value)


class NotAsync:
    def enrich(self, request):
        """Find something at once."""


class NotAsyncDecorated:
    @passing_on
    def enrich(self, request):
        """Find something at once."""


class NotAsyncCalled:
    class _Called:
        def __call__(self, request):
            """Find something at once."""

    enrich = _Called()


class Yielding:
    async def enrich(self, request):
        yield 1


class ByName:
    async def enrich(self, *, request):
        """Take it by name."""


class TooMany:
    async def enrich(self, request, other):
        """Take another one."""


class NeedsKeyword:
    async def enrich(self, request, *, other):
        """Take another one by name."""


class TooFew:
    @passing_on
    async def enrich(self):
        """Take nothing."""


class NoMethod:
    enrich = "yes"


class Inherited(EnrichmentProvider):
    pass


class Raising:
    @property
    def enrich(self):
        """Fail."""
        raise ValueError("not yet")


class Absent:
    @property
    def enrich(self):
        """Fail in its own way."""
        return self.inner


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "it has no `enrich`"),
        (5, "it has no `enrich`"),
        (Slotted(lambda request: None), "its `enrich` is not async"),
        (Slotted(), "its `enrich` raises AttributeError: "),
        (NotAsync(), "its `enrich` is not async"),
        (NotAsyncDecorated(), "its `enrich` is not async"),
        (NotAsyncCalled(), "its `enrich` is not async"),
        (functools.partial, "its `enrich` is not async"),
        (Mock(), "its `enrich` is not async"),
        (MagicMock(), "its `enrich` is not async"),
        (Yielding(), "its `enrich` yields, where it should return"),
        (ByName(), "its `enrich` takes other parameters (too many positional arguments)"),
        (TooMany(), "its `enrich` takes other parameters (missing a required argument: 'other')"),
        (NeedsKeyword(), "its `enrich` takes other parameters (missing a required"),
        (TooFew(), "its `enrich` takes other parameters (too many positional arguments)"),
        (NoMethod(), "its `enrich` is 'yes', which cannot be called"),
        (Inherited(), "its `enrich` is that of the protocol, which does nothing: write it"),
        (Raising(), "its `enrich` raises ValueError: not yet"),
        (Absent(), "its `enrich` raises AttributeError: 'Absent' object has no attribute 'inner'"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_does_not_fit_is_told_with_the_method_as_it_should_be(value, told):
    """By what is amiss."""
    if value is functools.partial:
        value = types.SimpleNamespace(enrich=functools.partial(NotAsync().enrich))
    (problem,) = problems(value)
    assert problem.startswith(told)
    assert problem.endswith(f"; expected: {ENRICH}")


def test_the_message_says_what_was_handed_over():
    """As what, what it is, and what is amiss."""
    with pytest.raises(ProtocolMismatchError) as caught:
        conforming(NotAsync(), EnrichmentProvider, "The provider of an EnrichStage")
    assert (
        "The provider of an EnrichStage is not an EnrichmentProvider, but a NotAsync: its `enrich` is not async; "
        f"expected: {ENRICH}." == str(caught.value)
    )
    assert ("The provider of an EnrichStage", "EnrichmentProvider") == (caught.value.what, caught.value.protocol)


@dataclass
class Settings:
    """What knows a key, and shows it to whoever asks."""

    api_key: str


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Settings("hunter2"), "a Settings"),
        ({"api_key": "hunter2"}, "a dict"),
        ("hunter2", "a str"),
        (None, "None"),
        (3, "3"),
        (len, "the function len"),
    ],
)
def test_what_was_handed_over_is_not_shown(value, told):
    """Settings and clients have keys in them, and the text of an error goes into logs."""
    with pytest.raises(ProtocolMismatchError) as caught:
        conforming(value, RunStore, "The run_store of a run")
    assert str(caught.value).startswith(f"The run_store of a run is not a RunStore, but {told}: it has no `create_run`")
    assert "hunter2" not in str(caught.value)


def test_a_class_is_not_its_object():
    """Unless all of its methods are its own."""
    with pytest.raises(ProtocolMismatchError) as caught:
        conforming(Plain, EnrichmentProvider, "The x")
    told = "The x is not an EnrichmentProvider, but the class Plain. It is the class: write Plain()."
    assert told == str(caught.value)


class AnyParameters:
    async def enrich(*args):
        """Take anything, itself too."""


def test_a_class_whose_methods_would_take_anything_is_not_its_object():
    """To call it there would leave out the object."""
    assert fits(AnyParameters())
    with pytest.raises(ProtocolMismatchError, match=r"write AnyParameters\(\)"):
        conforming(AnyParameters, EnrichmentProvider, "The x")


# --- what is remembered ------------------------------------------------------------------------------------------


def test_objects_of_one_type_may_differ():
    """What was found of one is not believed of another."""
    good, bad = Plain(), Plain()
    bad.enrich = NotAsync().enrich
    assert fits(good)
    assert problems(bad)
    assert fits(Slotted(Plain().enrich))
    assert problems(Slotted(NotAsync().enrich))
    assert fits(Proxy(good))
    assert problems(Proxy(NotAsync()))


def test_a_function_may_fit_as_one_method_and_not_as_another():
    """It is remembered as which."""

    class Other(Protocol):
        async def enrich(self, request: str, more: str) -> None: ...

    assert fits(Plain())
    assert problems(Plain(), Other)
    assert fits(Plain())


def test_a_subclass_is_looked_at_by_itself():
    """What it overrides may be worse."""

    class Worse(Plain):
        def enrich(self, request):
            """Find something at once."""

    assert fits(Plain())
    assert problems(Worse())


def test_what_is_remembered_keeps_nothing_alive():
    """Neither a class nor its methods."""

    def make():
        class Short:
            async def enrich(self, request):
                """Find something."""

        assert fits(Short())
        return weakref.ref(Short)

    short = make()
    gc.collect()
    assert short() is None


def test_what_is_known_is_not_looked_at_again(monkeypatch):
    """A run with a sink does not pay for it."""
    sink = LoggingEventSink()
    conforming(sink, EventSink, "The x")
    conforming(Speaking(), Spoken, "The x")
    monkeypatch.setattr("stageflow.conformance._problems", None)
    assert conforming(Speaking(), Spoken, "The x")
    assert conforming(sink, EventSink, "The x") is sink
    assert conforming(LoggingEventSink(), EventSink, "The x")


# --- parameters --------------------------------------------------------------------------------------------------


class Stored:
    async def create_run(self, run_id, **metadata):
        """Note it."""

    async def update_status(self, run_id, status, **data):
        """Note it."""

    async def get_run(self, run_id):
        """Give it."""


def store(**methods):
    """Return a run store with other methods."""
    return type("Other", (Stored,), methods)()


async def named(self, run_id, status, *, reason=None, **data):
    """Name some of what may come."""


async def requiring(self, run_id, status, *, reason, **data):
    """Name what may not come."""


async def closed(self, run_id, status, *, reason=None):
    """Take nothing that is new."""


async def placed(self, run_id, status, extra, **data):
    """Want a third one."""


def test_a_method_that_is_given_any_keywords_takes_any():
    """It may name some of them."""
    assert fits(Stored(), RunStore)
    assert fits(store(update_status=named), RunStore)
    assert fits(store(update_status=requiring), RunStore)
    (problem,) = problems(store(update_status=closed), RunStore)
    assert problem.startswith("its `update_status` does not take any keyword (**); expected: `async def update_status(")
    (problem,) = problems(store(update_status=placed), RunStore)
    assert problem.startswith("its `update_status` takes other parameters (missing a required argument: 'extra')")


class ByPosition:
    async def emit(self, type, data):
        """Take the event."""

    def try_emit(self, type, data):
        """Take it at once."""


class OnlyByPosition(ByPosition):
    def try_emit(self, type, data, /):
        """Take it at once."""


class AsyncTryEmit(ByPosition):
    async def try_emit(self, type, data):
        """Take it later."""


class Scheduling(ByPosition):
    """A sink whose `try_emit` hands an async function over to something that runs it."""

    async def _later(self, *, type, data):
        """Take it later."""

    @functools.wraps(_later)
    def try_emit(self, *, type, data):
        """Take it at once."""


def test_what_is_called_by_name_is_taken_by_name():
    """It may be taken by position as well, but not only."""
    assert fits(ByPosition(), EventSink)
    assert fits(Scheduling(), EventSink)
    assert fits(Mock(spec=EventSink), EventSink)
    assert fits(create_autospec(EventSink, instance=True), EventSink)
    (problem,) = problems(OnlyByPosition(), EventSink)
    assert problem.startswith("its `try_emit` takes other parameters (")
    told = "its `try_emit` is async, and is called without await; expected: `def try_emit(self, *, type: str, "
    for wrong in (AsyncTryEmit(), AsyncMock()):
        (problem,) = problems(wrong, EventSink)
        assert problem.startswith(told)


class Configured:
    def get(self, key):
        """Give it."""


class Insisting:
    def get(self, key, default):
        """Give it, and want to be told what else."""


def test_settings_may_be_in_a_dict():
    """Its `get` is written in C, and tells its parameters; of what does not tell them it is believed."""
    assert all(fits(value, ConfigProvider) for value in ({}, os.environ, types.MappingProxyType({})))
    assert fits(types.SimpleNamespace(get=max), ConfigProvider)
    (problem,) = problems(Configured(), ConfigProvider)
    assert "its `get` takes other parameters (too many positional arguments)" in problem
    (problem,) = problems(Insisting(), ConfigProvider)
    assert "its `get` takes other parameters (missing a required argument: 'default')" in problem
    assert problems({"get": 1}, RunStore)


# --- attributes, and methods that yield --------------------------------------------------------------------------


class Speech(Protocol):
    name: str

    @property
    def voices(self) -> list[str]: ...

    def stream(self, text: str) -> "AsyncIterator[bytes]": ...


class Speaking:
    name = "x"
    voices = ()

    async def stream(self, text):
        yield b""

    async def say(self, text):
        """Say it."""


class Spoken(Protocol):
    name: str

    async def say(self, text: str) -> None: ...


class Returning(Speaking):
    def stream(self, text):
        """Return an iterator."""


class Awaited(Speaking):
    async def stream(self, text):
        """Return an iterator, to whoever awaits it."""


def test_attributes_are_there():
    """What they are is the application's."""
    assert fits(Speaking(), Speech)
    assert fits(Returning(), Speech)
    assert ("it has no `name`; expected: `name: str`",) == problems(
        types.SimpleNamespace(voices=(), stream=Speaking().stream), Speech
    )
    (problem,) = problems(types.SimpleNamespace(name="x", stream=Speaking().stream), Speech)
    assert problem.startswith("it has no `voices`; expected: `voices: ")
    own = Speaking()
    own.name = "y"  # of the object, and not of its class
    assert fits(own, Speech)


def test_what_streams_is_not_awaited():
    """Its chunks are."""
    (problem,) = problems(Awaited(), Speech)
    assert problem.startswith("its `stream` is async and returns, where it should yield")


class Piecewise(Speaking):
    def stream(self, text):
        yield b""


class Guesses:
    def interpret(self, topology):
        yield "service", topology


def test_a_plain_generator_is_neither_async_nor_a_value():
    """Whoever reads it with `async for`, or takes it for what it yields, would find out in the middle of a run."""
    (problem,) = problems(Piecewise(), Speech)
    assert problem.startswith("its `stream` yields, but is not async; expected: `def stream(self, text: str)")
    (problem,) = problems(Guesses(), PipelineMetadata)
    assert problem.startswith("its `interpret` yields, where it should return; expected: `def interpret(")


def test_what_is_expected_is_shown_as_it_is_written():
    """Without the quotes of annotations that are texts, and with those inside of them."""

    class Quoting(Protocol):
        def say(self, how: "Literal['loud']" = "loud", /, *, times: int = 1) -> "str | None": ...  # noqa: F821

    told = (
        "it has no `say`; expected: `def say(self, how: Literal['loud'] = 'loud', /, *, times: int = 1) -> str | None`"
    )
    assert (told,) == problems(None, Quoting)


@pytest.mark.parametrize(
    ("value", "protocol"),
    [
        (NoOpEventSink(), EventSink),
        (LoggingEventSink(), EventSink),
        (NoOpRunStore(), RunStore),
        (NoOpConfigProvider(), ConfigProvider),
        (NoOpEnrichmentProvider(), EnrichmentProvider),
        (NoOpPipelineMetadata(), PipelineMetadata),
        (NoOpIdempotencyStore(), IdempotencyStore),
        (InMemoryIdempotencyStore(), IdempotencyStore),
        (InMemoryCircuitBreaker(), CircuitBreaker),
        (AllowAllPolicy(), PolicyEvaluator),
        (NoOpTracer(), Tracer),
        (NoOpMeter(), Meter),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_comes_with_core_fits(value, protocol):
    """Each protocol has something that works; what inherits from the protocol alone does not."""
    assert fits(value, protocol)
    nothing = type("Nothing", (protocol,), {})()
    written = [problem for problem in problems(nothing, protocol) if "does nothing: write it" in problem]
    methods = [name for name, member in vars(protocol).items() if callable(member) and not name.startswith("_")]
    assert len(methods) == len(written)
