"""Small implementations that keep every promise."""

import asyncio
import struct
from collections.abc import AsyncIterable
from uuid import uuid4

from stageflow.errors import ProviderRateLimited, ProviderRequestError, ProviderServerError
from stageflow.protocols import Claim, PolicyDecision
from stageflow.providers import (
    AudioFormat,
    LLMChunk,
    LLMResponse,
    STTChunk,
    STTResponse,
    ToolCall,
    ToolCallPiece,
    TTSChunk,
    TTSResponse,
    Usage,
    Word,
    require_supported,
)

PCM = AudioFormat("pcm_s16le", 1_000)


class TinyLogger:
    def __init__(self):
        self.records = {}

    async def log_call_start(self, **told):
        await asyncio.sleep(0)
        call_id = uuid4()
        self.records[call_id] = told
        return call_id

    async def log_call_end(self, call_id, **told):
        await asyncio.sleep(0)
        self.records[call_id].update(told)


class TinyPolicy:
    async def evaluate(self, request):
        await asyncio.sleep(0)
        if request.user_id is None:
            return PolicyDecision.deny("nobody may")
        if request.attributes.get("amount", 0) > 100 and request.decision != "yes":
            return PolicyDecision.require_decision("that much?")
        return PolicyDecision.allow()


class LeasedStore:
    """Keeps claims for a time, by the clock of the event loop; who waits looks again and again."""

    lease_seconds = 10.0

    def __init__(self):
        self.claims = {}
        self.done = {}

    def _holder(self, key):
        owner, fingerprint, until = self.claims.get(key, (None, None, 0.0))
        return (owner, fingerprint) if asyncio.get_running_loop().time() < until else (None, None)

    def _until(self):
        return asyncio.get_running_loop().time() + self.lease_seconds

    async def claim(self, key, *, fingerprint, owner):
        if key in self.done:
            known, value = self.done[key]
            return Claim("done", value) if known == fingerprint else Claim("conflict")
        holder, known = self._holder(key)
        if holder is not None:
            return Claim("running" if known == fingerprint else "conflict")
        self.claims[key] = (owner, fingerprint, self._until())
        return Claim("granted")

    async def wait(self, key):
        await asyncio.sleep(0.1)

    async def renew(self, key, *, owner):
        holder, fingerprint = self._holder(key)
        if holder != owner:
            return False
        self.claims[key] = (owner, fingerprint, self._until())
        return True

    async def complete(self, key, *, owner, value):
        holder, fingerprint = self._holder(key)
        if holder != owner:
            return False
        del self.claims[key]
        self.done[key] = (fingerprint, value)
        return True

    async def release(self, key, *, owner):
        if self._holder(key)[0] == owner:
            del self.claims[key]


class TinyLLM:
    name = "tiny"

    def __init__(self, fails=None):
        self.open = 0
        self.fails = fails

    def _chunks(self, request):
        usage = Usage(5, 3)
        if request.tools:
            call = (ToolCallPiece(0, "call-1", request.tools[0].name), ToolCallPiece(0, arguments='{"city":"Oslo"}'))
            return [
                LLMChunk(tool_calls=(call[0],), model="m"),
                LLMChunk(tool_calls=(call[1],)),
                LLMChunk(finish_reason="tool_calls", usage=usage),
            ]
        text = request.messages[-1].content
        for end in request.stop:
            text = text.split(end)[0]
        words = [LLMChunk(f"{word} ", model="m") for word in text.split()]
        sent = words[: request.max_tokens]
        return [*sent, LLMChunk(finish_reason="stop" if sent == words else "length", usage=usage)]

    async def complete(self, request):
        await asyncio.sleep(0.01)
        if self.fails:
            raise self.fails
        chunks = self._chunks(request)
        calls = tuple(ToolCall("call-1", t.name, '{"city":"Oslo"}') for t in request.tools)
        text = "".join(chunk.text for chunk in chunks)
        return LLMResponse(
            text, model="m", finish_reason=chunks[-1].finish_reason, tool_calls=calls, usage=chunks[-1].usage
        )

    async def stream(self, request):
        self.open += 1
        try:
            for number, chunk in enumerate(self._chunks(request)):
                await asyncio.sleep(0.01)
                if self.fails and number:
                    raise self.fails
                yield chunk
        finally:
            self.open -= 1


def limited():
    return TinyLLM(ProviderRateLimited("slow down", provider="tiny", retry_after=3))


def broken():
    return TinyLLM(ProviderServerError("broke", provider="tiny"))


async def in_pieces(given):
    if isinstance(given, AsyncIterable):
        async for piece in given:
            yield piece
    else:
        yield given


class TinySTT:
    """Hears a word in each 100 samples: the number in the first of them."""

    name = "ears"
    size = 200

    def _hear(self, audio):
        return [f"w{struct.unpack_from('<h', audio, place)[0]}" for place in range(0, len(audio), self.size)]

    async def transcribe(self, request):
        await asyncio.sleep(0.01)
        heard = self._hear(request.audio)
        words = tuple(Word(word, 100.0 * n, 100.0 * (n + 1)) for n, word in enumerate(heard)) if request.words else ()
        return STTResponse(" ".join(heard), words=words, duration_ms=PCM.duration_ms(request.audio))

    async def stream(self, request):
        kept, heard = b"", 0
        async for piece in in_pieces(request.audio):
            kept += piece
            while len(kept) >= self.size:
                text, kept = self._hear(kept[: self.size])[0], kept[self.size :]
                words = (Word(text, 100.0 * heard, 100.0 * (heard + 1)),) if request.words else ()
                yield STTChunk(text[:1], is_final=False)
                yield STTChunk(text, is_final=True, words=words)
                heard += 1


class TinyTTS:
    """Speaks 10 samples for each letter."""

    name = "voice"

    def _speak(self, text):
        return b"".join(struct.pack("<h", ord(letter) % 1000) * 10 for letter in text)

    async def synthesize(self, request):
        require_supported(request, "format", provider=self.name)
        if request.format not in (None, PCM):
            raise ProviderRequestError(f"It speaks {PCM}.", provider=self.name)
        await asyncio.sleep(0.01)
        audio = self._speak(request.text)
        return TTSResponse(audio, format=PCM, duration_ms=PCM.duration_ms(audio))

    async def stream(self, request):
        async for piece in in_pieces(request.text):
            for place in range(0, len(piece), 16):
                await asyncio.sleep(0)
                yield TTSChunk(self._speak(piece[place : place + 16]), format=PCM)
