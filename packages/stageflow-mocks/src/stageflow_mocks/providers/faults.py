"""What goes wrong with a call of a mock, and when it does.

The faults that a server and a provider have in common are those of `GroqServer`, so that a test says the same to both.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from stageflow.errors import ProviderError, ProviderRateLimited, ProviderServerError, ProviderUnreachable

from stageflow_mocks.provider_faults import (
    CutOff,
    Disconnect,
    Hang,
    Pace,
    RateLimited,
    ServerError,
    require_chunks,
)
from stageflow_mocks.wording import nearest, shown

MalformedHow = Literal["goes_on", "no_calls", "half_call", "no_final", "half_sample"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Any error: at once, or after `after_chunks` pieces of the answer.

    Args:
        error: A class, of which one is made with a message that says so (and, of a ProviderError, the provider); or an
            exception, of which a copy is raised each time.
    """

    error: type[Exception] | Exception
    after_chunks: int | None = None

    def __post_init__(self) -> None:
        given: Any = self.error
        if not (isinstance(given, Exception) or (isinstance(given, type) and issubclass(given, Exception))):
            raise TypeError(f"error of a Failure is an exception or a class of exceptions, not {shown(self.error)}.")
        if isinstance(given, StopIteration | StopAsyncIteration) or given in (StopIteration, StopAsyncIteration):
            raise TypeError(f"error of a Failure is no {shown(given)}: nothing that is awaited can raise one.")
        if self.after_chunks is not None:
            require_chunks("after_chunks", self.after_chunks)
        try:
            self.raised("mock", 1)
        except Exception as error:
            way_out = "is given ready made" if isinstance(given, type) else "can be copied"
            raise TypeError(f"error of a Failure {way_out}; {shown(given)} cannot be made: {error}") from error

    def raised(self, provider: str, call: int) -> Exception:
        """Return the exception to raise in a call."""
        if isinstance(self.error, Exception):
            return copy.copy(self.error)
        made: Any = self.error
        if issubclass(self.error, ProviderError):
            return made(_told(provider, call, "fails"), provider=provider, request_id=request_id(provider, call))
        return made(_told(provider, call, "fails"))


@dataclass(frozen=True, slots=True)
class Malformed:
    """An answer that breaks the rules of its protocol.

    Args:
        how: Of a language model "goes_on" after its end, is to call tools and has "no_calls", has a "half_call"; of one
            that hears has "no_final" chunk; of one that speaks has a "half_sample". The first of those if None.
    """

    how: MalformedHow | None = None

    def __post_init__(self) -> None:
        known = get_args(MalformedHow)
        if self.how is not None and self.how not in known:
            hint = nearest(str(self.how), known)
            raise ValueError(f"how of a Malformed is one of {', '.join(known)}, not {shown(self.how)}. {hint}".rstrip())


MockFault: TypeAlias = RateLimited | ServerError | Disconnect | Hang | CutOff | Pace | Failure | Malformed
FAULTS: tuple[type[Any], ...] = get_args(MockFault)


@dataclass(frozen=True, slots=True)
class AtCall:
    """A fault of one call, counted from 1."""

    call: int
    fault: MockFault

    def __post_init__(self) -> None:
        call: Any = self.call
        if isinstance(call, bool) or not isinstance(call, int) or call < 1:
            raise ValueError(f"call of an AtCall counts calls, from 1 on, and is not {shown(call)}.")
        check_fault("fault of an AtCall", self.fault)


@dataclass(frozen=True, slots=True)
class AtRate:
    """A fault of some calls, drawn by the seed: of none at the rate 0, of all at the rate 1."""

    rate: float
    fault: MockFault

    def __post_init__(self) -> None:
        rate: Any = self.rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise ValueError(f"rate of an AtRate is a number from 0 to 1, not {shown(rate)}.")
        check_fault("fault of an AtRate", self.fault)


def check_fault(what: str, fault: Any, known: tuple[type[Any], ...] = FAULTS, how: tuple[str, ...] = ()) -> None:
    """Refuse what is no fault, or one that this kind of mock cannot have: `known` are the others."""
    if not isinstance(fault, known):
        names = ", ".join(sorted(kind.__name__ for kind in known))
        raise TypeError(f"{what} is one of {names}, not {shown(cast('object', fault))}.{_way_out(fault)}")
    if how and isinstance(fault, Malformed) and fault.how is not None and fault.how not in how:
        raise ValueError(f"{what} is Malformed({fault.how!r}), and what this one can be is {', '.join(how)}.")


def _way_out(fault: Any) -> str:
    if fault in FAULTS:
        return f" It is the class: write {fault.__name__}()."
    if isinstance(fault, type) and issubclass(fault, Exception):
        return f" An error is given as Failure({fault.__name__})."
    return f" An error is given as Failure({fault!r})." if isinstance(fault, Exception) else ""


def spoils(fault: MockFault | None) -> bool:
    """Return whether a fault keeps the answer from being given whole, so that it is still to come."""
    return fault is not None and not isinstance(fault, Pace)


def chunks_before(fault: MockFault | None) -> int | None:
    """Return how many pieces a fault lets through; None if it does not end the answer."""
    if fault is None or isinstance(fault, Pace | Malformed):
        return None
    return getattr(fault, "after_chunks", None) or 0


def error_of(fault: MockFault, provider: str, call: int) -> Exception | None:
    """Return what a fault raises in a call; None if it raises nothing."""
    asked: dict[str, Any] = {"provider": provider, "request_id": request_id(provider, call)}
    match fault:
        case RateLimited(retry_after):
            told = _told(provider, call, "is limited")
            return ProviderRateLimited(told, status=429, retry_after=retry_after, **asked)
        case ServerError(status):
            return ProviderServerError(_told(provider, call, f"is answered with {status}"), status=status, **asked)
        case Disconnect():
            return ProviderUnreachable(_told(provider, call, "loses its connection"), **asked)
        case Failure():
            return fault.raised(provider, call)
        case _:
            return None


def request_id(provider: str, call: int) -> str:
    """Return what a mock calls the request of a call."""
    return f"{provider}-{call}"


def _told(provider: str, call: int, what: str) -> str:
    return f"Call {call} of mock '{provider}' {what}, as it was told to."
