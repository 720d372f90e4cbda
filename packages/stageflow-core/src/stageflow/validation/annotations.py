"""Annotations to shapes."""

from __future__ import annotations

from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
)
from collections.abc import Set as AbstractSet
from functools import lru_cache
from importlib import import_module
from inspect import Parameter
from types import GenericAlias, NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ForwardRef,
    Literal,
    LiteralString,
    NewType,
    Self,
    TypeVar,
    Union,
    Unpack,
    cast,
    get_args,
    get_origin,
)

from stageflow.contracts import contract_of, is_typeddict
from stageflow.frozen import FrozenDict, FrozenList
from stageflow.validation.containers import Fixed, Items, Keyed, Keys
from stageflow.validation.hints import (
    UnresolvedContract,
    bare,
    extra_keys,
    field_hints,
    is_alias,
    meaning,
    required_keys,
    resolved,
    substituted,
    type_text,
)
from stageflow.validation.records import Model, Record
from stageflow.validation.shapes import ANYTHING, NOTHING, SCALARS, Constrained, Either, Instance, Late, OneOf, Shape
from stageflow.wording import text_of


class Compiler:
    """Makes shapes of annotations.

    Args:
        names: What annotations that are strings may mention, beside the names of their module.
    """

    def __init__(self, names: Mapping[str, Any] | None = None) -> None:
        self._names = names or {}
        self._made: dict[Any, Shape] = {}

    def shape(self, hint: Any, owner: Any = Any) -> Shape:
        """Return the shape of an annotation; `owner` is the class that stands in, for Self.

        Raises:
            UnresolvedContract: A type mentions one that cannot be found.
        """
        origin, args = get_origin(hint), get_args(hint)
        if origin is None:
            return self._simple(hint, owner)
        if origin in (Union, UnionType):
            return either(self.shape(arg, owner) for arg in args)
        if origin is Annotated:
            return self._annotated(args, owner)
        if origin is Literal:
            return OneOf(args)
        if bare(hint) is not hint:
            return self.shape(bare(hint), owner)
        if is_alias(origin):
            return self._alias(origin, args, owner)
        if not args and not isinstance(hint, GenericAlias):  # typing.List is bare, tuple[()] is not
            return self._simple(origin, owner)
        return self._generic(hint, origin, args, owner)

    def _simple(self, hint: Any, owner: Any) -> Shape:
        if hint in (Any, object, Parameter.empty):
            return ANYTHING
        if hint in (None, NoneType):
            return NOTHING
        if hint is LiteralString:
            return SCALARS[str]
        if hint is Self:
            return self.shape(owner, owner)
        if isinstance(hint, TypeVar):
            meant = hint.__constraints__ or (hint.__bound__ or Any,)
            return either(self.shape(resolved(one, hint, self._names), owner) for one in meant)
        if isinstance(hint, NewType):
            return self.shape(hint.__supertype__, owner)
        if is_alias(hint):
            return self._alias(hint, (), owner)
        if isinstance(hint, (str, ForwardRef)):
            raise UnresolvedContract(f"the type {hint!r} cannot be resolved.")
        return self._class(hint, (), type_text(hint)) if isinstance(hint, type) else ANYTHING

    def _annotated(self, args: tuple[Any, ...], owner: Any) -> Shape:
        shape = self.shape(args[0], owner)
        constraints = tuple(filter(_is_constraint, args[1:]))
        return Constrained(shape, _condition(args[0], constraints)) if constraints else shape

    def _alias(self, alias: Any, args: tuple[Any, ...], owner: Any) -> Shape:
        key = _key(alias, args)
        if key not in self._made:
            late = self._made[key] = Late(type_text(alias))
            scope = dict(zip(alias.__type_params__, args, strict=False))
            late.shape = self.shape(substituted(meaning(alias, self._names), scope), owner)
        return self._made[key]

    def _generic(self, hint: Any, origin: Any, args: tuple[Any, ...], owner: Any) -> Shape:
        if origin is tuple:
            return self._tuple(hint, args, owner)
        if origin in _MAPPINGS:
            key, value = args if len(args) == 2 else (args[0], int)
            return Keyed(type_text(hint), _or_frozen(origin), self.shape(key, owner), self.shape(value, owner))
        if origin in _COLLECTIONS:
            # A text is a sequence of texts, and never what was meant by one.
            refused = () if origin in (list, set, frozenset, deque) else (str, bytes, bytearray)
            return Items(type_text(hint), _or_frozen(origin), self.shape(args[0], owner), refused)
        return self._class(origin, args, type_text(hint)) if isinstance(origin, type) else ANYTHING

    def _tuple(self, hint: Any, args: tuple[Any, ...], owner: Any) -> Shape:
        if len(args) == 2 and args[1] is Ellipsis:
            return Items(type_text(hint), (tuple,), self.shape(args[0], owner))
        if any(get_origin(arg) is Unpack or getattr(arg, "__unpacked__", False) for arg in args):
            return Instance("tuple", (tuple,))
        return Fixed(type_text(hint), [self.shape(arg, owner) for arg in args])

    def _class(self, kind: Any, args: tuple[Any, ...], name: str) -> Shape:
        if kind in SCALARS:
            return SCALARS[kind]
        is_keys = is_typeddict(kind)
        if not is_keys and contract_of(kind) is None and not _is_named_tuple(kind):
            return _instance(kind, name)
        key = _key(kind, args)
        if key not in self._made:
            if is_keys:
                extra = extra_keys(kind)
                self._made[key] = keys = Keys(name, None if extra is None else self.shape(extra, kind))
                self._fill_keys(keys, kind, args)
            else:
                is_model = hasattr(kind, "model_validate")
                self._made[key] = record = (Model if is_model else Record)(name, kind, shape_of_class)
                record.fill(self._model_fields(kind) if is_model else self._fields(kind, args))
        return self._made[key]

    def _fill_keys(self, keys: Keys, kind: Any, args: tuple[Any, ...]) -> None:
        hints = field_hints(kind, args, self._names)
        keys.fill({name: self.shape(hint, kind) for name, hint in hints.items()}, required_keys(kind, hints))

    def _fields(self, kind: Any, args: tuple[Any, ...]) -> dict[str, Shape]:
        contract = contract_of(kind)
        names: tuple[str, ...] = kind._fields if contract is None else contract.names
        hints = field_hints(kind, args, self._names)
        return {name: self.shape(hints.get(name, Any), kind) for name in names}

    def _model_fields(self, kind: Any) -> dict[str, Shape]:
        annotations = {name: getattr(field, "annotation", Any) for name, field in kind.model_fields.items()}
        try:
            return {name: self.shape(annotation, kind) for name, annotation in annotations.items()}
        except UnresolvedContract:
            return {}  # it resolved them in its own way, and has checked them when the value was made


