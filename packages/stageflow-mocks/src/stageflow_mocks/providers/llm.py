"""A language model that answers what it is told to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial

from stageflow.providers import AnswerInPieces, LLMChunk, LLMRequest, LLMResponse, ToolCallPiece

from stageflow_mocks.providers.answers import (
    Answer,
    AnswerGiven,
    LLMFunction,
    asked_of,
    compiled,
    misfit,
    pieces_of,
    read_answer,
    usage_of,
)
from stageflow_mocks.providers.calls import LiveCall, Mock
from stageflow_mocks.providers.errors import ScriptError
from stageflow_mocks.providers.faults import AtCall, AtRate, MockFault, spoils
from stageflow_mocks.providers.scripts import Script, nearest_pattern
from stageflow_mocks.providers.timing import Latency
from stageflow_mocks.wording import listed, shown

__tracebackhide__ = True  # pytest shows who asked, and not how it is answered


class MockLLM(Mock):
    """An `LLMProvider` without a model: deterministic, recorded in `calls`, and as slow and broken as a test wants it.

    `stream` sends a token in each chunk; `complete` takes as long, and returns what those make.

    Args:
        answers: A string, CallTool, or Answer: it is given to every call. A list: one for each call, in order; a fault
            may stand in place of one. A mapping of regular expressions: the first that occurs in the last message
            answers, whatever its case. A function of the request, such as `echo`.
        model: Who answers requests that name no model.
        name, seed, latency, per_chunk, faults: As in `Mock`; `latency` is the time to the first token, `per_chunk` that
            to each further one.
    """

    malformed_ways = ("goes_on", "no_calls", "half_call")

    def __init__(
        self,
        answers: AnswerGiven
        | Sequence[AnswerGiven | MockFault]
        | Mapping[str, AnswerGiven | MockFault]
        | LLMFunction
        | MockFault,
        *,
        name: str = "mock-llm",
        model: str = "mock-1",
        seed: int = 0,
        latency: Latency = 0.0,
        per_chunk: Latency = 0.0,
        faults: Sequence[AtCall | AtRate] = (),
    ) -> None:
        super().__init__(name, seed=seed, latency=latency, per_chunk=per_chunk, faults=faults)
        if not isinstance(model, str) or not model:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"model of a MockLLM is a string that is not empty, not {shown(model)}.")
        self._model = model
        self._script = Script[Answer](name, answers, read=read_answer, check=self._check, asked_with="the request")
        self._patterns = compiled(self._script.by or {})

    @property
    def answers_left(self) -> int | None:
        """How many answers are still to be given, of a list of them; None if it was given none."""
        return self._script.left

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Return the whole answer.

        Raises:
            ProviderError: As a fault has it; an answer that is cut off or malformed is a ProviderProtocolError.
            ScriptError: The script has no answer for this, or one that does not fit.
        """
        self._require(request, LLMRequest)
        with self._recorded("chat", request) as call:
            async with aclosing(self._chunks(call, request)) as chunks:
                call.record.answer = response = self._whole([chunk async for chunk in chunks])
            return response

    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMChunk]:
        """Yield the answer, a token in each chunk.

        Raises:
            ProviderError: As a fault has it; an answer that is cut off or malformed raises nothing by itself.
            ScriptError: The script has no answer for this, or one that does not fit.
        """
        self._require(request, LLMRequest)
        with self._recorded("chat", request) as call:
            sent: list[LLMChunk] = []
            async with aclosing(self._chunks(call, request)) as chunks:
                async for chunk in chunks:
                    sent.append(chunk)
                    yield chunk
            if not spoils(call.fault):
                call.record.answer = self._whole(sent)

    def _whole(self, chunks: Sequence[LLMChunk]) -> LLMResponse:
        answer = AnswerInPieces(self.name, self._model)
        for chunk in chunks:
            answer.add(chunk)
        return answer.whole()

    async def _chunks(self, call: LiveCall, request: LLMRequest) -> AsyncGenerator[LLMChunk]:
        answer = await self._answer(call, request)
        chunk = partial(LLMChunk, model=request.model or self._model, request_id=call.request_id)
        pieces, finish_reason = pieces_of(answer, request, call.record.number, chunk)
        malformed = call.malformed(self.malformed_ways)
        if malformed in ("no_calls", "half_call"):
            pieces = [piece for piece in pieces if piece.text]
            finish_reason = "tool_calls"
        if malformed == "half_call":
            pieces.append(chunk(tool_calls=(ToolCallPiece(0, arguments='{"'),)))
        for piece in pieces:
            if not await call.passes_chunk():
                call.record.ended = "cut off"
                return
            yield piece
        if not await call.passes_end():
            call.record.ended = "cut off"
            return
        usage = usage_of(answer, request, len(pieces))
        yield chunk(finish_reason=finish_reason, usage=usage)
        if malformed == "goes_on":
            yield chunk(" And so on.")

    async def _answer(self, call: LiveCall, request: LLMRequest) -> Answer:
        """Return what is to be said; nothing, where a fault comes first."""
        if self._script.function is not None:
            answer = await self._script.from_function(call, request)
        elif self._script.by is not None:
            answer = self._by_pattern(call, request)
        else:
            answer = self._script.next(call, asked_of(request))
        if answer is None or call.strikes_first:
            return Answer()
        wrong = misfit(answer, request)
        if wrong is not None:
            raise ScriptError(self.name, call.record.number, asked_of(request), shown(answer), wrong)
        return answer

    def _by_pattern(self, call: LiveCall, request: LLMRequest) -> Answer | None:
        assert self._script.by is not None
        said = request.messages[-1].content
        for pattern, expression in self._patterns.items():
            if expression.search(said):
                return self._script.of(call, self._script.by[pattern])
        if call.strikes_first:
            return None
        patterns = list(self._patterns)
        why = f"has no answer: no pattern occurs in what was said last.{nearest_pattern(said, patterns)}"
        raise self._script.unscripted(call, asked_of(request), listed([repr(pattern) for pattern in patterns]), why)
