"""What the type checker knows of typed results and extensions: checked by `make check`, never run.

A line that must be an error is marked with the rule that finds it; a mark that finds nothing is an error itself.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict, assert_type

from stageflow import (
    ContextSnapshot,
    ExtensionRegistry,
    PipelineResults,
    StageContext,
    StageKind,
    StageOutput,
    TypedExtension,
    stage,
)
from stageflow.extensions import default_registry
from stageflow.results import GuardResult, RouteResult


@dataclass(frozen=True)
class Tenant(TypedExtension):
    key: ClassVar[str] = "tenant"

    plan: str


class Keys(TypedDict):
    plan: str


def extensions(snapshot: ContextSnapshot) -> None:
    assert_type(snapshot.get_extension("tenant", Tenant), Tenant)
    assert_type(snapshot.get_extension("tenant", Tenant).plan, str)
    assert_type(snapshot.get_extension("tenant", Keys), Keys)
    assert_type(snapshot.get_extension("tenant", Tenant, None), Tenant | None)
    assert_type(snapshot.get_extension("tenant", Tenant, default=Tenant("free")), Tenant)
    snapshot.get_extension("tenant")  # pyright: ignore[reportCallIssue]
    snapshot.get_extension(3, Tenant)  # pyright: ignore[reportArgumentType]
    snapshot.get_extension("tenant", Tenant("pro"))  # pyright: ignore[reportArgumentType]


def registry(own: ExtensionRegistry) -> None:
    assert_type(own.register(Tenant), type[Tenant])
    assert_type(own.register(key="tenant")(Tenant), type[Tenant])
    assert_type(own.list(), tuple[str, ...])

    @default_registry.register
    @dataclass(frozen=True)
    class Trace(TypedExtension):
        key: ClassVar[str] = "trace"

        id: str

    assert_type(Trace("a").id, str)


@stage(kind=StageKind.ROUTE)
async def triage(ctx: StageContext) -> RouteResult:
    return RouteResult("billing", confidence=0.5)


@stage(kind=StageKind.GUARD)
async def guard(triage: RouteResult) -> StageOutput[GuardResult]:
    return GuardResult(passed=True).to_stage_output()


def results(results: PipelineResults, output: StageOutput[Any]) -> None:
    assert_type(results.value(triage), RouteResult)
    assert_type(results.value(guard), GuardResult)
    assert_type(RouteResult.from_output(output), RouteResult)
    assert_type(RouteResult("a").to_stage_output(), StageOutput[RouteResult])
    RouteResult(3)  # pyright: ignore[reportArgumentType]
    RouteResult("a").route = "b"  # pyright: ignore[reportAttributeAccessIssue]
    GuardResult()  # pyright: ignore[reportCallIssue]
