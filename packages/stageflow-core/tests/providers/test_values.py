"""What providers are asked and answer: what is taken, what is refused, and how it shows."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from stageflow import providers
from stageflow.providers import (
    AudioFormat,
    LLMChunk,
    LLMRequest,
    LLMResponse,
    Message,
    STTChunk,
    STTRequest,
    STTResponse,
    Tool,
    ToolCall,
    ToolCallPiece,
    TTSChunk,
    TTSRequest,
    TTSResponse,
    Usage,
    Word,
)

PCM = AudioFormat("pcm_s16le", 16_000)
HI = (Message("user", "hi"),)
CALL = ToolCall("call_1", "add", "{}")
ADD = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "number"}}})
WORDS = (Word("a", 0, 10), Word("b", 5.5, 20, 0.5))

VALUES: list[Any] = [
    Message("assistant", "", tool_calls=(CALL,)),
    Message("tool", "4", tool_call_id="call_1"),
    CALL,
    ADD,
    Usage(3, 4, 1),
    LLMRequest(
        HI,
        model="m",
        tools=(ADD,),
        tool_choice="add",
        temperature=0,
        max_tokens=1,
        stop=("x",),
        seed=-1,
        json_schema={"type": "object"},
    ),
    LLMResponse("hi", model="m", finish_reason="stop", tool_calls=(CALL,), usage=Usage(1, 1), request_id="r"),
    ToolCallPiece(0, "call_1", "add", "{"),
    LLMChunk("h", tool_calls=(ToolCallPiece(0),), finish_reason="stop", usage=Usage(1, 1), model="m", request_id="r"),
    PCM,
    AudioFormat("mp3"),
    STTRequest(b"\x01\x02", format=PCM, language="en", model="m", prompt="Ada", words=True),
    Word("a", 0, 0, 1),
    STTResponse("a b", words=WORDS, language="en", duration_ms=20, confidence=0.0, model="m", request_id="r"),
    STTChunk("a", is_final=False, words=WORDS[:1], confidence=0.5),
    TTSRequest("hi", voice="v", format=PCM, language="en", model="m", speed=0.5),
    TTSResponse(b"\x01\x02", format=PCM, duration_ms=1, words=WORDS, model="m", request_id="r"),
    TTSChunk(b"\x01\x02", format=PCM, words=WORDS),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_compare_copy_and_survive_pickling(value: Any) -> None:
    """Each is equal to another one of the same fields, wherever that was made."""
    assert value == pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == dataclasses.replace(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_are_frozen(value: Any) -> None:
    """No field can be set or deleted."""
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(value, name)


def test_every_class_is_tried_here() -> None:
    """No value of the module is left out of the tests of all of them."""
    classes = {
        value for value in vars(providers).values() if isinstance(value, type) and dataclasses.is_dataclass(value)
    }
    assert classes == {type(value) for value in VALUES}


@pytest.mark.parametrize(
    "value", [value for value in VALUES if hasattr(value, "audio")], ids=lambda value: type(value).__name__
)
def test_audio_does_not_show(value: Any) -> None:
    """A repr gives the length of audio, and none of its bytes; all other fields stand in it."""
    assert f"{type(value).__name__}(audio=<2 bytes>, format={PCM!r}" in repr(value)
    assert "\\x01" not in repr(value)
    assert all(f"{field.name}=" in repr(value) for field in dataclasses.fields(value))


@pytest.mark.parametrize("make", [bytearray, memoryview])
def test_audio_that_may_change_is_copied(make: Any) -> None:
    """What is recorded on into the same buffer does not change what was asked."""
    buffer = bytearray(b"ab")
    kept = [
        STTRequest(make(buffer), format=PCM).audio,
        TTSResponse(make(buffer), format=PCM).audio,
        TTSChunk(make(buffer), format=PCM).audio,
    ]
    buffer[:] = b"cd"
    assert [b"ab"] * 3 == kept
    assert [bytes] * 3 == [type(audio) for audio in kept]


async def test_what_comes_in_pieces_is_kept_as_it_is() -> None:
    """A stream of audio or of text is the caller's to read from."""

    async def pieces() -> AsyncIterator[Any]:
        yield b""

    stream = pieces()
    assert stream is STTRequest(stream, format=PCM).audio
    assert stream is TTSRequest(stream).text
    assert "audio=<async_generator" in repr(STTRequest(stream, format=PCM))


