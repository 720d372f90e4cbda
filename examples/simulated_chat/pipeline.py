"""The pipeline that is tested: a shop's support chat, as it would go into production. Start reading here.

    authenticate --> input_guard --+--> memory -------------------+
                                   +--> triage --+--> profile ----+--> prompt --> answer ~~tokens~~> output_guard
                                                 +--> documents --+                                   |    :
                                                                                          remember <--+    :
                                                                        run.stream("output_guard") <~~sentences~~

The user reads an answer while the model writes it, but each sentence only when the guard has let it pass. Nothing in
this module knows that it is tested: what the stages talk to comes in the ports.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from stageflow import (
    Pipeline,
    RetryPolicy,
    StageContext,
    StageKind,
    StageOutput,
    StagePorts,
    Stream,
    StreamOptions,
    stage,
)
from stageflow.errors import ProviderTransientError, ToolArgumentsError
from stageflow.providers import AnswerInPieces, LLMProvider, LLMRequest, Message, Tool, ToolCall, closing_stream
from stageflow.results import AgentResult
from stageflow_plus import GuardStage, MemoryFetchStage, MemoryStore, MemoryWriteStage, RememberedTurns

DENIED = ("password", "credit card")
"""What neither the user may ask for nor the model may say."""

MOST_TURNS = 4
"""How often the model is asked in one answer, since it may ask for tools in between."""

TIMEOUT_S = 60.0
"""What the user waits at most."""

SENTENCE_END = re.compile(r"[.!?]\s+")


class Accounts(Protocol):
    """Knows whose session it is."""

    async def user_of(self, session_id: str) -> str | None: ...


class Customers(Protocol):
    """Knows who buys here."""

    async def profile_of(self, user_id: str) -> Mapping[str, str]: ...


class Library(Protocol):
    """Finds what is written about a question."""

    async def search(self, text: str) -> tuple[str, ...]: ...


class ToolClient(Protocol):
    """Something that the model may ask to have called."""

    tool: Tool

    async def call(self, call: ToolCall) -> str: ...


class ChatPorts(StagePorts):
    """What the stages use from outside. A run is given it as `ports=`."""

    def __init__(
        self,
        *,
        llm: LLMProvider,
        accounts: Accounts,
        customers: Customers,
        library: Library,
        memory: MemoryStore,
        orders: ToolClient,
    ) -> None:
        super().__init__(llm=llm)
        self.accounts = accounts
        self.customers = customers
        self.library = library
        self.memory = memory
        self.orders = orders


@dataclass(frozen=True)
class Prompt:
    """What the model is sent."""

    messages: tuple[Message, ...]


briefly = RetryPolicy(max_attempts=3, base_delay=0.1, retry_on=(ConnectionError, TimeoutError))


@stage(kind=StageKind.GUARD, retry=briefly, timeout=2, ports="accounts")
async def authenticate(ctx: StageContext) -> StageOutput[Any]:
    """Find out who asks; nobody else gets any further."""
    user_id = await ctx.ports.accounts.user_of(ctx.snapshot.run_id.session_id)
    return StageOutput.cancel("the session has expired") if user_id is None else StageOutput.ok(user_id=user_id)


input_guard = stage("input_guard", GuardStage(max_characters=400, denied=DENIED), dependencies=authenticate)

# An answer without memory is better than none: it is optional, and may fail.
memory = stage("memory", MemoryFetchStage(max_turns=6), dependencies=input_guard, timeout=1, critical=False)


@stage(kind=StageKind.ROUTE, routes=("answer", "human"), terminal_routes="human")
async def triage(input_guard: Mapping[str, Any]) -> dict[str, str]:
    """Hand over to a human whoever asks for one."""
    return {"route": "human" if re.search(r"\b(human|somebody)\b", input_guard["text"], re.IGNORECASE) else "answer"}


@stage(kind=StageKind.ENRICH, route={"triage": "answer"}, retry=briefly, timeout=2, ports="customers")
async def profile(ctx: StageContext, authenticate: Mapping[str, Any]) -> Mapping[str, str]:
    """Look up who it is that asks."""
    return await ctx.ports.customers.profile_of(authenticate["user_id"])


@stage(kind=StageKind.ENRICH, route={"triage": "answer"}, timeout=1.5, critical=False, ports="library")
async def documents(ctx: StageContext, input_guard: Mapping[str, Any]) -> dict[str, Any]:
    """Look for what is written about the question, as long as that does not hold up the answer."""
    return {"found": await ctx.ports.library.search(input_guard["text"])}


@stage
async def prompt(
    input_guard: Mapping[str, Any],
    profile: Mapping[str, str],
    memory: RememberedTurns | None = None,
    documents: Mapping[str, Any] | None = None,
) -> Prompt:
    """Put together what the model is sent."""
    facts = [f"The customer is {profile['name']}, who speaks {profile['language']}."]
    facts += documents["found"] if documents else ()
    turns = memory.turns if memory else ()
    return Prompt(
        (
            Message("system", "\n".join(("You help the customers of a shop.", *facts))),
            *(Message(turn.role, turn.content) for turn in turns),
            Message("user", input_guard["text"]),
        )
    )


# A model that is paid for by the token is not to wait for anybody: there is room for a long answer.
@stage(
    kind=StageKind.AGENT,
    retry=RetryPolicy(max_attempts=3, retry_on=(ProviderTransientError, TimeoutError)),
    timeout=15,
    deadline=40,
    stream=StreamOptions(capacity=1_000),
    ports=("llm", "orders"),
)
async def answer(ctx: StageContext, prompt: Prompt) -> AsyncIterator[str | AgentResult | StageOutput[Any]]:
    """Yield what the model writes, and call the tool when it asks for that."""
    llm, tools = ctx.ports.llm, (ctx.ports.orders.tool,)
    messages, text = prompt.messages, ""
    for _ in range(MOST_TURNS):
        pieces = AnswerInPieces(llm.name)
        async with closing_stream(llm.stream(LLMRequest(messages, tools=tools))) as chunks:
            async for chunk in chunks:
                pieces.add(chunk)
                if chunk.text:
                    yield chunk.text
        response = pieces.whole()
        text += response.text
        if not response.tool_calls:
            yield AgentResult(text, model=response.model, provider=llm.name, finish_reason=response.finish_reason)
            return
        said = [Message("tool", await called(ctx, call), tool_call_id=call.id) for call in response.tool_calls]
        messages = (*messages, Message("assistant", response.text, tool_calls=response.tool_calls), *said)
    yield StageOutput.fail(f"The model still asks for tools after {MOST_TURNS} turns.")


async def called(ctx: StageContext, call: ToolCall) -> str:
    """Return what a tool says, or why it says nothing: the model may make something of either."""
    try:
        async with asyncio.timeout(3):
            return await ctx.ports.orders.call(call)
    except ToolArgumentsError as error:
        return str(error)
    except (ProviderTransientError, TimeoutError):
        return "The orders cannot be looked up just now."


@stage(kind=StageKind.GUARD)
async def output_guard(answer: Stream[str]) -> AsyncIterator[str | StageOutput[Any]]:
    """Yield the answer sentence by sentence, as long as nothing is denied in it."""
    passed: list[str] = []
    async for sentence in sentences(answer):
        if any(term in sentence.casefold() for term in DENIED):
            yield StageOutput.cancel("the answer holds what may not be said")
            return
        passed.append(sentence)
        yield sentence
    yield StageOutput.ok(text="".join(passed))


async def sentences(pieces: Stream[str]) -> AsyncIterator[str]:
    """Yield the text again, cut where a sentence is known to end."""
    text = ""
    async for piece in pieces:
        text += piece
        while found := SENTENCE_END.search(text):
            yield text[: found.end()]
            text = text[found.end() :]
    if text:
        yield text


# Whatever became of an attempt, the store writes the turns once: MemoryWriteStage gives it the idempotency key.
remember = stage("remember", MemoryWriteStage(), dependencies=(input_guard, output_guard), retry=briefly, timeout=2)


def chat_pipeline() -> Pipeline:
    """Return the pipeline; every turn of a conversation is one run of it."""
    stages = (authenticate, input_guard, memory, triage, profile, documents, prompt, answer, output_guard, remember)
    return Pipeline("support_chat", stages, timeout=TIMEOUT_S)
