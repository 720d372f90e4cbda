"""What goes wrong with the permits of shared limits."""

from __future__ import annotations

from collections.abc import Sequence

from stageflow.errors.base import StageflowError
from stageflow.wording import listed, nearest


class LimitDeadlockError(StageflowError):
    """A stage wanted to run a child that takes permits, while one is held that is not given back before it ends.

    A stage that streams with this one, or with one further up, holds it: both would wait for each other for ever.

    Attributes:
        pipeline: The name of the child.
        stage: The stage that wanted to run it.
        holding: The limit of which a permit is held.
        limits: The limits that the child's stages name.
    """

    code = "limit-deadlock"

    def __init__(self, *, pipeline: str, stage: str, holding: str, limits: Sequence[str]) -> None:
        super().__init__(
            f"Stage '{stage}' cannot run pipeline '{pipeline}', whose stages take permits of {listed(limits)}: a stage "
            f"that it or one further up streams with holds a permit of '{holding}' meanwhile.",
            hint="Run the child in a stage that streams with none, or without limit= on its stages.",
        )
        self.pipeline = pipeline
        self.stage = stage
        self.holding = holding
        self.limits = tuple(limits)


class LimitTooSmallError(StageflowError):
    """Permits are needed at once of which there are never that many.

    `limit` is their name, `needed` their number, `capacity` how many there are, and `stages` are those that need them.
    """

    code = "limit-too-small"

    def __init__(self, limit: str, *, needed: int, capacity: int, stages: Sequence[str] = ()) -> None:
        self.limit = limit
        self.needed = needed
        self.capacity = capacity
        self.stages = tuple(stages)
        who = f"Stages {listed(self.stages)} start together and need" if stages else "There are needed"
        super().__init__(
            f"{who} {needed} permits of limit '{limit}' at once, and there are {capacity}.",
            hint=f"Raise it: Limits({{'{limit}': {needed}}}) or more.",
        )


class UnknownLimitError(StageflowError):
    """A limit is asked for that is not there.

    `limit` is its name, `stage` the stage that takes permits of it, `given` are the names of the limits that there are,
    None if the run was given none. A run raises it before its first stage.
    """

    code = "unknown-limit"

    def __init__(
        self, limit: str, *, given: Sequence[str] | None, stage: str | None = None, missing: Sequence[str] = ()
    ) -> None:
        self.limit = limit
        self.stage = stage
        self.given = None if given is None else tuple(given)
        near = "" if given is None else nearest(limit, given)
        hint = f"{near}They are: {listed(given or ())}."
        if stage is None:
            problem = f"There is no limit '{limit}'."
        elif given is None:
            problem = f"Stage '{stage}' takes permits of limit '{limit}', and the run was given no limits."
            example = ", ".join(f"'{name}': 8" for name in missing or (limit,))
            hint = f"Give it some: run(limits=Limits({{{example}}}))."
        else:
            problem = f"Stage '{stage}' takes permits of limit '{limit}', which is not among those of the run."
        super().__init__(problem, hint=hint)
