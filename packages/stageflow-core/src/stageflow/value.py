"""Frozen dataclasses whose `__init__` is written by hand, since what `dataclass` does is costly at each import.

It writes methods as text and compiles them, for each class, in every process: that was a tenth of what importing
stageflow took. A `Value` has an `__init__` that stands in its source, and so is compiled once; all other methods are
shared. What makes it a dataclass for others (`dataclasses.fields` and `replace`, contracts, patterns) is derived from
the parameters of `__init__` when somebody first asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, fields, make_dataclass, replace
from inspect import Parameter, get_annotations, signature
from typing import Any, NoReturn, Self, TypeVar, cast, dataclass_transform

T = TypeVar("T")


class _Made:
    """The default of a parameter whose value is made anew for each object."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def __repr__(self) -> str:
        return f"{self.make.__name__}()"


def made_by(make: Callable[[], T]) -> T:
    """Return a default that stands for what `__init__` makes by this call: it shows as the call in a signature."""
    return cast("T", _Made(make))


class _Derived:
    """An attribute that a dataclass has: of a class that has only a written `__init__`, made when it is first read."""

    __slots__ = ("_name",)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, value: object, owner: type[Any]) -> Any:
        declared = next((each for each in owner.__mro__ if Value in each.__bases__), None)
        if declared is None:
            raise AttributeError(f"{owner.__qualname__} has no fields of its own.")
        twin = _twin(declared)
        for name in ("__dataclass_fields__", "__dataclass_params__", "__match_args__"):
            setattr(declared, name, getattr(twin, name))
        return getattr(twin, self._name)


@dataclass_transform(frozen_default=True)
class Value:
    """Base of a frozen dataclass: equal to another one of its class whose compared fields are equal.

    Its `__init__` takes the fields by their names, sets each with `object.__setattr__`, and checks what it is given.

    Attributes:
        uncompared, unshown: The fields that do not count for `==` and `hash`, and those that `repr` leaves out.
    """

    __slots__ = ()

    # None is annotated, or it would be among the type hints of each class.
    uncompared = cast("tuple[str, ...]", ())
    unshown = cast("tuple[str, ...]", ())
    __dataclass_fields__ = cast("Any", _Derived())
    __dataclass_params__ = cast("Any", _Derived())
    __match_args__ = cast("Any", _Derived())

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return _compared(self) == _compared(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self) -> int:
        return hash(_compared(self))

    def __repr__(self) -> str:
        shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(cast("Any", self)) if field.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __getstate__(self) -> dict[str, Any]:
        named = {field.name: getattr(self, field.name) for field in fields(cast("Any", self))}
        return {**getattr(self, "__dict__", {}), **named}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def __replace__(self, **changes: Any) -> Self:
        """Serve `copy.replace`, from Python 3.13 on."""
        return replace(cast("Any", self), **changes)


def _compared(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, field.name) for field in fields(value) if field.compare)


def _twin(declared: type[Value]) -> type[Any]:
    """Make the dataclass that has the fields of a value."""
    types = get_annotations(declared)
    parameters = signature(declared).parameters.items()
    declarations = [(name, types[name], _field(declared, parameter)) for name, parameter in parameters]
    return make_dataclass(declared.__name__, declarations, init=False, repr=False, eq=False, frozen=True)


def _field(declared: type[Value], parameter: Parameter) -> Any:
    default: dict[str, Any] = {}
    if isinstance(parameter.default, _Made):
        default["default_factory"] = parameter.default.make
    elif type(parameter.default).__hash__ is None:  # a frozen mapping; `dataclasses` takes it for one that may change
        default["default_factory"] = lambda: parameter.default
    elif parameter.default is not Parameter.empty:
        default["default"] = parameter.default
    return field(
        compare=parameter.name not in declared.uncompared,
        repr=parameter.name not in declared.unshown,
        kw_only=parameter.kind is Parameter.KEYWORD_ONLY,
        **default,
    )
