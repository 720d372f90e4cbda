"""What is said to somebody who reads a stream in a wrong way."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from stageflow import (
    From,
    Pipeline,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageReturnTypeError,
    Stream,
    UndeclaredDependencyError,
    stage,
)
from stageflow.errors import ContractMismatchError, InvalidOptionError
from stageflow_mocks.simulation import run


@dataclass(frozen=True)
class Usage:
    tokens: int


@stage
async def llm() -> AsyncIterator[str | StageOutput[Usage]]:
    yield "a"
    yield StageOutput.ok(Usage(1))


@stage(name="llm")
async def untyped():
    yield "a"


def _reader(annotation: Any) -> Any:
    async def up(llm: Any) -> None: ...

    up.__annotations__ = {"llm": annotation}
    return stage(up)


@pytest.mark.parametrize(
    ("annotation", "written"),
    [
        (AsyncIterator[str], "AsyncIterator[str]"),
        (AsyncGenerator[str, None], "AsyncGenerator[str, None]"),
        (str, "str"),
        (str | None, "str or None"),
        (list[str], "list[str]"),
        (Annotated[list[str], From("llm")], "list[str]"),
    ],
)
def test_parameter_that_means_the_chunks(annotation: Any, written: str) -> None:
    """A parameter that no result of a stage can ever be, and that reads one which streams, is told of Stream."""
    with pytest.raises(ContractMismatchError) as raised:
        Pipeline("p", [llm, _reader(annotation)]).build()
    told = f"Stage 'up' takes 'llm' as {written}, and 'llm' returns a mapping, after its chunks of type str."
    assert raised.value.message == told
    assert raised.value.hint == (
        "Annotate 'llm' with Stream[str] to read its chunks while they are made, or with Mapping[str, Any] to read "
        "what it returns in the end."
    )
    with pytest.raises(ContractMismatchError, match=r"returns a mapping, after its chunks\. .* Stream\[Any\]"):
        Pipeline("p", [untyped, _reader(annotation)]).build()


@pytest.mark.parametrize(
    "annotation", [Any, object, None, Usage, Usage | None, str | Usage, dict, Mapping[str, Any], StageOutput[Usage]]
)
def test_parameter_that_means_the_end(annotation: Any) -> None:
    """What a stage that streams may return in the end can be read, and so can what nobody knows."""
    Pipeline("p", [llm, _reader(annotation)]).build()


def _ended(runner: Any, **options: Any) -> StageExecutionError:
    with pytest.raises(StageExecutionError) as raised:
        run(Pipeline("p", [llm]).with_stage("up", runner, **options).run())
    return raised.value


class Misspelt:
    async def execute(self, ctx: StageContext) -> None:
        ctx.inputs.stream("lmm")


def test_misspelt_stream() -> None:
    """Who misspells the name of a stream is told the streams that the stage has, and the nearest."""
    cause = _ended(Misspelt, streams="llm").__cause__
    assert isinstance(cause, UndeclaredDependencyError)
    assert cause.message == "Stage 'up' reads the stream of 'lmm' without declaring it (its streams: llm)."
    assert str(cause.hint).strip() == "Did you mean 'llm'?"
    assert cause.declared == ("llm",)


def test_stream_read_by_a_condition() -> None:
    """A condition that reads a stage whose stream its stage reads is told that it is a stream."""

    def when(inputs: Any, snapshot: Any) -> bool:
        return inputs.get_from("llm", "tokens") > 0

    assert "read what 'llm' returned, and declares it as a stream" in str(_ended(Misspelt, streams="llm", when=when))


async def _chunks() -> AsyncIterator[str]:
    yield "a"


@pytest.mark.parametrize("returned", ["stream", "generator"])
def test_stream_returned(returned: str) -> None:
    """Who returns what is to be streamed is told to yield it."""

    async def up(llm: Stream[str]) -> Any:
        return llm if returned == "stream" else _chunks()

    cause = _ended(up).__cause__
    assert isinstance(cause, StageReturnTypeError)
    assert cause.hint == "To stream what it yields, let the stage yield it: `async for chunk in ...: yield chunk`."


@pytest.mark.parametrize("given", ["llm", llm])
def test_stream_for_streams(given: Any) -> None:
    """Who writes `stream=` for `streams=` is told so."""
    with pytest.raises(InvalidOptionError, match="To read the chunks of that stage: streams='llm'"):
        stage("up", Misspelt, stream=given)
