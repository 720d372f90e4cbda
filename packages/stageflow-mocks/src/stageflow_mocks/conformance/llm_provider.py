"""What an LLMProvider promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from typing import Any

from stageflow import StagePorts
from stageflow.errors import ProviderError
from stageflow.providers import AnswerInPieces, LLMChunk, LLMProvider, LLMRequest, LLMResponse, Message

from stageflow_mocks.conformance.providers import ProviderConformance
from stageflow_mocks.conformance.suite import not_told, promise, promised


class LLMProviderConformance(ProviderConformance[LLMProvider, LLMResponse, LLMChunk]):
    """Subclass it, and give `make`; whatever else is given makes more tests."""

    def request(self, number: int) -> LLMRequest:
        """Return a request that the provider answers with text; another number asks something else."""
        return LLMRequest((Message("user", f"Please say something about the number {number}."),))

    def tool_request(self) -> LLMRequest | None:
        """Return a request that the provider answers with tool calls; None if it knows no tools."""
        return None

    def said(self, number: int) -> str | None:
        return self.request(number).messages[-1].content

    def check_port(self, provider: LLMProvider) -> None:
        StagePorts(llm=provider)

    def call(self, provider: LLMProvider, number: int) -> Awaitable[LLMResponse]:
        return provider.complete(self.request(number))

    def stream(self, provider: LLMProvider, number: int) -> AsyncIterator[LLMChunk]:
        return provider.stream(self.request(number))

    def check_answer(self, answer: Any) -> None:
        promise(isinstance(answer, LLMResponse), f"`complete` returns an LLMResponse, not {answer!r}.")
        calls, reason = answer.tool_calls, answer.finish_reason
        promise(bool(calls) == (reason == "tool_calls"), f"An answer that ends '{reason}' has {len(calls)} tool calls.")
        promise(answer.text or calls or reason != "stop", "An answer that is complete says something.")

    def check_chunk(self, chunk: Any) -> None:
        promise(isinstance(chunk, LLMChunk), f"`stream` yields LLMChunk, not {chunk!r}.")

    def gist(self, answer: LLMResponse) -> Any:
        calls = tuple((call.name, call.arguments) for call in answer.tool_calls)
        return answer.text, answer.finish_reason, calls

    def whole(self, provider: LLMProvider, chunks: list[LLMChunk]) -> Any:
        pieces = AnswerInPieces(provider.name, "unnamed")
        for chunk in chunks:
            pieces.add(chunk)
        answer = pieces.whole()
        self.check_answer(answer)
        return self.gist(answer)

    @promised
    async def test_a_stream_says_why_it_ended(self, provider: LLMProvider) -> None:
        """One chunk has the finish reason, and no text comes after it: without it half an answer would pass for one."""
        chunks = [chunk async for chunk in provider.stream(self.request(0))]
        ends = [place for place, chunk in enumerate(chunks) if chunk.finish_reason is not None]
        promise(len(ends) == 1, f"One chunk has a finish_reason; {len(ends)} have.")
        later = any(chunk.text or chunk.tool_calls for chunk in chunks[ends[0] + 1 :])
        promise(not later, "Nothing but the usage comes after the chunk with the finish_reason.")

    @promised
    async def test_usage_adds_up(self, provider: LLMProvider) -> None:
        """What the provider tells of tokens is of this call: there are some, and streaming changes nothing."""
        usage = (await provider.complete(self.request(0))).usage
        if usage is None:
            not_told("the provider does not tell the usage")
        promise(usage.prompt_tokens > 0 and usage.completion_tokens > 0, f"Both counts are above 0: {usage!r}.")
        told = [chunk.usage async for chunk in provider.stream(self.request(0)) if chunk.usage is not None]
        promise(len(told) == 1, f"One chunk of a stream tells the usage; {len(told)} do.")
        promise(not self.repeats or told[0] == usage, f"A stream tells {told[0]!r}, and a whole answer {usage!r}.")

    @promised
    async def test_what_it_cannot_do_it_refuses(self, provider: LLMProvider) -> None:
        """A limit and a stop are kept, or refused with a ProviderError: a field of a request is never ignored."""
        whole = await provider.complete(self.request(0))
        words = whole.text.split()
        if len(words) < 2:
            not_told("the answer to `request(0)` is too short to be cut")
        cut = await _answered(provider, replace(self.request(0), max_tokens=1))
        told = "max_tokens=1 is refused, or the answer ends 'length'"
        ends = "" if cut is None else f"; it ended '{cut.finish_reason}' after {len(cut.text)} characters"
        promise(cut is None or cut.finish_reason == "length", f"{told}{ends}.")
        if self.repeats:
            stop = words[-1]
            cut = await _answered(provider, replace(self.request(0), stop=(stop,)))
            promise(cut is None or stop not in cut.text, f"stop=({stop!r},) is refused, or the answer ends before it.")

    @promised
    async def test_tools_are_called(self, provider: LLMProvider) -> None:
        """Calls have ids of their own, names among the tools of the request, and the same pieces as a whole."""
        request = self.tool_request() or not_told("`tool_request` gives none")
        answer = await provider.complete(request)
        self.check_answer(answer)
        promise(answer.tool_calls, "The answer calls tools.")
        names = {tool.name for tool in request.tools}
        for call in answer.tool_calls:
            promise(call.name in names, f"A tool '{call.name}' was called, and there are {sorted(names)}.")
        streamed = self.whole(provider, [chunk async for chunk in provider.stream(request)])
        promise(not self.repeats or streamed == self.gist(answer), "A stream calls the same tools.")


async def _answered(provider: LLMProvider, request: LLMRequest) -> LLMResponse | None:
    """Return the answer; None if the request is refused."""
    try:
        return await provider.complete(request)
    except ProviderError:
        return None
