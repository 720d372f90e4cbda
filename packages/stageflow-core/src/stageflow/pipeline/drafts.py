"""A stage on its way into a plan, and the options of the pipeline that it is part of."""

from __future__ import annotations

from typing import Any

from stageflow.execution.plan import (
    OnFailure,
    Reads,
)
from stageflow.pipeline.signature import ParameterRead
from stageflow.pipeline.spec import StageSpec
from stageflow.pipeline.streaming import (
    Flow,
    streams_of,
)
from stageflow.validation.contract import TypeContract
from stageflow.value import Value


class Draft:
    """A stage on its way into the plan.

    `declared` is the type that it says it returns, `chunks` the type of what it yields. `required`, `optional` and
    `streams` are its dependencies, from either form; each of `streams` with whether it is optional. `yields` tells
    whether it streams itself.
    """

    __slots__ = ("chunks", "contract", "declared", "optional", "parameters", "required", "spec", "streams", "yields")

    def __init__(
        self,
        spec: StageSpec[Any],
        parameters: tuple[ParameterRead, ...],
        declared: Any,
        contract: TypeContract | None,
        required: dict[str, None],
        optional: dict[str, None],
        streams: dict[str, bool],
        chunks: Any,
    ) -> None:
        self.spec = spec
        self.parameters = parameters
        self.declared = declared
        self.contract = contract
        self.required = required
        self.optional = optional
        self.streams = streams
        self.chunks = chunks
        self.yields = streams_of(spec.runner)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def dependencies(self) -> dict[str, Any]:
        """Everything that it names."""
        return {**self.required, **self.optional, **self.streams}

    @property
    def flow(self) -> Flow:
        whole = {read.stage for read in self.parameters if read.reads not in (Reads.STREAM, Reads.CONTEXT, Reads.INPUT)}
        both = whole & self.streams.keys()
        over = self.spec.map_over
        maps = over[0] if over is not None and over[1] is None else None
        return Flow(self.yields, self.streams, {**self.required, **self.optional}, both, maps)

    def joined(self) -> tuple[str, ...]:
        """Return the dependencies of which one is enough: the required ones but for routers, or all optional ones."""
        if self.spec.join == "all":
            return ()
        routers = self.spec.route or {}
        return tuple(name for name in self.required if name not in routers) or tuple(self.optional)


class PipelineOptions(Value):
    """The options of a pipeline, as `Pipeline` takes them."""

    __slots__ = ("cancel_grace", "input", "interceptors", "max_concurrency", "on_failure", "timeout")

    timeout: float | None
    on_failure: OnFailure
    cancel_grace: float
    interceptors: tuple[Any, ...]
    input: Any
    max_concurrency: int | None

    def __init__(
        self,
        timeout: float | None = None,
        on_failure: OnFailure = "fail_fast",
        cancel_grace: float = 5.0,
        interceptors: tuple[Any, ...] = (),
        input: Any = None,
        max_concurrency: int | None = None,
    ) -> None:
        object.__setattr__(self, "timeout", timeout)
        object.__setattr__(self, "on_failure", on_failure)
        object.__setattr__(self, "cancel_grace", cancel_grace)
        object.__setattr__(self, "interceptors", interceptors)
        object.__setattr__(self, "input", input)
        object.__setattr__(self, "max_concurrency", max_concurrency)

    def told(self) -> tuple[Any, ...]:
        """Return what a fingerprint knows of them: of interceptors that decide, their names, the same everywhere."""
        deciding = (each for each in self.interceptors if not getattr(each, "only_watches", False))
        names = tuple(interceptor.name for interceptor in deciding)
        return (self.timeout, self.on_failure, self.cancel_grace, names, self.max_concurrency)
