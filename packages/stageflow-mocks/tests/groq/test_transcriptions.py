"""What GroqServer hears: forms, what is refused, where the text comes from, and what is recorded."""

import asyncio
import io
import wave
from typing import Any, get_args, get_type_hints

import groq
import httpx
import pytest
from groq import AsyncGroq
from groq.types.audio import TranscriptionCreateParams
from stageflow.providers import Word
from stageflow_mocks import (
    CutOff,
    GroqServer,
    Heard,
    Pace,
    ServerError,
    TranscriptionRequest,
    UnscriptedCallError,
)
from stageflow_mocks.groq.audio.languages import LANGUAGES

MODEL = "whisper-large-v3-turbo"
OGG = b"OggS and so on"
TYPES = "[flac mp3 mp4 mpeg mpga m4a ogg opus wav webm]"


def _wav(seconds: float, *, rate: int = 8_000, channels: int = 1, level: int = 0) -> bytes:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes([level]) * (2 * channels * round(seconds * rate)))
    return written.getvalue()


async def _post(server: GroqServer, endpoint: str = "transcriptions", **what: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": "Bearer k"}) as http:
        return await http.post(f"{server.base_url}/openai/v1/audio/{endpoint}", **what)


async def _hear(server: GroqServer, file: bytes = OGG, name: str = "a.ogg", **options: Any) -> Any:
    async with AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client:
        return await client.audio.transcriptions.create(model=MODEL, file=(name, file, "audio/any"), **options)


async def _speak(server: GroqServer, text: str, **options: Any) -> bytes:
    asked: Any = {"model": "canopylabs/orpheus-v1-english", "voice": "troy", "response_format": "wav", **options}
    async with AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client:
        return await (await client.audio.speech.create(input=text, **asked)).read()


async def test_one_text_for_every_file() -> None:
    """A text is heard in whatever comes, with the space before it that Groq's texts have."""
    async with GroqServer(transcriber="Good morning.") as server:
        assert [(await _hear(server)).text for _ in range(2)] == [" Good morning."] * 2


@pytest.mark.parametrize(("told", "heard"), [(" As it is. ", " As it is."), ("\nSo.", "\nSo."), ("", ""), ("  ", "")])
async def test_space_before_a_text(told: str, heard: str) -> None:
    """A text that has white space before it keeps it, and silence has none."""
    async with GroqServer(transcriber=told) as server:
        assert (await _hear(server)).text == heard
        verbose = await _hear(server, response_format="verbose_json")
        assert (verbose.text, "".join(segment["text"] for segment in verbose.segments)) == (heard, heard)


async def test_texts_in_order() -> None:
    """Each request hears the next of a list, and one too many is told what there was."""
    with pytest.raises(UnscriptedCallError, match="all 2 texts are used up"):
        async with GroqServer(transcriber=["One.", Heard("Two.")]) as server:
            await _hear_in_order(server)


async def _hear_in_order(server: GroqServer) -> None:
    server.fail_next(None, CutOff(), ServerError(), Pace())
    assert (await _hear(server)).text == " One."
    with pytest.raises(groq.APIConnectionError):
        await _hear(server)
    with pytest.raises(groq.InternalServerError):
        await _hear(server)
    assert (await _hear(server)).text == " Two."
    with pytest.raises(groq.BadRequestError, match=r"'One\.', 'Two\.'"):
        await _hear(server)


async def test_texts_by_file() -> None:
    """A mapping knows files by their bytes; another file is an error that shows what is known."""
    other = OGG + b"!"
    server = GroqServer(transcriber={OGG: "One.", _wav(0.1): "Two."})

    async def hear() -> None:
        async with server:
            assert (await _hear(server)).text == " One."
            assert (await _hear(server, _wav(0.1), "a.wav")).text == " Two."
            with pytest.raises(groq.BadRequestError, match="not among those that its transcriber knows"):
                await _hear(server, other)

    with pytest.raises(UnscriptedCallError) as caught:
        await hear()
    assert caught.value.call == 3
    assert caught.value.asked == f"transcribe Upload('a.ogg', 'audio/any', {len(other)} bytes)"
    assert caught.value.scripted == "'One.', 'Two.'"


async def test_function_of_the_request() -> None:
    """A function, async or not, is given all that was asked."""
    asked: list[TranscriptionRequest] = []

    def hear(request: TranscriptionRequest) -> str:
        asked.append(request)
        return "Guten Morgen."

    async def hear_later(request: TranscriptionRequest) -> Heard:
        await asyncio.sleep(0)
        return Heard(hear(request))

    for transcriber in (hear, hear_later):
        async with GroqServer(transcriber=transcriber) as server:
            heard = await _hear(server, language="de", prompt="Morgen", temperature=0.5)
            assert heard.text == " Guten Morgen."
            assert server.requests[0].transcription is asked[-1]
    for request in asked:
        assert (request.model, request.file.data, request.file.name) == (MODEL, OGG, "a.ogg")
        assert (request.task, request.language, request.prompt, request.temperature) == (
            *("transcribe", "de", "Morgen"),
            0.5,
        )
        assert (request.response_format, request.granularities) == ("json", ("segment",))


@pytest.mark.parametrize("said", [None, 5, b"Hello."])
async def test_function_that_returns_no_text(said: Any) -> None:
    """What is no text is raised where the server is left, and never heard."""
    with pytest.raises(TypeError, match="a string or a Heard"):
        async with GroqServer(transcriber=lambda request: said) as server:
            assert (await _post(server, data={"model": MODEL}, files={"file": ("a.ogg", OGG)})).status_code == 500


@pytest.mark.parametrize("transcriber", [5, b"Hello.", [], {}, ["One.", None], {"a.ogg": "One."}, {OGG: 1}])
def test_impossible_transcriber(transcriber: Any) -> None:
    """What cannot be heard is refused when it is written down."""
    with pytest.raises((TypeError, ValueError), match=r"transcriber|What a file holds"):
        GroqServer(transcriber=transcriber)


async def test_what_was_spoken_is_heard() -> None:
    """Without a transcriber the server knows what it said itself, by its samples, whatever file they come in."""
    async with GroqServer() as server:
        one = await _speak(server, "Good morning.")
        two = await _speak(server, "How are you?", sample_rate=16_000, speed=2)
        with wave.open(io.BytesIO(one)) as file:
            samples, rate = file.readframes(file.getnframes()), file.getframerate()
        again = io.BytesIO()
        with wave.open(again, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(samples)
        assert [(await _hear(server, file, "a.wav")).text for file in (one, two, again.getvalue())] == [
            " Good morning.",
            " How are you?",
            " Good morning.",
        ]


async def test_what_was_not_spoken_is_never_made_up() -> None:
    """Unknown audio is an error that says what the server did speak, for the client and where the server is left."""
    with pytest.raises(UnscriptedCallError) as caught:
        async with GroqServer() as server:
            await _hear_the_unknown(server)
    assert (caught.value.call, caught.value.scripted) == (1, "none")
    assert "`transcriber`" in str(caught.value)


async def _hear_the_unknown(server: GroqServer) -> None:
    with pytest.raises(groq.BadRequestError, match="did not speak this audio itself"):
        await _hear(server)
    file = await _speak(server, "Good morning.")
    with pytest.raises(groq.BadRequestError, match=r"scripted: 'Good morning\.'"):
        await _hear(server, file[:-2] + b"\0\1", "a.wav")
    with pytest.raises(groq.BadRequestError, match="did not speak"):
        await _hear(server, _wav(0.5), "a.wav")
    assert (await _hear(server, file, "a.wav")).text == " Good morning."


async def test_times_of_what_was_spoken() -> None:
    """The times of words are those of their tones, and the duration is the file's."""
    async with GroqServer() as server:
        file = await _speak(server, "Good morning. How?")
        heard = await _hear(
            server, file, "a.wav", response_format="verbose_json", timestamp_granularities=["word", "segment"]
        )
    assert (heard.task, heard.language, heard.duration) == ("transcribe", "English", 1.14)
    assert heard.words == [
        {"word": "Good", "start": 0, "end": 0.24},
        {"word": "morning.", "start": 0.3, "end": 0.78},
        {"word": "How?", "start": 0.84, "end": 1.08},
    ]
    assert [(segment["id"], segment["start"], segment["end"], segment["text"]) for segment in heard.segments] == [
        (0, 0, 0.78, " Good morning."),
        (1, 0.84, 1.08, " How?"),
    ]


async def test_times_of_a_text() -> None:
    """Words without times fill a WAV file, and last 0.3 s each in a file of which nobody knows how long it is."""
    async with GroqServer(transcriber="One two. Three four.") as server:
        verbose: Any = {"response_format": "verbose_json", "timestamp_granularities": ["word"]}
        in_wav = await _hear(server, _wav(8, channels=2), "a.wav", **verbose)
        in_ogg = await _hear(server, **verbose)
    assert (in_wav.duration, [word["end"] for word in in_wav.words]) == (8, [2, 4, 6, 8])
    assert (in_ogg.duration, [word["end"] for word in in_ogg.words]) == (1.2, [0.3, 0.6, 0.9, 1.2])
    assert in_wav.segments is None


async def test_segments_of_a_heard() -> None:
    """Times and confidence of a Heard are those of its segments, also beyond Whisper's window of 30 s."""
    words = (Word("One.", 1_000, 2_000), Word("Two.", 31_000, 32_500))
    async with GroqServer(transcriber=Heard("One. Two.", words, confidence=0.5)) as server:
        heard = await _hear(server, response_format="verbose_json", temperature=0.25)
    one, two = heard.segments
    assert (one["seek"], one["tokens"][0], one["tokens"][-1]) == (0, 50_365 + 50, 50_365 + 100)
    assert (two["seek"], two["tokens"][0], two["tokens"][-1]) == (3_000, 50_365 + 50, 50_365 + 125)
    assert round(one["avg_logprob"], 4) == -0.6931
    assert (one["temperature"], heard.duration) == (0.25, 32.5)


@pytest.mark.parametrize(("code", "name"), [("en", "English"), ("de", "German"), ("yue", "Cantonese")])
async def test_language(code: Any, name: str) -> None:
    """The language is the one that was given, by its whole name; a translation is English."""
    async with GroqServer(transcriber="Hello.") as server:
        assert (await _hear(server, response_format="verbose_json", language=code)).language == name
        form: Any = {"data": {"model": MODEL, "response_format": "verbose_json"}, "files": {"file": ("a.ogg", OGG)}}
        payload = (await _post(server, "translations", **form)).json()
    assert (payload["task"], payload["language"]) == ("translate", "English")


def test_languages_are_those_of_the_sdk() -> None:
    """Every code that the SDK declares is known, and no other."""
    _, codes = get_args(get_type_hints(TranscriptionCreateParams)["language"])
    assert set(get_args(codes)) == set(LANGUAGES)


@pytest.mark.parametrize(
    ("data", "file", "status", "message", "code"),
    [
        ({}, ("a.ogg", OGG), 400, "model is required", None),
        ({"model": ""}, ("a.ogg", OGG), 400, "model is required", None),
        ({"model": ["a", "b"]}, ("a.ogg", OGG), 400, "model must be given once", None),
        ({"model": "m"}, None, 400, "file is required", None),
        ({"model": "m"}, ("a.oga", OGG), 400, f"file must be one of the following types: {TYPES}", "unsupported"),
        ({"model": "m"}, ("ogg", OGG), 400, f"file must be one of the following types: {TYPES}", "unsupported"),
        ({"model": "m"}, ("a.ogg", b""), 400, "could not process file - is it a valid media file?", "invalid_media"),
        ({"model": "m"}, ("a.wav", b"RIFF...."), 400, "could not process file - is it", "invalid_media"),
        ({"model": "m"}, ("a.mp3", b"A text."), 400, "could not process file - is it", "invalid_media"),
        ({"model": "m", "url": "https://a.test/a.wav"}, None, 400, "param `url` is unsupported", None),
        ({"model": "m", "task": "translate"}, ("a.ogg", OGG), 400, "unknown param `task`", None),
        (
            {"model": "m", "timestamp_granularities": "word"},
            ("a.ogg", OGG),
            400,
            "unknown param `timestamp_granularities`",
            None,
        ),
        (
            {"model": "m", "timestamp_granularities[]": "word"},
            ("a.ogg", OGG),
            400,
            "timestamp_granularities[] requires response_format to be verbose_json",
            None,
        ),
        (
            {"model": "m", "response_format": "verbose_json", "timestamp_granularities[]": ["word", "line"]},
            ("a.ogg", OGG),
            400,
            "timestamp_granularities[] must be one of [word segment]",
            None,
        ),
        (
            {"model": "m", "response_format": "srt"},
            ("a.ogg", OGG),
            400,
            "response_format must be one of [json text verbose_json]",
            None,
        ),
        ({"model": "m", "language": "English"}, ("a.ogg", OGG), 400, "language must be one of [en zh de", None),
        ({"model": "m", "temperature": "2"}, ("a.ogg", OGG), 400, "temperature must be a number from 0 to 1", None),
        ({"model": "m", "temperature": "hot"}, ("a.ogg", OGG), 400, "temperature must be a number from 0 to 1", None),
        (
            {"model": "m", "prompt": "x" * 897},
            ("a.ogg", OGG),
            400,
            "prompt length must be 896 characters or fewer, but provided prompt contains 897 characters",
            None,
        ),
        ({"model": "other"}, ("a.ogg", OGG), 404, "The model `other` does not exist", "model_not_found"),
    ],
)
async def test_bad_request(data: Any, file: Any, status: int, message: str, code: str | None) -> None:
    """What is not understood or spoken is refused by name; the file and the fields can be read all the same."""
    async with GroqServer(models={"m"}, transcriber="Hello.") as server:
        server.fail_next(ServerError())
        given = [(name, values if isinstance(values, list) else [values]) for name, values in data.items()]
        parts: Any = [(name, (None, value)) for name, values in given for value in values]
        parts += [("file", file)] if file is not None else []
        response = await _post(server, files=parts)
    error = response.json()["error"]
    assert (response.status_code, error["message"][: len(message)]) == (status, message)
    assert error.get("code", "").startswith(code or "")
    (request,) = server.requests
    assert (request.transcription, server.pending_faults) == (None, (ServerError(),))
    assert "model" not in data or request.fields["model"] == tuple(
        data["model"] if isinstance(data["model"], list) else [data["model"]]
    )
    if file is not None:
        assert request.upload is not None
        assert (request.upload.name, request.upload.data) == file


async def test_translation_knows_less_than_a_transcription() -> None:
    """A translation has neither a language nor times of words."""
    async with GroqServer(transcriber="Hello.") as server:
        for name, value in (("language", "de"), ("timestamp_granularities[]", "word")):
            form: Any = {"data": {"model": MODEL, name: value}, "files": {"file": ("a.ogg", OGG)}}
            response = await _post(server, "translations", **form)
            assert response.json()["error"]["message"] == f"unknown param `{name}`"


@pytest.mark.parametrize(
    ("content_type", "content", "message"),
    [
        ("application/json", b"{}", "request Content-Type isn't multipart/form-data"),
        ("multipart/form-data", b"{}", "multipart: NextPart: EOF"),
        ("multipart/form-data; boundary=b", b"no form", "multipart: NextPart: EOF"),
    ],
)
async def test_body_that_is_no_form(content_type: str, content: bytes, message: str) -> None:
    """Another body is refused in the words of Go's library, which Groq is written with."""
    async with GroqServer() as server:
        response = await _post(server, content=content, headers={"content-type": content_type})
        assert (response.status_code, response.json()["error"]["message"]) == (400, message)
        assert (server.requests[0].form, server.requests[0].upload, dict(server.requests[0].fields)) == (None, None, {})


async def test_largest_file() -> None:
    """Up to 25 MiB a file is taken, one byte more is too large; the name of the file can hold any character."""
    largest = OGG + bytes(25 * 1024 * 1024 - len(OGG))
    async with GroqServer(transcriber="Hello.") as server:
        assert (await _hear(server, largest, "Žluťoučký kůň.ogg")).text == " Hello."
        assert server.requests[0].upload is not None
        assert (server.requests[0].upload.name, server.requests[0].upload.data) == ("Žluťoučký kůň.ogg", largest)
        with pytest.raises(groq.APIStatusError, match="request_too_large") as caught:
            await _hear(server, largest + b"!")
        assert caught.value.status_code == 413


@pytest.mark.parametrize(
    "data",
    [
        b"fLaC",
        b"OggS",
        b"ID3\4",
        b"\xff\xfb\x90",
        b"\xff\xf1",
        b"\0\0\0\x20ftypM4A ",
        b"\x1a\x45\xdf\xa3",
        _wav(0),
        b"RIFF\0\0\0\0WAVE",
    ],
)
async def test_kinds_of_files(data: bytes) -> None:
    """Each format that Groq takes is known by its first bytes."""
    async with GroqServer(transcriber="Hello.") as server:
        assert (await _hear(server, data, "a.webm")).text == " Hello."


async def test_upload_is_recorded() -> None:
    """A test reads what was sent: the file with its name, type and bytes, and the fields of the form."""
    async with GroqServer(transcriber="Hello.") as server:
        async with AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client:
            await client.audio.transcriptions.create(model=MODEL, file=("a.ogg", OGG, "audio/x-mine"), language="de")
        (request,) = server.requests
    assert request.upload is not None
    assert (request.upload.name, request.upload.content_type, request.upload.data) == ("a.ogg", "audio/x-mine", OGG)
    assert request.fields == {"model": (MODEL,), "language": ("de",)}
    assert (request.chat, request.messages, request.speech) == (None, [], None)
    assert OGG.decode() not in repr(request)


async def test_concurrent_files_do_not_mix() -> None:
    """Twenty files at once each get their own text."""
    files = {OGG + bytes([number]): f"Number {number}." for number in range(20)}
    async with GroqServer(transcriber=files) as server:
        heard = await asyncio.gather(*(_hear(server, file) for file in files))
    assert [f" {text}" for text in files.values()] == [transcription.text for transcription in heard]


async def test_headers() -> None:
    """The headers say what is left of the limits: by seconds of audio, and by requests."""
    async with GroqServer(transcriber="Hello.") as server:
        response = await _post(server, data={"model": MODEL}, files={"file": ("a.wav", _wav(1.5))})
    told = {name: value for name, value in response.headers.items() if name.startswith("x-ratelimit")}
    assert told == {
        "x-ratelimit-limit-requests": "2000",
        "x-ratelimit-remaining-requests": "1999",
        "x-ratelimit-reset-requests": "43.2s",
        "x-ratelimit-limit-audio-seconds": "7200",
        "x-ratelimit-remaining-audio-seconds": "7198",
        "x-ratelimit-reset-audio-seconds": "1s",
    }
    assert response.headers["x-request-id"] == response.json()["x_groq"]["id"]
