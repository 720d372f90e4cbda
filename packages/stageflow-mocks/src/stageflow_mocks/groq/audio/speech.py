"""Speech: what a request for it may say, and the file of tones that it is.

Sources: the API reference and the page on Orpheus at console.groq.com/docs: the voices, WAV alone, 200 characters at
most, the sample rates and the speeds. Recorded in public issues: the wordings about the format (also where it is left
out, since the default is mp3) and about the voice. The wordings about other values are made after these. Whether
samples are said to be 24 kHz is what Orpheus makes; no recording of Groq's header was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from stageflow.providers import AudioFormat, TTSRequest

from stageflow_mocks.groq import wire
from stageflow_mocks.groq.audio.containers import write_wav
from stageflow_mocks.groq.audio.hearing import Ears
from stageflow_mocks.groq.responses import Response, Terms
from stageflow_mocks.groq.wire import JsonObject, Refusal, read_json
from stageflow_mocks.providers.hearing import Heard
from stageflow_mocks.providers.tts import MockTTS

VOICES = {
    "canopylabs/orpheus-v1-english": ("autumn", "diana", "hannah", "austin", "daniel", "troy"),
    "canopylabs/orpheus-arabic-saudi": ("abdullah", "fahad", "sultan", "lulwa", "noura", "aisha"),
}

_UNDERSTOOD = ("input", "model", "voice", "response_format", "sample_rate", "speed")
_LONGEST_INPUT = 200
_SAMPLE_RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_SAMPLE_RATE = 24_000
_SPEEDS = (0.5, 5.0)


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A request that passed validation; `sample_rate` is in Hz, `speed` 1 is the usual one."""

    model: str
    input: str
    voice: str
    sample_rate: int
    speed: float


def read_speech(raw: bytes) -> SpeechRequest | Refusal:
    """Validate the body of a request; what this server does not speak is refused, never ignored."""
    given = read_json(raw)
    if isinstance(given, Refusal):
        return given
    problem = _problem(given)
    if problem is not None:
        return Refusal(400, problem)
    return SpeechRequest(
        given["model"], given["input"], given["voice"], given.get("sample_rate", _SAMPLE_RATE), given.get("speed", 1)
    )


def _problem(given: JsonObject) -> str | None:
    for name in given:
        if name not in _UNDERSTOOD:
            return f"property '{name}' is unsupported"
    for name in ("model", "input", "voice"):
        if not isinstance(given.get(name, ""), str):
            return f"{name} must be a string"
        if not given.get(name, "").strip():
            return f"{name} is required"
    voices = VOICES.get(given["model"])
    if voices is not None and given["voice"] not in voices:
        return f"voice must be one of the following voices: [{' '.join(voices)}]"
    if given.get("response_format") != "wav":
        return "response_format must be one of [wav]"
    if len(given["input"]) > _LONGEST_INPUT:
        return f"input must be {_LONGEST_INPUT} characters or fewer, but contains {len(given['input'])} characters"
    if isinstance(given.get("sample_rate"), bool) or given.get("sample_rate", _SAMPLE_RATE) not in _SAMPLE_RATES:
        return f"sample_rate must be one of [{' '.join(map(str, _SAMPLE_RATES))}]"
    speed = given.get("speed", 1)
    slowest, fastest = _SPEEDS
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not slowest <= cast("float", speed) <= fastest:
        return f"speed must be a number from {slowest:g} to {fastest:g}"
    return None


async def answer_speech(request: SpeechRequest, terms: Terms, voice: MockTTS, ears: Ears) -> Response:
    """Return a file of tones, one for each word, and let it be heard as its text from now on."""
    format = AudioFormat("pcm_s16le", request.sample_rate)
    spoken = await voice.synthesize(
        TTSRequest(request.input, voice=request.voice, format=format, speed=request.speed, model=request.model)
    )
    file = write_wav(spoken.audio, request.sample_rate)
    ears.remember(file, Heard(request.input, spoken.words))
    return terms.whole(file, "audio/wav", wire.speech_limits())
