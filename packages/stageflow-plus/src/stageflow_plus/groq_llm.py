"""Groq as a provider of language models."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

from stageflow.errors import ProviderError
from stageflow.providers import LLMChunk, LLMRequest, LLMResponse, ToolCallPiece

from stageflow_plus.groq_errors import (
    SDK_ERRORS,
    cut_off,
    holds_headers,
    no_choices,
    provider_error,
    stopped_early,
)
from stageflow_plus.groq_translation import chunk_of, parameters_of, response_of

try:
    from groq import AsyncGroq, GroqError
except ImportError as error:
    raise ImportError('GroqLLM needs the Groq SDK: pip install "stageflow-plus[groq]"', name=error.name) from error

DEFAULT_MODEL = "llama-3.1-8b-instant"


class GroqLLM:
    """Models on Groq, as an `LLMProvider`.

    It takes a client of yours, which it does not close; or makes one, which is closed when `async with` it is left:

        async with GroqLLM(api_key="gsk_...") as llm:
            await chat.run(input_text="hello", ports=StagePorts(llm=llm))

    Each request is one attempt: a stage's RetryPolicy tries again, since only it knows what has been delivered. Groq
    does not stream an answer that has to satisfy a `json_schema`: `stream` then yields it as one chunk.

    Args:
        client: Made with `max_retries=0`.
        model: What is asked when a request names no model.
        api_key: In place of a client; read from GROQ_API_KEY if neither is given.
        base_url: The root of the host, without a path; Groq's own if None.
        timeout: Seconds of silence that end a request; the SDK's minute if None.
        hide_reasoning: Ask for answers without the thoughts of models that reason: qwen3 writes them into its answer
            otherwise, between `<think>` tags. Groq refuses this of a model that does not reason.

    Raises:
        ValueError: The client retries by itself, or both a client and what one is made of are given, or no key is.
    """

    name = "groq"

    def __init__(
        self,
        client: AsyncGroq | None = None,
        *,
        model: str = DEFAULT_MODEL,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
        hide_reasoning: bool = False,
    ) -> None:
        self._hide_reasoning = hide_reasoning
        self._owns_client = client is None
        self._model = model
        if client is None:
            client = _made_client(api_key, base_url, timeout)
        elif not api_key is base_url is timeout is None:
            raise ValueError("GroqLLM takes a client, or an api_key, base_url and timeout to make one of, not both.")
        if client.max_retries:
            raise ValueError(
                f"The client would try {client.max_retries} times again by itself, which no RetryPolicy and no call "
                "logger sees: make it with AsyncGroq(max_retries=0), or give client.with_options(max_retries=0)."
            )
        self._client = client

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Return the whole answer.

        Raises:
            ProviderError: There is none; the subclass says why.
        """
        try:
            completion = await self._create(request)
        except SDK_ERRORS as error:
            raise provider_error(error) from _shown_cause(error)
        return response_of(completion)

    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMChunk]:
        """Yield the answer in pieces, as they come.

        Raises:
            ProviderError: There is no complete answer; the subclass says why.
        """
        if request.json_schema is not None:
            yield _as_one_chunk(await self.complete(request))
            return
        reading = _Reading()
        try:
            stream = await self._create(request, stream=True)
            async with stream:
                async for event in stream:
                    chunk = reading.chunk(event)
                    if chunk is not None:
                        yield chunk
        except SDK_ERRORS as error:
            raise provider_error(error) from _shown_cause(error)
        if (missing := reading.missing()) is not None:
            raise missing

    async def _create(self, request: LLMRequest, **options: Any) -> Any:
        create: Any = self._client.chat.completions.create
        if self._hide_reasoning:
            options["reasoning_format"] = "hidden"
        return await create(**parameters_of(request, self._model), **options)

    async def aclose(self) -> None:
        """Close the client, if it was made here."""
        if self._owns_client:
            await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"GroqLLM(model={self._model!r}, base_url={str(self._client.base_url)!r})"


class _Reading:
    """What is known of a stream while it is read: to its end, since the SDK tells of some failures only there."""

    def __init__(self) -> None:
        self._received = False
        self._chosen = False
        self._finished = False
        self._texts = 0
        self._request_id: str | None = None
        self._stopped: str | None = None

    def chunk(self, event: Any) -> LLMChunk | None:
        """Translate an event, or return None if there is nothing in it.

        Raises:
            ProviderProtocolError: It is malformed.
        """
        self._received = True
        # The SDK makes its objects without checking them: an event may be JSON and still not be a chunk.
        has_choices = bool(getattr(event, "choices", None))
        if not has_choices and not self._chosen:
            return None
        self._chosen = True
        stopped = getattr(getattr(event, "x_groq", None), "error", None)
        self._stopped = str(stopped) if stopped else self._stopped
        chunk = chunk_of(event)
        self._request_id = chunk.request_id or self._request_id
        self._finished = self._finished or chunk.finish_reason is not None
        self._texts += bool(chunk.text)
        return chunk

    def missing(self) -> ProviderError | None:
        """Return the error for a stream that has ended, or None if its answer is complete."""
        if self._stopped is not None:
            return stopped_early(self._stopped, request_id=self._request_id)
        if self._received and not self._chosen:
            return no_choices(request_id=self._request_id)
        if not self._finished:
            return cut_off(chunks=self._texts, request_id=self._request_id)
        return None


def _made_client(api_key: str | None, base_url: str | None, timeout: float | None) -> AsyncGroq:
    options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
    try:
        return AsyncGroq(api_key=api_key, base_url=base_url, max_retries=0, **options)
    except GroqError as error:
        raise ValueError(
            "GroqLLM needs a client, an api_key, or the environment variable GROQ_API_KEY; there is none of them."
        ) from error


def _as_one_chunk(response: LLMResponse) -> LLMChunk:
    calls = enumerate(response.tool_calls)
    return LLMChunk(
        response.text,
        tool_calls=tuple(ToolCallPiece(index, call.id, call.name, call.arguments) for index, call in calls),
        finish_reason=response.finish_reason,
        usage=response.usage,
        model=response.model,
        request_id=response.request_id,
    )


def _shown_cause(error: Exception) -> Exception | None:
    return None if holds_headers(error) else error
