"""The models of a server: what it lists, and what each of them is for.

Sources: the API reference at console.groq.com/docs for the fields up to `max_completion_tokens`, a list of October 2026
that stands in a public repository for those after it and for what each model is. The SDK's `Model` declares the first
four alone. How a model reasons: the page on reasoning there, the SDK's own comments, and refusals recorded in 2026.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from stageflow_mocks.groq.wire import JsonObject, Refusal, unknown_model, unsupported_by_model

Output: TypeAlias = Literal["text", "transcription", "speech"]
"""What a model gives, and with it which endpoint it is for."""

_CALLED = {"text": "chat completions", "transcription": "audio transcriptions", "speech": "audio speech"}
_JSON_AND_TOOLS = ("tools", "json_mode")
_STRUCTURED = (*_JSON_AND_TOOLS, "structured_outputs")


@dataclass(frozen=True, slots=True)
class Reasoner:
    """How a model reasons.

    Attributes:
        efforts: What `reasoning_effort` may say.
        formats: What `reasoning_format` may say; the first is what it does by itself.
        channel: What its deltas call the part of an answer that is thoughts.
    """

    efforts: tuple[str, ...]
    formats: tuple[str, ...]
    channel: str | None = None


_GPT_OSS = Reasoner(("low", "medium", "high"), ("parsed", "hidden"), "analysis")
_QWEN = Reasoner(("none", "default"), ("raw", "parsed", "hidden"))
_ANY_REASONER = Reasoner(("none", "default", "low", "medium", "high"), ("parsed", "raw", "hidden"))


@dataclass(frozen=True, slots=True)
class Model:
    """What a list of models says of one; `created` in Unix seconds, the rest in tokens."""

    id: str
    name: str
    owned_by: str = "Loopback"
    created: int = 1_700_000_000
    context_window: int = 131_072
    max_completion_tokens: int = 131_072
    inputs: tuple[str, ...] = ("text",)
    output: Output = "text"
    features: tuple[str, ...] = _JSON_AND_TOOLS
    reasoner: Reasoner | None = None

    def to_json(self) -> JsonObject:
        """The model as Groq lists it."""
        features = [*self.features, "reasoning"] if self.reasoner is not None else list(self.features)
        return {
            "id": self.id,
            "object": "model",
            "created": self.created,
            "owned_by": self.owned_by,
            "active": True,
            "context_window": self.context_window,
            "public_apps": None,
            "max_completion_tokens": self.max_completion_tokens,
            "name": self.name,
            "input_modalities": list(self.inputs),
            "output_modalities": [self.output],
            **({"supported_features": features} if self.output == "text" else {}),
        }


def _whisper(id: str, name: str, created: int) -> Model:
    return Model(id, name, "OpenAI", created, 448, 448, inputs=("audio",), output="transcription")


def _orpheus(id: str, name: str, created: int) -> Model:
    return Model(id, name, "Canopy Labs", created, 4_000, 50_000, output="speech")


GROQS = (
    Model("llama-3.1-8b-instant", "Llama 3.1 8B", "Meta", 1_693_721_698),
    Model("llama-3.3-70b-versatile", "Llama 3.3 70B", "Meta", 1_733_447_754, max_completion_tokens=32_768),
    Model(
        "openai/gpt-oss-120b",
        "GPT OSS 120B",
        "OpenAI",
        1_754_408_224,
        131_072,
        65_536,
        features=_STRUCTURED,
        reasoner=_GPT_OSS,
    ),
    Model(
        "openai/gpt-oss-20b",
        "GPT OSS 20B",
        "OpenAI",
        1_754_407_957,
        131_072,
        65_536,
        features=_STRUCTURED,
        reasoner=_GPT_OSS,
    ),
    Model("qwen/qwen3-32b", "Qwen3 32B", "Alibaba Cloud", 1_748_396_646, 131_072, 40_960, reasoner=_QWEN),
    Model(
        "qwen/qwen3.6-27b",
        "Qwen/Qwen3.6-27B",
        "Alibaba Cloud",
        max_completion_tokens=16_384,
        inputs=("text", "image"),
        reasoner=_QWEN,
    ),
    _whisper("whisper-large-v3", "Whisper", 1_693_721_698),
    _whisper("whisper-large-v3-turbo", "Whisper Large V3 Turbo", 1_728_413_088),
    _orpheus("canopylabs/orpheus-v1-english", "Canopy Labs Orpheus V1 English", 1_766_186_316),
)
"""Some of those that Groq has: with what was recorded of them, but for the names and features of the llamas and of
Qwen3 32B, and for the owner and the date of Qwen3.6."""

_BY_ID = {model.id: model for model in GROQS}


def model_of(name: str) -> Model:
    """Return what a model can do: one that is not of Groq's can do all."""
    any_model = Model(name, name, inputs=("text", "image"), features=_STRUCTURED, reasoner=_ANY_REASONER)
    return _BY_ID.get(name, any_model)


@dataclass(frozen=True, slots=True)
class ModelsRequest:
    """A request for the list of models, or for one of them."""

    model: str | None = field(default=None)


class Models:
    """The models of one server: those of these names, or Groq's and any other name for chat and audio if None."""

    def __init__(self, names: Collection[str] | None) -> None:
        self._takes_any = names is None
        self._listed = (
            _BY_ID if names is None else {name: _BY_ID.get(name, Model(name, name)) for name in sorted(names)}
        )

    def refusal(self, name: str, output: Output) -> Refusal | None:
        """Say why a model does not answer at an endpoint; None if it does, as any does that is not of Groq's."""
        if name not in self._listed and not self._takes_any:
            return unknown_model(name)
        known = _BY_ID.get(name)
        return None if known is None or known.output == output else unsupported_by_model(name, _CALLED[output])

    def unknown(self, request: ModelsRequest) -> Refusal | None:
        """Refuse a request for a model that is not listed."""
        name = request.model
        return None if name is None or name in self._listed else unknown_model(name)

    def to_json(self, request: ModelsRequest) -> JsonObject:
        """Return the list, or the model that is asked for."""
        if request.model is not None:
            return self._listed[request.model].to_json()
        models = sorted(self._listed.values(), key=lambda model: model.id)
        return {"object": "list", "data": [model.to_json() for model in models]}