def test_lists_are_taken_over() -> None:
    """A list becomes a tuple, and changing it later changes nothing; a schema is frozen."""
    messages: Any = [*HI]
    schema: Any = {"type": "object", "required": ["a"]}
    request = LLMRequest(messages, stop=["x"], json_schema=schema)  # pyright: ignore[reportArgumentType]
    messages.clear()
    schema["required"].append("b")
    assert (HI, ("x",)) == (request.messages, request.stop)
    assert {"type": "object", "required": ["a"]} == request.json_schema
    with pytest.raises(TypeError, match="frozen"):
        request.json_schema["type"] = "array"  # pyright: ignore[reportIndexIssue, reportOptionalSubscript]


def test_what_tokens_add_up_to() -> None:
    """Cached tokens are among those of the prompt."""
    assert 7 == Usage(3, 4, 2).total_tokens


def test_how_long_raw_audio_lasts() -> None:
    """Two bytes a sample, for each channel; a buffer is as good as bytes, a text or a list is not."""
    assert 1000.0 == PCM.duration_ms(bytearray(32_000))
    for wrong in ("text", [0, 1]):
        with pytest.raises(TypeError, match="audio of duration_ms is bytes, not a"):
            PCM.duration_ms(wrong)  # pyright: ignore[reportArgumentType]
    assert 1000.0 == PCM.duration_ms(bytes(32_000))
    assert 500.0 == AudioFormat("pcm_s16le", 16_000, 2).duration_ms(bytes(32_000))


@pytest.mark.parametrize("format", [AudioFormat("mp3", 16_000), AudioFormat("pcm_s16le")])
def test_how_long_other_audio_lasts_is_not_guessed(format: AudioFormat) -> None:
    """Neither a codec nor an unknown sample rate allows it."""
    with pytest.raises(ValueError, match="cannot be told"):
        format.duration_ms(b"abcd")


def _request(**fields: Any) -> Callable[[], Any]:
    return lambda: LLMRequest(**{"messages": HI, **fields})


def _response(**fields: Any) -> Callable[[], Any]:
    return lambda: LLMResponse(**{"text": "", "model": "m", "finish_reason": "stop", **fields})


def _audio(kind: Any, **fields: Any) -> Callable[[], Any]:
    return lambda: kind(**{"audio": b"", "format": PCM, **fields})


