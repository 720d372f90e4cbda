"""Where a child run comes from."""

from __future__ import annotations

from stageflow.value import Value

MOST_DEEP = 16
"""How deep runs may lie within each other, the first one counted."""


class ParentStage(Value):
    """The stage that started a child run.

    Attributes:
        run_id: The `pipeline_run_id` of its run.
        pipeline, stage: The names of its pipeline and its own.
        key: What the idempotency keys of the child begin with; the same for each attempt, and when the run is resumed.
        parent: The stage that started its run, if that is a child, too.
        holding: The limit of which a permit is held, until the child has ended, by a stage that streams with this one
            or with one further up; None if there is none.
    """

    __slots__ = ("holding", "key", "parent", "pipeline", "run_id", "stage")

    run_id: str
    pipeline: str
    stage: str
    key: str
    parent: ParentStage | None
    holding: str | None

    def __init__(
        self,
        run_id: str,
        pipeline: str,
        stage: str,
        key: str,
        parent: ParentStage | None = None,
        holding: str | None = None,
    ) -> None:
        object.__setattr__(self, "run_id", run_id)
        object.__setattr__(self, "pipeline", pipeline)
        object.__setattr__(self, "stage", stage)
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "parent", parent)
        object.__setattr__(self, "holding", holding)

    @property
    def depth(self) -> int:
        """How deep the child lies, the first run counted."""
        depth, above = 2, self.parent
        while above is not None:
            depth, above = depth + 1, above.parent
        return depth

    @property
    def root_run_id(self) -> str:
        """The `pipeline_run_id` of the first run."""
        first = self
        while first.parent is not None:
            first = first.parent
        return first.run_id

    @property
    def chain(self) -> tuple[str, ...]:
        """The stages that led to the child, from the first run on, each as `pipeline.stage`."""
        before = () if self.parent is None else self.parent.chain
        return (*before, f"{self.pipeline}.{self.stage}")
