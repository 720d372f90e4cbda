"""Whether a value of one annotation can be a value of another one.

The answer is no only where it is certain: a false alarm would keep a pipeline that works from being built.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from inspect import Parameter
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

from stageflow.contracts import contract_of, is_typeddict, unsubscripted
from stageflow.validation.hints import (
    UnresolvedContract,
    bare,
    extra_keys,
    field_hints,
    is_alias,
    meaning,
    required_keys,
)


def can_be(given: Any, wanted: Any) -> bool:
    """Return whether a value of the given annotation can be one of the wanted annotation."""
    return _can_be(given, wanted, frozenset())


def _can_be(given: Any, wanted: Any, asked: frozenset[Any]) -> bool:
    return any(_one_can_be(mine, theirs, asked) for theirs in options(wanted) for mine in options(given))


def options(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation is a union of; Any where nobody knows."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is None:
        yield NoneType
    elif origin in (Union, UnionType):
        for arg in args:
            yield from options(arg)
    elif origin is Annotated:
        yield from options(args[0])
    elif origin is Literal:
        yield from (type(arg) for arg in args)
    elif isinstance(annotation, NewType):
        yield from options(annotation.__supertype__)
    elif is_alias(annotation):
        yield from options(meaning(annotation))
    else:
        unknown = annotation in (object, Parameter.empty) or not isinstance(origin or annotation, type)
        yield Any if unknown else annotation


def _one_can_be(given: Any, wanted: Any, asked: frozenset[Any]) -> bool:
    if Any in (given, wanted):
        return True
    mine, theirs = get_origin(given) or given, get_origin(wanted) or wanted
    if is_typeddict(mine) and is_typeddict(theirs):
        return mine is theirs or (mine, theirs) in asked or _keys_fit(given, wanted, asked | {(mine, theirs)})
    if is_typeddict(theirs):
        theirs = dict
    return _classes_meet(dict if is_typeddict(mine) else mine, theirs)


def _classes_meet(given: Any, wanted: Any) -> bool:
    """Return whether there is a class whose values are of both."""
    given, wanted = unsubscripted(given), unsubscripted(wanted)
    if _cannot_be_asked(given) or _cannot_be_asked(wanted):
        return True
    if wanted in (float, complex) and issubclass(given, (int, float)):
        return True
    for alike in (Mapping, list, AbstractSet):  # what is frozen becomes another class of its kind
        if issubclass(given, alike) and issubclass(wanted, alike):
            return True
    return issubclass(given, wanted) or issubclass(wanted, given) or any(issubclass(c, wanted) for c in _below(given))


def _cannot_be_asked(kind: Any) -> bool:
    """Return whether a metaclass of its own decides what is an instance: an abstract class, a protocol."""
    return type(kind) is not type and not issubclass(kind, (enum.Enum, Mapping)) and contract_of(kind) is None


def _below(kind: Any) -> Iterator[Any]:
    waiting = [kind]
    while waiting:
        found = type.__subclasses__(waiting.pop())
        yield from found
        waiting.extend(found)


def _keys_fit(given: Any, wanted: Any, asked: frozenset[Any]) -> bool:
    """Return whether a mapping of one TypedDict can be one of another, for which keys beyond its own do not matter."""
    mine, theirs = get_origin(given) or given, get_origin(wanted) or wanted
    try:
        hints, wanted_hints = field_hints(mine, get_args(given), {}), field_hints(theirs, get_args(wanted), {})
    except UnresolvedContract:
        return True  # a fault of its own, where the type is declared
    always, needed = required_keys(mine, hints), required_keys(theirs, wanted_hints)
    if extra_keys(mine) is None and not needed <= hints.keys():
        return False
    return all(
        _can_be(bare(hints[key]), bare(wanted_hints[key]), asked)
        for key in hints.keys() & wanted_hints.keys()
        if key in always or key in needed
    )
