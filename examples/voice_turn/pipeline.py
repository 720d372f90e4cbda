"""The pipeline behind the turn: start reading here.

    model ~~tokens~~> sentences ~~sentences~~> speech ~~sounds~~> whoever reads run.stream("speech")

All three stages are async generators, and run at the same time: a parameter annotated `Stream` reads what the other
stage yields while it yields it. So the first sound is there when the model has finished its first sentence, not its
answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from stageflow import Pipeline, StageContext, StageGraph, StageKind, Stream, StreamOptions, stage

from examples.voice_turn.model import MockModel
from examples.voice_turn.sentences import SentenceSplitter
from examples.voice_turn.voice import Sound, ToneVoice


@dataclass(frozen=True)
class VoicePorts:
    """What the stages use from outside."""

    model: MockModel
    voice: ToneVoice


# A model that is paid for by the token is not to wait for a loudspeaker: there is room for a long answer.
@stage(kind=StageKind.AGENT, stream=StreamOptions(capacity=1_000))
async def model(ctx: StageContext) -> AsyncIterator[str]:
    """Answer, token by token. When nobody listens any more this is closed where it stands, and so is the model."""
    async with aclosing(ctx.ports.model.answer(ctx.snapshot.input_text)) as tokens:
        async for token in tokens:
            yield token


@stage
async def sentences(model: Stream[str]) -> AsyncIterator[str]:
    """Yield each sentence as soon as it is complete, and at last what is left."""
    splitter = SentenceSplitter()
    async for token in model:
        for sentence in splitter.feed(token):
            yield sentence
    for sentence in splitter.rest():
        yield sentence


# Made a few words ahead of what is heard: what is dropped when somebody interrupts was made for nothing.
@stage(stream=StreamOptions(capacity=8))
async def speech(ctx: StageContext, sentences: Stream[str]) -> AsyncIterator[Sound]:
    """Yield the sound of each sentence, word by word."""
    async for sentence in sentences:
        async with aclosing(ctx.ports.voice.say(sentence)) as sounds:
            async for sound in sounds:
                yield sound


def build_turn() -> StageGraph:
    """Check the pipeline and compile it; every turn would be one run of it."""
    return Pipeline("voice_turn", [model, sentences, speech]).build()
