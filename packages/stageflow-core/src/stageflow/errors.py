"""Every error that Stageflow raises for a reason of its own.

    StageflowError
    ├── PipelineValidationError        the graph is wrong: raised before anything runs
    │   ├── ContractMismatchError      what a parameter reads can never be of the type that it is annotated with
    │   ├── CycleDetectedError
    │   ├── DuplicateStageError        (by the builder call that repeats the name)
    │   ├── EmptyPipelineError
    │   ├── InvalidOptionError         an option cannot be what it is (also a ValueError)
    │   ├── InvalidRouteError          a route leads nowhere, or comes from nowhere
    │   ├── InvalidInterceptorError    what was given as an interceptor is none
    │   ├── InvalidStageError          the runner is not a stage, or its parameters cannot be read
    │   ├── InvalidStageNameError
    │   ├── InvalidStreamError         a stream leads from no stream, or could only come to a halt
    │   ├── OverlappingDependencyError
    │   ├── SelfDependencyError
    │   └── UnknownDependencyError
    ├── StageError                     one stage of a run did something wrong
    │   ├── AmbiguousInputError
    │   ├── CircuitOpenError           a circuit breaker keeps the stage from running
    │   ├── ConditionError             a `when` returned neither True nor False (also a TypeError)
    │   ├── IdempotencyConflictError   a key was used for other parameters
    │   ├── InterceptorError           a hook of an interceptor raised, hung, or returned the wrong thing
    │   ├── ItemSuspendedError         an item of a mapped stage returned `suspend()`
    │   ├── MapItemError               an item of a mapped stage failed
    │   ├── MapSourceError             what a stage is mapped over is no sequence of items (also a TypeError)
    │   ├── MissingInputError          (also a KeyError)
    │   ├── NoStreamError              a stream was asked of a stage that does not stream
    │   ├── StageContractError         a stage returned something else than it declares (also a TypeError)
    │   ├── NotMappedError             `ctx.item` of a stage without `map_over`
    │   ├── PolicyDeniedError          a policy keeps the stage from running
    │   ├── StageExecutionError        what a run raises when a stage failed
    │   ├── StageReturnTypeError       (also a TypeError)
    │   ├── StageOutcomeError          a value was asked of a stage that has none
    │   ├── StageTimeoutError          a limit of a stage ran out (also a TimeoutError)
    │   ├── StreamBrokenError          a stage that streams did not end OK
    │   ├── StreamFullError            a reader fell too far behind
    │   ├── StreamSuspendedError       a stage that streams, or reads a stream, asked for a decision
    │   ├── MissingRetryPolicyError    `retry()` of a stage that has no RetryPolicy
    │   ├── UndeclaredDependencyError
    │   ├── StageReturnedFailure       stands for a returned `StageOutput.fail("...")` where an exception is needed
    │   └── UndeclaredRouteError       a router chose what is not among its routes
    ├── InputContractError             a run's input is not what its pipeline takes (also a TypeError)
    ├── LimitDeadlockError             a child would wait for permits while one is held until it ends
    ├── PipelineCancelled              a run ended by a stage's `cancel()` or by `PipelineRun.cancel`
    ├── PipelineDepthError             runs lie too deep within each other
    ├── PipelineSuspended              a run waits for a human's decision
    ├── PipelineTimeoutError           a run took longer than it may (also a TimeoutError)
    ├── ResumeError                    a run cannot be resumed with these results or decisions (also a ValueError)
    ├── TooLateError                   something was asked of a run that has begun (also a RuntimeError)
    ├── NotCopyableError               data that stages share can be neither frozen nor copied (also a TypeError)
    ├── ForeignLoopError               two event loops use at once what belongs to one (also a RuntimeError)
    ├── LimitTooSmallError             more permits are needed at once than there are
    ├── UnknownLimitError              a stage takes permits of a limit that the run was not given
    ├── UnknownStageError              results were asked for a stage that the plan does not have (also a KeyError)
    └── SerializationError             data cannot go to or come from JSON (also a ValueError)
        └── SchemaVersionError

Each class has a `code`, which is also the heading of its section in docs/reference/errors.md. What ends a run has a
`chain`: the stages that led to it, from the first run on, through children. Each instance has its
data as attributes and survives pickling: a cause that cannot be pickled becomes an `UnpicklableCause`; results, an
output or completed items that cannot be pickled become None, and a note says why.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Generator, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar, Protocol

from stageflow.wording import listed, nearest, path_in_words, text_of, type_name, with_article


class RunResults(Protocol):
    """What an error tells of the run that it ended; `PipelineResults` is it.

    Declared here because results raise these errors, so that errors cannot import results.
    """

    @property
    def pipeline(self) -> str: ...
    @property
    def pipeline_run_id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def duration_ms(self) -> float: ...
    @property
    def stragglers(self) -> tuple[str, ...]: ...
    @property
    def events_lost(self) -> int: ...
    @property
    def resumed_from(self) -> str | None: ...
    def suspended(self) -> tuple[str, ...]: ...
    def failed(self) -> tuple[str, ...]: ...
    def skipped(self) -> tuple[str, ...]: ...
    def data(self, stage: Any, /) -> Mapping[str, Any]: ...
    def value(self, stage: Any, /) -> Any: ...
    def record(self, stage: Any, /) -> Any: ...
    def records(self) -> tuple[Any, ...]: ...
    def to_dict(self) -> dict[str, Any]: ...
    def items(self) -> Any: ...
    def __getitem__(self, stage: Any, /) -> Any: ...
    def __contains__(self, stage: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...


class UnpicklableCause(Exception):
    """Stands in a pickled error for a cause that could not be pickled: its type and its text."""


class StageflowError(Exception):
    """Base of every error of Stageflow.

    Args:
        message: What happened and where.
        hint: What to do about it; shown after the message.

    Attributes:
        chain: Of what a run raises, the stages that led to it, each as `pipeline.stage`: from the first run, through
            those that ran others as children, down to where it began. The last is a pipeline where no stage is to
            blame. Empty for what is no run's.
    """

    code: ClassVar[str] = "stageflow"
    chain: tuple[str, ...] = ()

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint.strip() if hint and hint.strip() else None
        super().__init__(f"{message} {self.hint}" if self.hint else message)

    def __reduce__(self) -> tuple[Any, ...]:
        # The state comes third, after pickle has noted the error itself: `failures` leads back to it.
        return (
            _bare,
            (type(self), self.args),
            {**_picklable_state(self.__dict__), "__cause__": picklable(self.__cause__)},
        )


def _bare(cls: type[StageflowError], args: tuple[Any, ...]) -> StageflowError:
    error = cls.__new__(cls, *args)
    error.args = args  # which OSError, the base of TimeoutError, leaves to its __init__
    return error


def picklable(cause: BaseException | None) -> BaseException | None:
    """Return the exception itself if it survives pickling, else an UnpicklableCause that tells of it."""
    if cause is None or isinstance(cause, StageflowError):
        return cause
    return cause if _failure_to_pickle(cause) is None else UnpicklableCause(f"{type_name(cause)}: {text_of(cause)}")


def _failure_to_pickle(value: object) -> Exception | None:
    """Return what is raised when a value is pickled and read back, or None; also if it is only being copied."""
    pickle: Any = sys.modules.get("pickle")  # whoever pickles has imported it, and nobody else is to pay for that
    if pickle is None:
        return None
    try:
        pickle.loads(pickle.dumps(value))  # an exception with a custom __init__ fails on the way back
    except Exception as error:  # noqa: BLE001 - any class may raise anything, and the error itself must still travel
        return error
    return None


_probing: ContextVar[bool] = ContextVar("stageflow_probing_pickle", default=False)


def _picklable_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state without `results`, `output` or `completed` that cannot be pickled.

    They hold whatever stages returned.
    """
    held = next((name for name in ("results", "output", "completed") if state.get(name) is not None), None)
    if held is None or _probing.get():
        return dict(state)
    token = _probing.set(True)  # the results may hold errors that have results: one look goes all the way down
    try:
        error = _failure_to_pickle(state[held])
    finally:
        _probing.reset(token)
    if error is None:
        return dict(state)
    note = f"Its {held} could not be pickled ({type_name(error)}: {text_of(error)})."
    return {**state, held: None, "__notes__": [*state.get("__notes__", ()), note]}


