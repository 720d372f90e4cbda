"""Providers that each break a promise of their protocol's page are found out."""

import asyncio

import pytest
from judging import Judged, check_found
from stageflow.errors import ProviderRateLimited, ProviderServerError, ProviderUnreachable
from stageflow.providers import (
    AudioFormat,
    LLMChunk,
    LLMResponse,
    STTChunk,
    STTResponse,
    ToolCallPiece,
    TTSChunk,
    TTSResponse,
    Usage,
    Word,
)
from stageflow_mocks.conformance import Failing
from tiny_implementations import PCM, TinyLLM, TinySTT, TinyTTS, in_pieces, limited

LLM, STT, TTS = "TestTinyLLM", "TestTinySTT", "TestTinyTTS"
judged = Judged()
breaks = judged.breaks


@breaks(LLM, what_it_cannot_do_it_refuses="max_tokens=1")
class IgnoresMaxTokens(TinyLLM):
    def _chunks(self, request):
        return super()._chunks(type(request)(request.messages, tools=request.tools, stop=request.stop))


@breaks(LLM, what_it_cannot_do_it_refuses="stop=")
class IgnoresStop(TinyLLM):
    def _chunks(self, request):
        return super()._chunks(type(request)(request.messages, tools=request.tools, max_tokens=request.max_tokens))


class RepeatsWhatWasSaid(TinyLLM):
    async def complete(self, request):
        said = request.messages[-1].content
        raise ProviderServerError(f"It could not answer {said!r}.", provider=self.name)

    async def stream(self, request):
        yield await self.complete(request)


breaks(
    LLM,
    {"failing": lambda self: {"500": Failing(RepeatsWhatWasSaid, ProviderServerError)}},
    failures_are_classified="what was said stays out",
)(RepeatsWhatWasSaid)


class RetriesByItself(TinyLLM):
    def __init__(self):
        super().__init__(ProviderRateLimited("slow down", provider="tiny"))

    async def complete(self, request):
        try:
            return await super().complete(request)
        except ProviderRateLimited:
            self.fails = None
            return await super().complete(request)


breaks(
    LLM,
    {"failing": lambda self: {"429": Failing(RetriesByItself, ProviderRateLimited)}},
    failures_are_classified="'429' raises ProviderRateLimited from its call",
)(RetriesByItself)


@breaks(LLM, a_cancelled_call_ends="ends cancelled, or done")
class CancelledIsUnreachable(TinyLLM):
    async def complete(self, request):
        try:
            return await super().complete(request)
        except BaseException as error:
            raise ProviderUnreachable("gone", provider=self.name) from error


@breaks(LLM, answers_do_not_mix="at once")
class OneAtATime(TinyLLM):
    async def complete(self, request):
        if self.open:
            raise RuntimeError("there is a call under way")
        self.open += 1
        try:
            return await super().complete(request)
        finally:
            self.open -= 1


@breaks(LLM, usage_adds_up="A stream tells")
class RemembersConversations(TinyLLM):
    def _chunks(self, request):
        self.before = getattr(self, "before", 0) + 5
        return [*super()._chunks(request)[:-1], LLMChunk(finish_reason="stop", usage=Usage(self.before, 3))]


class ReadAhead:
    """A stream that has read all, and gives it out also when it was closed."""

    def __init__(self, chunks):
        self.chunks = chunks

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(0)
        if not self.chunks:
            raise StopAsyncIteration
        return self.chunks.pop(0)

    async def aclose(self):
        return None


@breaks(LLM, a_stream_that_is_left_is_closed="A stream that was closed has ended")
class GoesOnWhenClosed(TinyLLM):
    def stream(self, request):
        return ReadAhead(self._chunks(request))


@breaks(LLM, tools_are_called="The answer calls tools")
class EndsToolsWithStop(TinyLLM):
    def _chunks(self, request):
        *chunks, last = super()._chunks(request)
        return [*chunks, LLMChunk(finish_reason="stop", usage=last.usage)]

    async def complete(self, request):
        request = type(request)(request.messages)
        return await super().complete(request)


@breaks(LLM, tools_are_called="A tool 'search' was called")
class CallsWhatIsNotThere(TinyLLM):
    def _chunks(self, request):
        if not request.tools:
            return super()._chunks(request)
        piece = ToolCallPiece(0, "call-1", "search", "{}")
        return [LLMChunk(tool_calls=(piece,), model="m"), LLMChunk(finish_reason="tool_calls", usage=Usage(5, 3))]

    async def complete(self, request):
        answer = await super().complete(request)
        if not request.tools:
            return answer
        call = type(answer.tool_calls[0])("call-1", "search", "{}")
        return LLMResponse("", model="m", finish_reason="tool_calls", tool_calls=(call,), usage=answer.usage)


@breaks(STT, what_it_cannot_do_it_refuses="words=True")
class IgnoresWords(TinySTT):
    async def transcribe(self, request):
        answer = await super().transcribe(request)
        return STTResponse(answer.text, duration_ms=answer.duration_ms)


