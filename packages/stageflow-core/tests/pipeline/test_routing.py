"""What can be wrong of routes and joins is found when the pipeline is built."""

from __future__ import annotations

from typing import Any

import pytest
from stageflow import Pipeline, PipelineValidationError, StageContext, StageKind, StageOutput, StageSpec, stage
from stageflow.errors import (
    CycleDetectedError,
    InvalidOptionError,
    InvalidRouteError,
    OverlappingDependencyError,
    SelfDependencyError,
    UnknownDependencyError,
)
from stageflow.execution.calling import invoke_function


async def answer(ctx: StageContext) -> None:
    """Answer."""


def router(name: str = "way", *routes: str, terminal: Any = (), **options: Any) -> StageSpec[Any]:
    """Return a router."""
    return stage(name, answer, StageKind.ROUTE, routes=routes, terminal_routes=terminal, **options)


def behind(name: str, route: str, way: str = "way", **options: Any) -> StageSpec[Any]:
    """Return a stage behind a route."""
    return stage(name, answer, route={way: route}, **options)


def fault_of(*specs: StageSpec[Any]) -> PipelineValidationError:
    """Build a pipeline of these stages and return the error."""
    with pytest.raises(PipelineValidationError) as caught:
        Pipeline("desk", specs).build()
    return caught.value


LEFT, RIGHT = behind("l", "left"), behind("r", "right")

# --- routes ------------------------------------------------------------------------------------------------------


def test_a_route_that_is_not_declared() -> None:
    """With the nearest one, and those that there are."""
    error = fault_of(router("way", "left", "right"), LEFT, RIGHT, behind("s", "rigth"))
    assert isinstance(error, InvalidRouteError)
    assert ("s", "way", "rigth", "invalid-route") == (error.stage, error.router, error.route, error.code)
    assert (
        "Stage 's' is behind the route 'rigth', which 'way' does not declare. "
        "Did you mean 'right'? Its routes: left, right." == str(error)
    )


@pytest.mark.parametrize("way", [stage("way", answer), stage("way", answer, StageKind.ROUTE)], ids=["other", "router"])
def test_a_router_that_declares_no_routes(way: StageSpec[Any]) -> None:
    """Whatever its kind: the hint says how."""
    error = fault_of(way, LEFT)
    assert isinstance(error, InvalidRouteError)
    assert ("l", "way", None) == (error.stage, error.router, error.route)
    assert (
        "Stage 'l' is behind the route 'left' of 'way', which declares no routes. "
        "Declare them there: kind=StageKind.ROUTE, routes=('left', ...)." == str(error)
    )


def test_a_route_that_leads_nowhere() -> None:
    """It must be taken, or said to be an end."""
    error = fault_of(router("way", "left", "right"), LEFT)
    assert isinstance(error, InvalidRouteError)
    assert ("way", "way", "right") == (error.stage, error.router, error.route)
    assert (
        "The route 'right' of 'way' leads to no stage. Put a stage behind it: route={'way': 'right'}. "
        "If the run may end there, say so: terminal_routes=('right',)." == str(error)
    )
    Pipeline("desk", [router("way", "left", "right", terminal="right"), LEFT]).build()


def test_a_terminal_route_that_is_none_of_them() -> None:
    """With the nearest one."""
    error = fault_of(router("way", "left", terminal="lefd"), LEFT)
    assert isinstance(error, InvalidRouteError)
    assert ("way", "way", "lefd") == (error.stage, error.router, error.route)
    assert "The terminal route 'lefd' of 'way' is not among its routes. Did you mean 'left'? Its routes: left." == str(
        error
    )


def test_terminal_routes_without_routes() -> None:
    """They are some of the routes."""
    error = fault_of(router("way", terminal="left"))
    assert isinstance(error, InvalidRouteError)
    assert "The terminal route 'left' of 'way' is not among its routes. Its routes: none." == str(error)


