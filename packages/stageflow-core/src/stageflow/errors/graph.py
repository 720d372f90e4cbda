"""What is wrong with a graph: raised before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from stageflow.errors.base import StageflowError
from stageflow.wording import listed


class PipelineValidationError(StageflowError):
    """A pipeline cannot be built. `faults` holds every fault found, one typed error each.

    A single fault is raised as its own type; its `faults` is then a tuple of itself.
    """

    code = "invalid-pipeline"

    def __init__(self, message: str, *, stage: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.stage = stage
        self._several: tuple[PipelineValidationError, ...] = ()

    @property
    def faults(self) -> tuple[PipelineValidationError, ...]:
        return self._several or (self,)

    @classmethod
    def of(cls, pipeline: str, faults: Sequence[PipelineValidationError]) -> PipelineValidationError:
        """Return the one fault itself, or an error that lists them all."""
        if len(faults) == 1:
            return faults[0]
        lines = "".join(f"\n  {number}. {fault}" for number, fault in enumerate(faults, 1))
        error = PipelineValidationError(f"Pipeline '{pipeline}' has {len(faults)} faults:{lines}")
        error._several = tuple(faults)
        return error


class ContractMismatchError(PipelineValidationError):
    """A parameter of a stage is annotated with a type that what it reads can never be of.

    `dependency` is the stage that it reads, or None where it reads the run's input; `expected` is what the annotation
    says, `found` what the dependency or the pipeline declares.
    """

    code = "contract-mismatch"

    def __init__(
        self, stage: str, parameter: str, dependency: str | None, *, expected: str, found: str, hint: str | None = None
    ) -> None:
        source = "the pipeline's input is" if dependency is None else f"'{dependency}' returns"
        data = "" if dependency is None else ", or with Mapping[str, Any] to read its data"
        super().__init__(
            f"Stage '{stage}' takes '{parameter}' as {expected}, and {source} {found}.",
            stage=stage,
            hint=hint or f"Annotate '{parameter}' with {found}{data}; or mend what is declared there.",
        )
        self.parameter = parameter
        self.dependency = dependency
        self.expected = expected
        self.found = found


class CycleDetectedError(PipelineValidationError):
    """Stages depend on each other in a circle. `path` starts and ends with the same stage."""

    code = "cycle"

    def __init__(self, path: Sequence[str], *, pipeline: str) -> None:
        super().__init__(
            f"Pipeline '{pipeline}' has a cycle: {' -> '.join(path)}.",
            stage=path[0],
            hint="Remove one of these dependencies.",
        )
        self.path = tuple(path)


class DuplicateStageError(PipelineValidationError):
    """Two different stages have the same name."""

    code = "duplicate-stage"

    def __init__(self, stage: str, *, pipeline: str, differing: Sequence[str] = ()) -> None:
        what = f" with another {listed(differing)}" if differing else ""
        super().__init__(
            f"Pipeline '{pipeline}' already has a stage '{stage}'{what}.",
            stage=stage,
            hint=f"Give one of them another name: .named('{stage}_2') or with_stage('{stage}_2', ...).",
        )
        self.differing = tuple(differing)


class EmptyPipelineError(PipelineValidationError):
    """The pipeline has no stages."""

    code = "empty-pipeline"

    def __init__(self, *, pipeline: str) -> None:
        super().__init__(
            f"Pipeline '{pipeline}' has no stages.",
            hint="Add one with .with_stage(name, runner), or keep what it returned: a builder call returns a new "
            "Pipeline and leaves the old one as it is.",
        )


class InvalidOptionError(PipelineValidationError, ValueError):
    """An option of a stage, a pipeline, a policy or a sink has a value that it cannot have.

    Attributes:
        option: Its name.
        stage: The stage that it was given to, or None if it was given to something else.
    """

    code = "invalid-option"

    def __init__(
        self, option: str, problem: str, *, of: str = "", stage: str | None = None, hint: str | None = None
    ) -> None:
        where = f" of stage '{stage}'" if stage is not None else of and f" of {of}"
        super().__init__(f"{option}{where} {problem}.", stage=stage, hint=hint)
        self.option = option


class InvalidRouteError(PipelineValidationError):
    """A stage is tied to a route that cannot be taken, or a route leads to no stage.

    Attributes:
        router: The stage that chooses.
        route: The outcome in question, or None if the router declares none.
    """

    code = "invalid-route"

    def __init__(self, stage: str, problem: str, *, router: str, route: str | None, hint: str) -> None:
        super().__init__(problem, stage=stage, hint=hint)
        self.router = router
        self.route = route


class InvalidInterceptorError(PipelineValidationError):
    """What was given as an interceptor is none. `interceptor` is what the message calls it."""

    code = "invalid-interceptor"

    def __init__(self, message: str, *, interceptor: str | None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.interceptor = interceptor


class InvalidStageError(PipelineValidationError):
    """A runner is not a stage, or one of its parameters cannot be understood."""

    code = "invalid-stage"


class InvalidStageNameError(PipelineValidationError):
    """A stage's name is not of the form `[A-Za-z_][A-Za-z0-9_-]*`."""

    code = "invalid-name"

    def __init__(self, stage: str, *, pipeline: str) -> None:
        super().__init__(
            f"Pipeline '{pipeline}' has a stage named {stage!r}.",
            stage=stage,
            hint="A name is a letter or underscore, then letters, digits, underscores and hyphens.",
        )


class InvalidStreamError(PipelineValidationError):
    """A stage reads a stream that there is not, or that could only come to a halt. `dependency` is what it reads."""

    code = "invalid-stream"

    def __init__(self, stage: str, problem: str, *, dependency: str, hint: str) -> None:
        super().__init__(f"Stage '{stage}' {problem}.", stage=stage, hint=hint)
        self.dependency = dependency


class OverlappingDependencyError(PipelineValidationError):
    """A stage names the same dependency as required and as optional."""

    code = "overlapping-dependency"

    def __init__(self, stage: str, dependency: str, *, pipeline: str) -> None:
        super().__init__(
            f"Stage '{stage}' of pipeline '{pipeline}' declares '{dependency}' both as required and as optional.",
            stage=stage,
            hint="Keep one of the two.",
        )
        self.dependency = dependency


class SelfDependencyError(PipelineValidationError):
    """A stage depends on itself."""

    code = "self-dependency"

    def __init__(self, stage: str, *, pipeline: str) -> None:
        super().__init__(
            f"Stage '{stage}' of pipeline '{pipeline}' depends on itself.",
            stage=stage,
            hint="Remove the dependency; what a stage knew earlier in the conversation belongs in the snapshot.",
        )


class UnknownDependencyError(PipelineValidationError):
    """A stage depends on a name that no stage of the pipeline has."""

    code = "unknown-dependency"

    def __init__(self, stage: str, dependency: str, *, pipeline: str, stages: Sequence[str], note: str = "") -> None:
        super().__init__(
            f"Stage '{stage}' depends on '{dependency}', which is not in pipeline '{pipeline}'.",
            stage=stage,
            hint=f"{note}Stages: {listed(stages)}.",
        )
        self.dependency = dependency
