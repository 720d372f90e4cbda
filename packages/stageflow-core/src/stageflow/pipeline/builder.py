"""The immutable builder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Unpack

from stageflow.core.handle import StageHandle
from stageflow.core.kinds import StageKind
from stageflow.errors import DuplicateStageError, InvalidOptionError
from stageflow.execution.plan import ExecutionPlan, OnFailure
from stageflow.interceptors.checking import check_interceptors
from stageflow.pipeline.compilation import compile_plan
from stageflow.pipeline.drafts import PipelineOptions
from stageflow.pipeline.graph import StageGraph
from stageflow.pipeline.options import StageOptions, check_count, check_known, check_seconds
from stageflow.pipeline.runnable import Runnable
from stageflow.pipeline.runner import Runner
from stageflow.pipeline.spec import StageSpec, make_spec
from stageflow.wording import shown


class Pipeline(Runnable):
    """A named list of stages. It never changes: each builder call returns a new one.

    Args:
        name: Shown in errors, events and results.
        stages: Stages made by `stage`; in this order they stand in the results, and start if they become ready
            together.
        input: The type of the input of its runs, which is then checked; anything unless given.
        interceptors: What runs around each attempt of each stage, see `BaseInterceptor`; none unless given.
        max_concurrency: How many stages of a run may run at once; any number unless given.
        timeout: Seconds that a run may take; any number unless given.
        on_failure: "fail_fast" ends the run at the first failure; "continue" lets go on what does not depend on it.
        cancel_grace: Seconds that a stage may take to stop once it is cancelled, before the run leaves it behind.

    Raises:
        DuplicateStageError: Two stages have the same name.
        InvalidInterceptorError: An interceptor is none.
        InvalidOptionError: An option has a value that it cannot have.
    """

    __slots__ = ("_graph", "_name", "_options", "_specs")

    def __init__(
        self,
        name: str = "pipeline",
        stages: Iterable[StageSpec[Any]] = (),
        *,
        input: Any = None,
        interceptors: Iterable[Any] = (),
        max_concurrency: int | None = None,
        timeout: float | None = None,
        on_failure: OnFailure = "fail_fast",
        cancel_grace: float = 5.0,
    ) -> None:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The name of a pipeline is a non-empty string, not {shown(name)}.")
        where = f"pipeline '{name}'"
        if on_failure not in ("fail_fast", "continue"):
            raise InvalidOptionError("on_failure", f"is 'fail_fast' or 'continue', not {shown(on_failure)}", of=where)
        if not isinstance(stages, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The stages of pipeline '{name}' are given as a list, not as {shown(stages)}.")
        if max_concurrency is not None:
            check_count("max_concurrency", max_concurrency, of=where)
        self._name = name
        self._options = PipelineOptions(
            timeout=None if timeout is None else check_seconds("timeout", timeout, of=where),
            on_failure=on_failure,
            cancel_grace=check_seconds("cancel_grace", cancel_grace, of=where, least=0.0),
            interceptors=check_interceptors(interceptors, pipeline=name),
            input=input,
            max_concurrency=max_concurrency,
        )
        self._graph: StageGraph | None = None
        self._specs: dict[str, StageSpec[Any]] = {}
        self._add(stages)

    @classmethod
    def from_stages(cls, *stages: StageSpec[Any], name: str = "pipeline") -> Pipeline:
        """Return a pipeline of these stages."""
        return cls(name, stages)

    @property
    def name(self) -> str:
        return self._name

    @property
    def stages(self) -> tuple[StageSpec[Any], ...]:
        """The stages, in the order in which they were declared."""
        return tuple(self._specs.values())

    def with_stage(
        self,
        name: str,
        runner: Runner,
        kind: StageKind | None = None,
        **options: Unpack[StageOptions],
    ) -> Pipeline:
        """Return a pipeline with one stage more.

        Args:
            name: Name of the stage; it wins over the runner's own.
            runner: An object with `async execute(ctx)`, a class of such objects, or an async function.
            kind: The runner's own unless given, else TRANSFORM.
            options: `dependencies, optional, when, join, route, routes, terminal_routes, retry, timeout, deadline,
                critical, output, version, streams, stream, map_over, map_concurrency, limit, priority`, see
                `StageOptions`.

        Raises:
            DuplicateStageError: The pipeline has a stage of that name.
            InvalidStageError: The runner is not a stage.
            InvalidOptionError: An option has a value that it cannot have.
            TypeError: An option is unknown, or of the wrong type.
        """
        check_known(options, "with_stage()")
        return self._with(make_spec(name, runner, kind, options))

    def compose(self, other: Pipeline) -> Pipeline:
        """Return a pipeline with the stages of both; this one's name and options stay.

        A stage that both have is merged if it is equal in both.

        Raises:
            DuplicateStageError: Both have a stage of the same name that differs; `differing` says in what.
        """
        if not isinstance(other, Pipeline):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"compose() takes a Pipeline, not {shown(other)}.")
        added: list[StageSpec[Any]] = []
        for spec in other.stages:
            mine = self._specs.get(spec.name)
            if mine is None:
                added.append(spec)
            elif differing := mine.differing(spec):
                raise DuplicateStageError(spec.name, pipeline=self._name, differing=differing)
        return self._with(*added)

    def with_interceptors(self, *interceptors: Any) -> Pipeline:
        """Return a pipeline with these interceptors beside those that it has.

        Raises:
            InvalidInterceptorError: One of them is none, or the pipeline has it already.
        """
        together = check_interceptors((*self._options.interceptors, *interceptors), pipeline=self._name)
        return self._with(options=replace(self._options, interceptors=together))

    def build(self) -> StageGraph:
        """Check the pipeline and compile it.

        Raises:
            PipelineValidationError: The pipeline is wrong; a single fault raises its own type, several are in `faults`.
        """
        if self._graph is None:
            self._graph = StageGraph(compile_plan(self._name, self.stages, self._options))
        return self._graph

    def _compiled(self) -> ExecutionPlan:
        return self.build()._compiled()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - of the same base

    def _with(self, *specs: StageSpec[Any], options: PipelineOptions | None = None) -> Pipeline:
        pipeline = Pipeline(self._name)
        pipeline._options = options or self._options
        pipeline._specs = self._specs.copy()  # in one go: a stage more must not check all the others again
        pipeline._add(specs)
        return pipeline

    def _add(self, specs: Iterable[StageSpec[Any]]) -> None:
        for spec in specs:
            if not isinstance(spec, StageSpec):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(
                    f"Pipeline '{self._name}' was given {shown(spec)} as a stage; decorate it with @stage, or use "
                    "stage('name', runner) or .with_stage('name', runner)."
                )
            if spec.name in self._specs:
                raise DuplicateStageError(spec.name, pipeline=self._name)
            self._specs[spec.name] = spec

    def __len__(self) -> int:
        return len(self._specs)

    def __contains__(self, stage: object) -> bool:
        return (stage.name if isinstance(stage, StageHandle) else stage) in self._specs

    def __repr__(self) -> str:
        return f"<Pipeline '{self._name}': {', '.join(self._specs) or 'no stages'}>"
