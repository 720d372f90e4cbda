"""Models behind protocols: what is asked of them, what they answer, and in what pieces.

A provider wraps one service. It translates requests and responses, and classifies what goes wrong as one of the errors
in `stageflow.errors` (`ProviderError`): it retries nothing, since a stage's RetryPolicy does, and hides no attempt from
whoever logs calls. Whoever stops reading a stream closes it (`aclose`), and that ends the request.

Requests and responses are frozen; what they are made of is checked when they are made. Times are in milliseconds,
sample rates in hertz.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stageflow.lazy_names import names_from

if TYPE_CHECKING:
    from stageflow.providers.assembling import AnswerInPieces
    from stageflow.providers.audio import AudioEncoding, AudioFormat, Word
    from stageflow.providers.language import FinishReason, LLMChunk, LLMProvider, LLMRequest, LLMResponse, ToolCallPiece
    from stageflow.providers.messages import ROLES, Message, Role, Tool, ToolCall, Usage
    from stageflow.providers.speech_to_text import STTChunk, STTProvider, STTRequest, STTResponse
    from stageflow.providers.text_to_speech import TTSChunk, TTSProvider, TTSRequest, TTSResponse
else:
    __getattr__, __dir__ = names_from(
        __name__,
        {
            "stageflow.providers.assembling": ("AnswerInPieces",),
            "stageflow.providers.audio": ("AudioEncoding", "AudioFormat", "Word"),
            "stageflow.providers.language": (
                "FinishReason",
                "LLMChunk",
                "LLMProvider",
                "LLMRequest",
                "LLMResponse",
                "ToolCallPiece",
            ),
            "stageflow.providers.messages": ("ROLES", "Message", "Role", "Tool", "ToolCall", "Usage"),
            "stageflow.providers.speech_to_text": ("STTChunk", "STTProvider", "STTRequest", "STTResponse"),
            "stageflow.providers.text_to_speech": ("TTSChunk", "TTSProvider", "TTSRequest", "TTSResponse"),
        },
    )

__all__ = [
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