# --- the graph ---------------------------------------------------------------------------------------------------


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


# --- a stage -----------------------------------------------------------------------------------------------------


class StageError(StageflowError):
    """Base of what goes wrong in one stage of a run."""

    code = "stage"

    def __init__(self, message: str, *, stage: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.stage = stage


class UndeclaredDependencyError(StageError):
    """A stage read another stage that it did not declare as a dependency.

    `dependency` is None if it asked all its dependencies for a key and declares none.
    """

    code = "undeclared-dependency"

    def __init__(
        self,
        stage: str,
        dependency: str | None,
        *,
        declared: Sequence[str] = (),
        key: str | None = None,
        problem: str | None = None,
        hint: str | None = None,
    ) -> None:
        what = problem
        if dependency is None:
            what = f"looked for the key '{key}' in its dependencies, and declares none"
            hint = 'Declare the stage that holds the key: dependencies=("...",)'
        elif what is None:
            what = f"read '{dependency}' without declaring it (declared: {listed(declared)})"
            beside = ", beside those that it has" if declared else ""
            # A misspelt name is to be mended; declared, it would be an unknown stage.
            declare = f'To declare it, add to the stage{beside}: dependencies=("{dependency}",)'
            hint = nearest(dependency, declared) or declare
        super().__init__(f"Stage '{stage}' {what}.", stage=stage, hint=hint)
        self.dependency = dependency
        self.declared = tuple(declared)


class AmbiguousInputError(StageError):
    """`inputs.get(key)` found the key in more than one dependency."""

    code = "ambiguous-input"

    def __init__(self, stage: str, key: str, *, candidates: Sequence[str]) -> None:
        super().__init__(
            f"Stage '{stage}' asked for the key '{key}', which {len(candidates)} of its dependencies hold: "
            f"{listed(candidates)}.",
            stage=stage,
            hint=f"Say which: inputs.get_from('{candidates[0]}', '{key}').",
        )
        self.key = key
        self.candidates = tuple(candidates)


class CircuitOpenError(StageError):
    """A stage did not run, because what it calls has failed too often.

    Attributes:
        circuit: The name of the circuit.
        retry_after: Seconds after which it may be let through.
    """

    code = "circuit-open"

    def __init__(self, stage: str, circuit: str, *, retry_after: float) -> None:
        super().__init__(
            f"Stage '{stage}' did not run: the circuit '{circuit}' is open, and lets nothing through for another "
            f"{retry_after:g} s.",
            stage=stage,
            hint="It opened because what it guards failed several times in a row: look at those failures.",
        )
        self.circuit = circuit
        self.retry_after = retry_after


class ConditionError(StageError, TypeError):
    """The `when` of a stage returned something else than True or False."""

    code = "condition"

    def __init__(self, stage: str, returned: object) -> None:
        what = with_article(type_name(returned))
        forgotten = "It is asked at once, and cannot be async. " if isinstance(returned, Awaitable) else ""
        super().__init__(
            f"The `when` of stage '{stage}' returned {what}.",
            stage=stage,
            hint=f"{forgotten}Return True or False, for instance bool(...) of what it looks at.",
        )


class MapSourceError(StageError, TypeError):
    """What a stage is mapped over is no sequence of items, or raised when it was read.

    Attributes:
        source: The stage that should have given the items.
        key: The key in its data, or None if the items are the chunks that it streams.
        problem: What is wrong there.
        completed: The results of the items that had ended by then.
    """

    code = "map-source"

    def __init__(
        self,
        stage: str,
        source: str,
        key: str | None,
        *,
        problem: str,
        hint: str,
        completed: Mapping[int, Any] | None = None,
    ) -> None:
        what = f"the chunks of '{source}'" if key is None else f"the key '{key}' of '{source}'"
        super().__init__(f"Stage '{stage}' is mapped over {what}, which {problem}.", stage=stage, hint=hint)
        self.source = source
        self.key = key
        self.problem = problem
        self.completed: Mapping[int, Any] = {} if completed is None else completed


class MapItemError(StageError):
    """An item of a mapped stage failed; what fails the stage. `__cause__` is what the item failed with.

    Attributes:
        index: The place of the item; of several that failed at once, the first one's.
        completed: By place, the results of the items that had ended; None for those that were skipped.
        without_values: The message for events, without what a contract error found.
    """

    code = "map-item"

    def __init__(
        self, stage: str, index: int, detail: str, *, completed: Mapping[int, Any], without_values: str | None = None
    ) -> None:
        where = f"Item {index} of stage '{stage}' failed"
        super().__init__(
            f"{where}: {detail.removesuffix('.')}.",
            stage=stage,
            hint=f"What the others had returned by then ({len(completed)}) is in `completed`. To go on without an "
            "item, let the stage return StageOutput.skip(...) for it.",
        )
        self.index = index
        self.completed = completed
        self.without_values = f"{where}: {without_values or detail}"


class ItemSuspendedError(StageError):
    """An item of a mapped stage returned `StageOutput.suspend(...)`, which only a whole stage can."""

    code = "item-suspended"

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"Stage '{stage}' suspended for one of the items that it is mapped over.",
            stage=stage,
            hint="Ask in a stage of its own, which comes before or after, and asks for all items at once.",
        )


