"""Rules I1 to I3, seen from the stages of a run: what was not declared, what is ambiguous, and what is shared."""

from __future__ import annotations

import collections
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest
from stageflow import (
    AmbiguousInputError,
    Pipeline,
    StageArtifact,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageReturnTypeError,
    UndeclaredDependencyError,
    stage,
)
from stageflow.frozen import FrozenList

# --- I1 ----------------------------------------------------------------------------------------------------------

ACCESSORS: dict[str, Callable[[StageContext], object]] = {
    "get_from": lambda ctx: ctx.inputs.get_from("secret", "k", "default"),
    "require_from": lambda ctx: ctx.inputs.require_from("secret", "k"),
    "has_output": lambda ctx: ctx.inputs.has_output("secret"),
    "get_output": lambda ctx: ctx.inputs.get_output("secret"),
    "value": lambda ctx: ctx.inputs.value("secret", dict),
}


class Snooping:
    """Reads a stage that it may not have declared."""

    def __init__(self, read: Callable[[StageContext], object]) -> None:
        self.read = read

    async def execute(self, ctx: StageContext) -> None:
        """Read it."""
        self.read(ctx)


def snooping(read: Callable[[StageContext], object]) -> Any:
    """Return the same as a function."""

    async def snoop(ctx: StageContext) -> None:
        read(ctx)

    return snoop


async def secret(ctx: StageContext) -> dict[str, int]:
    """Hold a key."""
    return {"k": 1}


@pytest.mark.parametrize("read", ACCESSORS.values(), ids=ACCESSORS.keys())
@pytest.mark.parametrize("form", [Snooping, snooping], ids=["object", "function"])
@pytest.mark.parametrize("declared", [(), ("other",)], ids=["no dependencies", "another"])
async def test_reading_an_undeclared_stage_fails_the_stage(
    read: Callable[[StageContext], object], form: Callable[..., Any], declared: tuple[str, ...]
) -> None:
    """Although the other stage has ended and its output is there."""
    pipeline = (
        Pipeline()
        .with_stage("secret", secret)
        .with_stage("other", secret, dependencies="secret")
        .with_stage("snoop", form(read), dependencies=declared)
    )
    with pytest.raises(StageExecutionError) as caught:
        await pipeline.run()
    cause = caught.value.__cause__
    assert isinstance(cause, UndeclaredDependencyError)
    assert ("snoop", "secret", declared) == (cause.stage, cause.dependency, cause.declared)


async def test_a_dependency_of_a_dependency_is_not_declared() -> None:
    """What a stage reads stands with the stage."""

    async def last(ctx: StageContext) -> None:
        ctx.inputs.get_from("secret", "k")

    pipeline = (
        Pipeline()
        .with_stage("secret", secret)
        .with_stage("other", secret, dependencies="secret")
        .with_stage("last", last, dependencies="other")
    )
    with pytest.raises(StageExecutionError) as caught:
        await pipeline.run()
    assert isinstance(caught.value.__cause__, UndeclaredDependencyError)


async def test_the_line_of_the_message_mends_the_stage() -> None:
    """Declared as the message says, the read works; what was optional before is still optional."""

    async def read(ctx: StageContext) -> dict[str, Any]:
        return {"k": ctx.inputs.get_from("secret", "k")}

    pipeline = Pipeline().with_stage("secret", secret).with_stage("other", secret)
    with pytest.raises(StageExecutionError) as caught:
        await pipeline.with_stage("read", read, optional="other").run()
    hint = getattr(caught.value.__cause__, "hint", "")
    options: dict[str, Any] = {}
    exec(hint[hint.index("dependencies=") :].rstrip("."), options)
    mended = pipeline.with_stage("read", read, optional="other", dependencies=options["dependencies"])
    assert {"k": 1} == (await mended.run()).data("read")


# --- I2 ----------------------------------------------------------------------------------------------------------


async def test_a_key_that_two_dependencies_hold_fails_the_stage() -> None:
    """One that is held by one is read, whoever else holds it in the pipeline."""

    async def reads_two(ctx: StageContext) -> None:
        ctx.inputs.get("k")

    async def reads_one(ctx: StageContext) -> dict[str, Any]:
        return {"read": ctx.inputs.get("k")}

    pipeline = (
        Pipeline().with_stage("a", secret).with_stage("b", secret).with_stage("one", reads_one, dependencies=("a",))
    )
    assert {"read": 1} == (await pipeline.run()).data("one")
    with pytest.raises(StageExecutionError) as caught:
        await pipeline.with_stage("two", reads_two, dependencies=("a", "b")).run()
    assert isinstance(caught.value.__cause__, AmbiguousInputError)


# --- I3 ----------------------------------------------------------------------------------------------------------


@dataclass
class Mutable:
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Holder:
    inner: Any


class Model(pydantic.BaseModel):
    items: list[Any] = []


class Struct(msgspec.Struct):
    items: list[Any] = []


class Pair(NamedTuple):
    first: Any
    second: int


class Mood(enum.Enum):
    GOOD = 1


