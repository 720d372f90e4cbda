"""A language model as a stage, whoever provides it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from stageflow import StageArtifact, StageContext, StageKind, StageOutput
from stageflow.calls import LoggedCall, logged_call
from stageflow.errors import ProviderContentRefused, ProviderProtocolError
from stageflow.providers import (
    AnswerInPieces,
    LLMProvider,
    LLMRequest,
    LLMResponse,
    Message,
    Tool,
    Usage,
    closing_stream,
)
from stageflow.results import AgentResult

from stageflow_plus.memory import RememberedTurns

PROGRESS_NS = 100_000_000
"""How long it takes at least from one `llm.progress` event to the next, but for the last, in nanoseconds."""


class ChatStage:
    """Sends the conversation to the model at the port `llm`, streams its answer, and ends with it as an `AgentResult`.

    The pieces of text are its chunks, for stages with `streams=` of it and `run.stream`. It also emits `llm.progress`
    events, which count `chunks` and `characters` and give `first_text_ms`, never the text: for the first piece, then at
    most one each 100 ms, and for the last piece. It fails with a `ProviderError` for everything that is not a complete
    answer, and closes the stream when nobody reads it any more or the run is cancelled. Each call is logged by the port
    `call_logger`, if there is one.

    The model is sent the system prompt, what is remembered, the conversation of the run, and what the user says now. A
    run that has no `input_text`, and whose conversation ends with a message of the user or of a tool, goes on from
    there.

    Args:
        model: The provider's id of the model; its own default if None.
        system_prompt: What the model is told first.
        text_from: The stage whose `text` the user said, a dependency of this one; the run's input if None.
        memory_from: The stage that gives RememberedTurns, an optional or required dependency of this one.
        profile_from: The stage whose data describes the user, a dependency of this one: what an EnrichStage found out,
            or all that another stage returns. It goes into the system prompt.
        publish_usage: Whether its output has an artifact "usage" for whoever watches the run: the `model`, `provider`
            and `finish_reason`, and the tokens if the provider tells them. An answer that failed has none.
        temperature, max_tokens, stop, seed, tools, tool_choice, json_schema: As in `LLMRequest`.

    Raises:
        TypeError, ValueError: One of them cannot be what it is; the message names it.
    """

    name = "chat"
    kind = StageKind.AGENT
    ports = ("llm",)

    def __init__(
        self,
        model: str | None = None,
        *,
        system_prompt: str = "You are a helpful assistant.",
        text_from: str | None = None,
        memory_from: str | None = None,
        profile_from: str | None = None,
        publish_usage: bool = False,
        temperature: float | None = None,
        max_tokens: int | None = None,
        stop: tuple[str, ...] = (),
        seed: int | None = None,
        tools: tuple[Tool, ...] = (),
        tool_choice: str = "auto",
        json_schema: Mapping[str, Any] | None = None,
    ) -> None:
        # Of one message, which each run replaces: so that a wrong option is found here.
        self._request = LLMRequest(
            (Message("system", system_prompt),),
            model=model,
            temperature=temperature,
            max_tokens=max_tokens,
            stop=stop,
            seed=seed,
            tools=tools,
            tool_choice=tool_choice,
            json_schema=json_schema,
        )
        if not isinstance(publish_usage, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"publish_usage of a ChatStage is True or False, not {publish_usage!r}.")
        self._system_prompt = system_prompt
        self._text_from = text_from
        self._memory_from = memory_from
        self._profile_from = profile_from
        self._publish_usage = publish_usage

    async def execute(self, ctx: StageContext) -> AsyncIterator[str | StageOutput[AgentResult]]:
        """Ask the model.

        Yields:
            Each piece of text, and at last the whole answer.

        Raises:
            ProviderError: There is no complete answer; the subclass says why.
        """
        llm: LLMProvider = ctx.ports.llm
        request = replace(self._request, messages=tuple(self._messages(ctx)))
        answer = AnswerInPieces(llm.name, request.model)
        asked: dict[str, Any] = {"messages": len(request.messages), "tools": len(request.tools)}
        async with logged_call(ctx, "chat", provider=llm.name, model=request.model, **asked) as call:
            progress = _Progress(ctx, answer, call)
            try:
                async with closing_stream(llm.stream(request)) as chunks:
                    async for chunk in chunks:
                        answer.add(chunk)
                        if chunk.text:
                            progress.note_text()
                            yield chunk.text
                progress.note_end()
            finally:  # what came of it is paid for, also if nobody wants the rest
                _note(call, answer, progress.first_text_ms)
            response = answer.whole()
            call.note(finish_reason=response.finish_reason, tool_calls=len(response.tool_calls))
            _check(response, llm.name)
        result = AgentResult(
            text=response.text,
            model=response.model,
            provider=llm.name,
            finish_reason=response.finish_reason,
            tool_calls=response.tool_calls,
            usage=response.usage,
            chunks=answer.chunks,
            first_text_ms=progress.first_text_ms,
            request_id=response.request_id,
        )
        output = StageOutput.ok(result)
        yield output.publishing(StageArtifact("usage", _used(result))) if self._publish_usage else output

    def _messages(self, ctx: StageContext) -> Iterator[Message]:
        yield Message("system", self._instructions(ctx))
        if self._memory_from is not None and ctx.inputs.has_output(self._memory_from):
            for turn in ctx.inputs.value(self._memory_from, RememberedTurns).turns:
                yield Message(turn.role, turn.content)
        yield from ctx.snapshot.conversation
        text = self._text(ctx)
        if text is not None:
            yield Message("user", text)

    def _instructions(self, ctx: StageContext) -> str:
        profile = None if self._profile_from is None else ctx.inputs.get_output(self._profile_from)
        facts: Mapping[str, Any] = {} if profile is None else _described(profile.data)
        known = [f"- {_in_one_line(key)}: {_in_one_line(value)}" for key, value in facts.items()]
        return "\n".join(
            [self._system_prompt, "What is known about the user:", *known] if known else [self._system_prompt]
        )

    def _text(self, ctx: StageContext) -> str | None:
        if self._text_from is not None:
            return ctx.inputs.require_from(self._text_from, "text")
        if ctx.snapshot.input_text is not None:
            return ctx.snapshot.input_text
        last = ctx.snapshot.conversation.last()
        if last is None or last.role not in ("user", "tool"):
            raise ValueError(
                "The run has no input_text, ChatStage was given no text_from to read instead, and the conversation "
                "does not end with what is to be answered."
            )
        return None


def _described(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what describes the user in the data of a stage: of one of kind ENRICH, what it found out."""
    found: Any = data.get("enrichments")
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else data


