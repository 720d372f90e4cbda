"""What a value looks like: an annotation in a form that checks values quickly.

A check runs at every return of a stage that declares its type. So annotations are turned into shapes once, a check
makes nothing as long as all is well, and what holds a part looks at its exact type before it asks the part's shape.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Any, cast

from stageflow.contracts import ContractMismatch
from stageflow.typed_json.texts import TEXTS, enum_data, enum_member, read_text, text_type_name
from stageflow.wording import text_of


class Shape:
    """What a value looks like; this one takes anything.

    Attributes:
        name: What errors call it.
        exact: Types of which every value is right.
        kind: The class whose values it describes, if it is one class, to be made of JSON again.
    """

    __slots__ = ("exact", "kind", "name")

    def __init__(self, name: str, *, exact: Iterable[type[Any]] = (), kind: type[Any] | None = None) -> None:
        self.name = name
        self.exact = frozenset(exact)
        self.kind = kind

    def check(self, value: Any) -> None:
        """Raise ContractMismatch if the value does not look like this."""

    def made_of(self, data: Any) -> Any:
        """Return the value of this shape that plain data mean: what is one already, as it is.

        Raises:
            ContractMismatch: They mean none.
        """
        self.check(data)
        return data

    def parts(self) -> Iterable[Shape]:
        """Return the shapes of what is in a value."""
        return ()

    def named_parts(self) -> Mapping[str, Shape]:
        """Return the shapes of the fields of a value, by their names."""
        return {}


def refused_by(name: str, error: Exception) -> ContractMismatch:
    """Return what to raise where a class does not take what its fields are given."""
    mismatch = ContractMismatch(name, found=f"what {name} refuses", hint=text_of(error))
    mismatch.__cause__ = error
    return mismatch


ANYTHING = Shape("anything")


class Instance(Shape):
    """An instance of one of some classes, and of none of some others."""

    __slots__ = ("_classes", "_refused")

    def __init__(
        self,
        name: str,
        classes: tuple[type[Any], ...],
        *,
        refused: tuple[type[Any], ...] = (),
        exact: Iterable[type[Any]] = (),
        kind: type[Any] | None = None,
    ) -> None:
        super().__init__(name, exact=exact, kind=kind)
        self._classes = classes
        self._refused = refused

    def check(self, value: Any) -> None:
        if not isinstance(value, self._classes) or isinstance(value, self._refused):
            raise ContractMismatch(self.name, value=value)

    def made_of(self, data: Any) -> Any:
        if self.kind is None or isinstance(data, self._classes):
            self.check(data)
            return data
        name = text_type_name(self.kind)
        try:
            if issubclass(self.kind, enum.Enum):
                return enum_member(self.kind, data)
            if name in TEXTS and isinstance(data, str):
                return read_text(name, data)
        except Exception as error:
            raise ContractMismatch(self.name, value=data, hint=text_of(error)) from error
        raise ContractMismatch(self.name, value=data)


NOTHING = Instance("None", (NoneType,), exact=[NoneType])

SCALARS: Mapping[type[Any], Shape] = {
    # A bool is no number, although it is an int; an int is a float to every type checker.
    bool: Instance("bool", (bool,), exact=[bool]),
    int: Instance("int", (int,), refused=(bool,), exact=[int]),
    float: Instance("float", (float, int), refused=(bool,), exact=[float, int]),
    complex: Instance("complex", (complex, float, int), refused=(bool,), exact=[complex, float, int]),
    str: Instance("str", (str,), exact=[str]),
    bytes: Instance("bytes", (bytes,), exact=[bytes], kind=bytes),
}


class OneOf(Shape):
    """One of the values of a Literal: 1 is not True."""

    __slots__ = ("_values",)

    def __init__(self, values: tuple[Any, ...]) -> None:
        super().__init__(" or ".join(map(repr, values)))
        self._values = values

    def check(self, value: Any) -> None:
        if not any(type(one) is type(value) and one == value for one in self._values):
            raise ContractMismatch(self.name, value=value)

    def made_of(self, data: Any) -> Any:
        for one in self._values:
            if isinstance(one, enum.Enum):
                plain = enum_data(one)
                if type(plain) is type(data) and plain == data:
                    return one
        return super().made_of(data)

    def parts(self) -> Iterable[Shape]:
        kinds = dict.fromkeys(map(type, self._values))
        return [Instance(kind.__qualname__, (kind,), kind=kind) for kind in kinds if issubclass(kind, enum.Enum)]


class Either(Shape):
    """A value of any of several shapes."""

    __slots__ = ("_by_class", "_members")

    def __init__(self, members: Iterable[Shape]) -> None:
        self._members = tuple(members)
        names = " or ".join(dict.fromkeys(member.name for member in self._members))
        super().__init__(names, exact=frozenset[type[Any]]().union(*(member.exact for member in self._members)))
        self._by_class = {member.kind: member for member in self._members if member.kind is not None}

    def check(self, value: Any) -> None:
        kind: type[Any] = cast("Any", type(value))
        if kind in self.exact:
            return
        closest: ContractMismatch | None = None
        member = self._by_class.get(kind)
        for tried in self._members if member is None else (member, *self._members):
            try:
                tried.check(value)
            except ContractMismatch as error:
                # The member that knew the value, and faults a part of it, says more than those that did not.
                if closest is None or closest.path == "$":
                    closest = error
            else:
                return
        if closest is not None and closest.path != "$":
            raise closest
        raise ContractMismatch(self.name, value=value)

    def made_of(self, data: Any) -> Any:
        try:
            self.check(data)
        except ContractMismatch:
            pass
        else:
            return data
        closest: ContractMismatch | None = None
        for member in self._members:
            try:
                return member.made_of(data)
            except ContractMismatch as error:
                if closest is None or closest.path == "$":
                    closest = error
        if closest is not None and closest.path != "$":
            raise closest
        raise ContractMismatch(self.name, value=data)

    def parts(self) -> Iterable[Shape]:
        return self._members


class Constrained(Shape):
    """A shape with a condition beside it, which raises what it has against a value."""

    __slots__ = ("_condition", "_shape")

    def __init__(self, shape: Shape, condition: Callable[[Any], object]) -> None:
        super().__init__(shape.name, kind=shape.kind)
        self._shape = shape
        self._condition = condition

    def check(self, value: Any) -> None:
        self._shape.check(value)
        try:
            self._condition(value)
        except Exception as error:
            expected = str(error).partition(" - at ")[0].removeprefix("Expected ").replace("`", "")
            raise ContractMismatch(expected, value=value) from error

    def made_of(self, data: Any) -> Any:
        value = self._shape.made_of(data)
        self.check(value)
        return value

    def parts(self) -> Iterable[Shape]:
        return (self._shape,)


class Late(Shape):
    """A shape that is mentioned before it is known: an alias of a type may mention itself."""

    __slots__ = ("shape",)

    shape: Shape

    def check(self, value: Any) -> None:
        self.shape.check(value)

    def made_of(self, data: Any) -> Any:
        return self.shape.made_of(data)

    def parts(self) -> Iterable[Shape]:
        return (self.shape,)
