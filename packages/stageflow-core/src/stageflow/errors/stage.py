"""What goes wrong in one stage of a run."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from stageflow.errors.base import RunResults, StageflowError
from stageflow.wording import listed, nearest, path_in_words, type_name, with_article


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
        super().__init__(f"Stage '{stage}' returned {amiss(returned, path, expected, found)}", stage=stage, hint=hint)
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


def amiss(value: str, path: str, expected: str, found: str) -> str:
    """Return the end of a message: which value it is, or where in it, that is not what was expected."""
    return f"{value if path == '$' else f'{value} whose {path} is {found}'}; expected {expected}."


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


class StageReturnedFailure(StageError):
    """Tells an interceptor of a failure that the stage put into words: `StageOutput.fail("...")` has no exception.

    `output` is that StageOutput.
    """

    code = "returned-failure"

    def __init__(self, stage: str, detail: str, *, output: Any) -> None:
        super().__init__(f"Stage '{stage}' returned a failure: {detail}", stage=stage)
        self.output = output


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
