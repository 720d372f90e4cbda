"""What is heard in an uploaded file: what a test says, or else what the server itself spoke before."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from stageflow_mocks.groq.audio.containers import Sound, read_wav
from stageflow_mocks.groq.audio.transcription_request import TranscriptionRequest
from stageflow_mocks.groq.responses import Terms
from stageflow_mocks.provider_faults import Pace
from stageflow_mocks.providers.errors import UnscriptedCallError
from stageflow_mocks.providers.hearing import Heard
from stageflow_mocks.wording import listed, shown

Transcriber: TypeAlias = (
    str
    | Heard
    | Sequence[str | Heard]
    | Mapping[bytes, str | Heard]
    | Callable[[TranscriptionRequest], str | Heard | Awaitable[str | Heard]]
)
"""What is heard: always the same, in order, by the bytes of the file, or as a function of the request says."""


class Ears:
    """The ears of a server.

    Args:
        mock: What errors call it.
        transcriber: What is heard; None: what it spoke.
    """

    def __init__(self, mock: str, transcriber: Transcriber | None) -> None:
        self._mock = mock
        self._always: Heard | None = None
        self._in_order: list[Heard] | None = None
        self._by_file: dict[bytes, Heard] | None = None
        self._function: Callable[[TranscriptionRequest], Any] | None = None
        self._used = 0
        self._spoken: dict[Sound, Heard] = {}
        self._is_told = transcriber is not None
        if isinstance(transcriber, Mapping):
            texts_by_file = cast("Mapping[object, object]", transcriber)
            self._by_file = {_file(key): _heard(text, "What a file holds") for key, text in texts_by_file.items()}
        elif isinstance(transcriber, list | tuple):
            texts = cast("Sequence[Any]", transcriber)
            self._in_order = [_heard(text, f"transcriber[{place}]") for place, text in enumerate(texts)]
        elif callable(transcriber):
            self._function = transcriber
        elif transcriber is not None:
            self._always = _heard(transcriber, "transcriber")
        if self._in_order == [] or self._by_file == {}:
            raise ValueError("transcriber holds at least one text.")

    def remember(self, file: bytes, heard: Heard) -> None:
        """Keep what was spoken, so that it is heard again."""
        sound = read_wav(file)
        assert sound is not None
        self._spoken[sound] = heard

    async def hear(self, request: TranscriptionRequest, terms: Terms) -> Heard:
        """Return what is heard in the file of a request.

        Raises:
            UnscriptedCallError: Nothing says what.
            TypeError: The function returned no text.
            Exception: As the function does.
        """
        if self._function is not None:
            said = self._function(request)
            return _heard(await said if inspect.isawaitable(said) else said, "What a transcriber returns")
        if self._in_order is not None:
            return self._next(request, terms, self._in_order)
        if self._by_file is not None:
            heard, known = self._by_file.get(request.file.data), list(self._by_file.values())
            why = "has no answer: this file is not among those that its transcriber knows."
        elif self._is_told:
            return cast("Heard", self._always)
        else:
            sound = read_wav(request.file.data)
            heard, known = self._spoken.get(sound) if sound is not None else None, list(self._spoken.values())
            why = "has no answer: it was given no `transcriber`, and did not speak this audio itself."
        if heard is None:
            raise self._unscripted(request, terms, known, why)
        return heard

    def _next(self, request: TranscriptionRequest, terms: Terms, texts: list[Heard]) -> Heard:
        if self._used == len(texts):
            were = "the one text of its transcriber is" if len(texts) == 1 else f"all {len(texts)} texts are"
            raise self._unscripted(request, terms, texts, f"has no answer: {were} used up.")
        heard = texts[self._used]
        # What a fault keeps from being heard whole is heard by whoever asks again.
        if terms.fault is None or isinstance(terms.fault, Pace):
            self._used += 1
        return heard

    def _unscripted(
        self, request: TranscriptionRequest, terms: Terms, known: Sequence[Heard], why: str
    ) -> UnscriptedCallError:
        texts = listed([shown(heard.text) for heard in known])
        return UnscriptedCallError(self._mock, terms.number, f"{request.task} {request.file!r}", texts, why)


def _heard(given: object, what: str) -> Heard:
    if isinstance(given, Heard):
        return given
    if isinstance(given, str):
        return Heard(given)
    raise TypeError(f"{what} is a string or a Heard, not {shown(given)}.")


def _file(key: object) -> bytes:
    if not isinstance(key, bytes):
        raise TypeError(f"A file that a transcriber knows is bytes, not {shown(key)}.")
    return key
