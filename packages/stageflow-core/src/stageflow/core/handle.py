"""How code refers to a stage other than by its name."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T", covariant=True)


class StageHandle(Generic[T]):
    """A stage by an object that knows the type of its value: `StageSpec` is one."""

    __slots__ = ()

    name: str


StageRef = str | StageHandle[Any]


def name_of(stage: StageRef) -> str:
    """Return the name of a stage given by name or handle."""
    return stage if isinstance(stage, str) else stage.name