def _in_one_line(fact: object) -> str:
    """Return what is known without line breaks: users write their own names, and a line may read as an order."""
    return " ".join(str(fact).split())


class _Progress:
    """Tells how far an answer has come: not of each piece, since every sink would get as many events as tokens."""

    def __init__(self, ctx: StageContext, answer: AnswerInPieces, call: LoggedCall) -> None:
        self.first_text_ms: float | None = None
        self._ctx = ctx
        self._answer = answer
        self._call = call
        self._told_ns = 0
        self._told_chunks = 0

    def note_text(self) -> None:
        """Take notice of a piece of text."""
        now = self._ctx.timer.clock()
        if self.first_text_ms is None:
            self.first_text_ms = self._call.elapsed_ms
        elif now - self._told_ns < PROGRESS_NS:
            return
        self._told_ns = now
        self._tell(self.first_text_ms)

    def note_end(self) -> None:
        """Take notice that no more text will come."""
        if self.first_text_ms is not None and self._told_chunks < self._answer.chunks:
            self._tell(self.first_text_ms)

    def _tell(self, first_text_ms: float) -> None:
        chunks = self._told_chunks = self._answer.chunks
        told = {"chunks": chunks, "characters": self._answer.characters, "first_text_ms": round(first_text_ms, 3)}
        self._ctx.emit_event("llm.progress", told)


def _used(result: AgentResult) -> dict[str, Any]:
    told = {"model": result.model, "provider": result.provider, "finish_reason": result.finish_reason}
    return {**told, **_tokens(result.usage)}


def _tokens(usage: Usage | None) -> dict[str, int]:
    if usage is None:
        return {}
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
    }


def _note(call: LoggedCall, answer: AnswerInPieces, first_text_ms: float | None) -> None:
    call.note(
        characters=answer.characters,
        chunks=answer.chunks,
        first_chunk_ms=first_text_ms,
        request_id=answer.request_id,
        **_tokens(answer.usage),
    )


def _check(response: LLMResponse, provider: str) -> None:
    """Refuse what is complete and still no answer."""
    if response.finish_reason == "content_filter":
        raise ProviderContentRefused(
            f"The filter of provider '{provider}' cut the answer short.",
            provider=provider,
            request_id=response.request_id,
        )
    if not response.text and not response.tool_calls:
        raise ProviderProtocolError(
            f"The answer of provider '{provider}' has neither text nor tool calls (finish_reason is "
            f"'{response.finish_reason}').",
            provider=provider,
            request_id=response.request_id,
        )