NUMBER = "a finite number, 0 or more"
RATIO = "a number from 0 to 1"
WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # Messages
    (lambda: ToolCall("", "add", ""), ValueError, "id of a ToolCall is empty."),
    (lambda: ToolCall("a", "", ""), ValueError, "name of a ToolCall is empty."),
    (lambda: ToolCall("a", "b", {}), TypeError, "arguments of a ToolCall is a string, not {}."),  # pyright: ignore[reportArgumentType]
    (
        lambda: Message("user", "", tool_calls=(CALL,)),
        ValueError,
        "tool_calls of a Message are an assistant's; this one's role is 'user'.",
    ),
    (
        lambda: Message("assistant", "", tool_calls=(CALL, CALL)),
        ValueError,
        "id of the tool_calls of a Message occurs only once; 'call_1' occurs twice.",
    ),
    (
        lambda: Message("assistant", "", tool_calls=CALL),  # pyright: ignore[reportArgumentType]
        TypeError,
        f"tool_calls of a Message is a tuple of ToolCall, not {CALL!r}.",
    ),
    (
        lambda: Message("assistant", "", tool_calls=("add",)),  # pyright: ignore[reportArgumentType]
        TypeError,
        "tool_calls[0] of a Message is of type ToolCall, not 'add'.",
    ),
    (lambda: Message("tool", ""), ValueError, "A tool's Message has the tool_call_id of the call that it answers."),
    (
        lambda: Message("user", "", tool_call_id="a"),
        ValueError,
        "tool_call_id of a Message is for a tool's; this one's role is 'user'.",
    ),
    (lambda: Message("tool", "", tool_call_id=""), ValueError, "tool_call_id of a Message is empty."),
    (lambda: Tool("", ""), ValueError, "name of a Tool is empty."),
    (lambda: Tool("a", None), TypeError, "description of a Tool is a string, not None."),  # pyright: ignore[reportArgumentType]
    (lambda: Tool("a", "", []), TypeError, "parameters of a Tool is of type Mapping, not []."),  # pyright: ignore[reportArgumentType]
    (
        lambda: Tool("a", "", {"type": "array"}),
        ValueError,
        "parameters of the Tool 'a' is the schema of an object: 'type' is 'object'.",
    ),
    (lambda: Usage(-1, 0), ValueError, "prompt_tokens of a Usage is 0 or more, not -1."),
    (lambda: Usage(0, 1.5), TypeError, "completion_tokens of a Usage is a whole number, not 1.5."),  # pyright: ignore[reportArgumentType]
    (lambda: Usage(0, 0, True), TypeError, "cached_tokens of a Usage is a whole number, not True."),
    (lambda: Usage(3, 0, 4), ValueError, "cached_tokens of a Usage are among its 3 prompt_tokens, not 4."),
    # Language models
    (_request(messages=()), ValueError, "messages of an LLMRequest has at least one Message."),
    (_request(messages="hi"), TypeError, "messages of an LLMRequest is a tuple of Message, not 'hi'."),
    (_request(messages=["hi"]), TypeError, "messages[0] of an LLMRequest is of type Message, not 'hi'."),
    (_request(messages=None), TypeError, "messages of an LLMRequest is a tuple of Message, not None."),
    (_request(model=""), ValueError, "model of an LLMRequest is empty."),
    (_request(model=5), TypeError, "model of an LLMRequest is a string or None, not 5."),
    (
        _request(tools=(ADD, ADD)),
        ValueError,
        "name of the tools of an LLMRequest occurs only once; 'add' occurs twice.",
    ),
    (
        _request(tools=(ADD,), tool_choice="ad"),
        ValueError,
        "tool_choice of an LLMRequest is one of auto, none, required, add, not 'ad'. Did you mean 'add'?",
    ),
    (
        _request(tool_choice=5),
        ValueError,
        "tool_choice of an LLMRequest is one of auto, none, required, not 5.",
    ),
    (
        _request(tool_choice="required"),
        ValueError,
        "tool_choice of an LLMRequest is 'required', and it has no tools.",
    ),
    (_request(temperature=-0.1), ValueError, f"temperature of an LLMRequest is {NUMBER}, not -0.1."),
    (_request(temperature=math.nan), ValueError, f"temperature of an LLMRequest is {NUMBER}, not nan."),
    (_request(temperature=math.inf), ValueError, f"temperature of an LLMRequest is {NUMBER}, not inf."),
    (_request(temperature="1"), TypeError, "temperature of an LLMRequest is a number or None, not '1'."),
    (_request(temperature=True), TypeError, "temperature of an LLMRequest is a number or None, not True."),
    (_request(max_tokens=0), ValueError, "max_tokens of an LLMRequest is 1 or more, not 0."),
    (_request(max_tokens=1.0), TypeError, "max_tokens of an LLMRequest is a whole number or None, not 1.0."),
    (_request(stop="END"), TypeError, "stop of an LLMRequest is a tuple of str, not 'END'."),
    (_request(stop=("",)), ValueError, "stop[0] of an LLMRequest is empty."),
    (_request(seed=1.5), TypeError, "seed of an LLMRequest is a whole number or None, not 1.5."),
    (_request(json_schema="{}"), TypeError, "json_schema of an LLMRequest is of type Mapping or None, not '{}'."),
    (_response(text=None), TypeError, "text of an LLMResponse is a string, not None."),
    (
        _response(finish_reason="tool_calls"),
        ValueError,
        "finish_reason of an LLMResponse is 'tool_calls', and it has no",
    ),
    (_response(model=""), ValueError, "model of an LLMResponse is empty."),
    (
        _response(finish_reason="stopp"),
        ValueError,
        "finish_reason of an LLMResponse is one of stop, length, tool_calls, content_filter, not 'stopp'. Did you mean",
    ),
    (
        _response(tool_calls=(CALL, CALL)),
        ValueError,
        "id of the tool_calls of an LLMResponse occurs only once; 'call_1' occurs twice.",
    ),
    (_response(usage=5), TypeError, "usage of an LLMResponse is of type Usage or None, not 5."),
    (_response(request_id=5), TypeError, "request_id of an LLMResponse is a string or None, not 5."),
    (lambda: ToolCallPiece(-1), ValueError, "index of a ToolCallPiece is 0 or more, not -1."),
    (lambda: ToolCallPiece(0, None), TypeError, "id of a ToolCallPiece is a string, not None."),  # pyright: ignore[reportArgumentType]
    (lambda: ToolCallPiece(0, name=1), TypeError, "name of a ToolCallPiece is a string, not 1."),  # pyright: ignore[reportArgumentType]
    (
        lambda: ToolCallPiece(0, arguments=1),  # pyright: ignore[reportArgumentType]
        TypeError,
        "arguments of a ToolCallPiece is a string, not 1.",
    ),
    (lambda: LLMChunk(None), TypeError, "text of an LLMChunk is a string, not None."),  # pyright: ignore[reportArgumentType]
    (lambda: LLMChunk(tool_calls=(CALL,)), TypeError, "tool_calls[0] of an LLMChunk is of type ToolCallPiece, not"),  # pyright: ignore[reportArgumentType]
    (lambda: LLMChunk(finish_reason="x"), ValueError, "finish_reason of an LLMChunk is one of stop, length"),  # pyright: ignore[reportArgumentType]
    (lambda: LLMChunk(usage={}), TypeError, "usage of an LLMChunk is of type Usage or None, not {}."),  # pyright: ignore[reportArgumentType]
    (lambda: LLMChunk(model=1), TypeError, "model of an LLMChunk is a string or None, not 1."),  # pyright: ignore[reportArgumentType]
    (lambda: LLMChunk(request_id=1), TypeError, "request_id of an LLMChunk is a string or None, not 1."),  # pyright: ignore[reportArgumentType]
    # Audio
    (
        lambda: AudioFormat("wave"),  # pyright: ignore[reportArgumentType]
        ValueError,
        "encoding of an AudioFormat is one of pcm_s16le, wav, mp3, opus, ogg, flac, mulaw, not 'wave'. Did you",
    ),
    (lambda: AudioFormat("wav", 0), ValueError, "sample_rate of an AudioFormat is 1 or more, not 0."),
    (lambda: AudioFormat("wav", 44.1), TypeError, "sample_rate of an AudioFormat is a whole number or None, not 44.1."),  # pyright: ignore[reportArgumentType]
    (lambda: AudioFormat("wav", None, 0), ValueError, "channels of an AudioFormat is 1 or more, not 0."),
    (lambda: Word(None, 0, 0), TypeError, "text of a Word is a string, not None."),  # pyright: ignore[reportArgumentType]
    (lambda: Word("a", -1, 0), ValueError, f"start_ms of a Word is {NUMBER}, not -1."),
    (lambda: Word("a", 0, math.nan), ValueError, f"end_ms of a Word is {NUMBER}, not nan."),
    (lambda: Word("a", 5, 4), ValueError, "end_ms of a Word is not before its start_ms, 5; it is 4."),
    (lambda: Word("a", 0, 0, 1.1), ValueError, f"confidence of a Word is {RATIO}, not 1.1."),
    (lambda: Word("a", 0, 0, math.nan), ValueError, f"confidence of a Word is {RATIO}, not nan."),
    # Speech to text
    (_audio(STTRequest, audio="abc"), TypeError, "audio of an STTRequest is bytes, not a str."),
    (_audio(STTRequest, format="wav"), TypeError, "format of an STTRequest is of type AudioFormat, not 'wav'."),
    (_audio(STTRequest, language=""), ValueError, "language of an STTRequest is empty."),
    (_audio(STTRequest, model=""), ValueError, "model of an STTRequest is empty."),
    (_audio(STTRequest, prompt=1), TypeError, "prompt of an STTRequest is a string or None, not 1."),
    (_audio(STTRequest, words=1), TypeError, "words of an STTRequest is True or False, not 1."),
    (lambda: STTResponse(1), TypeError, "text of an STTResponse is a string, not 1."),  # pyright: ignore[reportArgumentType]
    (
        lambda: STTResponse("", words=(Word("b", 7, 8), Word("a", 6.5, 9))),
        ValueError,
        "words of an STTResponse stand in the order of their times; words[0] begins at 7 ms, words[1] at 6.5 ms.",
    ),
    (lambda: STTResponse("", language=1), TypeError, "language of an STTResponse is a string or None, not 1."),  # pyright: ignore[reportArgumentType]
    (lambda: STTResponse("", duration_ms=-1), ValueError, f"duration_ms of an STTResponse is {NUMBER}, not -1."),
    (lambda: STTResponse("", confidence=-0.1), ValueError, f"confidence of an STTResponse is {RATIO}, not -0.1."),
    (lambda: STTResponse("", model=1), TypeError, "model of an STTResponse is a string or None, not 1."),  # pyright: ignore[reportArgumentType]
    (lambda: STTResponse("", request_id=1), TypeError, "request_id of an STTResponse is a string or None, not 1."),  # pyright: ignore[reportArgumentType]
    (lambda: STTChunk(1, is_final=True), TypeError, "text of an STTChunk is a string, not 1."),  # pyright: ignore[reportArgumentType]
    (lambda: STTChunk("", is_final=None), TypeError, "is_final of an STTChunk is True or False, not None."),  # pyright: ignore[reportArgumentType]
    (lambda: STTChunk("", is_final=True, confidence=2), ValueError, f"confidence of an STTChunk is {RATIO}, not 2."),
    (
        lambda: STTChunk("", is_final=True, words=WORDS[::-1]),
        ValueError,
        "words of an STTChunk stand in the order of their times; words[0] begins at 5.5 ms, words[1] at 0 ms.",
    ),
    # Text to speech
    (lambda: TTSRequest(""), ValueError, "text of a TTSRequest is empty."),
    (lambda: TTSRequest(b"hi"), TypeError, "text of a TTSRequest is a string, not b'hi'."),  # pyright: ignore[reportArgumentType]
    (lambda: TTSRequest("a", voice=""), ValueError, "voice of a TTSRequest is empty."),
    (
        lambda: TTSRequest("a", format="wav"),
        TypeError,
        "format of a TTSRequest is of type AudioFormat or None, not 'wav'.",
    ),  # pyright: ignore[reportArgumentType]
    (lambda: TTSRequest("a", language=""), ValueError, "language of a TTSRequest is empty."),
    (lambda: TTSRequest("a", model=""), ValueError, "model of a TTSRequest is empty."),
    (lambda: TTSRequest("a", speed=0), ValueError, "speed of a TTSRequest is a finite number above 0, not 0."),
    (_audio(TTSResponse, audio=None), TypeError, "audio of a TTSResponse is bytes, not a NoneType."),
    (_audio(TTSResponse, format=None), TypeError, "format of a TTSResponse is of type AudioFormat, not None."),
    (_audio(TTSResponse, duration_ms=-1), ValueError, f"duration_ms of a TTSResponse is {NUMBER}, not -1."),
    (_audio(TTSResponse, words=WORDS[::-1]), ValueError, "words of a TTSResponse stand in the order of their times;"),
    (_audio(TTSResponse, model=1), TypeError, "model of a TTSResponse is a string or None, not 1."),
    (_audio(TTSResponse, request_id=1), TypeError, "request_id of a TTSResponse is a string or None, not 1."),
    (_audio(TTSChunk, audio=[1]), TypeError, "audio of a TTSChunk is bytes, not a list."),
    (_audio(TTSChunk, format=None), TypeError, "format of a TTSChunk is of type AudioFormat, not None."),
    (_audio(TTSChunk, words=WORDS[::-1]), ValueError, "words of a TTSChunk stand in the order of their times;"),
]


@pytest.mark.parametrize(("make", "error", "text"), WRONG, ids=[text for _, _, text in WRONG])
def test_what_cannot_be_is_refused_by_its_name(make: Callable[[], Any], error: type[Exception], text: str) -> None:
    """A field that is of another type, or out of range, is found where the value is made."""
    with pytest.raises(error) as caught:
        make()
    assert type(caught.value) is error
    assert str(caught.value).startswith(text)
    assert str(caught.value) == text or not text.endswith((".", "?"))
