"""What a stage may use from outside, by the names that stages agree on.

A run is given its ports: an object with an attribute for each. The protocols here are small and separate, so that a
stage says which it needs and a test gives no more; `StagePorts` holds any of them, and an application that has ports of
its own derives from it, or gives any object with such attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import getattr_static, isroutine
from types import MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any, Never, Protocol, Self, TypeVar, cast

from stageflow import observability, protocols, providers
from stageflow.conformance import conforming
from stageflow.errors import MissingPortError, ProtocolMismatchError
from stageflow.wording import listed, nearest, shown, type_name, with_article

T = TypeVar("T")


class CorePorts(Protocol):
    """What any stage may use."""

    @property
    def call_logger(self) -> observability.ProviderCallLogger: ...

    @property
    def enrichment(self) -> protocols.EnrichmentProvider: ...


class LLMPorts(Protocol):
    """What a stage uses that talks to a language model."""

    @property
    def llm(self) -> providers.LLMProvider: ...


class AudioPorts(Protocol):
    """What a stage uses that hears or speaks."""

    @property
    def stt(self) -> providers.STTProvider: ...

    @property
    def tts(self) -> providers.TTSProvider: ...


PORTS: Mapping[str, tuple[ModuleType, str]] = {
    "call_logger": (observability, "ProviderCallLogger"),
    "enrichment": (protocols, "EnrichmentProvider"),
    "llm": (providers, "LLMProvider"),
    "stt": (providers, "STTProvider"),
    "tts": (providers, "TTSProvider"),
}
"""The ports that stages agree on, each with where the protocol of what it gives is, and what that is called."""


def protocol_of(port: str) -> type[Any] | None:
    """Return the protocol of one of the ports that stages agree on; None for any other name.

    It is loaded now: most runs have no ports, and none has all of them.
    """
    if port not in PORTS:
        return None
    package, name = PORTS[port]
    return getattr(package, name)


_NAMED = ("llm", "stt", "tts")
"""The ports that have a `name`, by which logs and errors call them."""


def _checked(name: str, port: T, protocol: type[Any]) -> T:
    """Return what fits the protocol of a port, and has a name that can be told where it has one."""
    conforming(port, protocol, f"The port '{name}'")
    if name in _NAMED:
        called = cast("Any", port).name
        if not isinstance(called, str) or not called.strip():
            problem = f"its `name` is {shown(called)}; expected: `name: str`, a text that is not empty"
            raise ProtocolMismatchError(f"The port '{name}'", protocol.__name__, port, problems=(problem,))
    return port


class StagePorts:
    """The ports of a run: any of those of `CorePorts`, `LLMPorts` and `AudioPorts`. Each is given once, and stays.

    To read one that was not given is a MissingPortError, which `getattr` with a default takes for an absent attribute.
    A subclass may have others, set in its `__init__`; names that begin with `_` are its own.

    Ports are live objects: a copy of a StagePorts is the StagePorts itself, and two are equal if they hold the same.

    Args:
        call_logger: Keeps a record of each call to a provider.
        enrichment: Finds out what is known about a user or a request.
        llm: Answers conversations.
        stt: Writes down what is said.
        tts: Speaks.

    Raises:
        ProtocolMismatchError: One of them does not fit its protocol.
        TypeError: There is no port of that name; those of a subclass are set by its `__init__`.
    """

    call_logger: observability.ProviderCallLogger
    enrichment: protocols.EnrichmentProvider
    llm: providers.LLMProvider
    stt: providers.STTProvider
    tts: providers.TTSProvider

    def __init__(
        self,
        *,
        call_logger: observability.ProviderCallLogger | None = None,
        enrichment: protocols.EnrichmentProvider | None = None,
        llm: providers.LLMProvider | None = None,
        stt: providers.STTProvider | None = None,
        tts: providers.TTSProvider | None = None,
        **unknown: Never,
    ) -> None:
        for name in unknown:
            raise TypeError(
                f"{type(self).__qualname__} takes no port '{name}'. {nearest(name, tuple(PORTS))}It takes: "
                f"{listed(tuple(PORTS))}. A port of your own is an attribute: set it in a subclass of StagePorts, or "
                "give run(ports=...) any object that has it."
            )
        given = {"call_logger": call_logger, "enrichment": enrichment, "llm": llm, "stt": stt, "tts": tts}
        for name, port in given.items():
            if port is not None:
                setattr(self, name, port)

    if not TYPE_CHECKING:  # else a type checker takes every misspelt name for a port

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):  # asked by copy, pickle and their like
                raise AttributeError(f"{type(self).__qualname__} has no attribute {name!r}")
            if _is_computed(self, name):  # Python asks here as well when a property has raised an AttributeError
                return object.__getattribute__(self, name)
            raise missing_port("", name, self)

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and name in self.__dict__:
            raise AttributeError(
                f"The port '{name}' has been given, and stays so: make another {type(self).__qualname__}."
            )
        protocol = protocol_of(name)
        if protocol is not None:
            if value is None:  # not given, as in `__init__`
                return
            value = _checked(name, value, protocol)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if not name.startswith("_"):
            raise AttributeError(f"The port '{name}' stays: make another {type(self).__qualname__}.")
        object.__delattr__(self, name)

    def __eq__(self, other: object) -> bool:
        return _held(self) == _held(cast("Any", other)) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *sorted(_held(self))))  # what they are need not be hashable

    def __repr__(self) -> str:
        held = (f"{name}: {type_name(port)}" for name, port in _held(self).items())  # whose repr may show a key
        return f"<{type(self).__qualname__} {', '.join(held) or 'without ports'}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def _held(ports: StagePorts) -> dict[str, Any]:
    return {name: port for name, port in ports.__dict__.items() if not name.startswith("_")}


NO_PORTS = StagePorts()
"""The ports of a run that was given none."""


def check_ports(stage: str, names: tuple[str, ...], ports: Any) -> None:
    """Check that a run has the ports that a stage needs.

    Raises:
        MissingPortError: There is no such attribute, or it is None.
        Exception: The attribute is a property, and raises this.
        ProtocolMismatchError: It is one of those that stages agree on, and does not fit its protocol.
    """
    for name in names:
        try:
            port = getattr(ports, name)
        except AttributeError:
            if _is_computed(ports, name):
                raise  # what went wrong in it, and not that the port is absent
            port = None
        if port is None:
            raise missing_port(stage, name, ports)
        protocol = protocol_of(name)
        if protocol is not None:
            _checked(name, port, protocol)


def _is_computed(ports: Any, name: str) -> bool:
    found = getattr_static(cast("Any", type(ports)), name, None)
    return found is not None and not isinstance(found, MemberDescriptorType)  # one of its slots, which is empty


def missing_port(stage: str, name: str, ports: Any) -> MissingPortError:
    """Return the error of a port that an object does not have."""
    way_out = None
    if isinstance(ports, Mapping):
        way_out = "Ports are attributes, and these are the keys of a mapping: types.SimpleNamespace(**ports)."
    elif (fitting := _port_that_fits(ports)) is not None:
        way_out = f"What it was given as ports is {with_article(PORTS[fitting][1])}: write StagePorts({fitting}=...)."
    elif name not in PORTS:
        way_out = f"Give it: run(ports=...) takes any object that has the attribute '{name}'."
    return MissingPortError(stage, name, given=given_ports(ports), way_out=way_out)


def _port_that_fits(value: Any) -> str | None:
    """Return the port which a value looks like that was given in place of ports, or None."""
    if isinstance(value, StagePorts):
        return None
    return next((name for name in PORTS if _fits(value, name)), None)


def _fits(value: Any, name: str) -> bool:
    try:
        conforming(value, cast("type[Any]", protocol_of(name)), name)
    except ProtocolMismatchError:
        return False
    return True


def given_ports(ports: Any) -> tuple[str, ...]:
    """Return the names of the ports that an object has. Properties are not asked: they may do anything."""
    if ports is None:
        return ()
    if isinstance(ports, Mapping):
        return tuple(sorted(key for key in cast("Mapping[Any, Any]", ports) if isinstance(key, str)))
    names: set[str] = set()
    for kind in cast("type[Any]", type(ports)).__mro__:
        if kind.__module__ != "builtins":
            names |= {name for name, value in kind.__dict__.items() if _is_given(ports, name, value)}
    for name, value in getattr(ports, "__dict__", {}).items():
        (names.discard if value is None else names.add)(name)
    return tuple(sorted(name for name in names if not name.startswith("_")))


def _is_given(ports: Any, name: str, value: Any) -> bool:
    """Return whether what a class has under a name makes a port of its objects: methods do not."""
    if isinstance(value, MemberDescriptorType):  # one of its slots
        return getattr(ports, name, None) is not None
    return value is not None and not isroutine(value) and not isinstance(value, (staticmethod, classmethod))
