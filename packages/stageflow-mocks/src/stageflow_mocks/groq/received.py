"""What a server was asked, as a test reads it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from stageflow_mocks.conversation import ChatMessage
from stageflow_mocks.groq.audio.form import Form, Upload
from stageflow_mocks.groq.audio.speech import SpeechRequest
from stageflow_mocks.groq.audio.transcription_request import TranscriptionRequest
from stageflow_mocks.groq.chat.request import ChatRequest
from stageflow_mocks.groq.models import ModelsRequest
from stageflow_mocks.provider_faults import Fault

Ending: TypeAlias = Literal["open", "completed", "cut", "client_left", "server_closed"]
"""How a request ended: answered in full, cut by a fault, left by the client, or ended by the server's own exit."""

Asked: TypeAlias = ChatRequest | TranscriptionRequest | SpeechRequest | ModelsRequest


@dataclass(eq=False, slots=True)
class ReceivedRequest:
    """What the server was asked, and how that ended. The bearer key is checked and not kept.

    Attributes:
        method, path, headers, body: As they came; the names of headers are in lower case.
        form: The body as a form, if it is one.
        asked: What is asked, if that passed validation: of chat, of audio or of models.
        fault: What strikes the answer.
        status: That of the answer; None while nothing of it is sent.
        frames_sent: How many pieces of the answer were sent; of a stream its events.
        ending: How it ended, or "open".
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    form: Form | None = None
    asked: Asked | None = None
    fault: Fault | None = None
    status: int | None = None
    frames_sent: int = 0
    ending: Ending = "open"
    # Not asyncio's: who waits may have another event loop than the server.
    _ended: Future[None] = field(default_factory=Future, repr=False)

    @property
    def chat(self) -> ChatRequest | None:
        """What is asked of chat; None of another request, and of an invalid one."""
        return self.asked if isinstance(self.asked, ChatRequest) else None

    @property
    def messages(self) -> list[ChatMessage]:
        """The messages of a valid chat request; none of another."""
        return [] if self.chat is None else list(self.chat.messages)

    @property
    def transcription(self) -> TranscriptionRequest | None:
        """What is to be transcribed or translated; None of another request, and of an invalid one."""
        return self.asked if isinstance(self.asked, TranscriptionRequest) else None

    @property
    def speech(self) -> SpeechRequest | None:
        """What is to be spoken; None of another request, and of an invalid one."""
        return self.asked if isinstance(self.asked, SpeechRequest) else None

    @property
    def fields(self) -> Mapping[str, tuple[str, ...]]:
        """The values of each field of a form; none of another body."""
        return {} if self.form is None else self.form.fields

    @property
    def upload(self) -> Upload | None:
        """The file of a form, valid or not: the first, if there are several."""
        files = [] if self.form is None else [file for files in self.form.files.values() for file in files]
        return files[0] if files else None

    async def wait_ended(self) -> Ending:
        """Wait until the server has finished with the request, and say how."""
        await asyncio.shield(asyncio.wrap_future(self._ended))
        return self.ending

    def end(self, ending: Ending) -> None:
        """Record the ending and wake who waits for it."""
        self.ending = ending
        self._ended.set_result(None)
