"""What can be wrong of the routes and joins of a pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stageflow.core.kinds import StageKind
from stageflow.errors import InvalidOptionError, InvalidRouteError, PipelineValidationError
from stageflow.pipeline.spec import StageSpec
from stageflow.wording import listed, nearest


def route_faults(specs: Mapping[str, StageSpec[Any]]) -> Iterator[PipelineValidationError]:
    """Yield each route that leads nowhere or comes from nowhere. Routers that do not exist are unknown dependencies."""
    taken: dict[str, set[str]] = {}
    for spec in specs.values():
        for router, route in (spec.route or {}).items():
            if router not in specs or router == spec.name:
                continue
            taken.setdefault(router, set()).add(route)
            yield from _check_taken(spec.name, specs[router], route)
    for spec in specs.values():
        if spec.routes or spec.terminal_routes:
            yield from _check_router(spec, taken.get(spec.name, set()))


def _check_taken(stage: str, router: StageSpec[Any], route: str) -> Iterator[PipelineValidationError]:
    if not router.routes:
        yield InvalidRouteError(
            stage,
            f"Stage '{stage}' is behind the route '{route}' of '{router.name}', which declares no routes.",
            router=router.name,
            route=None,
            hint=f"Declare them there: kind=StageKind.ROUTE, routes=('{route}', ...).",
        )
    elif route not in router.routes:
        yield InvalidRouteError(
            stage,
            f"Stage '{stage}' is behind the route '{route}', which '{router.name}' does not declare.",
            router=router.name,
            route=route,
            hint=f"{nearest(route, router.routes)}Its routes: {listed(router.routes)}.",
        )


def _check_router(spec: StageSpec[Any], taken: set[str]) -> Iterator[PipelineValidationError]:
    if spec.kind is not StageKind.ROUTE:
        yield InvalidOptionError(
            "routes", f"are for a ROUTE stage, and this is one of kind {spec.kind.name}", stage=spec.name,
            hint="Add kind=StageKind.ROUTE.",
        )  # fmt: skip
    for route in spec.terminal_routes:
        if route not in spec.routes:
            yield InvalidRouteError(
                spec.name,
                f"The terminal route '{route}' of '{spec.name}' is not among its routes.",
                router=spec.name,
                route=route,
                hint=f"{nearest(route, spec.routes)}Its routes: {listed(spec.routes)}.",
            )
    for route in spec.routes:
        if route not in taken and route not in spec.terminal_routes:
            yield InvalidRouteError(
                spec.name,
                f"The route '{route}' of '{spec.name}' leads to no stage.",
                router=spec.name,
                route=route,
                hint=f"Put a stage behind it: route={{'{spec.name}': '{route}'}}. If the run may end there, say so: "
                f"terminal_routes=('{route}',).",
            )


def join_faults(spec: StageSpec[Any], joined: Iterable[str], required: Iterable[str]) -> Iterator[InvalidOptionError]:
    """Yield what is wrong of a stage with `join="any"`.

    Args:
        spec: The stage.
        joined: The names of the dependencies that it joins.
        required: Those that its function takes as parameters without a default.
    """
    if not tuple(joined):
        yield InvalidOptionError("join", "is 'any', and there is no dependency to join", stage=spec.name)
    for name in required:
        hint = f"Give it a default, which stands for a stage that did not end OK: `{name}: ... | None = None`."
        yield InvalidOptionError(
            "join", f"is 'any', so that its parameter for '{name}' may have nothing to read", stage=spec.name, hint=hint
        )