class NotMappedError(StageError):
    """A stage that runs once read `ctx.item`."""

    code = "not-mapped"

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"Stage '{stage}' read ctx.item, and is not mapped.",
            stage=stage,
            hint='To run it once for each item, say what over: map_over=("chunks", "items").',
        )


class MissingInputError(StageError, KeyError):
    """`inputs.require_from` or `inputs.value` asked for what a dependency does not have."""

    code = "missing-input"

    def __init__(
        self, stage: str, dependency: str, key: str | None, *, found: Sequence[str], absent: str | None
    ) -> None:
        what = "a value" if key is None else f"the key '{key}'"
        why = f"which ended {absent}" if absent else f"whose data has the keys {listed(found)}"
        hint = (
            "A dependency that is optional, or one of several under join='any', may be absent: ask inputs.has_output "
            "first, or use get_from with a default."
            if absent
            else f"{nearest(key or '', found)}Use get_from with a default if the key may be missing."
        )
        super().__init__(f"Stage '{stage}' requires {what} from '{dependency}', {why}.", stage=stage, hint=hint)
        self.dependency = dependency
        self.key = key

    __str__ = StageflowError.__str__  # KeyError's would show the repr of the message


class StageReturnTypeError(StageError, TypeError):
    """A stage returned something that is not a StageReturn."""

    code = "return-type"

    def __init__(self, stage: str, returned: str, *, hint: str | None = None) -> None:
        super().__init__(
            f"Stage '{stage}' returned {returned}.",
            stage=stage,
            hint=hint
            or "Return a mapping, a dataclass, pydantic or msgspec value, a StageOutput, or None: "
            "for a single value, return {'value': it}.",
        )
        self.returned = returned


