"""Models behind protocols: what is asked of them, what they answer, and in what pieces.

A provider wraps one service. It translates requests and responses, and classifies what goes wrong as one of the errors
in `stageflow.errors` (`ProviderError`): it retries nothing, since a stage's RetryPolicy does, and hides no attempt from
whoever logs calls. Whoever reads a stream closes it (`closing_stream`), and that ends the request.

Requests and responses are frozen; what they are made of is checked when they are made. Times are in milliseconds,
sample rates in hertz.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stageflow.lazy_names import names_from

if TYPE_CHECKING:
    from stageflow.providers.assembling import AnswerInPieces
    from stageflow.providers.audio import AudioEncoding, AudioFormat, Word
    from stageflow.providers.collecting import complete_from_stream, synthesize_from_stream
    from stageflow.providers.language import FinishReason, LLMChunk, LLMProvider, LLMRequest, LLMResponse, ToolCallPiece
    from stageflow.providers.messages import ROLES, Message, Role, Tool, ToolCall, Usage
    from stageflow.providers.reading import closing_stream
    from stageflow.providers.speech_to_text import STTChunk, STTProvider, STTRequest, STTResponse
    from stageflow.providers.supporting import require_supported
    from stageflow.providers.text_to_speech import TTSChunk, TTSProvider, TTSRequest, TTSResponse
else:
    __getattr__, __dir__ = names_from(
        __name__,
        {
            "stageflow.providers.assembling": ("AnswerInPieces",),
            "stageflow.providers.audio": ("AudioEncoding", "AudioFormat", "Word"),
            "stageflow.providers.collecting": ("complete_from_stream", "synthesize_from_stream"),
            "stageflow.providers.language": (
                "FinishReason",
                "LLMChunk",
                "LLMProvider",
                "LLMRequest",
                "LLMResponse",
                "ToolCallPiece",
            ),
            "stageflow.providers.messages": ("ROLES", "Message", "Role", "Tool", "ToolCall", "Usage"),
            "stageflow.providers.reading": ("closing_stream",),
            "stageflow.providers.speech_to_text": ("STTChunk", "STTProvider", "STTRequest", "STTResponse"),
            "stageflow.providers.supporting": ("require_supported",),
            "stageflow.providers.text_to_speech": ("TTSChunk", "TTSProvider", "TTSRequest", "TTSResponse"),
        },
    )

__all__ = [
    # Writing and reading providers
    "closing_stream",
    "complete_from_stream",
    "require_supported",
    "synthesize_from_stream",
    # Language models
    "AnswerInPieces",
    "FinishReason",
    "LLMChunk",
    "LLMProvider",
    "LLMRequest",
    "LLMResponse",
    "Message",
    "ROLES",
    "Role",
    "Tool",
    "ToolCall",
    "ToolCallPiece",
    "Usage",
    # Speech
    "AudioEncoding",
    "AudioFormat",
    "STTChunk",
    "STTProvider",
    "STTRequest",
    "STTResponse",
    "TTSChunk",
    "TTSProvider",
    "TTSRequest",
    "TTSResponse",
    "Word",
]
