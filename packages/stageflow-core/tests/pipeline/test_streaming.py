"""What a build finds of streams, and what it leaves alone."""

import functools
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NewType, TypedDict, TypeVar

import pytest
from stageflow import From, Pipeline, StageContext, StageKind, StageOutput, Stream, StreamOptions, stage
from stageflow.errors import (
    ContractMismatchError,
    CycleDetectedError,
    InvalidOptionError,
    InvalidStreamError,
    OverlappingDependencyError,
    PipelineValidationError,
    SelfDependencyError,
    UnknownDependencyError,
)
from stageflow_mocks.simulation import simulated
from typing_extensions import TypeAliasType


async def llm(ctx: StageContext):
    """Yield."""
    yield 1


async def plain(ctx: StageContext):
    """Return nothing."""


def fault(*stages, kind=InvalidStreamError):
    """Return the one fault that these stages have together."""
    with pytest.raises(kind) as caught:
        Pipeline("p", stages).build()
    assert type(caught.value) is kind
    return caught.value


# --- who streams -------------------------------------------------------------------------------------------------


class Instance:
    async def execute(self, ctx: StageContext):
        """Yield what it was made with."""
        yield "chunk"


class Static:
    @staticmethod
    async def execute(ctx: StageContext):
        """Yield."""
        yield "chunk"


def wrapped(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)

    return call


@wrapped
async def decorated(ctx: StageContext):
    """Yield."""
    yield "chunk"


@stage(name="llm")
async def handle():
    """Yield, and read nothing."""
    yield "chunk"


@pytest.mark.parametrize(
    "producer",
    [
        stage("llm", Instance()),
        stage("llm", Instance),
        stage("llm", Static),
        stage("llm", Instance().execute),
        stage("llm", decorated),
        handle,
    ],
    ids=["instance", "class", "static", "method", "decorated", "function"],
)
@simulated
async def test_every_form_of_async_generator_streams(producer):
    """It is a runner like others, read by any name."""

    async def reader(x: Annotated[Stream[str], From("llm")]):
        return {"got": [chunk async for chunk in x]}

    results = await Pipeline("p", [producer, stage("reader", reader)]).run()
    assert (results.data("llm"), results.data("reader")) == ({"count": 1}, {"got": ["chunk"]})


class Reader:
    async def execute(self, ctx: StageContext):
        """Read by name or handle."""
        assert ctx.inputs.declared == ()
        return {"got": [chunk async for chunk in ctx.inputs.stream(handle)]}


@pytest.mark.parametrize("streams", ["llm", ("llm",), handle, [handle]], ids=str)
@simulated
async def test_every_form_of_reader_reads(streams):
    """An instance, a class, a function with the context."""

    async def function(ctx: StageContext):
        return await Reader().execute(ctx)

    for runner in (Reader(), Reader, function):
        results = await Pipeline("p", [handle, stage("reader", runner, streams=streams)]).run()
        assert results.data("reader") == {"got": ["chunk"]}


async def required(llm: Stream[int]):
    """Read a stream by its parameter."""


async def optional(llm: Stream[int] | None = None):
    """Read one that need not be."""


@pytest.mark.parametrize(
    ("reader", "is_optional"),
    [
        (stage("r", required), False),
        (stage("r", optional), True),
        (stage("r", plain, streams="llm"), False),
        (stage("r", plain, streams="llm", dependencies="llm"), False),
        (stage("r", plain, streams="llm", optional="llm"), True),
    ],
    ids=["parameter", "default", "streams", "dependencies", "optional"],
)
def test_a_stream_is_required_unless_it_is_said_to_be_optional(reader, is_optional):
    """To name it among the dependencies as well only says how it is depended on."""
    plan = Pipeline("p", [stage("llm", llm), reader]).build()._plan
    node = plan.nodes[1]
    assert (dict(node.streams), dict(node.declared), node.waits_for) == ({"llm": 0}, {}, (0,))
    assert (node.optional, plan.nodes[0].readers, plan.nodes[0].successors) == (
        frozenset({0} if is_optional else ()),
        (1,),
        (),
    )


