"""What a stage is."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from stageflow.core.context import StageContext
from stageflow.core.kinds import StageKind

StageReturn = Any
"""What `execute` may return: a StageOutput, a mapping (OK with that data), a dataclass, TypedDict, pydantic or msgspec
value (OK with that value), or None (OK with no data). Python's types cannot say "a dataclass", so this is Any to the
type checker; anything else fails the stage with StageReturnTypeError."""


@runtime_checkable
class Stage(Protocol):
    """One step of a pipeline.

    A runner is an instance of such a class (stateless, since runs share it: clients live in ports), or the class
    itself, constructed without arguments once per run.
    """

    name: str
    kind: StageKind

    async def execute(self, ctx: StageContext) -> StageReturn:
        """Do the work of the stage; raise to fail."""
        ...
