"""What a stage may use from outside, by the names that stages agree on.

A run is given its ports: an object with an attribute for each. The protocols here are small and separate, so that a
stage says which it needs and a test gives no more; `StagePorts` holds any of them, and an application that has ports of
its own derives from it, or gives any object with such attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn, Protocol, cast

from stageflow.conformance import conforming
from stageflow.errors import MissingPortError
from stageflow.observability.call_logger import ProviderCallLogger
from stageflow.protocols import EnrichmentProvider
from stageflow.providers import LLMProvider, STTProvider, TTSProvider


class CorePorts(Protocol):
    """What any stage may use."""

    @property
    def call_logger(self) -> ProviderCallLogger: ...

    @property
    def enrichment(self) -> EnrichmentProvider: ...


class LLMPorts(Protocol):
    """What a stage uses that talks to a language model."""

    @property
    def llm(self) -> LLMProvider: ...


class AudioPorts(Protocol):
    """What a stage uses that hears or speaks."""

    @property
    def stt(self) -> STTProvider: ...

    @property
    def tts(self) -> TTSProvider: ...


PORTS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "call_logger": ProviderCallLogger,
        "enrichment": EnrichmentProvider,
        "llm": LLMProvider,
        "stt": STTProvider,
        "tts": TTSProvider,
    }
)
"""The ports that stages agree on, each with the protocol of what it gives."""


class StagePorts:
    """The ports of a run: any of those of `CorePorts`, `LLMPorts` and `AudioPorts`. It is frozen.

    To read one that was not given is a MissingPortError, which `getattr` with a default takes for an absent attribute.

    Args:
        call_logger: Keeps a record of each call to a provider.
        enrichment: Finds out what is known about a user or a request.
        llm: Answers conversations.
        stt: Writes down what is said.
        tts: Speaks.

    Raises:
        ProtocolMismatchError: One of them does not fit its protocol.
    """

    call_logger: ProviderCallLogger
    enrichment: EnrichmentProvider
    llm: LLMProvider
    stt: STTProvider
    tts: TTSProvider

    def __init__(
        self,
        *,
        call_logger: ProviderCallLogger | None = None,
        enrichment: EnrichmentProvider | None = None,
        llm: LLMProvider | None = None,
        stt: STTProvider | None = None,
        tts: TTSProvider | None = None,
    ) -> None:
        given = {"call_logger": call_logger, "enrichment": enrichment, "llm": llm, "stt": stt, "tts": tts}
        for name, port in given.items():
            if port is not None:
                object.__setattr__(self, name, conforming(port, PORTS[name], f"The port '{name}'"))

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):  # asked by copy, pickle and their like
            raise AttributeError(f"{type(self).__qualname__} has no attribute {name!r}")
        raise MissingPortError("", name, given=given_ports(self))

    def __setattr__(self, name: str, value: object) -> None:
        if name in PORTS:
            raise AttributeError(f"The ports of a run are frozen: {name!r} is given when they are made.")
        object.__setattr__(self, name, value)


def given_ports(ports: Any) -> tuple[str, ...]:
    """Return the names of the ports that an object has."""
    names = {
        *getattr(ports, "__dict__", ()),
        *(name for name in dir(cast("Any", type(ports))) if not name.startswith("_")),
    }
    return tuple(sorted(name for name in names if getattr(ports, name, None) is not None))


NO_PORTS = StagePorts()