def test_options_of_a_stream_are_those_of_the_stage_or_the_usual_ones():
    """A stage that does not stream has none."""
    options = StreamOptions(capacity=3, on_full="error")
    graph = Pipeline("p", [stage("a", llm, stream=options), stage("b", llm), stage("c", plain)]).build()
    assert [node.stream for node in graph._plan.nodes] == [options, StreamOptions(), None]
    streaming = [(each.stage, each.name, each.options, each.readers) for each in graph._plan.streaming]
    assert streaming == [(0, "a", options, ()), (1, "b", StreamOptions(), ())]


# --- faults ------------------------------------------------------------------------------------------------------


def test_a_stage_that_does_not_stream_has_no_stream():
    """The message says what to do on either side."""
    error = fault(stage("llm", plain), stage("tts", required))
    assert (error.stage, error.dependency, error.code) == ("tts", "llm", "invalid-stream")
    assert str(error) == (
        "Stage 'tts' reads the stream of 'llm', which does not stream. Let 'llm' be an async generator that yields its "
        'chunks, or read what it returns: dependencies=("llm",), or a parameter that is not annotated Stream.'
    )


def test_one_stage_is_not_read_both_ways():
    """Neither by two parameters, nor by one of them and an option."""

    async def both(llm: Stream[int], whole: Annotated[dict, From("llm")]):
        """Never built."""

    async def whole(llm: dict):
        """Never built either."""

    for stages in ((stage("tts", both),), (stage("tts", whole, streams="llm"),)):
        error = fault(stage("llm", llm), *stages)
        assert "'tts' reads 'llm' both as a stream and as a whole" in str(error)
        assert error.dependency == "llm"


def test_only_an_async_generator_takes_options_of_a_stream():
    """They would do nothing."""
    error = fault(stage("llm", plain, stream=StreamOptions()), kind=InvalidOptionError)
    assert "stream" in str(error)
    assert "is for an async generator, which this is not" in str(error)


def test_a_reader_of_a_stream_does_not_join_any():
    """It starts before there is anything to join."""
    error = fault(
        stage("a", plain),
        stage("llm", llm),
        stage("r", plain, streams="llm", optional="a", join="any"),
        kind=InvalidOptionError,
    )
    assert "cannot be 'any' of a stage that reads a stream" in str(error)


def test_a_reader_of_a_stream_is_not_behind_a_route_of_the_same_stage():
    """That is chosen when the stream ends."""
    error = fault(
        stage("llm", llm, kind=StageKind.ROUTE, routes="a"), stage("r", plain, streams="llm", route={"llm": "a"})
    )
    assert (error.stage, error.dependency) == ("r", "llm")
    assert "is behind a route that is chosen when that ends" in str(error)


def test_a_stream_is_required_or_optional():
    """Both at once is a fault, as of any dependency."""
    fault(
        stage("llm", llm),
        stage("r", plain, streams="llm", dependencies="llm", optional="llm"),
        kind=OverlappingDependencyError,
    )


def test_unknown_and_own_streams_are_faults_like_other_dependencies():
    """With the nearest name."""
    assert "llm" in str(fault(stage("llm", llm), stage("r", plain, streams="lm"), kind=UnknownDependencyError))
    for runner in (llm, plain):
        fault(stage("llm", runner, streams="llm"), kind=SelfDependencyError)


def test_streams_in_a_circle_are_a_cycle():
    """As other dependencies are, also where only some of them are streams."""
    error = fault(stage("a", llm, streams="b"), stage("b", llm, streams="a"), kind=CycleDetectedError)
    assert "a -> b -> a" in str(error)
    fault(stage("a", llm, dependencies="b"), stage("b", llm, streams="a"), kind=CycleDetectedError)


def test_all_faults_of_streams_are_told_at_once():
    """Each with its type."""
    with pytest.raises(PipelineValidationError) as caught:
        Pipeline("p", [stage("a", plain, stream=StreamOptions()), stage("b", plain, streams="a")]).build()
    assert [type(fault) for fault in caught.value.faults] == [InvalidStreamError, InvalidOptionError]


# --- what could only come to a halt ------------------------------------------------------------------------------

