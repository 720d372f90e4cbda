"""A run that clients watch: its events and the text that it streams, in one order, for as many as come, whenever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

from stageflow import PipelineEvent, PipelineRun
from stageflow.errors import StreamBrokenError
from stageflow.projector import Message, MessageProjector, message_of, position_after

from examples.served_chat.pipeline import REPLY

M = TypeVar("M", bound=Message)


class ClientProjector(MessageProjector[M], Protocol[M]):
    """Projects events, and text as well: what WSMessageProjector and SSEMessageProjector do."""

    def text(self, run_id: str, stage: str, text: str, *, offset: int) -> M: ...


class LiveRun:
    """One run and what has come of it, kept for clients that come late or come back.

    `run.messages(projector)` does this for a run whose stages do not stream. The text of a stage is read here once and
    kept whole, so that a client which comes back gets all of it in one message, and goes on from there.

    Args:
        run: A run that has been started in this turn of the event loop.
        on_left: Is called when the last client has gone, and with the start.
        on_end: Is called when all of the run is here.
    """

    def __init__(
        self, run: PipelineRun, *, on_left: Callable[[LiveRun], None], on_end: Callable[[LiveRun], None]
    ) -> None:
        self.run = run
        self.clients = 0
        self.ended = False
        self._events: list[PipelineEvent] = []
        self._text = ""
        self._text_begins: int | None = None  # the number of the event after which there may be text
        self._changed = asyncio.Event()
        self._on_left = on_left
        self._on_end = on_end
        # Both readers are asked for before the first await: what has been told by then would be gone.
        reading = asyncio.create_task(self._read_text(run.stream(REPLY)))
        self._reading = asyncio.create_task(self._read_events(run.events(), reading))
        on_left(self)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run.id

    def has_all(self, after: str | None) -> bool:
        """Return whether a client that has this event has them all.

        Raises:
            InvalidEventIdError: It is not an event of this run.
        """
        return self._position(after) == len(self._events) and self.ended

    def messages(self, projector: ClientProjector[M], *, after: str | None = None) -> AsyncIterator[M]:
        """Yield what a client is sent, from the event after that one to the end of the run.

        Text comes after the beginning of its stage and before its end. It begins anew for each client: what there is
        so far is one message.

        Raises:
            InvalidEventIdError: `after` is not an event of this run.
        """
        return self._follow(projector, self._position(after))

    async def end(self) -> None:
        """Wait until all of the run is here."""
        await asyncio.wait({self._reading})

    def _position(self, after: str | None) -> int:
        return 0 if after is None else position_after(after, run_id=self.id, told=len(self._events))

    async def _follow(self, projector: ClientProjector[M], position: int) -> AsyncIterator[M]:
        offset = 0
        self.clients += 1
        try:
            while True:
                changed = self._changed
                if self._text_begins is not None and self._text_begins <= position and offset < len(self._text):
                    text, begins = self._text[offset:], offset
                    offset = len(self._text)
                    yield projector.text(self.id, REPLY, text, offset=begins)
                elif position < len(self._events):
                    event = self._events[position]
                    position += 1
                    if (message := message_of(projector, event)) is not None:
                        yield message
                elif self.ended:
                    return
                else:
                    await changed.wait()
        finally:
            self.clients -= 1
            if not self.clients:
                self._on_left(self)

    async def _read_text(self, tokens: AsyncIterator[str]) -> None:
        try:
            async for token in tokens:
                self._text += token
                self._tell()
        except StreamBrokenError:
            pass  # the stage's last event tells how it ended

    async def _read_events(self, events: AsyncIterator[PipelineEvent], reading_text: asyncio.Task[None]) -> None:
        try:
            async for event in events:
                if event.stage == REPLY and event.event_type == f"stage.{REPLY}.started":
                    self._text_begins = event.sequence
                elif event.stage == REPLY and event.status is not None:
                    await reading_text  # what it wrote comes before how it ended
                self._events.append(event)
                self._tell()
            await reading_text
            await self.run.outcome()
        finally:
            self.ended = True
            self._tell()
            self._on_end(self)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
