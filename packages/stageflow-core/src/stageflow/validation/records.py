"""The shapes of objects with fields: dataclasses, named tuples, msgspec and pydantic values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, cast

from stageflow.contracts import ContractMismatch, step_to, unsubscripted
from stageflow.typed_json.models import load_model
from stageflow.validation.containers import Unknown, made_within
from stageflow.validation.shapes import ANYTHING, Shape, refused_by

_ABSENT: Any = object()


class _Missing(Shape):
    """The shape of a field that is not there."""

    __slots__ = ()

    def check(self, value: Any) -> None:
        raise ContractMismatch(self.name, found="missing")


_MISSING = _Missing("a value")


class Record(Shape):
    """An object of a class, each of whose fields has a shape. The fields are put in once they are known."""

    __slots__ = ("_fields", "_of_subclass", "_shapes")

    def __init__(self, name: str, kind: type[Any], of_subclass: Callable[[type[Any]], Shape]) -> None:
        super().__init__(name, kind=kind)
        self._fields: tuple[tuple[str, Shape, frozenset[type[Any]]], ...] = ()
        self._of_subclass = of_subclass
        self._shapes: dict[str, Shape] = {}

    def fill(self, fields: Mapping[str, Shape]) -> None:
        self._shapes = dict(fields)
        self._fields = tuple((name, shape, shape.exact) for name, shape in fields.items() if shape is not ANYTHING)

    def check(self, value: Any) -> None:
        if type(value) is not self.kind:
            self._check_class(value)
        self._check_fields(value)

    def _check_class(self, value: Any) -> None:
        """Check a value that is not exactly of the class; one of a subclass must be right by that as well."""
        assert self.kind is not None
        if not isinstance(value, self.kind):
            raise ContractMismatch(self.name, value=value)
        self._of_subclass(cast("type[Any]", type(value))).check(value)

    def _check_fields(self, value: Any) -> None:
        for name, shape, exact in self._fields:
            part = getattr(value, name, _ABSENT)
            if type(part) in exact:
                continue
            try:
                (_MISSING if part is _ABSENT else shape).check(part)
            except ContractMismatch as error:
                if not self._vouches(value, name, error):
                    error.within(f".{name}")
                    raise

    def _vouches(self, value: Any, name: str, error: ContractMismatch) -> bool:
        """Return whether a field may hold what it does, although its annotation says otherwise."""
        return False

    def made_of(self, data: Any) -> Any:
        """Return the value that a mapping of its fields means, as its class makes it: defaults and checks count."""
        kind: Any = self.kind
        if isinstance(data, kind):
            self.check(data)
            return data
        if not isinstance(data, Mapping):
            raise ContractMismatch(self.name, value=data)
        return self._made(kind, cast("Mapping[Any, Any]", data))

    def _made(self, kind: Any, data: Mapping[Any, Any]) -> Any:
        given = _arguments(kind, self._shapes)
        shapes = {name: self._shapes[name] for name in given}
        for name, required in given.items():
            if required and name not in data:
                error = ContractMismatch(shapes[name].name, found="missing")
                error.within(step_to(name))
                raise error
        values = {
            key: made_within(step_to(key), shapes.get(key) or Unknown(key, (*shapes,)), item)
            for key, item in data.items()
        }
        try:
            value = kind(**values)
        except Exception as error:
            raise refused_by(self.name, error) from error
        self.check(value)
        return value

    def named_parts(self) -> Mapping[str, Shape]:
        return self._shapes

    def parts(self) -> Iterable[Shape]:
        return (shape for _, shape, _ in self._fields)


def _arguments(kind: Any, names: Iterable[str]) -> dict[str, bool]:
    """Return the fields that the class is made of, and of each whether it must be given."""
    if not hasattr(kind, "__dataclass_fields__"):
        return dict.fromkeys(names, False)  # a named tuple or a msgspec class, which says itself what is missing
    return {one.name: one.default is MISSING and one.default_factory is MISSING for one in fields(kind) if one.init}


class Model(Record):
    """A pydantic value. It has the last word on itself: a field may hold something else than it is annotated with."""

    __slots__ = ()

    def check(self, value: Any) -> None:
        if type(value) is not self.kind and not self._is_bare(value):
            self._check_class(value)
        self._check_fields(value)

    def _vouches(self, value: Any, name: str, error: ContractMismatch) -> bool:
        if not error.certain:
            # Of itself, a bare Page knows nothing of what is expected of a Page[int].
            error.certain = self._is_bare(value) or not _is_as_expected(value, name, error)
        return not error.certain

    def _made(self, kind: Any, data: Mapping[Any, Any]) -> Any:
        value = load_model(kind, data)
        self.check(value)
        return value

    def _is_bare(self, value: object) -> bool:
        return type(value) is not self.kind and type(value) is unsubscripted(self.kind)


def _is_as_expected(value: Any, field: str, error: ContractMismatch) -> bool:
    """Return whether a pydantic value finds in a field what it expects there, asked without running validators."""
    if error.found == "None":
        # It writes a None in any place without a word. Many have one as the default, which nothing validates.
        kind: Any = cast("Any", type(value))
        return error.path == "$" and getattr(kind.model_fields[field], "default", ...) is None
    try:
        value.model_dump(include={field}, round_trip=True, warnings="error")
    except Exception:  # noqa: BLE001 - it is how it says no; a serializer of the user's may raise anything besides
        return False
    return True
