"""What core knows of contract types: dataclasses, and what looks like a pydantic or a msgspec class.

The latter two are known by their shape alone (`model_fields` with `model_validate`, `__struct_fields__`): core imports
neither. What is known of a type is found out once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, cast

from stageflow.wording import sketched, type_name, with_article


class Contract:
    """What is known of a contract type.

    Attributes:
        names: Its fields.
        frozen: Whether the type says that its instances cannot be changed; what they hold is another matter.
        closed: Whether its instances hold nothing beside their fields.
    """

    __slots__ = ("closed", "frozen", "names")

    def __init__(self, names: tuple[str, ...], frozen: bool, closed: bool) -> None:
        self.names = names
        self.frozen = frozen
        self.closed = closed

    def contents(self, value: object) -> Iterator[object]:
        """Yield all that a value of the type holds: its fields, and what stands beside them.

        The latter are cached properties, and the private and extra attributes of a pydantic value.
        """
        for name in self.names:
            if hasattr(value, name):
                yield getattr(value, name)
        if not self.closed:
            yield from getattr(value, "__dict__", {}).values()
            yield from (getattr(value, "__pydantic_private__", None) or {}).values()
            yield from (getattr(value, "model_extra", None) or {}).values()


@lru_cache(maxsize=1024)
def contract_of(kind: type[Any]) -> Contract | None:
    """Return what is known of the type, or None if it is no contract type."""
    if issubclass(kind, (type, Mapping)):
        return None
    names = _field_names(kind)
    if names is None:
        return None
    closed = not hasattr(kind, "model_validate") and getattr(kind, "__dictoffset__", 1) == 0
    return Contract(names, _is_frozen(kind), closed)


def is_typeddict(kind: Any) -> bool:
    """Return whether the type is a TypedDict, be it of `typing` or of typing_extensions."""
    return isinstance(kind, type) and hasattr(kind, "__required_keys__")


def contract_fields(value: object) -> Mapping[str, Any] | None:
    """Return the shallow field mapping of a contract value, or None if it is none."""
    contract = contract_of(type(value))
    if contract is None:
        return None
    found = {name: getattr(value, name) for name in contract.names if hasattr(value, name)}
    extra: Mapping[str, Any] | None = getattr(value, "model_extra", None)
    return {**found, **extra} if extra else found


def unsubscripted(kind: Any) -> Any:
    """Return the class of which a pydantic class `Page[int]` is one form, else the class itself."""
    return getattr(kind, "__pydantic_generic_metadata__", {}).get("origin") or kind


def _field_names(kind: Any) -> tuple[str, ...] | None:
    if hasattr(kind, "__dataclass_fields__"):
        return tuple(field.name for field in fields(kind))
    names = getattr(kind, "__struct_fields__", None)
    if names is None and hasattr(kind, "model_validate"):
        names = getattr(kind, "model_fields", None)
    return None if names is None else tuple(names)


def _is_frozen(kind: Any) -> bool:
    # A class that only inherits from a frozen dataclass takes new attributes, so it must be one itself.
    own: Mapping[str, Any] = kind.__dict__
    parameters = own.get("__dataclass_params__") or getattr(kind, "__struct_config__", None)
    if parameters is not None:
        return bool(parameters.frozen)
    config = getattr(kind, "model_config", None)
    return isinstance(config, Mapping) and bool(cast("Mapping[str, Any]", config).get("frozen"))


class ContractMismatch(Exception):
    """A value is not what its contract says; whoever checks it makes an error of its own of this.

    Attributes:
        path: Where in the value: `$.items[3].price`, or `$` for the value itself.
        expected: What should be there.
        found: What is there.
        hint: What to do about it, if there is more to say.
        certain: Whether the value that holds it has been asked, and agrees.
        hidden: Whether `found` tells nothing but a type, since the value may be secret.
    """

    def __init__(
        self, expected: str, *, value: object = None, found: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__()
        self.expected = expected
        self.hint = hint
        self.certain = False
        self.hidden = False
        self.path = "$"
        self._value = value
        self._found = found

    @property
    def found(self) -> str:
        # Put into words when asked: a union tries its members, and most of what they raise is never read.
        if self._found is not None:
            return self._found
        found = sketched(self._value, hidden=self.hidden)
        alike = found == with_article(self.expected)
        return f"{with_article(type_name(self._value))}, another class of that name" if alike else found

    def __str__(self) -> str:
        return f"{self.path} is {self.found}; expected {self.expected}."

    def within(self, step: str) -> None:
        """Note that the value is a part of another one; `step` leads to it, as in `[3]` or `.price`."""
        self.path = f"${step}{self.path[1:]}"


def step_to(key: object) -> str:
    """Return the step of a path that leads to a key of a mapping."""
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