class Vector:
    """Compares like a numpy array, and copies itself in its own way."""

    def __init__(self, *items: Any) -> None:
        self.items = list(items)

    def __eq__(self, other: object) -> Any:
        return [item == other for item in self.items]

    def __bool__(self) -> bool:
        raise ValueError("The truth value of an array is ambiguous.")

    __hash__ = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Vector:
        return Vector(*self.items)


def looped() -> Mutable:
    """Return an object that contains itself."""
    value = Mutable()
    value.items.append(value)
    return value


# What a stage returns, and how to reach a list in what a reader got: a frozen one refuses, a copied one takes.
SHARED: dict[str, tuple[Callable[[], Any], Callable[[Any], list[Any]]]] = {
    "list in a mapping": (lambda: {"v": [1]}, lambda data: data["v"]),
    "deep list": (lambda: {"v": [{"w": ({"x": [1]},)}]}, lambda data: data["v"][0]["w"][0]["x"]),
    "default dict": (lambda: {"v": collections.defaultdict(list, k=[1])}, lambda data: data["v"]["k"]),
    "dataclass in a mapping": (lambda: {"v": Mutable()}, lambda data: data["v"].items),
    "dataclass in a list": (lambda: {"v": [Mutable()]}, lambda data: data["v"][0].items),
    "dataclass in a tuple": (lambda: {"v": (1, Mutable())}, lambda data: data["v"][1].items),
    "named tuple": (lambda: {"v": Pair([1], 2)}, lambda data: data["v"].first),
    "named tuple with an object": (lambda: {"v": Pair(Mutable(), 2)}, lambda data: data["v"].first.items),
    "pydantic in a mapping": (lambda: {"v": Model()}, lambda data: data["v"].items),
    "msgspec in a mapping": (lambda: {"v": Struct()}, lambda data: data["v"].items),
    "vector": (lambda: {"v": Vector(1)}, lambda data: data["v"].items),
    "deque": (lambda: {"v": collections.deque([Mutable()])}, lambda data: data["v"][0].items),
    "loop": (lambda: {"v": looped()}, lambda data: data["v"].items),
    "published": (
        lambda: StageOutput.ok(v=1).publishing(StageArtifact("x", {"v": [1]})),
        lambda output: output.artifacts[0].payload["v"],
    ),
    "dataclass": (Mutable, lambda value: value.items),
    "pydantic": (Model, lambda value: value.items),
    "msgspec": (Struct, lambda value: value.items),
    "frozen dataclass with a list": (lambda: Holder([1]), lambda value: value.inner),
    "frozen dataclass with an object": (lambda: Holder((Mutable(),)), lambda value: value.inner[0].items),
}


def by_output(ctx: StageContext, name: str) -> Any:
    """Read through get_output."""
    output = ctx.inputs.get_output("source")
    assert output is not None
    return output if name == "published" else output.value


def by_key(ctx: StageContext, name: str) -> Any:
    """Read each key through get_from and require_from, and take what one gave."""
    return {"v": ctx.inputs.get_from("source", "v")}


def by_required_key(ctx: StageContext, name: str) -> Any:
    """Read through require_from."""
    return {"v": ctx.inputs.require_from("source", "v")}


def by_any_key(ctx: StageContext, name: str) -> Any:
    """Read through get."""
    return {"v": ctx.inputs.get("v")}


def by_value(ctx: StageContext, name: str) -> Any:
    """Read through value."""
    return ctx.inputs.value("source", object)


def by_data(ctx: StageContext, name: str) -> Any:
    """Read the data of a whole output."""
    output = ctx.inputs.get_output("source")
    assert output is not None
    return output.data


KEYED = [name for name, (make, _) in SHARED.items() if isinstance(make(), dict)]
CASES = [
    *((name, read) for name in KEYED for read in (by_output, by_key, by_required_key, by_any_key, by_value, by_data)),
    *((name, by_output) for name in SHARED if name not in KEYED),
    *((name, by_value) for name in SHARED if name not in KEYED and name != "published"),
]


def change(items: list[Any]) -> bool:
    """Try to change the list; return whether it let itself be changed."""
    if isinstance(items, FrozenList):
        with pytest.raises(TypeError, match="frozen"):
            items.append("changed")
        return False
    items.append("changed")
    return True


@pytest.mark.parametrize(("name", "read"), CASES, ids=lambda value: value if isinstance(value, str) else value.__name__)
async def test_no_reader_changes_what_another_reads(name: str, read: Callable[[StageContext, str], Any]) -> None:
    """Whatever is returned and whichever way it is read, the second reader and the results see it as it was."""
    make, reach = SHARED[name]

    async def source(ctx: StageContext) -> Any:
        return make()

    async def first(ctx: StageContext) -> dict[str, Any]:
        return {"changed": change(reach(read(ctx, name)))}

    async def second(ctx: StageContext) -> dict[str, Any]:
        return {"seen": "changed" in reach(read(ctx, name))}

    results = await (
        Pipeline()
        .with_stage("source", source)
        .with_stage("first", first, dependencies="source")
        .with_stage("second", second, dependencies=("source", "first"))
        .run()
    )
    assert {"seen": False} == results.data("second")
    kept: Any = results["source"] if name == "published" else results["source"].value
    assert "changed" not in reach(kept)


