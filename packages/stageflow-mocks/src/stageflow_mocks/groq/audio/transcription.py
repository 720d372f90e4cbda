"""The answer to a file of speech, field for field.

Sources: the API reference at console.groq.com/docs, and answers recorded in public repositories (2024 and 2026): the
order of the fields; `words` that are absent unless asked for; the whole name of the language; numbers without a
fraction where they are whole; and the space with which the text begins, and that of each segment. The SDK's types
declare `text` alone. That `segments` is null where words alone are asked for is taken from the types of a client: no
recording of it was found. What a verbose answer says of a model's certainty is made up: the confidence of a `Heard`, if
it has one, else always the same; the tokens are from the text, by no tokenizer of Whisper's.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import cast

from stageflow.providers import Word

from stageflow_mocks.groq import wire
from stageflow_mocks.groq.audio.containers import read_wav
from stageflow_mocks.groq.audio.languages import LANGUAGES
from stageflow_mocks.groq.audio.transcription_request import TranscriptionRequest
from stageflow_mocks.groq.responses import Response, Terms
from stageflow_mocks.model_answers import split_tokens
from stageflow_mocks.providers.hearing import Heard, Hearing

_MS_PER_WORD = 300.0
_USUAL_CONFIDENCE = 0.9
_USUAL_NO_SPEECH = 0.01

# Whisper hears windows of 30 s, in frames of 10 ms; a token of time stands for 20 ms.
_WINDOW_S = 30
_FRAMES_PER_WINDOW = 3_000
_FIRST_TOKEN_OF_TIME = 50_365
_S_PER_TOKEN_OF_TIME = 0.02
_TOKENS_OF_TEXT = 50_257


def answer_transcription(request: TranscriptionRequest, heard: Heard, terms: Terms) -> Response:
    """Return what is heard, in the form that the request asks for."""
    text = heard.text.rstrip()
    text = text if not text or text[0].isspace() else f" {text}"
    segments, duration_s = _segments(Heard(text, heard.words, heard.confidence), request)
    headers = wire.audio_limits(duration_s)
    if request.response_format == "text":
        return terms.whole(text.encode(), "text/plain; charset=utf-8", headers)
    x_groq = {"id": terms.identity.request_id}
    if request.response_format == "json":
        return terms.json({"text": text, "x_groq": x_groq}, headers)
    payload: wire.JsonObject = {
        "task": request.task,
        "language": LANGUAGES[request.language or "en"] if request.task == "transcribe" else LANGUAGES["en"],
        "duration": _number(duration_s),
        "text": text,
    }
    if "word" in request.granularities:
        payload["words"] = [_word_json(word) for segment in segments for word in segment.words]
    payload["segments"] = None
    if "segment" in request.granularities:
        payload["segments"] = [
            _segment_json(place, segment.text, segment.words, heard.confidence, request)
            for place, segment in enumerate(segments)
        ]
    return terms.json({**payload, "x_groq": x_groq}, headers)


def _segments(heard: Heard, request: TranscriptionRequest) -> tuple[list[Heard], float]:
    """Return what is heard sentence by sentence, and how long all is, in seconds: of a WAV file, as long as it is."""
    sound = read_wav(request.file.data)
    known_ms = None if sound is None else sound.duration_ms
    hearing = Hearing(heard, _MS_PER_WORD)
    segments = [Heard(chunk.text, chunk.words) for chunk in hearing.rest(known_ms) if chunk.words]
    if known_ms is None:
        known_ms = segments[-1].words[-1].end_ms if segments else 0.0
    return segments, round(known_ms / 1000, 2)


def _word_json(word: Word) -> wire.JsonObject:
    return {"word": word.text, "start": _seconds(word.start_ms), "end": _seconds(word.end_ms)}


def _segment_json(
    place: int, text: str, words: Sequence[Word], confidence: float | None, request: TranscriptionRequest
) -> wire.JsonObject:
    start, end = _seconds(words[0].start_ms), _seconds(words[-1].end_ms)
    written = text.encode()
    return {
        "id": place,
        "seek": int(start // _WINDOW_S) * _FRAMES_PER_WINDOW,
        "start": start,
        "end": end,
        "text": text,
        "tokens": _tokens(text, start, end),
        "temperature": _number(request.temperature),
        "avg_logprob": math.log(max(confidence, 1e-9)) if confidence is not None else math.log(_USUAL_CONFIDENCE),
        "compression_ratio": len(written) / len(zlib.compress(written)),
        "no_speech_prob": _USUAL_NO_SPEECH,
    }


def _tokens(text: str, start: float, end: float) -> list[int]:
    window = start // _WINDOW_S * _WINDOW_S
    begins, ends = (_FIRST_TOKEN_OF_TIME + round((time - window) / _S_PER_TOKEN_OF_TIME) for time in (start, end))
    return [begins, *(zlib.crc32(token.encode()) % _TOKENS_OF_TEXT for token in split_tokens(text)), ends]


def _seconds(ms: float) -> float:
    return _number(round(ms / 1000, 2))


def _number(value: float) -> float:
    """Write a number as Go does, without a fraction where it is whole."""
    return cast("float", int(value)) if value == int(value) else value
