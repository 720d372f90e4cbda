"""The pieces of a streamed answer, put together."""

from __future__ import annotations

from stageflow.errors import ProviderProtocolError
from stageflow.providers.language import FinishReason, LLMChunk, LLMResponse, ToolCallPiece
from stageflow.providers.messages import ToolCall, Usage
from stageflow.wording import with_article


class AnswerInPieces:
    """Takes the chunks of one answer as they come, and gives the whole when the last one was there.

    Args:
        provider: The name of the provider, for errors.
        model: The model that was asked for, in case no chunk says which one answers.

    Attributes:
        chunks: How many chunks with text have come.
        characters: How long their text is.
        request_id: The provider's id of the request, once a chunk has told it.
        usage: What it used, once a chunk has told it.
    """

    def __init__(self, provider: str, model: str | None = None) -> None:
        self.chunks = 0
        self.characters = 0
        self.request_id: str | None = None
        self.usage: Usage | None = None
        self._provider = provider
        self._model = model
        self._texts: list[str] = []
        self._calls: dict[int, _CallInPieces] = {}
        self._finish_reason: FinishReason | None = None

    def add(self, chunk: LLMChunk) -> None:
        """Take the next chunk.

        Raises:
            ProviderProtocolError: It cannot come at this place: the answer had ended, or it changes what was said.
            TypeError: It is no LLMChunk: a provider that yields its texts as they are, say.
        """
        if not isinstance(chunk, LLMChunk):  # pyright: ignore[reportUnnecessaryIsInstance]
            came = with_article(type(chunk).__qualname__)  # and not the text, which is what a model said
            raise TypeError(f"The stream of provider '{self._provider}' is made of LLMChunk, and yielded {came}.")
        if self._finish_reason is not None and (chunk.text or chunk.tool_calls or chunk.finish_reason is not None):
            raise self._broken(f"went on after its end (finish_reason '{self._finish_reason}')")
        self.request_id = chunk.request_id or self.request_id
        self._model = chunk.model or self._model
        self.usage = chunk.usage or self.usage
        self._finish_reason = chunk.finish_reason or self._finish_reason
        if chunk.text:
            self._texts.append(chunk.text)
            self.chunks += 1
            self.characters += len(chunk.text)
        for piece in chunk.tool_calls:
            if not self._calls.setdefault(piece.index, _CallInPieces()).add(piece):
                raise self._broken(f"has two tool calls in one: both have the index {piece.index}")

    def whole(self) -> LLMResponse:
        """Return the answer.

        Raises:
            ProviderProtocolError: The stream ended before the answer was complete, or what it holds is no answer.
        """
        if self._finish_reason is None:
            held = f"after {self.chunks} chunks of text" if self.chunks or self._calls else "and holds nothing of it"
            raise self._broken(f"ended before it was complete: there is no finish_reason, {held}")
        if self._finish_reason == "tool_calls" and not self._calls:
            raise self._broken("is to call tools (finish_reason 'tool_calls'), and has no call")
        if not self._model:
            raise self._broken("does not say which model gave it (`model=` of a chunk), and none was asked for by name")
        return LLMResponse(
            "".join(self._texts),
            model=self._model,
            finish_reason=self._finish_reason,
            tool_calls=tuple(self._tool_calls()),
            usage=self.usage,
            request_id=self.request_id,
        )

    def _tool_calls(self) -> list[ToolCall]:
        calls: list[ToolCall] = []
        for index in range(len(self._calls)):
            if index not in self._calls:
                raise self._broken(f"lacks the tool call with the index {index}, and has later ones")
            call = self._calls[index].whole()
            if call is None:
                raise self._broken(f"has a tool call without an id or a name (index {index})")
            if any(call.id == other.id for other in calls):
                raise self._broken(f"has two tool calls of the same id (the second has the index {index})")
            calls.append(call)
        return calls

    def _broken(self, how: str) -> ProviderProtocolError:
        return ProviderProtocolError(
            f"The answer of provider '{self._provider}' {how}.", provider=self._provider, request_id=self.request_id
        )


class _CallInPieces:
    """What has come of one tool call."""

    __slots__ = ("_arguments", "_id", "_name")

    def __init__(self) -> None:
        self._id = ""
        self._name = ""
        self._arguments: list[str] = []

    def add(self, piece: ToolCallPiece) -> bool:
        """Take the next piece; False if it belongs to another call. Some providers repeat id and name in each."""
        if (self._id and piece.id not in ("", self._id)) or (self._name and piece.name not in ("", self._name)):
            return False
        self._id = self._id or piece.id
        self._name = self._name or piece.name
        self._arguments.append(piece.arguments)
        return True

    def whole(self) -> ToolCall | None:
        """Return the call, or None if it lacks its id or its name."""
        return ToolCall(self._id, self._name, "".join(self._arguments)) if self._id and self._name else None
