"""Ears that hear what they are told to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

from stageflow.providers import AudioFormat, STTChunk, STTRequest, STTResponse

from stageflow_mocks.providers.calls import LiveCall, Mock
from stageflow_mocks.providers.faults import AtCall, AtRate, MockFault, spoils
from stageflow_mocks.providers.hearing import Heard, Hearing
from stageflow_mocks.providers.intake import audio_piece, taken_in
from stageflow_mocks.providers.scripts import Script
from stageflow_mocks.providers.timing import Latency
from stageflow_mocks.wording import listed, shown

__tracebackhide__ = True  # pytest shows who asked, and not how it is answered

STTFunction: TypeAlias = Callable[[bytes], Any]
"""A function that hears a whole recording, and returns a text, a Heard or a fault; it may be async."""


class MockSTT(Mock):
    """An `STTProvider` that hears what it is told to, word for word while the audio comes in.

    `stream` yields a guess with each further word, and a final chunk with each sentence; what is left of the text when
    the audio ends comes then. The words of a text that is given without times are `ms_per_word` long, from the
    beginning of the audio on, and shorter at its end where they would not fit. `transcribe` hears the same.

    Args:
        answers: A string or `Heard`: it is heard in every call. A list: one for each call, in order; a fault may stand
            in place of one. A mapping of recordings (bytes): the text of the one that comes in. A function of the whole
            recording.
        ms_per_word: How long a word is, if its times are not given.
        name, seed, latency, per_chunk, faults: As in `Mock`.
    """

    malformed_ways = ("no_final",)

    def __init__(
        self,
        answers: str
        | Heard
        | Sequence[str | Heard | MockFault]
        | Mapping[bytes, str | Heard | MockFault]
        | STTFunction
        | MockFault,
        *,
        ms_per_word: float = 300.0,
        name: str = "mock-stt",
        seed: int = 0,
        latency: Latency = 0.0,
        per_chunk: Latency = 0.0,
        faults: Sequence[AtCall | AtRate] = (),
    ) -> None:
        super().__init__(name, seed=seed, latency=latency, per_chunk=per_chunk, faults=faults)
        if isinstance(ms_per_word, bool) or not isinstance(ms_per_word, int | float) or not 0 < ms_per_word < 60_000:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"ms_per_word of a MockSTT is a time in milliseconds above 0, not {shown(ms_per_word)}.")
        self._ms_per_word = ms_per_word
        self._script = Script[Heard](name, answers, read=_read, check=self._check, asked_with="the audio")
        for recording in self._script.by or {}:
            if not isinstance(recording, bytes):
                raise TypeError(f"A recording that a MockSTT knows is bytes, not {shown(recording)}.")

    @property
    def answers_left(self) -> int | None:
        """How many answers are still to be given, of a list of them; None if it was given none."""
        return self._script.left

    async def transcribe(self, request: STTRequest) -> STTResponse:
        """Return what is heard in the whole audio.

        Raises:
            ProviderError: As a fault has it; an answer that is cut off or malformed is a ProviderProtocolError.
            ScriptError: The script has no answer for this.
        """
        self._require(request, STTRequest)
        with self._recorded("transcribe", request) as call:
            request.whole(self.name)
            return await self._drained(call, self._chunks(call, request))

    async def stream(self, request: STTRequest) -> AsyncGenerator[STTChunk]:
        """Yield what is heard while the audio comes in.

        Raises:
            ProviderError: As a fault has it; an answer that is cut off or malformed raises nothing.
            ScriptError: The script has no answer for this.
        """
        self._require(request, STTRequest)
        with self._recorded("transcribe", request) as call:
            async with aclosing(self._chunks(call, request)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _chunks(self, call: LiveCall, request: STTRequest) -> AsyncGenerator[STTChunk]:
        audio, finals = bytearray(), list[STTChunk]()
        async with aclosing(self._heard(call, request, audio)) as chunks:
            async for chunk in chunks:
                if not await call.passes_chunk():
                    call.record.ended = "cut off"
                    return
                is_final = chunk.is_final and not call.malformed(self.malformed_ways)
                words = chunk.words if request.words else ()
                sent = STTChunk(chunk.text, is_final=is_final, words=words, confidence=chunk.confidence)
                if is_final:
                    finals.append(sent)
                yield sent
        if not await call.passes_end():
            call.record.ended = "cut off"
        elif not spoils(call.fault):
            call.record.answer = STTResponse(
                "".join(chunk.text for chunk in finals),
                words=tuple(word for chunk in finals for word in chunk.words),
                language=request.language,
                duration_ms=duration_ms(request.format, len(audio)),
                confidence=finals[-1].confidence,
                model=request.model,
                request_id=call.request_id,
            )

    async def _heard(self, call: LiveCall, request: STTRequest, audio: bytearray) -> AsyncGenerator[STTChunk]:
        """Yield what there is to be heard, and collect the audio as it comes in."""
        hearing: Hearing | None = None
        is_known_first = self._script.by is None and self._script.function is None
        if is_known_first:
            hearing = self._hearing(self._script.next(call, _asked(request)))
        async with aclosing(taken_in(request.audio, audio_piece, call)) as pieces:
            async for piece in pieces:
                audio += piece
                if hearing is None and (known := self._known_by_beginning(audio)) is not None:
                    hearing = self._hearing(self._script.of(call, known))
                heard_ms = duration_ms(request.format, len(audio))
                if hearing is not None and heard_ms is not None:
                    for chunk in hearing.until(heard_ms):
                        yield chunk
        if not is_known_first:
            answer = await self._by_audio(call, bytes(audio), request)
            hearing = hearing or self._hearing(answer)
        assert hearing is not None
        for chunk in hearing.rest(duration_ms(request.format, len(audio))):
            yield chunk

    def _hearing(self, heard: Heard | None) -> Hearing:
        return Hearing(heard or Heard(""), self._ms_per_word)

    def _known_by_beginning(self, audio: bytearray) -> Any:
        """Return what is heard in the one recording that begins like this; None if there is none, or several do."""
        alike = [answer for recording, answer in (self._script.by or {}).items() if recording.startswith(audio)]
        return alike[0] if len(alike) == 1 else None

    async def _by_audio(self, call: LiveCall, audio: bytes, request: STTRequest) -> Heard | None:
        if self._script.function is not None:
            return await self._script.from_function(call, audio)
        known = self._script.by
        assert known is not None
        if audio in known:
            return self._script.of(call, known[audio])
        if call.strikes_first:
            return None
        nearest = max(known, key=lambda recording: _alike(recording, audio))
        alike = _alike(nearest, audio)
        why = "has no answer: this recording is not among those that it knows."
        if alike:
            why += f" The nearest is that of {shown(known[nearest])}: its first {alike:,} bytes are the same."
        recordings = listed([f"{len(recording):,} bytes ({shown(heard)})" for recording, heard in known.items()])
        raise self._script.unscripted(call, f"{len(audio):,} bytes of {request.format.encoding}", recordings, why)


def duration_ms(format: AudioFormat, size: int) -> float | None:
    """Return how long so many bytes last; None of audio that does not tell it by their number."""
    if format.encoding != "pcm_s16le" or format.sample_rate is None:
        return None
    return size / (2 * format.channels * format.sample_rate) * 1000


def _alike(one: bytes, other: bytes) -> int:
    """Return how many bytes two recordings have in common at their beginnings."""
    both = min(len(one), len(other))
    return next((place for place in range(both) if one[place] != other[place]), both)


def _read(given: Any, what: str) -> Heard:
    if isinstance(given, Heard):
        return given
    if isinstance(given, str):
        return Heard(given)
    raise TypeError(f"{what} is a string, a Heard, or a fault, not {shown(given)}.")


def _asked(request: STTRequest) -> str:
    return f"{request.format.encoding} audio" + ("" if request.language is None else f" in {request.language}")