@pytest.mark.parametrize("options", [{"routes": "left"}, {"routes": "left", "terminal_routes": "left"}], ids=str)
def test_routes_are_for_routers(options: dict[str, Any]) -> None:
    """A stage of another kind does not choose."""
    error = fault_of(stage("way", answer, StageKind.WORK, **options), LEFT)
    assert isinstance(error, InvalidOptionError)
    assert ("routes", "way") == (error.option, error.stage)
    assert (
        "routes of stage 'way' are for a ROUTE stage, and this is one of kind WORK. Add kind=StageKind.ROUTE."
        == str(error)
    )


def test_a_route_may_be_terminal_and_taken() -> None:
    """Stages behind it may all be skipped by their conditions."""
    Pipeline("desk", [router("way", "left", terminal="left"), LEFT]).build()


def test_a_router_without_routes_is_a_stage_like_another() -> None:
    """Whoever reads its output decides."""
    Pipeline("desk", [stage("way", answer, StageKind.ROUTE), stage("s", answer, dependencies="way")]).build()


def test_a_router_that_is_not_there_is_an_unknown_dependency() -> None:
    """With the nearest name."""
    error = fault_of(router("way", "left"), LEFT, behind("s", "left", "wya"))
    assert isinstance(error, UnknownDependencyError)
    assert ("s", "wya") == (error.stage, error.dependency)
    assert "Did you mean 'way'?" in str(error)


def test_a_router_behind_its_own_route_depends_on_itself() -> None:
    """That alone is told of it."""
    for route in ("left", "nowhere"):
        error = fault_of(router("way", "left", terminal="left", route={"way": route}))
        assert isinstance(error, SelfDependencyError)


def test_a_router_that_is_optional_as_well() -> None:
    """What is behind a route requires its router."""
    error = fault_of(router("way", "left"), behind("s", "left", optional="way"))
    assert isinstance(error, OverlappingDependencyError)
    assert ("s", "way") == (error.stage, error.dependency)


def test_a_router_that_a_parameter_may_do_without() -> None:
    """A default makes it optional, and the route makes it required."""

    async def reader(way: Any = None) -> None: ...

    error = fault_of(router("way", "left"), stage("s", reader, route={"way": "left"}))
    assert isinstance(error, OverlappingDependencyError)


def test_routers_in_a_circle() -> None:
    """Routes are edges."""
    error = fault_of(
        router("a", "x", route={"b": "x"}), router("b", "x", route={"c": "x"}), router("c", "x", route={"a": "x"})
    )
    assert isinstance(error, CycleDetectedError)
    assert {"a", "b", "c"} == set(error.path)


def test_every_fault_is_told_at_once() -> None:
    """Of routes and joins and all the rest."""
    error = fault_of(
        router("way", "left", "right", terminal="lost"),
        behind("a", "lefd"),
        behind("b", "left", "nowhere"),
        stage("c", answer, join="any"),
        stage("d", answer, routes="x", terminal_routes="x"),
        stage("e", answer, dependencies="e"),
    )
    assert [
        "UnknownDependencyError",
        "SelfDependencyError",
        "InvalidRouteError",
        "InvalidRouteError",
        "InvalidRouteError",
        "InvalidRouteError",
        "InvalidOptionError",
        "InvalidOptionError",
    ] == [type(fault).__name__ for fault in error.faults]
    told = [fault.route for fault in error.faults if isinstance(fault, InvalidRouteError)]
    assert ["lefd", "lost", "left", "right"] == told
    assert ["routes", "join"] == [fault.option for fault in error.faults if isinstance(fault, InvalidOptionError)]


# --- joins -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"route": {"way": "left"}}], ids=["nothing", "a router"])
def test_a_join_of_nothing(options: dict[str, Any]) -> None:
    """A router is not joined."""
    error = fault_of(router("way", "left", terminal="left"), stage("s", answer, join="any", **options))
    assert isinstance(error, InvalidOptionError)
    assert ("join", "s") == (error.option, error.stage)
    assert "join of stage 's' is 'any', and there is no dependency to join." == str(error)


