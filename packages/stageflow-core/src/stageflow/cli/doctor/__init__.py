"""Say what pipelines need, and what of it is missing: before the first run, rather than in the midst of it.

It imports the pipelines, looks for the ports that their stages name and the environment variables that their modules
read, and asks everything that has a `check_health()`. Exit code 1 if something is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from stageflow.cli import exits
from stageflow.cli.console import Console, columns
from stageflow.cli.doctor.checks import MARKS, Check
from stageflow.cli.doctor.examination import Given, ask_all, look_at
from stageflow.cli.doctor.loading import Loaded, load
from stageflow.cli.doctor.surroundings import surroundings
from stageflow.cli.ports import HELP, opened_ports
from stageflow.cli.targets import TARGET, load_attribute, module_named
from stageflow.errors import CommandError
from stageflow.wording import text_of

Checks = Sequence[Check]

_WHICH = f"{TARGET}; or a module, for all that it holds; unless given, the installed ones"


def configure(parser: ArgumentParser) -> None:
    """Add what `doctor` takes."""
    parser.add_argument("pipelines", metavar="PIPELINE", nargs="*", help=_WHICH)
    parser.add_argument("--ports", metavar="MODULE:ATTRIBUTE", help=HELP)
    parser.add_argument("--timeout", metavar="SECONDS", type=float, default=10.0, help="for each check_health (10)")
    parser.add_argument("--json", action="store_true", help="an object with everything that was found")


def run(options: Namespace) -> int:
    """Examine the pipelines, and print what was found."""
    if not 0 < options.timeout < float("inf"):
        raise CommandError(f"--timeout is a number of seconds above 0, not {options.timeout}.")
    with Console() as console:
        return _look(console, options)


def _look(console: Console, options: Namespace) -> int:
    ports = None if options.ports is None else load_attribute(options.ports)
    loaded = load(options.pipelines)
    with asyncio.Runner() as runner:
        try:
            found, hanging = runner.run(_examine(loaded, options, ports))
        except KeyboardInterrupt:  # the loop, as it closes, would wait for a check that hangs
            exits.leave_now(exits.INTERRUPTED)
        (_show_json if options.json else _show)(console, surroundings(), found)
        missing = any(check.status == "missing" for checks in found.values() for check in checks)
        code = exits.FAILED if missing else exits.OK
        if hanging:  # else the process would wait for what has not answered in time
            exits.leave_now(code)
    return code


async def _examine(loaded: Mapping[str, Loaded], options: Namespace, ports: Any) -> tuple[dict[str, list[Check]], bool]:
    found: dict[str, list[Check]] = {}
    hanging = False
    async with contextlib.AsyncExitStack() as stack:
        problems: list[Check] = []
        given: Given | None = None
        if options.ports is not None:
            try:
                given = Given(await opened_ports(ports, stack))
            except CommandError as error:
                problems = [Check("missing", text_of(error))]
        for name, graph in loaded.items():
            if isinstance(graph, CommandError):
                found[name] = [Check("missing", text_of(graph))]
                continue
            modules = [module_named(each) for each in (name, options.ports) if each and ":" in each]
            seen = await asyncio.to_thread(look_at, graph, modules, given)
            told, hangs = await ask_all(graph, given, options.timeout)
            found[name] = [*seen, *problems, *told]
            hanging = hanging or hangs
    return found, hanging


def _show_json(console: Console, around: Checks, found: Mapping[str, Checks]) -> None:
    pipelines = {name: [check._asdict() for check in checks] for name, checks in found.items()}
    console.json({"surroundings": [check._asdict() for check in around], "pipelines": pipelines}, indent=2)


def _show(console: Console, around: Checks, found: Mapping[str, Checks]) -> None:
    for title, checks in {"surroundings": around, **found}.items():
        console.data(title)
        for line in columns([MARKS[check.status], check.what, check.remedy] for check in checks):
            console.data(f"  {line}")
    missing = sum(check.status == "missing" for checks in found.values() for check in checks)
    told = f"{missing} missing." if missing else "Nothing is missing."
    console.tell(told if found else "No pipeline is installed: name one.")
