"""How frozen dataclasses of ours are compared and shown: by methods that all of them share.

Those that `dataclass` writes are compiled for each class, whenever it is imported: a tenth of what importing stageflow
took. So ours are declared with `eq=False, repr=False`, and derive from `Value`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast


class Value:
    """Base of a frozen dataclass: equal to another one of its class whose compared fields are equal."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return _compared(self) == _compared(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self) -> int:
        return hash(_compared(self))

    def __repr__(self) -> str:
        shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(cast("Any", self)) if field.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"


def _compared(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, field.name) for field in fields(value) if field.compare)