@breaks(STT, it_tells_how_long_the_audio_is="duration_ms is")
class TellsSeconds(TinySTT):
    async def transcribe(self, request):
        answer = await super().transcribe(request)
        return STTResponse(answer.text, words=answer.words, duration_ms=answer.duration_ms / 1000)


@breaks(STT, words_are_told_if_they_are_wanted="in milliseconds")
class TellsSecondsOfWords(TinySTT):
    async def transcribe(self, request):
        answer = await super().transcribe(request)
        words = tuple(Word(word.text, word.start_ms / 1000, word.end_ms / 1000) for word in answer.words)
        return STTResponse(answer.text, words=words, duration_ms=answer.duration_ms)


@breaks(STT, pieces_are_heard_as_the_whole="an empty piece is not its end")
class EndsWithAnEmptyPiece(TinySTT):
    async def stream(self, request):
        heard = b""
        async for piece in in_pieces(request.audio):
            if not piece:
                break
            heard += piece
            while len(heard) >= self.size:
                yield STTChunk(self._hear(heard[: self.size])[0], is_final=True)
                heard = heard[self.size :]


@breaks(STT, it_streams="The pieces make")
class RepeatsFinals(TinySTT):
    async def stream(self, request):
        said = ""
        async for chunk in super().stream(request):
            said = f"{said} {chunk.text}" if chunk.is_final else said
            yield STTChunk(said if chunk.is_final else chunk.text, is_final=chunk.is_final)


@breaks(STT, pieces_are_heard_as_the_whole="A recording in pieces")
class WantsBytes(TinySTT):
    async def stream(self, request):
        for word in self._hear(bytes(request.whole(self.name))):
            yield STTChunk(word, is_final=True)


@breaks(STT, words_of_a_stream_count_from_the_beginning="Times of words count from the beginning of the whole")
class CountsFromEachChunk(TinySTT):
    async def stream(self, request):
        async for chunk in super().stream(request):
            words = (Word(chunk.text, 0.0, 100.0),) if request.words and chunk.is_final else ()
            yield STTChunk(chunk.text, is_final=chunk.is_final, words=words)


@breaks(STT, answers_do_not_mix="Asked with others")
class OneBuffer(TinySTT):
    kept = b""

    async def stream(self, request):
        async for piece in in_pieces(request.audio):
            self.kept += piece
            await asyncio.sleep(0)
        while len(self.kept) >= self.size:
            yield STTChunk(self._hear(self.kept[: self.size])[0], is_final=True)
            self.kept = self.kept[self.size :]
            await asyncio.sleep(0)


@breaks(TTS, what_it_cannot_do_it_refuses="speed=2.0")
class IgnoresSpeed(TinyTTS):
    async def synthesize(self, request):
        return await super().synthesize(type(request)(request.text, format=request.format))


@breaks(TTS, what_it_cannot_do_it_refuses="was asked for")
class SpeaksAtOneRate(TinyTTS):
    async def synthesize(self, request):
        return await super().synthesize(type(request)(request.text, speed=request.speed))


@breaks(TTS, a_text_in_pieces_is_spoken_to_its_end="what no full stop follows")
class WaitsForTheEndOfSentences(TinyTTS):
    async def stream(self, request):
        kept = ""
        async for piece in in_pieces(request.text):
            kept += piece
            while "." in kept:
                sentence, kept = kept.split(".", 1)
                yield TTSChunk(self._speak(f"{sentence}."), format=PCM)


@breaks(TTS, a_text_in_pieces_is_spoken_to_its_end="empty piece")
class StopsAtAnEmptyPiece(TinyTTS):
    async def stream(self, request):
        async for piece in in_pieces(request.text):
            if not piece:
                break
            yield TTSChunk(self._speak(piece), format=PCM)


@breaks(TTS, words_of_a_stream_count_from_the_beginning="from the beginning of the whole")
class CountsWordsFromEachChunk(TinyTTS):
    async def stream(self, request):
        async for chunk in super().stream(request):
            yield TTSChunk(chunk.audio, format=chunk.format, words=(Word("w", 0.0, PCM.duration_ms(chunk.audio)),))


@breaks(TTS, it_answers="whole number of samples")
class OddBytes(TinyTTS):
    async def synthesize(self, request):
        answer = await super().synthesize(request)
        return TTSResponse(answer.audio + b"\0", format=PCM)


@breaks(TTS, {"format": None}, it_answers="the format has to")
class RawWithoutRate(TinyTTS):
    async def synthesize(self, request):
        answer = await super().synthesize(request)
        return TTSResponse(answer.audio, format=AudioFormat("pcm_s16le"))


@breaks(TTS, {"failing": lambda self: {"429": Failing(limited, ProviderRateLimited)}}, failures_are_classified="429")
class FailsAsAnother(TinyTTS):
    pass


@pytest.mark.parametrize(("suite", "make", "given", "promises"), judged.cases)
def test_it_is_found(suite, make, given, promises):
    """The suite blames the promises that are broken, in their words."""
    check_found(suite, make, given, promises)
