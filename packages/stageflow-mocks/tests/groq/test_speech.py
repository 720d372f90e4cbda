"""What GroqServer speaks: WAV files of tones, and what Groq's models refuse."""

import io
import wave
from typing import Any

import httpx
import pytest
from groq import AsyncGroq
from stageflow_mocks import GroqServer

ORPHEUS = "canopylabs/orpheus-v1-english"
ARABIC = "canopylabs/orpheus-arabic-saudi"
SPEECH: Any = {"model": ORPHEUS, "voice": "troy", "input": "Good morning.", "response_format": "wav"}


async def _post(server: GroqServer, body: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": "Bearer k"}) as http:
        return await http.post(f"{server.base_url}/openai/v1/audio/speech", json=body)


async def _spoken(server: GroqServer, **options: Any) -> tuple[int, int, bytes]:
    """Return the sample rate, the duration in ms and the samples of what is spoken."""
    async with AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client:
        file = await (await client.audio.speech.create(**{**SPEECH, **options})).read()
    with wave.open(io.BytesIO(file)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
        samples = sound.readframes(sound.getnframes())
        return sound.getframerate(), round(sound.getnframes() * 1000 / sound.getframerate()), samples


async def test_file() -> None:
    """Speech is a WAV file whose header says how long it is, as long as the text is, and not silent."""
    async with GroqServer() as server:
        response = await _post(server, SPEECH)
        assert response.headers["content-type"] == "audio/wav"
        assert int(response.headers["content-length"]) == len(response.content)
        assert response.headers["x-ratelimit-remaining-requests"] == "99"
        rate, duration_ms, samples = await _spoken(server)
        assert (rate, duration_ms) == (24_000, (4 + 8) * 60 + 2 * 60)
        assert any(samples)
        _, longer_ms, _ = await _spoken(server, input="Good morning to you.")
        assert longer_ms > duration_ms


async def test_same_text_is_the_same_file() -> None:
    """Two servers speak alike; another voice sounds otherwise."""
    files: list[bytes] = []
    for voice in ("troy", "troy", "diana"):
        async with GroqServer() as server:
            files.append((await _post(server, {**SPEECH, "voice": voice})).content)
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
async def test_sample_rate(rate: int) -> None:
    """The samples are as many in a second as was asked for."""
    async with GroqServer() as server:
        assert (await _spoken(server, sample_rate=rate))[:2] == (rate, 840)


@pytest.mark.parametrize(("speed", "duration_ms"), [(0.5, 1680), (1, 840), (2, 420), (5, 168)])
async def test_speed(speed: float, duration_ms: int) -> None:
    """Twice as fast is half as long."""
    async with GroqServer() as server:
        assert (await _spoken(server, speed=speed))[1] == duration_ms


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"response_format": "mp3"}, "response_format must be one of [wav]"),
        ({"response_format": None}, "response_format must be one of [wav]"),
        (
            {"voice": "tara"},
            "voice must be one of the following voices: [autumn diana hannah austin daniel troy]",
        ),
        (
            {"model": ARABIC},
            "voice must be one of the following voices: [abdullah fahad sultan lulwa noura aisha]",
        ),
        ({"voice": None}, "voice is required"),
        ({"voice": 1}, "voice must be a string"),
        ({"input": " "}, "input is required"),
        ({"input": "x" * 201}, "input must be 200 characters or fewer, but contains 201 characters"),
        ({"model": None}, "model is required"),
        ({"sample_rate": 11_025}, "sample_rate must be one of [8000 16000 22050 24000 32000 44100 48000]"),
        ({"sample_rate": True}, "sample_rate must be one of [8000 16000 22050 24000 32000 44100 48000]"),
        ({"speed": 0.4}, "speed must be a number from 0.5 to 5"),
        ({"speed": "1"}, "speed must be a number from 0.5 to 5"),
        ({"speed": True}, "speed must be a number from 0.5 to 5"),
        ({"instructions": "Be kind."}, "property 'instructions' is unsupported"),
        ({"model": "whisper-large-v3"}, "The model `whisper-large-v3` does not support audio speech"),
    ],
)
async def test_bad_request(change: Any, message: str) -> None:
    """What Groq's models refuse is refused, in its shape."""
    async with GroqServer() as server:
        response = await _post(server, SPEECH | change)
    assert response.status_code == 400
    assert response.json() == {"error": {"message": message, "type": "invalid_request_error"}}
    assert server.requests[0].speech is None


async def test_longest_input() -> None:
    """200 characters are spoken."""
    async with GroqServer() as server:
        assert (await _post(server, {**SPEECH, "input": ("word " * 40).strip() + "x"})).status_code == 200


async def test_body_that_is_no_json() -> None:
    """A body that cannot be read says so."""
    async with GroqServer() as server, httpx.AsyncClient(trust_env=False) as http:
        url, headers = f"{server.base_url}/openai/v1/audio/speech", {"authorization": "Bearer k"}
        response = await http.post(url, content=b"{", headers=headers)
    assert response.json()["error"]["message"] == "could not parse the request body: it is not valid JSON"


async def test_request_is_recorded() -> None:
    """What was to be spoken can be read afterwards."""
    async with GroqServer() as server:
        await _spoken(server, speed=2)
        (request,) = server.requests
    assert request.speech is not None
    assert (request.speech.model, request.speech.input, request.speech.voice) == (ORPHEUS, "Good morning.", "troy")
    assert (request.speech.sample_rate, request.speech.speed) == (24_000, 2)
    assert (request.chat, request.transcription, request.upload) == (None, None, None)
