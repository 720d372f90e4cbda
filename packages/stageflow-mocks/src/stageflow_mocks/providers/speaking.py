"""What a mock that speaks needs of whoever makes its sounds, and the words that it is given to say."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from stageflow.providers import AudioFormat, TTSRequest

from stageflow_mocks.wording import shown

__tracebackhide__ = True  # pytest shows who asked, and not how it is answered

SLOWEST, FASTEST = 0.1, 10.0


class UnspeakableError(Exception):
    """A voice cannot speak so. The message goes on after "Mock 'x'": the mock says it, as an error of a provider."""


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound of one word, and of the silence around it.

    Attributes:
        word: What is said.
        audio: The samples, in the format that was asked for.
        begins, ends: Between which of them the word is heard, counted from the first.
        samples: How many there are.
    """

    word: str
    audio: bytes
    begins: int
    ends: int
    samples: int


class Speaker(Protocol):
    """What makes sounds of words: always the same of the same words, however they came in."""

    async def format_of(self, request: TTSRequest) -> AudioFormat:
        """Return what the audio is made of.

        Raises:
            UnspeakableError: This request is none that it can speak.
        """
        ...

    def is_phrase(self, words: Sequence[str]) -> bool:
        """Return whether these words are said now, without those that come after them."""
        ...

    async def say(self, words: Sequence[str], request: TTSRequest, format: AudioFormat) -> Sequence[Sound]:
        """Return the sounds of words that are said together.

        Raises:
            UnspeakableError: It cannot say one of them.
        """
        ...


def check_speed(request: TTSRequest) -> None:
    """Refuse a speed at which nobody speaks; the slowest take all memory for a word."""
    if not SLOWEST <= request.speed <= FASTEST:
        raise UnspeakableError(f"speaks at a speed from {SLOWEST:g} to {FASTEST:g}, not {shown(request.speed)}")


async def phrases(
    pieces: AsyncGenerator[str], is_phrase: Callable[[Sequence[str]], bool]
) -> AsyncGenerator[Sequence[str]]:
    """Yield the words of a text that are said together, as soon as each of them is known to be whole."""
    together: list[str] = []
    async with aclosing(_words(pieces)) as words:
        async for word in words:
            together.append(word)
            if is_phrase(together):
                yield together
                together = []
    if together:
        yield together


async def _words(pieces: AsyncGenerator[str]) -> AsyncGenerator[str]:
    rest = ""
    async with aclosing(pieces) as given:
        async for piece in given:
            words = (rest + piece).split()
            goes_on = bool(words) and not (rest + piece)[-1].isspace()
            rest = words.pop() if goes_on else ""
            for word in words:
                yield word
    if rest:
        yield rest
