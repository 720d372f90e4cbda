"""One turn: run the pipeline, listen to it, stop listening if somebody interrupts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from stageflow import PipelineResults, StageGraph, StagePorts

from examples.voice_turn.loudspeaker import Loudspeaker


@dataclass(frozen=True)
class Outcome:
    """What came of a turn.

    Attributes:
        results: Those of the run.
        first_audio_ms: When the first sound left, in milliseconds after the start; None if none did.
        model_end_ms: When the model had finished, or was closed.
        interrupted_ms: When nobody listened any more; None if all was heard.
        heard: What the loudspeaker was sent, took, and left.
    """

    results: PipelineResults
    first_audio_ms: float | None
    model_end_ms: float
    interrupted_ms: float | None
    heard: Mapping[str, float]


class Turn:
    """One turn of the conversation, which may be interrupted."""

    def __init__(self, graph: StageGraph, ports: StagePorts, loudspeaker: Loudspeaker) -> None:
        self._graph = graph
        self._ports = ports
        self._loudspeaker = loudspeaker
        self._limit: asyncio.Timeout | None = None

    def interrupt(self) -> None:
        """Stop listening now, as a user does who begins to speak."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0)

    async def take(self, text: str, *, interrupt_after: float | None = None) -> Outcome:
        """Have the text said, and listen to it to its end, or for so many seconds.

        Raises:
            StageflowError: A stage failed.
        """
        loop = asyncio.get_running_loop()
        begun, interrupted_ms = loop.time(), None
        run = self._graph.start(input_text=text, ports=self._ports)
        speech = run.stream("speech")
        try:
            async with asyncio.timeout(interrupt_after) as limit:
                self._limit = limit
                async for sound in speech:
                    await self._loudspeaker.play(sound)
        except TimeoutError:
            if not limit.expired():  # it is somebody else's
                raise
            interrupted_ms = (loop.time() - begun) * 1000
        finally:
            self._limit = None
            # Nobody else reads `speech`, so it is closed; then nobody reads `sentences`, and so on up to the model.
            await speech.aclose()
            results = await run.outcome()
            if results.error is not None:  # it says which stage failed; a broken stream, only that one did
                raise results.error
        heard_at, model = self._loudspeaker.begun_at, results.record("model")
        return Outcome(
            results,
            first_audio_ms=None if heard_at is None else (heard_at - begun) * 1000,
            model_end_ms=model.duration_ms,
            interrupted_ms=interrupted_ms,
            heard=speech.statistics()._asdict(),
        )
