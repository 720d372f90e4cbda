"""The pipeline behind the turn: start reading here.

    model ~~tokens~~> sentences ~~sentences~~> speech ~~sounds~~> whoever reads run.stream("speech")

All three stages are async generators, and run at the same time: a parameter annotated `Stream` reads what the other
stage yields while it yields it. So the first sound is there when the model has finished its first sentence, not its
answer. Who writes and who speaks is given to each run as its ports `llm` and `tts`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from stageflow import Pipeline, StageContext, StageGraph, Stream, StreamOptions, stage
from stageflow.providers import TTSChunk, TTSRequest, closing_stream
from stageflow_plus import ChatStage

from examples.voice_turn.sentences import SentenceSplitter

# A model that is paid for by the token is not to wait for a loudspeaker: there is room for a long answer.
model = stage("model", ChatStage(system_prompt="Say what you are told to."), stream=StreamOptions(capacity=1_000))


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
@stage(stream=StreamOptions(capacity=8), ports="tts")
async def speech(ctx: StageContext, sentences: Stream[str]) -> AsyncIterator[TTSChunk]:
    """Yield the sound of the sentences, word by word, while others are still to come."""
    async with closing_stream(ctx.ports.tts.stream(TTSRequest(sentences))) as sounds:
        async for sound in sounds:
            yield sound


def build_turn() -> StageGraph:
    """Check the pipeline and compile it; every turn would be one run of it."""
    return Pipeline("voice_turn", [model, sentences, speech]).build()
