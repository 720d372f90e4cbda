"""What a provider does not support, it refuses: a field of a request is never ignored."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from stageflow.errors import ProviderRequestError
from stageflow.providers.language import LLMRequest
from stageflow.providers.speech_to_text import STTRequest
from stageflow.providers.text_to_speech import TTSRequest
from stageflow.wording import listed, nearest, shown, sketched, type_name, with_article

_CONTENT = ("json_schema", "prompt", "stop", "tools")
"""Fields of which errors do not repeat what they hold."""


def require_supported(request: LLMRequest | STTRequest | TTSRequest, *supported: str, provider: str) -> None:
    """Refuse a request that has more than a provider supports: the first line of its methods.

        require_supported(request, "temperature", "max_tokens", provider=self.name)

    What every request has, as its messages, is not asked for; every other field has to be as it is by default.

    Args:
        request: What the provider was asked.
        supported: The fields that it takes into account.
        provider: Its name.

    Raises:
        ProviderRequestError: The request has other fields; the message has each with its value.
        ValueError: `supported` names what is no such field.
    """
    defaults = {each.name: each.default for each in fields(request) if each.default is not MISSING}
    for name in supported:
        if name not in defaults:
            hint = f"{nearest(name, tuple(defaults))}It has: {listed(tuple(defaults))}."
            raise ValueError(f"'{name}' is no optional field of {_kind(request)}. {hint}")
    given = {name: getattr(request, name) for name in defaults if name not in supported}
    extra = [name for name, value in given.items() if value != defaults[name]]
    if extra:
        told = ", ".join(f"{name}={_told(name, given[name])}" for name in extra)
        raise ProviderRequestError(
            f"Provider '{provider}' does not support {told} of {_kind(request)}.",
            provider=provider,
            hint=f"Beside what is required it supports {listed(supported)}: leave out the rest, or ask another.",
        )


def _kind(request: Any) -> str:
    return with_article(type_name(request).rpartition(".")[2])


def _told(name: str, value: Any) -> str:
    return f"<{sketched(value, hidden=True)}>" if name in _CONTENT else shown(value)
