"""Requests to transcribe or translate a file: what this server speaks of them, and what it refuses by name.

Sources: the API reference at console.groq.com/docs for what may stand in a form. Recorded in public issues and
repositories: the wordings about the type of the file, the length of the prompt, parameters that are unknown and a file
that is no sound; that a file's type is told by its name alone; and the limit of 25 MiB. The wordings about other values
are made after that of `response_format` on the endpoint for speech. Of `url` the reference says that it "supports
Base64URL": this server takes that for a data URL (RFC 2397) in Base64, of either alphabet.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from stageflow_mocks.groq.audio.containers import is_sound
from stageflow_mocks.groq.audio.form import Form, Upload
from stageflow_mocks.groq.audio.languages import LANGUAGES
from stageflow_mocks.groq.wire import Refusal, too_large

_TYPES = ("flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "opus", "wav", "webm")
_FORMATS = ("json", "text", "verbose_json")
_GRANULARITIES = ("word", "segment")
_GRANULARITY = "timestamp_granularities[]"
_FOR_BOTH = ("model", "url", "prompt", "response_format", "temperature")
_FOR_TRANSCRIPTIONS = (*_FOR_BOTH, "language", _GRANULARITY)
_LONGEST_PROMPT = 896
_LARGEST_FILE = 25 * 1024 * 1024
_TO_STANDARD_ALPHABET = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """A request that passed validation.

    Attributes:
        model: Who is to hear it.
        file: What is to be heard; without a name, if it came as a data URL.
        task: "transcribe", or "translate" into English.
        language: That of the speech, as a code of ISO 639; None if it is to be found out.
        prompt: What the text is to be like.
        response_format: "json", "text" or "verbose_json".
        temperature: From 0 to 1.
        granularities: Of what there are times in a verbose answer: "word", "segment".
    """

    model: str
    file: Upload
    task: str
    language: str | None
    prompt: str | None
    response_format: str
    temperature: float
    granularities: tuple[str, ...]


def read_transcription(form: Form | None, *, is_form: bool, translate: bool) -> TranscriptionRequest | Refusal:
    """Validate the form of a request; what this server does not speak is refused, never ignored."""
    if form is None:
        why = "multipart: NextPart: EOF" if is_form else "request Content-Type isn't multipart/form-data"
        return Refusal(400, why)
    problem = _unknown(form, _FOR_BOTH if translate else _FOR_TRANSCRIPTIONS) or _bad_value(form)
    if problem is not None:
        return problem
    file = _file(form)
    return file if isinstance(file, Refusal) else _accepted(form, file, translate=translate)


def _unknown(form: Form, known: tuple[str, ...]) -> Refusal | None:
    for name in (*form.fields, *form.files):
        if name not in known and name != "file":
            return Refusal(400, f"unknown param `{name}`")
    return None


def _bad_value(form: Form) -> Refusal | None:
    for name, values in form.fields.items():
        if len(values) > 1 and name != _GRANULARITY:
            return Refusal(400, f"{name} must be given once")
    if not _value(form, "model"):
        return Refusal(400, "model is required")
    prompt = _value(form, "prompt") or ""
    if len(prompt) > _LONGEST_PROMPT:
        return Refusal(
            400,
            f"prompt length must be {_LONGEST_PROMPT} characters or fewer, "
            f"but provided prompt contains {len(prompt)} characters",
        )
    for name, allowed in (
        ("response_format", _FORMATS),
        ("language", tuple(LANGUAGES)),
        (_GRANULARITY, _GRANULARITIES),
    ):
        if not all(value in allowed for value in form.fields.get(name, ())):
            return Refusal(400, f"{name} must be one of [{' '.join(allowed)}]")
    if _GRANULARITY in form.fields and _value(form, "response_format") != "verbose_json":
        return Refusal(400, f"{_GRANULARITY} requires response_format to be verbose_json")
    if _temperature(form) is None:
        return Refusal(400, "temperature must be a number from 0 to 1")
    return None


def _file(form: Form) -> Upload | Refusal:
    """Return what is to be heard, which is a file or what stands in a URL."""
    files, url = form.files.get("file", ()), _value(form, "url")
    if len(files) + (url is not None) != 1:
        how = "file must be given once" if len(files) > 1 else "specify either `file` or `url`"
        return Refusal(400, "file is required" if not files and url is None else how)
    file = files[0] if url is None else _file_of_url(url)
    if isinstance(file, Refusal):
        return file
    if len(file.data) > _LARGEST_FILE:
        return too_large()
    if url is None and ("." not in file.name or file.name.rpartition(".")[2].lower() not in _TYPES):
        why = f"file must be one of the following types: [{' '.join(_TYPES)}]"
        return Refusal(400, why, code="unsupported_audio_format")
    return file if is_sound(file.data) else _no_sound()


def _file_of_url(url: str) -> Upload | Refusal:
    scheme, _, rest = url.partition(":")
    if scheme.lower() != "data":
        why = "this server fetches nothing, send the audio as `file`, or as a data URL"
        return Refusal(400, f"param `url` is unsupported for `{scheme}`: {why}")
    about, _, text = rest.partition(",")
    media_type, *parameters = about.split(";")
    if "base64" not in parameters:
        return _no_sound()
    try:
        standard = text.translate(_TO_STANDARD_ALPHABET)
        data = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        return _no_sound()
    return Upload("", media_type or None, data)


def _no_sound() -> Refusal:
    return Refusal(400, "could not process file - is it a valid media file?", code="invalid_media_file")


def _accepted(form: Form, file: Upload, *, translate: bool) -> TranscriptionRequest:
    return TranscriptionRequest(
        model=form.fields["model"][0],
        file=file,
        task="translate" if translate else "transcribe",
        language=_value(form, "language"),
        prompt=_value(form, "prompt"),
        response_format=_value(form, "response_format") or "json",
        temperature=_temperature(form) or 0.0,
        granularities=form.fields.get(_GRANULARITY, ("segment",)),
    )


def _value(form: Form, name: str) -> str | None:
    return form.fields.get(name, (None,))[0]


def _temperature(form: Form) -> float | None:
    """Return the temperature, 0 if there is none; None if it cannot be one."""
    try:
        value = float(_value(form, "temperature") or 0.0)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