class StageContractError(StageError, TypeError):
    """A stage returned something else than its `output=` or its return annotation says.

    Attributes:
        contract: What it declares.
        path: Where in the value the mismatch is: `$` is the value itself.
        expected: What should be there.
        found: What is there.
    """

    code = "contract"

    def __init__(
        self, stage: str, *, contract: str, returned: str, path: str, expected: str, found: str, hint: str | None
    ) -> None:
        super().__init__(f"Stage '{stage}' returned {_amiss(returned, path, expected, found)}", stage=stage, hint=hint)
        self.contract = contract
        self.path = path
        self.expected = expected
        self.found = found

    @property
    def without_values(self) -> str:
        """The message with the types of what was found, and not how it begins: for events."""
        found = self.found.partition(" (")[0]
        place = "" if self.path == "$" else f", at {self.path},"
        return f"Stage '{self.stage}' returned{place} {found}; expected {self.expected}."


def _amiss(value: str, path: str, expected: str, found: str) -> str:
    return f"{value if path == '$' else f'{value} whose {path} is {found}'}; expected {expected}."


class PolicyDeniedError(StageError):
    """A stage did not run, because a policy denied it.

    Attributes:
        action: What was to be done.
        reason: Why not, as the policy says.
    """

    code = "policy-denied"

    def __init__(self, stage: str, action: str, reason: str) -> None:
        super().__init__(f"Stage '{stage}' did not run: the policy denies '{action}': {reason}", stage=stage)
        self.action = action
        self.reason = reason


