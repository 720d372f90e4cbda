"""Answers put together from their pieces."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow.errors import ProviderProtocolError
from stageflow.providers import AnswerInPieces, LLMChunk, LLMResponse, ToolCall, ToolCallPiece, Usage


def assembled(*chunks: LLMChunk, model: str | None = "asked") -> LLMResponse:
    """Return what the chunks make."""
    answer = AnswerInPieces("p", model)
    for chunk in chunks:
        answer.add(chunk)
    return answer.whole()


def piece(*args: Any, **fields: Any) -> LLMChunk:
    """Return a chunk with one piece of a tool call."""
    return LLMChunk(tool_calls=(ToolCallPiece(*args, **fields),))


def test_text_is_joined() -> None:
    """What the chunks say of the whole is found wherever it stands, and the last word of each counts."""
    assert LLMResponse("Hi Ada", model="m-2", finish_reason="stop", usage=Usage(5, 2), request_id="r") == assembled(
        LLMChunk(model="m-1", request_id="r"),
        LLMChunk("Hi", model="m-2"),
        LLMChunk(" Ada", finish_reason="stop"),
        LLMChunk(usage=Usage(5, 2)),
        LLMChunk(request_id="r"),
    )


def test_counts_are_of_chunks_with_text() -> None:
    """Chunks that only say who answers are no pieces of the text."""
    answer = AnswerInPieces("p")
    for chunk in (LLMChunk(request_id="r"), LLMChunk("Hi"), LLMChunk(" Ada", finish_reason="stop")):
        answer.add(chunk)
    assert (2, 6, "r") == (answer.chunks, answer.characters, answer.request_id)


def test_the_model_that_was_asked_for_stands_in() -> None:
    """A provider need not say which model answers if one was asked for."""
    assert "asked" == assembled(LLMChunk("a", finish_reason="stop")).model


def test_tool_calls_are_joined_by_index() -> None:
    """The pieces of two calls may come in turns, and some providers repeat what they said."""
    answer = assembled(
        piece(1, "b", "mul"),
        piece(0, "a", "add", "{"),
        piece(1, "b", "mul", "[1]"),
        piece(0, arguments="}"),
        LLMChunk(finish_reason="tool_calls"),
    )
    assert (ToolCall("a", "add", "{}"), ToolCall("b", "mul", "[1]")) == answer.tool_calls


END = LLMChunk(finish_reason="stop")


@pytest.mark.parametrize(
    ("chunks", "how"),
    [
        ([], "ended before it was complete: there is no finish_reason, and holds nothing of it"),
        ([LLMChunk("a")], "ended before it was complete: there is no finish_reason, after 1 chunks of text"),
        ([piece(0, "a", "b")], "ended before it was complete: there is no finish_reason, after 0 chunks of text"),
        ([END, LLMChunk("a")], "went on after its end (finish_reason 'stop')"),
        ([END, LLMChunk("", finish_reason="length")], "went on after its end (finish_reason 'stop')"),
        ([END, piece(0, "a", "b")], "went on after its end (finish_reason 'stop')"),
        (
            [LLMChunk("a", finish_reason="tool_calls")],
            "is to call tools (finish_reason 'tool_calls'), and has no call",
        ),
        ([piece(0, "", "add"), END], "has a tool call without an id or a name (index 0)"),
        ([piece(0, "a"), END], "has a tool call without an id or a name (index 0)"),
        ([piece(1, "a", "add"), END], "lacks the tool call with the index 0, and has later ones"),
        ([piece(0, "a", "add"), piece(0, "b")], "has two tool calls in one: both have the index 0"),
        ([piece(0, "a", "add"), piece(0, "", "mul")], "has two tool calls in one: both have the index 0"),
        (
            [piece(0, "a", "add"), piece(1, "a", "add"), END],
            "has two tool calls of the same id (the second has the index 1)",
        ),
    ],
)
def test_what_is_no_answer_is_told(chunks: list[LLMChunk], how: str) -> None:
    """Half an answer does not pass for one, and the error says what is missing."""
    with pytest.raises(ProviderProtocolError) as caught:
        assembled(LLMChunk(request_id="r"), *chunks)
    assert f"The answer of provider 'p' {how}." == str(caught.value)
    assert ("p", "r", "transient") == (caught.value.provider, caught.value.request_id, caught.value.fault)


def test_an_answer_of_nobody_is_told() -> None:
    """Neither the provider nor the request says which model answers."""
    with pytest.raises(ProviderProtocolError, match=r"does not say which model gave it \(`model=` of a chunk\)"):
        assembled(LLMChunk("a", finish_reason="stop"), model=None)


names = st.text(min_size=1)
wholes = st.builds(
    LLMResponse,
    st.text(),
    model=names,
    finish_reason=st.sampled_from(["stop", "length", "content_filter"]),
    tool_calls=st.lists(st.builds(ToolCall, names, names, st.text()), max_size=3, unique_by=lambda call: call.id).map(
        tuple
    ),
    usage=st.none() | st.builds(Usage, st.integers(0, 9), st.integers(0, 9)),
    request_id=st.none() | names,
)


@st.composite
def in_pieces(draw: st.DrawFn, whole: LLMResponse) -> list[LLMChunk]:
    """Cut an answer anywhere, and mix the pieces of its parts, each part in its order."""
    lanes: list[list[LLMChunk]] = [[LLMChunk(part) for part in draw(cut(whole.text))]]
    for index, call in enumerate(whole.tool_calls):
        first = (
            [piece(index, call.id, call.name)]
            if draw(st.booleans())
            else [piece(index, call.id), piece(index, "", call.name)]
        )
        lanes.append([*first, *(piece(index, arguments=part) for part in draw(cut(call.arguments)))])
    lanes = [lane for lane in lanes if lane]
    mixed: list[LLMChunk] = []
    while lanes:
        lane = draw(st.sampled_from(lanes))
        mixed.append(lane.pop(0))
        lanes = [lane for lane in lanes if lane]
    told = [LLMChunk(model=whole.model), LLMChunk(request_id=whole.request_id)]
    last = [LLMChunk(finish_reason=whole.finish_reason, usage=whole.usage)]
    if draw(st.booleans()):
        last = [LLMChunk(finish_reason=whole.finish_reason), LLMChunk(usage=whole.usage)]
    return [*told, *mixed, *last]


def cut(text: str) -> st.SearchStrategy[list[str]]:
    """Return ways to cut a text into pieces, some of which may be empty."""
    places = st.lists(st.integers(0, len(text)), max_size=4).map(lambda found: [0, *sorted(found), len(text)])
    return places.map(lambda found: [text[start:end] for start, end in pairwise(found)])


@given(st.data(), wholes)
def test_however_an_answer_is_cut_it_comes_together(data: st.DataObject, whole: LLMResponse) -> None:
    """Any pieces, in any order that keeps each part's own, give the answer that they were cut from."""
    chunks = data.draw(in_pieces(whole))
    assert whole == assembled(*chunks, model=None)


@given(st.data(), wholes)
def test_no_answer_that_is_cut_off_passes(data: st.DataObject, whole: LLMResponse) -> None:
    """Wherever a stream ends before its finish_reason, it is no answer."""
    chunks = data.draw(in_pieces(whole))
    end = next(place for place, chunk in enumerate(chunks) if chunk.finish_reason is not None)
    with pytest.raises(ProviderProtocolError, match="before it was complete"):
        assembled(*chunks[: data.draw(st.integers(0, end))])


@pytest.mark.parametrize(
    ("chunk", "told"),
    [
        ("secret", "a str"),
        (None, "a NoneType"),
        (LLMResponse("x", model="m", finish_reason="stop"), "an LLMResponse"),
    ],
)
def test_what_is_no_chunk_is_told(chunk: Any, told: str) -> None:
    """A stream that yields its texts as they are is the first thing that one writes; what it yielded is not told."""
    with pytest.raises(TypeError) as caught:
        AnswerInPieces("p").add(chunk)
    assert f"The stream of provider 'p' is made of LLMChunk, and yielded {told}." == str(caught.value)
