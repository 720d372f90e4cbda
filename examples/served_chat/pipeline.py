"""The pipelines that are served: start reading here.

    input_guard ----> reply ~~tokens~~> whoever reads run.stream("reply")

What a client sees of a run is made of its events, by a projector; the tokens of `reply` are no events, and are read
beside them, in live_run.py. What `reply` returns is for other stages; what a client may know of it, which model
answered and what that took, is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stageflow import (
    Pipeline,
    PipelineRegistry,
    StageContext,
    StageGraph,
    StageKind,
    StageOutput,
    StreamOptions,
    stage,
)
from stageflow_plus import ChatStage

REPLY = "reply"
"""The stage whose tokens a client is sent; each pipeline that is served has it."""

MOST_CHARACTERS = 2_000


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


def build_chat(name: str = "chat", *, timeout: float = 60.0, **options: Any) -> StageGraph:
    """Check a pipeline and compile it; every question is one run of it, and takes `timeout` seconds at most.

    Args:
        name: The name of the pipeline.
        timeout: The limit of a run.
        options: Those of the ChatStage.
    """
    # A model that is paid for by the token is not to wait for anybody: there is room for a long answer.
    patient = StreamOptions(capacity=10_000)
    answering = ChatStage(text_from="input_guard", publish_usage=True, **options)
    reply = stage(REPLY, answering, dependencies="input_guard", stream=patient)
    return Pipeline(name, [input_guard, reply], timeout=timeout).build()


def served_pipelines() -> PipelineRegistry:
    """Return what a client may choose from, the usual one first."""
    registry = PipelineRegistry()
    registry.register("chat", build_chat("chat"))
    registry.register("brief", build_chat("brief", system_prompt="Answer in a few words.", max_tokens=16))
    return registry