HINT = (
    "That would come to a halt as soon as the chunks no longer fit. Read the stream there, too, or wait for its end in "
    "both places."
)


@pytest.mark.parametrize("order", [("llm", "x", "tts"), ("x", "llm", "tts"), ("tts", "x", "llm")], ids=str)
def test_a_member_of_a_group_does_not_wait_for_the_end_of_another(order):
    """Through a stage outside; the message goes the way, wherever each stands in the plan."""
    stages = {
        "llm": stage("llm", llm),
        "x": stage("x", plain, dependencies="llm"),
        "tts": stage("tts", plain, streams="llm", dependencies="x"),
    }
    error = fault(*(stages[name] for name in order))
    assert (error.stage, error.dependency) == ("tts", "llm")
    assert str(error) == (
        "Stage 'tts' is joined to 'llm' by streams, so that they run together, but 'x' waits for 'llm' to end, "
        f"'tts' waits for 'x' to end. {HINT}"
    )


def test_a_member_of_a_group_does_not_wait_for_another_directly():
    """Two readers of one stream are of one group."""
    error = fault(
        stage("llm", llm), stage("tts", plain, streams="llm"), stage("log", plain, streams="llm", optional="tts")
    )
    assert str(error) == (
        "Stage 'log' is joined to 'tts' by streams, so that they run together, but 'log' waits for 'tts' to end. "
        + HINT
    )


def test_two_groups_do_not_wait_for_each_other():
    """Neither could start before the other has ended."""
    error = fault(
        stage("a", llm),
        stage("c", llm),
        stage("b", plain, streams="a", dependencies="c"),
        stage("d", plain, streams="c", dependencies="a"),
    )
    assert (error.stage, error.dependency) == ("b", "a")
    assert "but 'd' waits for 'a' to end, 'b' waits for 'c' to end" in str(error)


@simulated
async def test_one_group_may_wait_for_another():
    """And each of its members for what is outside."""
    results = await Pipeline(
        "p",
        [
            stage("after", plain, dependencies=("tts", "llm")),
            stage("next", llm, dependencies="after"),
            stage("last", plain, streams="next", dependencies="llm"),
            stage("llm", llm),
            stage("tts", plain, streams="llm"),
        ],
    ).run()
    assert results.status == "completed"


# --- what chunks are ---------------------------------------------------------------------------------------------


@dataclass
class Token:
    text: str


@dataclass
class Reply:
    text: str


class Delta(TypedDict):
    text: str


T = TypeVar("T")
Words = TypeAliasType("Words", AsyncIterator[str])
Swapped = TypeAliasType("Swapped", AsyncGenerator[T, str], type_params=(T,))
Word = NewType("Word", str)


class Pairs(AsyncIterator[tuple[str, T]]):
    """An iterator whose own parameter is not what it yields."""


def joined_by(said, wanted):
    """Return a producer that says that it yields this, and a reader that wants that."""

    async def producer():
        """Yield nothing that anybody looks at."""
        yield None

    async def reader(producer):
        """Read nothing."""

    producer.__annotations__ = {"return": said} if said is not None else {}
    reader.__annotations__ = {"producer": wanted}
    return stage("producer", producer), stage("reader", reader)


