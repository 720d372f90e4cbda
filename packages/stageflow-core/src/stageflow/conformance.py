"""Whether an object has the methods of a protocol: asked when it is handed over, so that no run finds out.

`isinstance` with a protocol says that the names are there. What goes wrong in practice is a method that is not async,
takes other parameters, or was inherited from the protocol and never written; the first call of it would tell, in the
middle of a run, and of some only a warning.

Only what is certain is refused. A method in C tells neither its parameters nor whether it is async, and is believed.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from stageflow.errors import ProtocolMismatchError
from stageflow.wording import shown, text_of, type_name

T = TypeVar("T")

_members_of: dict[type[Any], dict[str, Any]] = {}

_fitting: WeakKeyDictionary[FunctionType, set[Any]] = WeakKeyDictionary()
"""By the function of a method, the methods of protocols that it is known to fit: runs ask about the same ones over and
over, and to look at one closely costs as much as a small run. By the function, since objects of one type may differ."""


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
    members = _members_of.get(protocol)
    if members is None:
        members = _members_of[protocol] = _members(protocol)
    if _is_known(value, members):
        return value
    problems = tuple(_problems(value, members))
    if not problems:
        return value
    if isinstance(value, type):
        hint = f"It is the class: write {value.__name__}()."
        raise ProtocolMismatchError(what, protocol.__name__, cast("Any", value), hint=hint)
    raise ProtocolMismatchError(what, protocol.__name__, value, problems=problems)


def _is_known(value: Any, members: dict[str, Any]) -> bool:
    """Return whether all that a protocol asks for was found to fit before, of this object or of another one."""
    try:
        for name, member in members.items():
            found = getattr(value, name)
            if type(member) is not FunctionType:
                continue
            if type(found) is not MethodType or member not in _fitting.get(cast("FunctionType", found.__func__), ()):
                return False
    except Exception:  # noqa: BLE001 - told by whoever looks closely
        return False
    return True


def _members(protocol: type[Any]) -> dict[str, Any]:
    """Return the methods of a protocol as functions, and its attributes, each with its annotation."""
    members: dict[str, Any] = {}
    for kind in reversed(protocol.__mro__[:-1]):
        if not getattr(kind, "_is_protocol", False) or kind.__module__ == "typing":
            continue
        members |= inspect.get_annotations(kind)
        for name, member in kind.__dict__.items():
            if isinstance(member, property):
                members[name] = inspect.get_annotations(cast("Any", member.fget)).get("return", "Any")
            elif inspect.isfunction(member) and not name.startswith("_"):
                members[name] = member
    return members


def _problems(value: Any, members: dict[str, Any]) -> Iterator[str]:
    for name, member in members.items():
        is_method = inspect.isfunction(member)
        expected = f"; expected: {_as_written(name, member) if is_method else f'`{name}: {_written(member)}`'}"
        try:
            found = getattr(value, name)
        except Exception as error:  # noqa: BLE001 - a property of the user's may raise anything
            absent = isinstance(error, AttributeError) and not hasattr(cast("Any", type(value)), name)
            what = f"it has no `{name}`" if absent else f"its `{name}` raises {type_name(error)}: {text_of(error)}"
            yield what + expected
            continue
        if not is_method:
            continue
        if problem := _problem(value, found, member):
            yield f"its `{name}` {problem}{expected}"
        elif type(found) is MethodType and isinstance(found.__func__, FunctionType):
            _fitting.setdefault(found.__func__, set()).add(member)


def _problem(value: Any, found: Any, member: Any) -> str | None:
    """Return what is wrong with a method, or None."""
    if not callable(found):
        return f"is {shown(found)}, which cannot be called"
    if getattr(found, "__func__", None) is member:
        return "is that of the protocol, which does nothing: write it"
    if isinstance(value, type) and inspect.isfunction(found) and not _is_static(value, found.__name__):
        return "is a method of its objects"
    is_async, yields = _is(inspect.iscoroutinefunction, found), _is(inspect.isasyncgenfunction, found)
    if inspect.iscoroutinefunction(member):
        if yields:
            return "yields, where it should return"
        if not is_async and not _may_return_awaitable(found):
            return "is not async"
    elif _streams(member):
        if is_async:
            return "is async and returns, where it should yield (or return an async iterator without being async)"
        if _is(inspect.isgeneratorfunction, found):
            return "yields, but is not async"
    elif is_async or yields:
        return "is async, and is called without await"
    elif _is(inspect.isgeneratorfunction, found) and _returns(member) not in ("Iterator", "Generator", "Iterable"):
        return "yields, where it should return"
    return _parameters_amiss(found, member)


def _is_static(kind: type[Any], name: str) -> bool:
    return isinstance(inspect.getattr_static(kind, name, None), staticmethod)


def _is(asked: Any, found: Any) -> bool:
    """Return whether a function is of a kind, or an object that is called like one."""
    flags = getattr(getattr(found, "__code__", None), "co_flags", 0)
    if type(flags) is int and asked(found):  # a MagicMock has flags that say yes to everything
        return True
    if inspect.isroutine(found) or isinstance(found, functools.partial):
        return False
    return asked(getattr(cast("Any", type(found)), "__call__", None))  # noqa: B004 - asked for what it is


def _may_return_awaitable(found: Any) -> bool:
    """Return whether what is not async may return something to await all the same: what cannot be seen may."""
    while isinstance(found, functools.partial):
        found = cast("Any", found).func
    inner = inspect.unwrap(found)  # a decorator of an async function returns what that returns
    if inner is not found and _is(inspect.iscoroutinefunction, inner):
        return True
    if not inspect.isroutine(found):
        found = getattr(cast("Any", type(found)), "__call__", None)  # noqa: B004 - asked for what it is
    function = getattr(found, "__func__", found)
    if not isinstance(function, FunctionType):
        return True
    return _returns(function) in ("Awaitable", "Coroutine", "Future", "Task")


def _returns(function: Any) -> str:
    """Return the name of the type that a function is annotated to return, without what that is of."""
    return _written(function.__annotations__.get("return", "")).partition("[")[0].rpartition(".")[2]


def _written(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _streams(member: Any) -> bool:
    return _returns(member) in ("AsyncIterator", "AsyncGenerator", "AsyncIterable")


def _parameters_amiss(found: Any, member: Any) -> str | None:
    signature = _signature(found)
    if signature is None:
        return None
    parameters = list(inspect.signature(member).parameters.values())[1:]
    named = {each.name: None for each in parameters if each.kind is each.KEYWORD_ONLY}
    required = {each.name: None for each in parameters if each.name in named and each.default is each.empty}
    placed = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    fewest = [None for each in placed if each.default is each.empty]
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        theirs = signature.parameters.values()
        if not any(each.kind is each.VAR_KEYWORD for each in theirs):
            return "does not take any keyword (**)"
        # It may name some of them, without which it is not called.
        required |= {each.name: None for each in theirs if each.kind is each.KEYWORD_ONLY}
        named |= required
    try:
        signature.bind(*[None] * len(placed), **named)
        signature.bind(*fewest, **required)
    except TypeError as error:
        return f"takes other parameters ({error})"
    return None


def _signature(found: Any) -> inspect.Signature | None:
    """Return how a method is called: what its own code says, or what it wraps if that says anything goes."""
    try:
        own = inspect.signature(found, follow_wrapped=False)
        kinds = {each.kind for each in own.parameters.values()}
        anything = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
        return inspect.signature(found) if anything <= kinds else own
    except (TypeError, ValueError):  # written in C without telling its parameters
        return None


class _Text:
    """An annotation that shows as it is written, where a signature would quote it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _as_written(name: str, member: Any) -> str:
    """Return the head of a protocol's method as its author writes it."""
    signature = inspect.signature(member)
    parameters = [
        each if each.annotation is each.empty else each.replace(annotation=_Text(_written(each.annotation)))
        for each in signature.parameters.values()
    ]
    text = signature.replace(parameters=parameters, return_annotation=_Text(_written(signature.return_annotation)))
    return f"`{'async ' if inspect.iscoroutinefunction(member) else ''}def {name}{text}`"
