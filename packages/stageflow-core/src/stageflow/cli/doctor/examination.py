"""Looks at what a pipeline needs: ports, permits, environment variables, and the health of all that can tell of it."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from stageflow.capabilities import check_ports, given_ports
from stageflow.cli.doctor.checks import Check
from stageflow.cli.doctor.health import ask, can_be_asked
from stageflow.cli.doctor.variables import Variable, variables_in
from stageflow.errors import MissingPortError, ProtocolMismatchError
from stageflow.execution.plan import ExecutionPlan, Form, PlanNode
from stageflow.lint.modules import read_text
from stageflow.pipeline.graph import StageGraph
from stageflow.wording import listed, text_of, type_name


class Given(NamedTuple):
    """The ports that were given, if any were. They may be None."""

    ports: Any


def plan_of(graph: StageGraph) -> ExecutionPlan:
    """Return what a pipeline was compiled to."""
    return graph._compiled()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - of the same package


def look_at(graph: StageGraph, modules: Iterable[str], given: Given | None) -> list[Check]:
    """Return what can be seen without asking anything: `modules` are those whose source is looked at, too."""
    return [*_look_at(graph, modules, given)]


def _look_at(graph: StageGraph, modules: Iterable[str], given: Given | None) -> Iterator[Check]:
    plan = plan_of(graph)
    count = len(plan.nodes)
    yield Check("ok", f"imports and builds: {count} stage{'' if count == 1 else 's'}")
    for port, stages in graph.ports.items():
        yield _port(port, stages, given)
    for limit in dict.fromkeys(plan.limits.values()):
        yield Check("needs", f"permits of limit '{limit}'", f"--limit {limit}=N, or run(limits=Limits({{...}}))")
    sources = dict.fromkeys([*modules, *(_runner(node).__module__ for node in plan.nodes)])
    yield from _variables(sources)


def _port(port: str, stages: tuple[str, ...], given: Given | None) -> Check:
    what = f"port '{port}' for {listed(stages, most=4)}"
    if given is None:
        return Check("needs", what, "--ports MODULE:ATTRIBUTE looks at yours")
    try:
        check_ports(stages[0], (port,), given.ports)
    except MissingPortError:
        return Check("missing", what, f"--ports has: {listed(given_ports(given.ports))}")
    except ProtocolMismatchError as error:
        return Check("missing", what, text_of(error))
    return Check("ok", what)


def _variables(modules: Iterable[str]) -> Iterator[Check]:
    """Yield what is known of the environment variables that modules read; those of core are no concern of anybody's."""
    found: dict[str, Variable] = {}
    for name in modules:
        path = getattr(sys.modules.get(name), "__file__", None)
        if path is None or name.partition(".")[0] == "stageflow" or not path.endswith(".py"):
            continue
        for variable in variables_in(read_text(Path(path)), _near(path)):
            known = found.get(variable.name)
            if known is None or (variable.required and not known.required):
                found[variable.name] = variable
    for variable in found.values():
        place = f"{variable.path}:{variable.line}"
        if variable.name in os.environ:
            yield Check("ok", f"environment variable {variable.name} is set", place)
        elif variable.required:
            yield Check("missing", f"environment variable {variable.name} is not set", place)
        else:
            yield Check("unset", f"environment variable {variable.name} is not set", f"{place} does without")


def _near(path: str) -> str:
    here = str(Path.cwd()) + os.sep
    return path.removeprefix(here)


async def ask_all(graph: StageGraph, given: Given | None, timeout_s: float) -> tuple[list[Check], bool]:
    """Ask everything of a pipeline that has a `check_health()`, and return whether something still hangs."""
    checks: list[Check] = []
    hanging = False
    asked: set[int] = set()
    for what, find in _askable(graph, given):
        try:
            thing = find()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - constructors and properties of the user's may raise anything
            checks.append(Check("missing", f"{what} cannot be had", f"{type_name(error)}: {text_of(error)}"))
            continue
        if can_be_asked(thing) and id(thing) not in asked:
            asked.add(id(thing))
            check = await ask(what, thing, timeout_s)
            hanging = hanging or check is None
            checks.append(check or Check("missing", f"{what} is not well", f"no answer within {timeout_s:g} s"))
    return checks, hanging


def _askable(graph: StageGraph, given: Given | None) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what may be asked: what to call it, and how to get it."""
    plan = plan_of(graph)
    for node in plan.nodes:
        runner = _runner(node)
        asks = node.form is Form.CLASS and hasattr(runner, "check_health")
        yield f"stage '{node.name}'", runner if asks else partial(_itself, runner)  # of a class, what each run makes
    for interceptor in plan.interceptors:
        yield f"interceptor {type_name(interceptor)}", partial(_itself, interceptor)
    if given is not None and given.ports is not None:
        yield "--ports", partial(_itself, given.ports)
        for name in given_ports(given.ports):
            yield f"port '{name}'", partial(_port_of, given.ports, name)


def _port_of(ports: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", ports)[name] if isinstance(ports, Mapping) else getattr(ports, name)


def _itself(thing: Any) -> Any:
    return thing


def _runner(node: PlanNode) -> Any:
    """Return what does the work of a stage: a function, a class, or an object."""
    return node.target.__self__ if node.form is Form.METHOD and inspect.ismethod(node.target) else node.target