class StageExecutionError(StageError):
    """A run ended because a stage failed; raised after every other stage has stopped.

    `__cause__` is the exception that the stage raised or gave to `StageOutput.fail`, if there was one.

    Attributes:
        attempts: How often the stage was tried.
        detail: What it failed with; if that was a child, what that failed with in the end.
        results: What every stage of the run ended as.
        failures: One StageExecutionError for each stage that failed of its own accord, in plan order.
    """

    code = "stage-failed"

    def __init__(
        self,
        stage: str,
        detail: str,
        *,
        pipeline: str,
        attempts: int,
        stage_code: str | None,
        results: RunResults,
        below: Sequence[str] = (),
    ) -> None:
        tries = f" after {attempts} attempts" if attempts > 1 else ""
        where = f" in its child {path_in_words(below)}" if below else ""
        comma = "," if tries and where else ""
        super().__init__(f"Stage '{stage}' of pipeline '{pipeline}' failed{tries}{comma}{where}: {detail}", stage=stage)
        self.pipeline = pipeline
        self.detail = detail
        self.attempts = attempts
        self.stage_code = stage_code
        self.results = results
        self._failures: tuple[StageExecutionError, ...] = ()

    @property
    def failures(self) -> tuple[StageExecutionError, ...]:
        return self._failures or (self,)

    @failures.setter
    def failures(self, failures: tuple[StageExecutionError, ...]) -> None:
        self._failures = failures if len(failures) > 1 else ()  # never a circle of one: it would not pickle


class IdempotencyConflictError(StageError):
    """A stage did not run, because its idempotency key was used before with other parameters.

    `key` is that key, as the application gave it.
    """

    code = "idempotency-conflict"

    def __init__(self, stage: str, key: str) -> None:
        super().__init__(
            f"Stage '{stage}' did not run: its idempotency key '{key}' stands for other parameters than these.",
            stage=stage,
            hint="Give each piece of work a key of its own, or say by `parameters=` what makes two pieces the same.",
        )
        self.key = key


