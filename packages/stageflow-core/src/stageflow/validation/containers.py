"""The shapes of collections: lists, tuples, sets and mappings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from stageflow.contracts import ContractMismatch, step_to
from stageflow.validation.shapes import ANYTHING, Shape
from stageflow.wording import listed, nearest


class Items(Shape):
    """A collection, each item of which has one shape."""

    __slots__ = ("_classes", "_item", "_refused")

    def __init__(
        self, name: str, classes: tuple[type[Any], ...], item: Shape, refused: tuple[type[Any], ...] = ()
    ) -> None:
        super().__init__(name)
        self._classes = classes
        self._item = item
        self._refused = refused

    def check(self, value: Any) -> None:
        if not isinstance(value, self._classes) or isinstance(value, self._refused):
            raise ContractMismatch(self.name, value=value)
        if self._item is not ANYTHING and isinstance(value, Collection):
            check_items(self._item, cast("Collection[Any]", value))

    def made_of(self, data: Any) -> Any:
        if not isinstance(data, (list, tuple, *self._classes)) or isinstance(data, self._refused):
            raise ContractMismatch(self.name, value=data)
        items = [made_within(f"[{index}]", self._item, item) for index, item in enumerate(cast("list[Any]", data))]
        # Of what is only asked to be a sequence, a list is one, as it is of an abstract set.
        make = next((one for one in (list, tuple, set, frozenset) if issubclass(one, self._classes)), self._classes[0])
        return cast("Any", make)(items)

    def parts(self) -> Iterable[Shape]:
        return (self._item,)


def check_items(shape: Shape, items: Collection[Any]) -> None:
    """Raise ContractMismatch, with its index, for an item that does not look like this."""
    exact = shape.exact
    if exact.issuperset(map(type, items)):
        return
    index = 0
    try:
        for index, item in enumerate(items):  # noqa: B007 - the error below tells the index
            if type(item) not in exact:
                shape.check(item)
    except ContractMismatch as error:
        error.within(f"[{index}]")
        raise


class Fixed(Shape):
    """A tuple of so many parts, each with a shape of its own."""

    __slots__ = ("_parts",)

    def __init__(self, name: str, parts: Iterable[Shape]) -> None:
        super().__init__(name)
        self._parts = tuple(parts)

    def check(self, value: Any) -> None:
        if not isinstance(value, tuple):
            raise ContractMismatch(self.name, value=value)
        items = cast("tuple[Any, ...]", value)
        if len(items) != len(self._parts):
            raise ContractMismatch(self.name, found=f"a tuple of {len(items)}")
        check_fields((f"[{index}]", part, items[index]) for index, part in enumerate(self._parts))

    def made_of(self, data: Any) -> Any:
        if not isinstance(data, (list, tuple)):
            raise ContractMismatch(self.name, value=data)
        items = cast("list[Any]", data)
        if len(items) != len(self._parts):
            raise ContractMismatch(self.name, found=f"a list of {len(items)}")
        return tuple(made_within(f"[{index}]", part, items[index]) for index, part in enumerate(self._parts))

    def parts(self) -> Iterable[Shape]:
        return self._parts


def check_fields(fields: Iterable[tuple[str, Shape, Any]]) -> None:
    """Raise ContractMismatch for the first value that has not the shape beside it; the step to it comes first."""
    for step, shape, value in fields:
        if type(value) in shape.exact:
            continue
        try:
            shape.check(value)
        except ContractMismatch as error:
            error.within(step)
            raise


def made_within(step: str, shape: Shape, data: Any) -> Any:
    """Return the part of a value that the data mean, or raise ContractMismatch with the step to it."""
    try:
        return shape.made_of(data)
    except ContractMismatch as error:
        error.within(step)
        raise


class Keyed(Shape):
    """A mapping, whose keys have one shape and whose values have another."""

    __slots__ = ("_classes", "_value", "key")

    def __init__(self, name: str, classes: tuple[type[Any], ...], key: Shape, value: Shape) -> None:
        super().__init__(name)
        self._classes = classes
        self.key = key
        self._value = value

    def check(self, value: Any) -> None:
        if not isinstance(value, self._classes):
            raise ContractMismatch(self.name, value=value)
        items = cast("Mapping[Any, Any]", value)
        if self.key is not ANYTHING:
            check_items(self.key, items.keys())
        exact = self._value.exact
        if self._value is not ANYTHING and not exact.issuperset(map(type, items.values())):
            check_fields((step_to(key), self._value, item) for key, item in items.items())

    def made_of(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise ContractMismatch(self.name, value=data)
        return {
            made_within(step_to(key), self.key, key): made_within(step_to(key), self._value, item)
            for key, item in cast("Mapping[Any, Any]", data).items()
        }

    def parts(self) -> Iterable[Shape]:
        return (self.key, self._value)


class Keys(Shape):
    """A mapping with certain keys: a TypedDict. Fields are put in once they are known."""

    __slots__ = ("_fields", "_required", "_rest")

    def __init__(self, name: str, rest: Shape | None) -> None:
        super().__init__(name)
        self._fields: dict[str, Shape] = {}
        self._required: tuple[str, ...] = ()
        self._rest = rest

    def fill(self, fields: Mapping[str, Shape], required: Iterable[str]) -> None:
        self._fields = dict(fields)
        self._required = tuple(required)

    def check(self, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise ContractMismatch(self.name, value=value)
        items = cast("Mapping[Any, Any]", value)
        self._check_required(items)
        for key, item in items.items():
            shape = self._shape_of(key)
            if type(item) in shape.exact:
                continue
            try:
                shape.check(item)
            except ContractMismatch as error:
                error.within(step_to(key))
                raise

    def _check_required(self, items: Mapping[Any, Any]) -> None:
        for key in self._required:
            if key not in items:
                error = ContractMismatch(self._fields[key].name, found="missing")
                error.within(step_to(key))
                raise error

    def _shape_of(self, key: Any) -> Shape:
        return self._fields.get(key) or self._rest or Unknown(key, tuple(self._fields))

    def made_of(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise ContractMismatch(self.name, value=data)
        items = cast("Mapping[Any, Any]", data)
        self._check_required(items)
        return {key: made_within(step_to(key), self._shape_of(key), item) for key, item in items.items()}

    def named_parts(self) -> Mapping[str, Shape]:
        return self._fields

    def parts(self) -> Iterable[Shape]:
        return (*self._fields.values(), *(() if self._rest is None else (self._rest,)))


class Unknown(Shape):
    """A key that a type does not have. Taken for right, a misspelt one would be absent for ever."""

    __slots__ = ("_hint",)

    def __init__(self, key: object, keys: tuple[str, ...]) -> None:
        super().__init__("no such key")
        near = nearest(key, keys) if isinstance(key, str) else ""
        self._hint = f"{near}Its keys: {listed(keys)}."

    def check(self, value: Any) -> None:
        raise ContractMismatch(self.name, value=value, hint=self._hint)