_CONSTRAINTS = ("ge", "gt", "le", "lt", "multiple_of", "pattern", "min_length", "max_length", "tz")


def either(shapes: Iterable[Shape]) -> Shape:
    """Return the shape of what looks like any of these."""
    members = tuple(dict.fromkeys(shapes))
    if any(member is ANYTHING for member in members):
        return ANYTHING
    return members[0] if len(members) == 1 else Either(members)


@lru_cache(maxsize=1024)
def shape_of_class(kind: type[Any]) -> Shape:
    """Return the shape of the values of a class."""
    return Compiler().shape(kind)


def _key(kind: Any, args: tuple[Any, ...]) -> tuple[Any, Any]:
    try:
        hash(args)
    except TypeError:  # an Annotated may hold anything
        return kind, repr(args)
    return kind, args


_MAPPINGS = (dict, Mapping, MutableMapping, defaultdict, OrderedDict, ChainMap, Counter)
_COLLECTIONS = (list, set, frozenset, deque, Sequence, MutableSequence, AbstractSet, MutableSet, Collection, Iterable)


def _is_named_tuple(kind: type[Any]) -> bool:
    return hasattr(kind, "_fields") and issubclass(kind, tuple)


def _instance(kind: Any, name: str) -> Shape:
    """Return the shape of the instances of a class that is no contract."""
    if getattr(kind, "_is_protocol", False) and not getattr(kind, "_is_runtime_protocol", False):
        return ANYTHING  # nobody can ask for it
    return Instance(name, _or_frozen(kind), kind=kind)


def _or_frozen(kind: type[Any]) -> tuple[type[Any], ...]:
    """Return the class, and what its values become when they are frozen."""
    frozen: tuple[tuple[Any, Any], ...] = (
        (Mapping, FrozenDict),
        (list, FrozenList),
        (MutableSequence, FrozenList),
        (AbstractSet, frozenset),
    )
    return (kind, *(into for base, into in frozen if issubclass(kind, base)))


def _condition(plain: Any, constraints: tuple[Any, ...]) -> Callable[[Any], object]:
    """Return what raises for a value that msgspec would not have read."""
    msgspec = import_module("msgspec")
    origin = get_origin(plain)
    # What is in a collection has a shape of its own, and may be of a type that msgspec does not know.
    checked = Annotated[(plain if origin in (None, Union, UnionType) else origin, *constraints)]
    try:
        msgspec.convert(None, checked)
    except msgspec.ValidationError:
        pass  # None is no value of it; but the type is one that msgspec can check
    except Exception as error:
        message = f"msgspec cannot check {type_text(plain)} with {', '.join(map(repr, constraints))}"
        raise UnresolvedContract(f"{message}: {text_of(error)}.", "Mend the annotation.") from error
    return lambda value: msgspec.convert(value, checked)


def _is_constraint(extra: Any) -> bool:
    """Return whether it is a Meta of msgspec that restricts values: msgspec checks it only in what it reads."""
    kind = cast("Any", type(extra))
    is_meta = (kind.__module__.partition(".")[0], kind.__name__) == ("msgspec", "Meta")
    return is_meta and any(getattr(extra, name, None) is not None for name in _CONSTRAINTS)
