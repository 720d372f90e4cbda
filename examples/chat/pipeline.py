"""The pipeline behind the chat: start reading here.

    input_guard --+--> memory ---+--> reply --> output_guard --> remember
                  +--> profile --+

Each stage names what it depends on. Stageflow starts it as soon as that is there, so `memory` and `profile` run side by
side, and hands it what those stages returned, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stageflow import Pipeline, StageContext, StageGraph, StageKind, StagePorts
from stageflow.providers import LLMProvider
from stageflow_plus import ChatStage, GuardStage, MemoryFetchStage, MemoryStore, MemoryWriteStage


class ChatPorts(StagePorts):
    """What the stages use from outside. A run is given it as `ports=`; stages themselves hold no clients."""

    def __init__(self, *, llm: LLMProvider, memory: MemoryStore) -> None:
        super().__init__(llm=llm)
        self.memory = memory


@dataclass(frozen=True)
class Profile:
    """What is known about the user. A stage may return a dataclass; the stages after it get it back as one."""

    language: str
    local_time: str


async def profile(ctx: StageContext) -> Profile:
    """A stage may be a function: this one looks only at what the run was asked."""
    asked_at = ctx.snapshot.created_at.astimezone()
    return Profile(language=ctx.snapshot.metadata["language"], local_time=f"{asked_at:%A, %d %B %Y, %H:%M}")


def build_chat(*, model: str, denied: Sequence[str]) -> StageGraph:
    """Check the pipeline and compile it once; every turn of the conversation is one run of it."""
    system_prompt = "You are a friendly assistant on a terminal. Answer in plain text, in at most three sentences."
    reply = ChatStage(
        model,
        system_prompt=system_prompt,
        text_from="input_guard",
        memory_from="memory",
        profile_from="profile",
    )
    return (
        Pipeline("chat")
        .with_stage("input_guard", GuardStage(max_characters=4_000, denied=denied))
        .with_stage("memory", MemoryFetchStage(max_turns=20), dependencies="input_guard")
        .with_stage("profile", profile, StageKind.ENRICH, dependencies="input_guard")
        .with_stage("reply", reply, dependencies=("input_guard", "profile"), optional="memory")
        .with_stage("output_guard", GuardStage(text_from="reply", denied=denied), dependencies="reply")
        .with_stage("remember", MemoryWriteStage(), dependencies=("input_guard", "output_guard"))
        .build()
    )