def test_a_parameter_of_a_join_needs_a_default() -> None:
    """It may have nothing to read; each is told."""

    async def reader(a: Any, b: Any, c: Any = None) -> None: ...

    error = fault_of(*(stage(name, answer) for name in "abc"), stage("s", reader, join="any"))
    assert ["a", "b"] == [fault.message.split("'")[-2] for fault in error.faults]
    assert (
        "join of stage 's' is 'any', so that its parameter for 'a' may have nothing to read. "
        "Give it a default, which stands for a stage that did not end OK: `a: ... | None = None`."
        == str(error.faults[0])
    )


def test_a_parameter_for_the_router_of_a_join_needs_none() -> None:
    """The route must have been taken, so that the router is OK."""

    async def reader(way: Any, a: Any = None) -> None: ...

    spec = stage("s", reader, join="any", route={"way": "left"})
    plan = Pipeline("desk", [router("way", "left"), stage("a", answer), spec]).build()._plan
    node = plan.nodes[2]
    assert ({1}, {0: "left"}, {1}) == (set(node.joined), dict(node.gates), set(node.optional))


@pytest.mark.parametrize(
    ("options", "joined"),
    [
        ({"dependencies": ("a", "b")}, {"a", "b"}),
        ({"optional": ("a", "b")}, {"a", "b"}),
        ({"dependencies": "a", "optional": "b"}, {"a"}),
        ({"dependencies": ("way", "a"), "route": {"way": "left"}}, {"a"}),
        ({"optional": "b", "route": {"way": "left"}}, {"b"}),
        ({"dependencies": "a", "join": "all"}, set()),
    ],
)
def test_what_is_joined(options: dict[str, Any], joined: set[str]) -> None:
    """The required ones but for routers; without any, the optional ones."""
    specs = [router("way", "left", terminal="left"), stage("a", answer), stage("b", answer)]
    plan = Pipeline("desk", [*specs, stage("s", answer, **{"join": "any", **options})]).build()._plan
    assert joined == {plan.names[index] for index in plan.nodes[3].joined}


# --- what it costs others ----------------------------------------------------------------------------------------


def test_only_what_leads_to_a_route_or_a_join_is_looked_at_more_closely() -> None:
    """A plan without either has nothing of the kind."""
    plain = Pipeline("p", [stage("a", answer), stage("b", answer, dependencies="a")]).build()._plan
    assert (frozenset(), {}) == (plain.branching, dict(plain.conditions))
    specs = [router("way", "left"), LEFT, stage("a", answer), stage("b", answer, dependencies="l", optional="a")]
    routed = Pipeline("p", specs).build()._plan
    assert {"way"} == {routed.names[index] for index in routed.branching}
    joining = stage("j", answer, dependencies="b", optional="a", join="any")
    joined = Pipeline("p", [*specs, joining]).build()._plan
    assert {"way", "a", "b"} == {joined.names[index] for index in joined.branching}


def test_a_stage_that_asks_for_nothing_is_not_managed() -> None:
    """Its options cost it nothing."""
    specs = [
        stage("plain", answer),
        stage("joins", answer, optional="plain", join="any"),
        stage("conditional", answer, when=lambda inputs, snapshot: True),
        stage("dispensable", answer, critical=False),
        stage("tried", answer, timeout=5),
    ]
    nodes = Pipeline("p", specs, timeout=5, on_failure="continue").build()._plan.nodes
    assert [True, True, True, True, False] == [node.invoke is invoke_function for node in nodes]


def test_the_decorator_takes_routes() -> None:
    """As `stage` does."""

    @stage(kind=StageKind.ROUTE, routes=("left", "right"), terminal_routes="right")
    async def way() -> StageOutput[Any]:
        return StageOutput.ok(route="left")

    @stage(route={way: "left"})
    async def left() -> None: ...

    assert ("way", "left") == Pipeline("p", [way, left]).build().stages
