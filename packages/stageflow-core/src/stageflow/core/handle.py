"""How code refers to a stage other than by its name."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from stageflow.wording import shown

T = TypeVar("T", covariant=True)


class StageHandle(Generic[T]):
    """A stage by an object that knows the type of its value: `StageSpec` is one."""

    __slots__ = ()

    name: str


StageRef = str | StageHandle[Any]


def name_of(stage: StageRef) -> str:
    """Return the name of a stage given by name or handle.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(stage, str):
        return stage
    if isinstance(stage, StageHandle):  # pyright: ignore[reportUnnecessaryIsInstance]
        return stage.name
    raise TypeError(f"A stage is given by its name or by its handle (what `stage` made), not as {shown(stage)}.")
