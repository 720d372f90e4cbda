"""A voice that is made of tones, or of flite."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, TypeVar, cast

from stageflow.errors import ProviderRequestError
from stageflow.providers import AudioFormat, TTSChunk, TTSRequest, TTSResponse, Word

from stageflow_mocks.providers.calls import LiveCall, Mock
from stageflow_mocks.providers.faults import AtCall, AtRate, spoils
from stageflow_mocks.providers.flite import Flite
from stageflow_mocks.providers.intake import taken_in, text_piece
from stageflow_mocks.providers.speaking import Sound, Speaker, UnspeakableError, phrases
from stageflow_mocks.providers.timing import Latency
from stageflow_mocks.providers.tones import Tones
from stageflow_mocks.wording import shown

__tracebackhide__ = True  # pytest shows who asked, and not how it is answered

T = TypeVar("T")

_MS = 60.0


class MockTTS(Mock):
    """A `TTSProvider` that speaks in tones, or English where flite is installed: real samples, as long as the text.

    `stream` yields a chunk for each word, as soon as what is said together is there whole (for tones the word, for
    flite the sentence): while other pieces of the text are still to come. The same text makes the same samples, in
    however many pieces it comes.

    Args:
        spoken_by: "tones", which are the same everywhere; or "flite", the program of that name.
        ms_per_character: How long a word sounds in tones, for each of its characters; divided by the request's `speed`;
            60 if None.
        pause_ms: The silence after each word in tones, divided by the same; 60 if None.
        voices: Those that there are; for tones any, if None. For flite names of its voices, or a mapping to those from
            names of one's own; all that it has, if None; the first is the default.
        name, seed, latency, per_chunk, faults: As in `Mock`; a chunk is a word.

    Raises:
        FliteError: flite is to speak, and is not installed.
    """

    malformed_ways = ("half_sample",)

    def __init__(
        self,
        *,
        spoken_by: Literal["tones", "flite"] = "tones",
        ms_per_character: float | None = None,
        pause_ms: float | None = None,
        voices: Sequence[str] | Mapping[str, str] | None = None,
        name: str = "mock-tts",
        seed: int = 0,
        latency: Latency = 0.0,
        per_chunk: Latency = 0.0,
        faults: Sequence[AtCall | AtRate] = (),
    ) -> None:
        super().__init__(name, seed=seed, latency=latency, per_chunk=per_chunk, faults=faults)
        pace = {"ms_per_character": ms_per_character, "pause_ms": pause_ms}
        for field, value in pace.items():
            if value is None:
                continue
            if spoken_by == "flite":
                raise TypeError(
                    f"{field} of a MockTTS is for tones; flite has a pace of its own, and a request a speed."
                )
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 60_000:  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ValueError(f"{field} of a MockTTS is a time in milliseconds, 0 or more, not {shown(value)}.")
        _check_voices(voices, may_stand_for_others=spoken_by == "flite")
        self._speaker: Speaker
        if spoken_by == "tones":
            per_character, pause = (_MS if value is None else value for value in pace.values())
            self._speaker = Tones(per_character, pause, None if voices is None else tuple(voices))
        elif spoken_by == "flite":
            self._speaker = Flite(voices)
        else:
            raise ValueError(f"spoken_by of a MockTTS is 'tones' or 'flite', not {shown(spoken_by)}.")

    async def synthesize(self, request: TTSRequest) -> TTSResponse:
        """Return the speech of the whole text.

        Raises:
            ProviderError: As a fault has it; speech that is cut off or malformed is a ProviderProtocolError.
        """
        self._require(request, TTSRequest)
        with self._recorded("synthesize", request) as call:
            request.whole(self.name)
            return await self._drained(call, self._chunks(call, request))

    async def stream(self, request: TTSRequest) -> AsyncGenerator[TTSChunk]:
        """Yield the speech, a word in each chunk, while the text comes in.

        Raises:
            ProviderError: As a fault has it; speech that is cut off or malformed raises nothing.
        """
        self._require(request, TTSRequest)
        with self._recorded("synthesize", request) as call:
            async with aclosing(self._chunks(call, request)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _chunks(self, call: LiveCall, request: TTSRequest) -> AsyncGenerator[TTSChunk]:
        format = await self._answered(call, self._speaker.format_of(request))
        rate = format.sample_rate
        assert rate is not None
        audio, spoken, said = bytearray(), list[Word](), 0
        async with aclosing(self._sounds(call, request, format)) as sounds:
            async for sound in sounds:
                if not await call.passes_chunk():
                    call.record.ended = "cut off"
                    return
                audio += sound.audio
                # From the number of samples, which add up exactly.
                times = (said + sound.begins) * 1000 / rate, (said + sound.ends) * 1000 / rate
                spoken.append(Word(sound.word, *times))
                said += sound.samples
                sent = sound.audio[:-1] if call.malformed(self.malformed_ways) else sound.audio
                yield TTSChunk(sent, format=format, words=(spoken[-1],))
        if not await call.passes_end():
            call.record.ended = "cut off"
        elif not spoils(call.fault):
            call.record.answer = TTSResponse(
                bytes(audio),
                format=format,
                duration_ms=said * 1000 / rate,
                words=tuple(spoken),
                model=request.model,
                request_id=call.request_id,
            )

    async def _sounds(self, call: LiveCall, request: TTSRequest, format: AudioFormat) -> AsyncGenerator[Sound]:
        async with aclosing(
            phrases(taken_in(request.text, text_piece, call), self._speaker.is_phrase)
        ) as said_together:
            async for words in said_together:
                for sound in await self._answered(call, self._speaker.say(words, request, format)):
                    yield sound

    async def _answered(self, call: LiveCall, asked: Awaitable[T]) -> T:
        try:
            return await asked
        except UnspeakableError as error:
            told = f"Mock '{self.name}' {error}."
            raise ProviderRequestError(told, provider=self.name, request_id=call.request_id) from None


def _check_voices(voices: Any, *, may_stand_for_others: bool) -> None:
    """Refuse what is no list of names, nor, where they may be other ones, a mapping of them."""
    if voices is None:
        return
    if isinstance(voices, Mapping) and not may_stand_for_others:
        told = shown(cast("object", voices))
        raise TypeError(f"voices of a MockTTS is a mapping only where flite speaks; for tones a list, not {told}.")
    if not isinstance(voices, Mapping | list | tuple | set | frozenset):
        raise TypeError(f"voices of a MockTTS is a list of names, not {shown(voices)}.")
    for name in cast("Iterable[Any]", voices):
        if not isinstance(name, str) or not name:
            raise TypeError(f"voices of a MockTTS are names, strings that are not empty; one is {shown(name)}.")
    if not voices:
        raise ValueError("voices of a MockTTS holds at least one name; None is for all that there are.")
