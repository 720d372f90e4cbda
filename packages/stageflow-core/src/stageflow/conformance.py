"""Whether an object has the methods of a protocol: asked when it is handed over, so that no run finds out.

`isinstance` with a protocol says that the names are there. What goes wrong in practice is a method that is not async,
or takes other parameters; the first call of it would tell, in the middle of a run, and of some only a warning.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from stageflow.errors import ProtocolMismatchError
from stageflow.wording import shown

T = TypeVar("T")

_ANYTHING = "anything_else"

_conforming: WeakKeyDictionary[type, set[type]] = WeakKeyDictionary()
"""By the type of an object, the protocols that are known to fit it: asking costs as much as a small run."""


def conforming(value: Any, protocol: type[T], what: str) -> T:
    """Return the value if it has the attributes and methods of a protocol.

    A method fits if it is async where the protocol's is, and can be called in the way that the protocol writes it.

    Args:
        value: What was handed over.
        protocol: A class of `typing.Protocol`.
        what: What it was handed over as, for the message: "The run_store of a run".

    Raises:
        ProtocolMismatchError: It does not fit; the message has each method that is amiss as it should be.
    """
    kind = cast("type[Any]", type(value))
    known = _conforming.get(kind)
    own = getattr(value, "__dict__", None)
    plain = not own or own.keys().isdisjoint(_members(protocol))
    if plain and known is not None and protocol in known:
        return value
    if isinstance(value, type):
        raise ProtocolMismatchError(what, protocol.__name__, value, hint=f"It is the class: write {value.__name__}().")
    problems = tuple(_problems(value, protocol))
    if problems:
        raise ProtocolMismatchError(what, protocol.__name__, value, problems=problems)
    if plain:
        _conforming.setdefault(kind, set()).add(protocol)
    return value


def _members(protocol: type[Any]) -> dict[str, Any]:
    """Return the methods of a protocol, and its attributes, each of them as None."""
    members: dict[str, Any] = {}
    for kind in reversed(protocol.__mro__[:-1]):
        if not getattr(kind, "_is_protocol", False) or kind.__module__ == "typing":
            continue
        members |= dict.fromkeys(inspect.get_annotations(kind))
        members |= {
            name: member
            for name, member in kind.__dict__.items()
            if inspect.isfunction(member) and not name.startswith("_")
        }
    return members


def _problems(value: Any, protocol: type[Any]) -> Iterator[str]:
    for name, member in _members(protocol).items():
        try:
            found = getattr(value, name)
        except AttributeError:
            yield f"it has no `{name}`" + ("" if member is None else f"; expected: {_as_written(name, member)}")
            continue
        if member is not None and (problem := _problem(found, member)):
            yield f"its `{name}` {problem}; expected: {_as_written(name, member)}"


def _problem(found: Any, member: Any) -> str | None:
    """Return what is wrong with a method, or None."""
    if not callable(found):
        return f"is {shown(found)}, which cannot be called"
    is_async = _is(inspect.iscoroutinefunction, found)
    yields = _is(inspect.isasyncgenfunction, found)
    if inspect.iscoroutinefunction(member):
        if yields:
            return "yields, where it should return"
        if not is_async:
            return "is not async"
    elif _streams(member):
        if is_async:
            return "is async and returns, where it should yield (or return an async iterator without being async)"
    elif is_async or yields:
        return "is async, and is called without await"
    return _parameters_amiss(found, member)


def _is(asked: Any, found: Any) -> bool:
    return asked(found) or asked(getattr(cast("Any", type(found)), "__call__", None))  # noqa: B004 - asked for what it is


def _streams(member: Any) -> bool:
    return str(member.__annotations__.get("return", "")).startswith("AsyncIterator")


def _parameters_amiss(found: Any, member: Any) -> str | None:
    try:
        signature = inspect.signature(found)
    except ValueError:  # written in C without telling its parameters
        return None
    parameters = list(inspect.signature(member).parameters.values())[1:]
    named = {each.name: None for each in parameters if each.kind is each.KEYWORD_ONLY}
    required = {each.name: None for each in parameters if each.name in named and each.default is each.empty}
    placed = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    fewest = [None for each in placed if each.default is each.empty]
    bind = signature.bind
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        bind = signature.bind_partial  # it may name some of them, without which it is not called
        named[_ANYTHING] = required[_ANYTHING] = None
    try:
        bind(*[None] * len(placed), **named)
        bind(*fewest, **required)
    except TypeError as error:
        if _ANYTHING in named and _ANYTHING in str(error):
            return "does not take any keyword (**)"
        return f"takes other parameters ({error})"
    return None


def _as_written(name: str, member: Any) -> str:
    """Return the head of a protocol's method as its author writes it."""
    text = str(inspect.signature(member)).replace("'", "")  # annotations are strings
    return f"`{'async ' if inspect.iscoroutinefunction(member) else ''}def {name}{text}`"
