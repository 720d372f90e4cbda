"""What goes wrong in a whole run."""

from __future__ import annotations

from collections.abc import Sequence

from stageflow.errors.base import RunResults, StageflowError
from stageflow.wording import listed, nearest, path_in_words


class PipelineCancelled(StageflowError):
    """A run was ended on purpose, by a stage or by `PipelineRun.cancel`. `stage` is None for the latter."""

    code = "cancelled"

    def __init__(self, *, pipeline: str, stage: str | None, reason: str, results: RunResults) -> None:
        by = f"by stage '{stage}'" if stage else "from outside"
        super().__init__(f"Pipeline '{pipeline}' was cancelled {by}: {reason}")
        self.pipeline = pipeline
        self.stage = stage
        self.reason = reason
        self.results = results


class PipelineDepthError(StageflowError):
    """A stage wanted to run a pipeline as its child that would lie too deep; `chain` leads to that stage.

    Attributes:
        pipeline: The name of the child.
        depth: How deep it would lie, the first run counted.
        most: How deep runs may lie.
    """

    code = "too-deep"

    def __init__(self, *, pipeline: str, chain: Sequence[str], most: int) -> None:
        self.pipeline = pipeline
        self.depth = len(chain) + 1
        self.most = most
        self.chain = tuple(chain)
        super().__init__(
            f"Pipeline '{pipeline}' would lie {self.depth} deep, and runs lie {most} deep at most: "
            f"{path_in_words(chain)}.",
            hint="A pipeline that starts itself needs a case in which it does not; what repeats belongs in a loop.",
        )


class PipelineTimeoutError(StageflowError, TimeoutError):
    """A run took longer than it may, by `Pipeline(timeout=...)` or `PipelineContext(deadline=...)`.

    Every stage has stopped.

    Attributes:
        limit: Which of the two ended it: "timeout" or "deadline".
        seconds: How long it may take; for a deadline, what was left when it began.
        running: The stages that were cancelled in their midst.
        halted: Those of them that waited for a reader to take a chunk when the time was up, each with that reader.
        results: What every stage of the run ended as.
    """

    code = "pipeline-timeout"

    def __init__(
        self,
        *,
        pipeline: str,
        seconds: float,
        running: Sequence[str],
        results: RunResults,
        limit: str = "timeout",
        halted: Sequence[tuple[str, str]] = (),
    ) -> None:
        took = f"took longer than its timeout of {seconds:g} s"
        raised = "Raise Pipeline(timeout=...)"
        if limit == "deadline":
            took = f"took longer than the {seconds:g} s that were left until its deadline"
            if not seconds:
                took = "did not begin, since its deadline had passed"
            raised = "Set PipelineContext(deadline=...) later"
        waits = "".join(f" '{stage}' waited for its reader '{reader}' to take a chunk." for stage, reader in halted)
        super().__init__(
            f"Pipeline '{pipeline}' {took}. Running: {listed(running)}.{waits}",
            hint=f"{raised}, or limit the slow stages by timeout= or deadline=.",
        )
        self.limit = limit
        self.halted = tuple(halted)
        self.pipeline = pipeline
        self.seconds = seconds
        self.running = tuple(running)
        self.results = results


class PipelineSuspended(StageflowError):
    """A run waits for a human: stages returned `suspend(...)`, and all that does not depend on them is done.

    Attributes:
        stages: The stages that ask for a decision, in plan order; `results[stage].data` is what they ask.
        results: What every stage of the run ended as; `to_dict()` is what to keep until the decision is there.
    """

    code = "suspended"

    def __init__(self, *, pipeline: str, stages: Sequence[str], results: RunResults) -> None:
        super().__init__(
            f"Pipeline '{pipeline}' is suspended until somebody decides for: {listed(stages)}.",
            hint=f"Go on with run(resume=error.results, decisions={{'{stages[0]}': ...}}).",
        )
        self.pipeline = pipeline
        self.stages = tuple(stages)
        self.results = results


class ResumeError(StageflowError, ValueError):
    """A run cannot be resumed with these results, or with these decisions. `stage` is the one in question, if any."""

    code = "resume"

    def __init__(self, message: str, *, stage: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.stage = stage


class UnknownStageError(StageflowError, KeyError):
    """The results of a run were asked for a stage that its plan does not have."""

    code = "unknown-stage"

    def __init__(self, stage: object, *, pipeline: str, stages: Sequence[str]) -> None:
        near = nearest(stage, stages) if isinstance(stage, str) else ""
        super().__init__(f"Pipeline '{pipeline}' has no stage {stage!r}.", hint=f"{near}Stages: {listed(stages)}.")
        self.stage = stage

    __str__ = StageflowError.__str__  # KeyError's would show the repr of the message


class TooLateError(StageflowError, RuntimeError):
    """Something was asked of a run that has already begun, and that only works before."""

    code = "too-late"


class ForeignLoopError(StageflowError, RuntimeError):
    """Something that belongs to one event loop at a time was used by another, while the first still runs."""

    code = "foreign-loop"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"This {what} is in use by another event loop, which is still running.",
            hint=f"Make one {what} for each event loop, and use it from that loop's thread only.",
        )
        self.what = what