FITTING = [
    (AsyncIterator[str], Stream[str]),
    (AsyncIterator[str], Stream),
    (AsyncIterator[str], Stream[Any]),
    (AsyncIterator[str], Stream[object]),
    (AsyncIterator[str], Stream[str] | None),
    (AsyncIterator[str], Annotated[Stream[str], "doc"]),
    (AsyncIterator[str], Annotated[Stream[str] | None, "doc"]),
    (AsyncIterator[str], Annotated[Stream[str], "doc"] | None),
    (AsyncIterator[str], Stream[Word]),
    (AsyncIterator[str], Stream[Literal["a", "b"]]),
    (AsyncIterator[str], Stream[str | int]),
    (AsyncIterator[int], Stream[float]),
    (AsyncIterator, Stream[str]),
    (None, Stream[str]),
    (AsyncIterator[Any], Stream[str]),
    (AsyncGenerator[str, None], Stream[str]),
    (AsyncIterable[str], Stream[str]),
    (Annotated[AsyncIterator[str], "doc"], Stream[str]),
    (AsyncIterator[str] | AsyncGenerator[int, None], Stream[str]),
    (AsyncIterator[str] | AsyncGenerator[int, None], Stream[int]),
    (AsyncIterator[str | StageOutput], Stream[str]),
    (AsyncIterator[str | StageOutput[Reply]], Stream[str]),
    (AsyncIterator[str | int | StageOutput], Stream[int]),
    (AsyncIterator[StageOutput[Reply]], Stream[str]),
    (AsyncIterator[Annotated[str, "doc"]], Stream[str]),
    (AsyncIterator[Delta], Stream[dict]),
    (AsyncIterator[Delta], Stream[Delta]),
    (AsyncIterator[bytes | None], Stream[bytes]),
    (Words, Stream[str]),
    (Swapped[str], Stream[str]),
    (Pairs[int], Stream[tuple]),
    (AsyncIterator[T], Stream[str]),
]


@pytest.mark.parametrize(("said", "wanted"), FITTING, ids=str)
def test_no_alarm_is_false(said, wanted):
    """What can be is built."""
    Pipeline("p", joined_by(said, wanted)).build()


@pytest.mark.parametrize(
    ("said", "wanted", "found"),
    [
        (AsyncIterator[str], Stream[int], "str"),
        (AsyncIterator[str], Stream[int] | None, "str"),
        (AsyncIterator[str], Annotated[Stream[int], "doc"], "str"),
        (AsyncGenerator[str, None], Stream[int], "str"),
        (AsyncIterable[str], Stream[int], "str"),
        (Annotated[AsyncIterator[str], "doc"], Stream[int], "str"),
        (AsyncIterator[str | StageOutput], Stream[int], "str"),
        (AsyncIterator[str | StageOutput[int]], Stream[int], "str"),
        (AsyncIterator[Token], Stream[Reply], "Token"),
        (Words, Stream[int], "str"),
    ],
    ids=str,
)
def test_chunks_of_another_type_are_a_fault(said, wanted, found):
    """The message has both types, and the way out on either side."""
    error = fault(*joined_by(said, wanted), kind=ContractMismatchError)
    inner = "Reply" if "Reply" in str(wanted) else "int"
    assert (error.stage, error.dependency) == ("reader", "producer")
    assert f"Stream[{inner}]" in str(error)
    assert f"chunks of type {found}" in str(error)
    assert f"Annotate 'producer' with Stream[{found}], or mend what 'producer' yields." in str(error)


def test_a_stream_named_by_from_is_checked_like_any_other():
    """It fits, or it does not."""

    async def strings() -> AsyncIterator[str]:
        yield ""

    async def fits(x: Annotated[Stream[str], From("x-y")]):
        """Read strings."""

    async def not_so(x: Annotated[Stream[int], From("x-y")]):
        """Read numbers."""

    Pipeline("p", [stage("x-y", strings), stage("r", fits)]).build()
    assert fault(stage("x-y", strings), stage("r", not_so), kind=ContractMismatchError).dependency == "x-y"


def test_what_a_stage_yields_is_not_what_it_returns():
    """So whoever waits for its end reads data, whatever the annotation says of chunks."""

    async def producer() -> AsyncIterator[str]:
        yield ""

    async def after(producer: dict):
        """Read the count."""

    async def value(producer: Reply):
        """Read the value of its StageOutput."""

    Pipeline("p", [stage("producer", producer), stage("after", after), stage("value", value)]).build()


def test_a_fingerprint_knows_of_streams():
    """A run that was suspended is not resumed by a plan that streams otherwise."""

    def plans(**options):
        reads = options.pop("reads", {"streams": "llm"})
        return Pipeline("p", [stage("llm", llm, **options), stage("r", plain, **reads)]).build()._plan.fingerprint()

    same = plans()
    assert same == plans()
    others = [
        plans(stream=StreamOptions(3)),
        plans(reads={"dependencies": "llm"}),
        plans(reads={"streams": "llm", "optional": "llm"}),
    ]
    assert all(other != same for other in others)
