"""The annotations of a class's fields, with everything in them resolved."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Never,
    NotRequired,
    Protocol,
    Required,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from stageflow.wording import text_of


class UnresolvedContract(Exception):
    """The fields of a type cannot be known; the message says which, the hint what to do."""

    def __init__(
        self,
        message: str,
        hint: str = "Define or import the types of its fields at the top of its module, outside `if TYPE_CHECKING:`.",
    ) -> None:
        super().__init__(message)
        self.hint = hint


def type_text(annotation: Any) -> str:
    """Return what messages call an annotation."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is NoneType:
        return "None"
    if origin is None:
        name = getattr(annotation, "__qualname__", None) or getattr(annotation, "__name__", None)
        return str(name or annotation).rpartition("<locals>.")[2]
    if origin in (Union, UnionType):
        return " or ".join(map(type_text, args))
    if origin is Literal:
        return " or ".join(map(repr, args))
    if origin is Annotated:
        return type_text(args[0])
    return f"{type_text(origin)}[{', '.join(map(_argument_text, args))}]"


def _argument_text(arg: Any) -> str:
    if isinstance(arg, list):  # the parameters of a Callable
        return f"[{', '.join(map(_argument_text, cast('list[Any]', arg)))}]"
    return "..." if arg is Ellipsis else type_text(arg)


def field_hints(kind: Any, args: tuple[Any, ...], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotation of each field of a class.

    Args:
        kind: The class.
        args: What it is subscripted with, if it is generic.
        names: What annotations that are strings may mention, where those of their module do not suffice.

    Raises:
        UnresolvedContract: An annotation mentions what cannot be found.
    """
    hints = _hints(kind, names)
    scopes = _scopes(kind, args)
    if not any(scopes.values()):
        return hints
    return {name: substituted(hint, _scope_of(kind, name, scopes)) for name, hint in hints.items()}


def _hints(kind: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001 - an annotation is any expression; the second try tells
        # A class in a function knows neither itself nor its neighbours by name.
        around = {**names, kind.__name__: kind}
    try:
        return get_type_hints(kind, localns=around, include_extras=True)
    except Exception as error:
        raise _unresolved(f"the fields of {type_text(kind)}", error) from error


def _scopes(kind: Any, args: tuple[Any, ...]) -> dict[Any, dict[Any, Any]]:
    """Return what the type variables of a class and of each of its generic bases stand for."""
    scopes: dict[Any, dict[Any, Any]] = {}
    waiting = [(kind, args)]
    while waiting:
        one, given = waiting.pop()
        scope = scopes[one] = dict(zip(getattr(one, "__parameters__", ()), given, strict=False))
        bases = cast("tuple[Any, ...]", _own(one, "__orig_bases__", one.__bases__))
        for base in bases:
            origin: Any = get_origin(base) or base
            if isinstance(origin, type) and origin not in (Generic, Protocol, object):
                waiting.append((origin, tuple(substituted(arg, scope) for arg in get_args(base))))
    return scopes


def _own(kind: Any, name: str, default: Any) -> Any:
    return kind.__dict__.get(name, default)


def _scope_of(kind: Any, name: str, scopes: Mapping[Any, dict[Any, Any]]) -> dict[Any, Any]:
    classes: tuple[Any, ...] = kind.__mro__
    return scopes.get(next((one for one in classes if name in _own_annotations(one)), kind), {})


def _own_annotations(kind: Any) -> Mapping[str, Any]:
    found: Any = getattr(kind, "__annotations__", None)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}


def bare(hint: Any) -> Any:
    """Return the annotation without what says of a field whether it must be there or may be changed."""
    while (origin := get_origin(hint)) in _QUALIFIERS or getattr(origin, "_name", None) == "ReadOnly":
        hint = get_args(hint)[0]
    return hint


# ReadOnly (PEP 705) is known by its name: before 3.13 it is that of typing_extensions, which core does not import.
_QUALIFIERS = (Required, NotRequired, Final, ClassVar)


def required_keys(kind: Any, hints: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys that a TypedDict must have, told by its annotations too.

    Where annotations are strings, a class does not know its own NotRequired.
    """
    said = {name: get_origin(hint) for name, hint in hints.items()}
    without: frozenset[str] = kind.__required_keys__
    return frozenset(
        name for name, one in said.items() if one is Required or (one is not NotRequired and name in without)
    )


def extra_keys(kind: Any) -> Any:
    """Return the annotation of the keys that a TypedDict takes beside its own (PEP 728), or None if it takes none."""
    extra = getattr(kind, "__extra_items__", None)
    if extra is not None and type(extra).__name__ != "NoExtraItemsType":  # the latter known by its name, as above
        return None if extra is Never else extra
    return Any if _own(kind, "__closed__", None) is False else None


def is_alias(annotation: Any) -> bool:
    """Return whether this is `type X = ...`, or its like from typing_extensions, which is another class before 3.14."""
    return type(annotation).__name__ == "TypeAliasType"


def meaning(alias: Any, names: Mapping[str, Any] | None = None) -> Any:
    """Return what an alias stands for.

    Raises:
        UnresolvedContract: It mentions what cannot be found.
    """
    try:
        said = alias.__value__  # evaluated only now, where it is written with `type`
    except Exception as error:
        raise _unresolved(f"the type {alias}", error) from error
    return resolved(said, alias, names)


def resolved(hint: Any, home: Any, names: Mapping[str, Any] | None = None) -> Any:
    """Return an annotation with the strings in it resolved, as the module of `home` understands them.

    Raises:
        UnresolvedContract: It mentions what cannot be found.
    """

    def bearer() -> None:
        """Bear the annotation, since only those of functions and classes are resolved."""

    bearer.__annotations__ = {"return": hint}
    around = vars(sys.modules[home.__module__]) if home.__module__ in sys.modules else {}
    try:
        return get_type_hints(bearer, globalns=around, localns={**(names or {})}, include_extras=True)["return"]
    except Exception as error:
        raise _unresolved(f"the type {home}", error) from error


def _unresolved(what: str, error: Exception) -> UnresolvedContract:
    return UnresolvedContract(f"{what} cannot be resolved ({type(error).__name__}: {text_of(error)}).")


def substituted(hint: Any, scope: Mapping[Any, Any]) -> Any:
    """Return the annotation with its type variables replaced by what they stand for."""
    parameters = getattr(hint, "__parameters__", ())
    if not isinstance(parameters, tuple) or isinstance(hint, type):
        return hint
    if not parameters:
        return scope.get(hint, hint) if hasattr(hint, "__constraints__") else hint
    try:
        return hint[tuple(scope.get(one, one) for one in cast("tuple[Any, ...]", parameters))]
    except TypeError as error:  # a union of what cannot be hashed
        raise _unresolved(f"the type {hint}", error) from error