@pytest.mark.parametrize("annotation", [Any, StageOutput, dict, Mapping], ids=str)
@pytest.mark.parametrize("name", KEYED)
async def test_no_function_changes_what_another_gets(name: str, annotation: Any) -> None:
    """A parameter of any annotation is as isolated as an accessor."""
    make, reach = SHARED[name]

    async def source() -> Any:
        return make()

    async def first(source: Any) -> dict[str, Any]:
        return {"changed": change(reach(source.data if isinstance(source, StageOutput) else source))}

    async def second(source: Any, first: Any) -> dict[str, Any]:
        return {"seen": "changed" in reach(source.data if isinstance(source, StageOutput) else source)}

    first.__annotations__["source"] = second.__annotations__["source"] = annotation
    results = await Pipeline("p", [stage(source), stage(first), stage(second)]).run()
    assert {"seen": False} == results.data("second")


async def test_a_function_may_change_its_own_copy() -> None:
    """A mutable contract value is the reader's own to change."""

    @stage
    async def source() -> Mutable:
        return Mutable([1])

    @stage
    async def reader(source: Mutable) -> dict[str, Any]:
        source.items.append(2)
        return {"items": source.items}

    results = await Pipeline("p", [source, reader]).run()
    assert ({"items": [1, 2]}, Mutable([1])) == (results.data(reader), results.value(source))


async def test_the_producer_cannot_change_what_it_returned() -> None:
    """Its object was copied when it arrived."""
    kept = Mutable([1])

    async def source(ctx: StageContext) -> Mutable:
        return kept

    async def reader(ctx: StageContext) -> dict[str, Any]:
        kept.items.append(2)
        return {"items": ctx.inputs.value("source", Mutable).items}

    results = await Pipeline().with_stage("source", source).with_stage("reader", reader, dependencies="source").run()
    assert {"items": [1]} == results.data("reader")


async def test_immutable_values_are_shared() -> None:
    """An enum, a frozen value, a tuple: every reader gets the very object."""
    holder = Holder((Mood.GOOD, "a"))

    @stage
    async def source() -> Holder:
        return holder

    @stage
    async def reader(source: Holder) -> dict[str, bool]:
        return {"same": source is holder}

    assert {"same": True} == (await Pipeline("p", [source, reader]).run()).data(reader)


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"v": (n for n in ())},
        lambda: {"v": memoryview(b"")},
        lambda: {"v": [enum]},
        lambda: Mutable([(n for n in ())]),
    ],
    ids=["generator", "memoryview", "module", "in a dataclass"],
)
async def test_what_can_be_neither_frozen_nor_copied_fails_the_stage(make: Callable[[], Any]) -> None:
    """The stage fails like any other, the rest has its outcome, and the run does not break."""

    async def source(ctx: StageContext) -> Any:
        return make()

    pipeline = Pipeline().with_stage("source", source).with_stage("after", secret, dependencies="source")
    with pytest.raises(StageExecutionError) as caught:
        await pipeline.run()
    assert isinstance(caught.value.__cause__, StageReturnTypeError)
    assert (("source",), ("after",)) == (caught.value.results.failed(), caught.value.results.skipped())


@pytest.mark.parametrize("deep", [10_000, 0], ids=["too deep", "circle"])
async def test_data_without_a_bottom_fail_the_stage(deep: int) -> None:
    """Depth beyond the stack and a circle are errors of the stage, not of the executor."""
    data: dict[str, Any] = {}
    if deep:
        for _ in range(deep):
            data = {"d": data}
    else:
        data["d"] = data

    async def source(ctx: StageContext) -> Any:
        return data

    with pytest.raises(StageExecutionError, match="its result is nested too deep, or contains itself"):
        await Pipeline().with_stage("source", source).run()


async def test_a_snapshot_is_the_same_for_every_stage() -> None:
    """A stage that changes its view of the input changes it for nobody."""

    async def first(ctx: StageContext) -> None:
        ctx.snapshot.input.items.append(2)

    async def second(ctx: StageContext) -> dict[str, Any]:
        return {"items": ctx.snapshot.input.items}

    results = await (
        Pipeline().with_stage("first", first).with_stage("second", second, dependencies="first").run(input=Mutable([1]))
    )
    assert {"items": [1]} == results.data("second")


async def test_a_failing_text_of_an_exception_fails_only_its_stage() -> None:
    """An exception whose __str__ raises is recorded, and is the cause."""

    class SilentError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    async def failing(ctx: StageContext) -> None:
        raise SilentError

    with pytest.raises(StageExecutionError, match="<its __str__ raised ZeroDivisionError>") as caught:
        await Pipeline().with_stage("failing", failing).run()
    assert SilentError is type(caught.value.__cause__)
