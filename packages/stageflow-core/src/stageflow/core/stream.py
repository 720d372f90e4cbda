"""What flows from one stage to others while both run: see `Stream`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args

from stageflow.errors import InvalidOptionError
from stageflow.value import Value
from stageflow.wording import nearest, shown

T = TypeVar("T")

OnFull = Literal["block", "drop_oldest", "drop_newest", "error"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StreamOptions(Value):
    """How a stage that streams is kept from running ahead of those that read it.

    Attributes:
        capacity: How many chunks may wait for each reader.
        on_full: What a chunk does that finds a full buffer: "block" lets the stage wait until there is room;
            "drop_oldest" and "drop_newest" drop and count one; "error" fails the stage.

    Raises:
        InvalidOptionError: One of them cannot be what it is.
    """

    capacity: int = 16
    on_full: OnFull = "block"

    def __post_init__(self) -> None:
        capacity: Any = self.capacity
        if not isinstance(capacity, int) or isinstance(capacity, bool) or capacity < 1:
            problem = f"is a number of chunks, 1 or more, not {shown(capacity)}"
            raise InvalidOptionError("capacity", problem, of="StreamOptions")
        if self.on_full not in get_args(OnFull):
            known = ", ".join(f"'{policy}'" for policy in get_args(OnFull))
            hint = nearest(self.on_full, get_args(OnFull)) if isinstance(self.on_full, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOptionError(
                "on_full", f"is one of {known}, not {shown(self.on_full)}", of="StreamOptions", hint=hint
            )


class Stream(Generic[T]):
    """The chunks of a stage, as another one reads them."""
