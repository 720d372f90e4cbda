"""Requests that have more than a provider supports, and content that comes in pieces or as one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from stageflow.errors import ProviderRequestError
from stageflow.providers import AudioFormat, LLMRequest, Message, STTRequest, Tool, TTSRequest, require_supported

HI = (Message("user", "hi"),)
PCM = AudioFormat("pcm_s16le", 16_000)


def test_what_is_supported_passes() -> None:
    """With what was said to be supported, and without it."""
    require_supported(LLMRequest(HI, temperature=0.5, max_tokens=3), "temperature", "max_tokens", provider="p")
    require_supported(LLMRequest(HI), provider="p")
    require_supported(STTRequest(b"", format=PCM), provider="p")
    require_supported(TTSRequest("hi", speed=2.0), "speed", provider="p")


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (LLMRequest(HI, temperature=0), "temperature=0 of an LLMRequest"),
        (LLMRequest(HI, model="m", seed=7), "model='m', seed=7 of an LLMRequest"),
        (STTRequest(b"", format=PCM, words=True), "words=True of an STTRequest"),
        (TTSRequest("hi", format=PCM), f"format={PCM} of a TTSRequest"),
    ],
)
def test_what_is_not_supported_is_named(request_: Any, told: str) -> None:
    """The error has each field with what it was, and what may be asked instead."""
    with pytest.raises(ProviderRequestError) as raised:
        require_supported(request_, provider="p")
    assert f"Provider 'p' does not support {told}." == raised.value.message
    assert "Beside what is required it supports none: leave out the rest, or ask another." == raised.value.hint
    assert "p" == raised.value.provider


def test_what_was_said_is_not_repeated() -> None:
    """Schemas, tools, and words that are likely or end an answer are content."""
    tool, schema = Tool("secret", "Tells."), {"secret": 1}
    with pytest.raises(ProviderRequestError) as raised:
        require_supported(LLMRequest(HI, tools=(tool,), json_schema=schema, stop=("secret",)), provider="p")
    assert "tools=<a tuple>, stop=<a tuple>, json_schema=<a mapping>" in str(raised.value)
    with pytest.raises(ProviderRequestError, match="prompt=<a str> of"):
        require_supported(STTRequest(b"", format=PCM, prompt="secret"), provider="p")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["temprature", "messages"])
def test_a_field_that_is_none_is_the_mistake_of_the_provider(name: str) -> None:
    """A misspelt name would make the check refuse what was to pass; what is always there need not be named."""
    with pytest.raises(ValueError, match=f"'{name}' is no optional field of an LLMRequest. ") as raised:
        require_supported(LLMRequest(HI), name, provider="p")
    assert ("Did you mean 'temperature'?" in str(raised.value)) == (name == "temprature")


# --- pieces --------------------------------------------------------------------------------------------------------


async def texts() -> AsyncIterator[str]:
    for text in ("a", "b"):
        yield text


async def sounds() -> AsyncIterator[bytes]:
    for sound in (b"a", b"b"):
        yield sound


async def test_content_in_pieces() -> None:
    """Whoever streams reads one or many in one way."""
    assert ["a b"] == [text async for text in TTSRequest("a b").pieces()]
    assert ["a", "b"] == [text async for text in TTSRequest(texts()).pieces()]
    assert [b"ab"] == [sound async for sound in STTRequest(b"ab", format=PCM).pieces()]
    assert [b"a", b"b"] == [sound async for sound in STTRequest(sounds(), format=PCM).pieces()]


def test_content_as_a_whole() -> None:
    """What was given as one is given as that."""
    assert "a b" == TTSRequest("a b").whole("p")
    assert b"ab" == STTRequest(bytearray(b"ab"), format=PCM).whole("p")


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (TTSRequest(texts()), "Provider 'p' was asked for the whole, and the text of the TTSRequest comes in pieces. "),
        (
            STTRequest(sounds(), format=PCM),
            "Provider 'p' was asked for the whole, and the audio of the STTRequest comes in pieces. ",
        ),
    ],
)
def test_pieces_are_no_whole(request_: Any, text: str) -> None:
    """Whoever needs all of it at once says so, rather than to fail on an iterator."""
    with pytest.raises(ProviderRequestError) as raised:
        request_.whole("p")
    assert text in str(raised.value)
    assert "p" == raised.value.provider