class InterceptorError(StageError):
    """A hook of an interceptor raised, took too long, or returned the wrong thing: the stage fails, whatever it did.

    `__cause__` is what the hook raised, if it raised.

    Attributes:
        interceptor: The interceptor's name.
        hook: `before`, `around`, `after`, `on_error` or `fallback`.
        problem: What was wrong with it.
    """

    code = "interceptor"

    def __init__(self, stage: str, interceptor: str, hook: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(
            f"Stage '{stage}' failed: `{hook}` of its interceptor '{interceptor}' {problem}.", stage=stage, hint=hint
        )
        self.interceptor = interceptor
        self.hook = hook
        self.problem = problem


class StageReturnedFailure(StageError):
    """Tells an interceptor of a failure that the stage put into words: `StageOutput.fail("...")` has no exception.

    `output` is that StageOutput.
    """

    code = "returned-failure"

    def __init__(self, stage: str, detail: str, *, output: Any) -> None:
        super().__init__(f"Stage '{stage}' returned a failure: {detail}", stage=stage)
        self.output = output


class NoStreamError(StageError):
    """A stream was asked of a stage that does not stream; `streaming` are those that do."""

    code = "no-stream"

    def __init__(self, stage: str, *, pipeline: str, streaming: Sequence[str]) -> None:
        hint = "A stage streams if it is an async generator: let it `yield` its chunks."
        if streaming:
            hint = f"{nearest(stage, streaming)}Those that stream: {listed(streaming)}."
        super().__init__(f"Stage '{stage}' of pipeline '{pipeline}' does not stream.", stage=stage, hint=hint)
        self.streaming = tuple(streaming)


class StreamBrokenError(StageError):
    """The stage whose chunks were being read did not end OK, so that what was read may not be the whole.

    `why` says how it ended; what it raised is the cause.
    """

    code = "stream-broken"

    def __init__(self, stage: str, why: str) -> None:
        super().__init__(
            f"The stream of stage '{stage}' broke: it {why}.",
            stage=stage,
            hint="What has been read is what it yielded before; catch this error to make do with that.",
        )
        self.why = why


class StreamFullError(StageError):
    """A stage that streams with `on_full="error"` yielded a chunk for which a reader had no room.

    Attributes:
        reader: The stage that reads, or `run.stream`.
        capacity: How many chunks wait for it.
    """

    code = "stream-full"

    def __init__(self, stage: str, reader: str, *, capacity: int) -> None:
        super().__init__(
            f"Stage '{stage}' yielded a chunk while {capacity} still wait for its reader '{reader}'.",
            stage=stage,
            hint="Let it wait, or drop chunks: StreamOptions(on_full='block'), 'drop_oldest' or 'drop_newest'; or "
            "raise capacity=.",
        )
        self.reader = reader
        self.capacity = capacity


class StreamSuspendedError(StageError):
    """A stage that streams or reads a stream asked for a decision: when that comes, the chunks are gone."""

    code = "stream-suspended"

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"Stage '{stage}' is joined to others by a stream, and asked for a decision.",
            stage=stage,
            hint="Let a stage of its own ask before the stream begins: its chunks would be gone when the run resumes.",
        )


class StageOutcomeError(StageError):
    """A value was asked of a stage that did not end OK."""

    code = "no-value"

    def __init__(self, stage: str, *, status: str, why: str | None, origin: str | None) -> None:
        because = f": {why}" if why else ""
        first = f" (it began with '{origin}')" if origin and origin != stage else ""
        super().__init__(
            f"Stage '{stage}' has no value: it ended {status}{because}{first}.",
            stage=stage,
            hint=f"Ask results['{stage}'].status first.",
        )
        self.status = status
        self.origin = origin


class StageTimeoutError(StageError, TimeoutError):
    """A stage took longer than it may.

    Attributes:
        limit: Which limit ran out: "timeout" (one attempt), "deadline" (the stage with its retries), or the name of the
            interceptor that set it.
        seconds: How long it is.
        completed: Of a mapped stage that its deadline ended, by place the results of the items that had ended by then.
    """

    code = "stage-timeout"

    def __init__(
        self, stage: str, *, limit: str, seconds: float, problem: str | None = None, hint: str | None = None
    ) -> None:
        took = {
            "timeout": f"an attempt took longer than its timeout of {seconds:g} s",
            "deadline": f"it took longer than its deadline of {seconds:g} s",
        }.get(limit, f"it took longer than the {seconds:g} s of {limit}")
        super().__init__(
            f"Stage '{stage}' ran out of time: {problem or took}.",
            stage=stage,
            hint=hint or (f"Raise {limit}=." if limit in ("timeout", "deadline") else None),
        )
        self.limit = limit
        self.seconds = seconds
        self.completed: Mapping[int, Any] = {}


