"""The pipeline that is served: start reading here.

    input_guard ----> reply ~~tokens~~> whoever reads run.stream("reply")

What a client sees of a run is made of its events, by a projector; the tokens of `reply` are no events, and are read
beside them, in live_run.py.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from stageflow import Pipeline, StageArtifact, StageContext, StageGraph, StageKind, StageOutput, StreamOptions, stage

REPLY = "reply"
"""The stage whose tokens a client is sent."""

MOST_CHARACTERS = 2_000


class Model(Protocol):
    """What answers."""

    def answer(self, text: str) -> AsyncGenerator[str]: ...


@dataclass(frozen=True)
class ChatPorts:
    """What the stages use from outside."""

    model: Model


class Surfaces:
    """Reads the topology of a run, "service.surface", for whoever shows it."""

    def interpret(self, topology: str) -> Mapping[str, str]:
        service, _, surface = topology.partition(".")
        return {"service": service, "surface": surface}


@stage(kind=StageKind.GUARD)
async def input_guard(ctx: StageContext) -> StageOutput[Any]:
    """Let a question pass that is one. The reason of a cancel is told to the client."""
    text = ctx.snapshot.input_text.strip()
    if not text:
        return StageOutput.cancel("the question is empty")
    if len(text) > MOST_CHARACTERS:
        return StageOutput.cancel(f"the question is longer than {MOST_CHARACTERS} characters")
    return StageOutput.ok(text=text)


# A model that is paid for by the token is not to wait for anybody: there is room for a long answer.
@stage(name=REPLY, kind=StageKind.AGENT, stream=StreamOptions(capacity=10_000))
async def reply(ctx: StageContext, input_guard: dict[str, Any]) -> AsyncIterator[str | StageOutput[Any]]:
    """Answer, token by token, and say at the end how much that was."""
    tokens = characters = 0
    async with aclosing(ctx.ports.model.answer(input_guard["text"])) as answer:
        async for token in answer:
            tokens, characters = tokens + 1, characters + len(token)
            yield token
    usage = {"tokens": tokens, "characters": characters}
    yield StageOutput.ok(usage).publishing(StageArtifact("usage", usage))


def build_chat(*, timeout: float = 60.0) -> StageGraph:
    """Check the pipeline and compile it; every question is one run of it, and takes `timeout` seconds at most."""
    return Pipeline("served_chat", [input_guard, reply], timeout=timeout).build()
