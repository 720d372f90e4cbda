"""A voice that speaks in tones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing

from stageflow.errors import ProviderProtocolError, ProviderRequestError
from stageflow.providers import AudioFormat, TTSChunk, TTSRequest, TTSResponse, Word

from stageflow_mocks.providers.calls import LiveCall, Mock
from stageflow_mocks.providers.faults import AtCall, AtRate, spoils
from stageflow_mocks.providers.timing import Latency
from stageflow_mocks.providers.tones import hertz_of, tone
from stageflow_mocks.providers.wording import listed, shown

__tracebackhide__ = True  # pytest shows who asked, and not how it is answered

FORMAT = AudioFormat("pcm_s16le", 16_000)


class MockTTS(Mock):
    """A `TTSProvider` that speaks each word as a tone of its own: real samples, as long as the words are.

    `stream` yields a chunk for each word, as soon as the word is there whole: while other pieces of the text are still
    to come. The same text makes the same samples, in however many pieces it comes.

    Args:
        ms_per_character: How long a word sounds, for each of its characters; divided by the request's `speed`.
        pause_ms: The silence after each word, divided by the same.
        voices: Those that there are; any, if None.
        name, seed, latency, per_chunk, faults: As in `Mock`; a chunk is a word.
    """

    malformed_ways = ("half_sample",)

    def __init__(
        self,
        *,
        ms_per_character: float = 60.0,
        pause_ms: float = 60.0,
        voices: Sequence[str] | None = None,
        name: str = "mock-tts",
        seed: int = 0,
        latency: Latency = 0.0,
        per_chunk: Latency = 0.0,
        faults: Sequence[AtCall | AtRate] = (),
    ) -> None:
        super().__init__(name, seed=seed, latency=latency, per_chunk=per_chunk, faults=faults)
        for field, value in (("ms_per_character", ms_per_character), ("pause_ms", pause_ms)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 60_000:  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ValueError(f"{field} of a MockTTS is a time in milliseconds, 0 or more, not {shown(value)}.")
        if isinstance(voices, str):
            raise TypeError(f"voices of a MockTTS is a list of names, not {shown(voices)}.")
        self._ms_per_character = ms_per_character
        self._pause_ms = pause_ms
        self._voices = None if voices is None else tuple(voices)

    async def synthesize(self, request: TTSRequest) -> TTSResponse:
        """Return the speech of the whole text.

        Raises:
            ProviderError: As a fault has it; speech that is cut off or malformed is a ProviderProtocolError.
        """
        with self._recorded("synthesize", request) as call:
            if not isinstance(request.text, str):
                raise self._refused(call, "takes the text as one here: pieces of it are for stream()")
            async with aclosing(self._chunks(call, request)) as chunks:
                async for _ in chunks:
                    pass
            response: TTSResponse | None = call.record.answer
            if response is None:
                told = f"The speech of mock '{self.name}' is incomplete, as it was told to be."
                raise ProviderProtocolError(told, provider=self.name, request_id=call.request_id)
            return response

    async def stream(self, request: TTSRequest) -> AsyncGenerator[TTSChunk]:
        """Yield the speech, a word in each chunk, while the text comes in.

        Raises:
            ProviderError: As a fault has it; speech that is cut off or malformed raises nothing.
        """
        with self._recorded("synthesize", request) as call:
            async with aclosing(self._chunks(call, request)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _chunks(self, call: LiveCall, request: TTSRequest) -> AsyncGenerator[TTSChunk]:
        format, voice = self._format(call, request), self._voice(call, request)
        rate = format.sample_rate
        assert rate is not None
        audio, spoken, said = bytearray(), list[Word](), 0
        async with aclosing(_words(request.text)) as words:
            async for word in words:
                if not await call.passes_chunk():
                    call.record.ended = "cut off"
                    return
                sounding = round(len(word) * self._ms_per_character / request.speed * rate / 1000)
                silent = round(self._pause_ms / request.speed * rate / 1000)
                sound = tone(hertz_of(word, voice), sounding, silent, format)
                audio += sound
                # From the number of samples, which add up exactly.
                spoken.append(Word(word, said * 1000 / rate, (said + sounding) * 1000 / rate))
                said += sounding + silent
                if call.malformed(self.malformed_ways):
                    sound = sound[:-1]
                yield TTSChunk(sound, format=format, words=(spoken[-1],))
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

    def _format(self, call: LiveCall, request: TTSRequest) -> AudioFormat:
        format = request.format or FORMAT
        if format.encoding != "pcm_s16le" or format.sample_rate is None:
            raise self._refused(call, f"speaks pcm_s16le of a sample rate that is given, not {format}")
        return format

    def _voice(self, call: LiveCall, request: TTSRequest) -> str:
        if request.voice is not None and self._voices is not None and request.voice not in self._voices:
            raise self._refused(call, f"has no voice '{request.voice}'; its voices: {listed(self._voices)}")
        return request.voice or ""

    def _refused(self, call: LiveCall, why: str) -> ProviderRequestError:
        return ProviderRequestError(f"Mock '{self.name}' {why}.", provider=self.name, request_id=call.request_id)


async def _words(text: str | AsyncIterable[str]) -> AsyncGenerator[str]:
    """Yield the words of a text, each when it is known to be whole."""
    rest = ""
    async for piece in _pieces(text):
        words = (rest + piece).split()
        goes_on = bool(words) and not (rest + piece)[-1].isspace()
        rest = words.pop() if goes_on else ""
        for word in words:
            yield word
    if rest:
        yield rest


async def _pieces(text: str | AsyncIterable[str]) -> AsyncGenerator[str]:
    if isinstance(text, str):
        yield text
        return
    async for piece in text:
        yield piece