class MissingRetryPolicyError(StageError):
    """A stage or an interceptor asked for another attempt, and there is no RetryPolicy; `__cause__` is why it asked."""

    code = "no-retry-policy"

    def __init__(self, stage: str, why: str) -> None:
        super().__init__(
            f"Stage '{stage}' was to be tried again, and has no RetryPolicy. (It failed with: {why})",
            stage=stage,
            hint="Give it one: retry=RetryPolicy(max_attempts=3).",
        )


class UndeclaredRouteError(StageError):
    """A router returned a route that it does not declare; `route` is what it returned, `routes` what it declares."""

    code = "undeclared-route"

    def __init__(self, stage: str, route: object, *, routes: Sequence[str]) -> None:
        near = nearest(route, routes) if isinstance(route, str) else ""
        what = "nothing" if route is None else with_article(type_name(route))
        chose = f"chose the route {route!r}" if isinstance(route, str) else f"returned {what} as data['route']"
        super().__init__(
            f"Stage '{stage}' {chose}.",
            stage=stage,
            hint=f"{near}Its routes: {listed(routes)}. Return one of them: {{'route': '{routes[0]}'}}.",
        )
        self.route = route if isinstance(route, str) else None
        self.routes = tuple(routes)


# --- a run -------------------------------------------------------------------------------------------------------


class InputContractError(StageflowError, TypeError):
    """A run was given an input that is not of the type that its pipeline takes: `Pipeline(input=Type)`.

    The attributes are those of StageContractError, with `pipeline` instead of `stage`.
    """

    code = "input-contract"

    def __init__(
        self, pipeline: str, *, contract: str, given: str, path: str, expected: str, found: str, hint: str | None
    ) -> None:
        super().__init__(f"The input of pipeline '{pipeline}' is {_amiss(given, path, expected, found)}", hint=hint)
        self.pipeline = pipeline
        self.contract = contract
        self.path = path
        self.expected = expected
        self.found = found


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


class NotCopyableError(StageflowError, TypeError):
    """A value that several stages read can be neither frozen nor copied.

    `path` leads to the place, `kind` is the name of its type, `why` says what stands in the way.
    """

    code = "not-copyable"

    def __init__(self, path: str, value: object, *, why: str | None = None) -> None:
        self.path = path
        self.kind = type_name(value)
        self.why = why or f"is {with_article(self.kind)}, which cannot be copied"
        if isinstance(value, Awaitable):
            hint = "Await it first: an `await` seems to be missing."
        elif isinstance(value, (AsyncGenerator, Generator)):
            hint = "Let the stage itself `yield` them: it then streams, and map_over='its name' takes them as items."
        else:
            hint = "What stages share is frozen or copied for them"
            hint += ": make it flatter." if why else "; live objects (clients, locks, connections) belong in ports."
        super().__init__(f"{path} {self.why}.", hint=hint)


class SerializationError(StageflowError, ValueError):
    """Data cannot be written as JSON, or what was read is malformed.

    `path` leads to the place, as in `$.metadata.user`.
    """

    code = "serialization"

    def __init__(self, path: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path}: {problem}", hint=hint)
        self.path = path
        self.problem = problem


class SchemaVersionError(SerializationError):
    """The data was written by a newer Stageflow than this one."""

    code = "schema-version"

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            "$.schema_version",
            f"this data has version {found}, and this Stageflow reads up to version {known}.",
            hint="Upgrade stageflow-core here.",
        )
        self.found = found
        self.known = known
