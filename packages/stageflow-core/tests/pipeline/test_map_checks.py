"""What a build finds to be wrong of a stage that is mapped over another one."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import pytest
from stageflow import Pipeline, PipelineValidationError, StageContext, StageKind, StageOutput, Stream, stage
from stageflow.errors import (
    ContractMismatchError,
    CycleDetectedError,
    InvalidOptionError,
    InvalidStreamError,
    OverlappingDependencyError,
    SelfDependencyError,
    UnknownDependencyError,
)


class Runner:
    async def execute(self, ctx):
        return {"items": []}


def source(returns=None):
    class Typed:
        async def execute(self, ctx: StageContext):
            return {"items": []}

    if returns is not None:
        Typed.execute.__annotations__["return"] = returns
    return stage("source", Typed())


def build(*stages):
    return Pipeline("p", stages).build()


def fault_of(*stages):
    with pytest.raises(PipelineValidationError) as raised:
        build(*stages)
    return raised.value


def each(over=("source", "items"), **options):
    return stage("each", Runner(), map_over=over, **options)


def test_the_source_is_a_dependency_by_itself():
    """It need not be listed, and may be."""
    for options in ({}, {"dependencies": "source"}):
        plan = build(source(), each(**options))._plan
        assert {"source": 0} == dict(plan.nodes[1].declared)
        assert frozenset() == plan.nodes[1].optional
        assert (1,) == plan.nodes[0].successors


def test_the_source_may_be_a_parameter_too():
    """A function that reads the mapping beside its items depends on it once."""

    @stage(map_over=("source", "items"))
    async def both(ctx: StageContext, source: Mapping[str, Any]):
        return {}

    assert {"source": 0} == dict(build(source(), both)._plan.nodes[1].declared)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (each(over=("each", "items")), SelfDependencyError),
        (each(over=("sauce", "items")), UnknownDependencyError),
        (each(optional="source"), OverlappingDependencyError),
    ],
    ids=["self", "unknown", "optional"],
)
def test_the_source_is_checked_as_dependencies_are(spec, error):
    """It cannot be the stage itself, unknown, or optional."""
    assert isinstance(fault_of(source(), spec), error)


def test_maps_over_each_other_are_a_cycle():
    """A map is an edge like any other."""
    one, other = stage("a", Runner(), map_over=("b", "items")), stage("b", Runner(), map_over=("a", "items"))
    assert isinstance(fault_of(one, other), CycleDetectedError)


def test_an_optional_parameter_for_the_source_overlaps():
    """A parameter with a default cannot stand for what the stage needs."""

    @stage(map_over=("source", "items"))
    async def both(ctx: StageContext, source: Mapping[str, Any] | None = None):
        return {}

    assert isinstance(fault_of(source(), both), OverlappingDependencyError)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (each(kind=StageKind.ROUTE, routes=("a",), terminal_routes=("a",)), "routes="),
        (each(join="any", dependencies="other"), "join='any'"),
    ],
    ids=["routes", "join"],
)
def test_options_that_do_not_go_with_a_map(spec, told):
    """A map has one output for many items, and needs its source."""
    fault = fault_of(source(), stage("other", Runner()), spec)
    assert isinstance(fault, InvalidOptionError)
    assert ("map_over", "each") == (fault.option, fault.stage)
    assert told in str(fault)
    assert fault.hint


def test_a_join_of_others_goes_with_a_map():
    """If the source is behind a route of its own, it is not what is joined."""
    router = stage("source", Runner(), StageKind.ROUTE, routes=("a",))
    build(router, stage("other", Runner()), each(join="any", dependencies="other", route={"source": "a"}))


def test_an_async_generator_cannot_be_mapped():
    """It has chunks, and an item has one result."""

    async def chunks(ctx: StageContext):
        yield 1

    fault = fault_of(source(), stage("each", chunks, map_over=("source", "items")))
    assert isinstance(fault, InvalidOptionError)
    assert "not an async generator" in str(fault)


def test_without_a_key_the_source_must_stream():
    """The message tells both ways out."""
    fault = fault_of(source(), each(over="source"))
    assert isinstance(fault, InvalidStreamError)
    assert "Stage 'each' is mapped over the chunks of 'source', which does not stream." == fault.message
    assert "map_over=('source', 'items')" in str(fault.hint)


@pytest.mark.parametrize("over", ["source", ("source", "items")], ids=["chunks", "list"])
@pytest.mark.parametrize("by_parameter", [True, False], ids=["parameter", "streams"])
def test_a_mapped_stage_does_not_read_the_stream_of_its_source_besides(over, by_parameter):
    """Its chunks are the items already, or the list is not there before they have all come."""

    async def chunks() -> AsyncIterator[int]:
        yield 1

    async def reads(source: Stream[int]) -> None: ...

    spec = stage("each", reads, map_over=over) if by_parameter else each(over, streams="source")
    fault = fault_of(stage("source", chunks), spec)
    assert isinstance(fault, InvalidOptionError)
    assert ("map_over", "each") == (fault.option, fault.stage)
    assert "does not read the stream of 'source' besides" in str(fault)
    assert ("ctx.item" in str(fault.hint)) == (over == "source")


class Rows(TypedDict):
    items: list[int]
    name: str
    count: int
    by_name: dict[str, int]
    distinct: frozenset[int]
    maybe: list[int] | None
    made: Iterator[int]
    either: str | int


@dataclass
class Page:
    items: tuple[int, ...]
    name: str


class Source:
    def __aiter__(self) -> AsyncIterator[int]:
        raise NotImplementedError


class Feed(dict[str, int]):
    def __aiter__(self) -> AsyncIterator[int]:
        raise NotImplementedError


class Live(TypedDict):
    items: Source
    feed: Feed
    one: Sequence[int]
    unknown: Any
    pair: "Pair"


class Pair(NamedTuple):
    a: int
    b: int


@pytest.mark.parametrize(
    ("returns", "key", "told"),
    [
        (Rows, "itmes", "which Rows does not have. Did you mean 'items'?"),
        (Page, "rows", "which Page does not have"),
        (Rows, "name", "annotated str"),
        (Rows, "count", "annotated int"),
        (Rows, "by_name", "annotated dict[str, int]"),
        (Rows, "distinct", "annotated frozenset[int]"),
        (Rows, "either", "annotated str or int"),
        (Page | Rows, "count", "which Page does not have"),
        (Page, "name", "annotated str"),
        (None.__class__, "items", "which returns None"),
        (StageOutput[Rows], "name", "annotated str"),
    ],
)
def test_a_source_that_can_never_give_items_is_found(returns, key, told):
    """By what it declares, where that is certain."""
    fault = fault_of(source(returns), each(over=("source", key)))
    assert isinstance(fault, InvalidOptionError)
    assert told in str(fault)
    assert fault.hint


@pytest.mark.parametrize(
    ("returns", "key"),
    [
        (Rows, "items"),
        (Rows, "maybe"),
        (Rows, "made"),
        (Page, "items"),
        (Page | Rows, "items"),
        (dict[str, int], "items"),
        (StageOutput, "items"),
        (Any, "items"),
        (Live, "items"),
        (Live, "one"),
        (Live, "feed"),
        (Live, "unknown"),
        (Live, "pair"),
        (Rows | Any, "name"),
    ],
    ids=str,
)
def test_a_source_that_may_give_items_is_built(returns, key):
    """Where nobody can tell there is no fault; a union fits if one of its types does."""
    build(source(returns), each(over=("source", key)))


def test_a_map_over_a_map():
    """Its data has the one key `items`."""
    first = each()
    build(source(), first, stage("next", Runner(), map_over=("each", "items")))
    fault = fault_of(source(), first, stage("next", Runner(), map_over=("each", "rows")))
    assert "'rows', which 'each' does not return" in str(fault)


@dataclass(frozen=True)
class Reply:
    text: str


@stage(map_over=("source", "items"))
async def replies(ctx: StageContext) -> Reply:
    return Reply("x")


def test_who_reads_a_mapped_stage_reads_a_mapping():
    """The annotation of the stage is that of one item."""

    @stage
    async def wrong(replies: Reply):
        return {}

    @stage
    async def right(replies: Mapping[str, Any]):
        return {}

    class Items(TypedDict):
        items: list[Reply | None]

    @stage
    async def typed(replies: Items):
        return {}

    build(source(), replies, right, typed)
    fault = fault_of(source(), replies, wrong)
    assert isinstance(fault, ContractMismatchError)
    assert "replies" == fault.dependency
    assert "'replies' is mapped" in str(fault)


async def yielding(ctx: StageContext) -> AsyncIterator[int]:
    """Stream."""
    yield 1


def test_a_mapped_stage_reads_no_stream_besides():
    """Each item would get some of the chunks."""
    other = stage("other", yielding)
    fault = fault_of(source(), other, stage("each", Runner(), map_over=("source", "items"), streams="other"))
    assert isinstance(fault, InvalidOptionError)
    assert "is for a stage that reads no other stream, such as that of 'other'" in str(fault)


def test_nor_that_of_its_source():
    """Its chunks are the items."""
    fault = fault_of(stage("other", yielding), stage("each", Runner(), map_over="other", streams="other"))
    assert isinstance(fault, InvalidOptionError)
    assert "Each item is a chunk of it, as ctx.item: leave the stream out." in str(fault)
