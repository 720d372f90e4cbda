"""Find forgotten dependencies, and their like, in source code, which is neither imported nor run.

Exit code 1 if something is found.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from stageflow.cli import exits
from stageflow.cli.console import Console
from stageflow.cli.entry import version
from stageflow.errors import CommandError, NoPipelineError, UnreadableSourceError
from stageflow.lint.findings import Finding
from stageflow.lint.linter import lint
from stageflow.lint.reporting import FORMATS, as_sarif
from stageflow.wording import text_of


def configure(parser: ArgumentParser) -> None:
    """Add what `lint` takes."""
    told = "a file, a folder, or module:attribute for one pipeline; unless given, the current folder"
    parser.add_argument("targets", metavar="PATH|MODULE:ATTRIBUTE", nargs="*", default=["."], help=told)
    parser.add_argument("--format", choices=tuple(FORMATS), default="text", help="of the report; text unless given")
    parser.add_argument("--fix", action="store_true", help="declare missing dependencies: needs the extra lint-fix")


def run(options: Namespace) -> int:
    """Print what is found, and mend it before, if that was asked for."""
    console = Console()
    try:
        findings = _fixed(options.targets, console) if options.fix else lint(options.targets)
    except (NoPipelineError, UnreadableSourceError) as error:
        raise CommandError(text_of(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be written: {error.strerror}.") from error
    report = as_sarif(findings, version()) if options.format == "sarif" else FORMATS[options.format](findings)
    if report:
        console.data(report.removesuffix("\n"))
    return exits.FAILED if findings else exits.OK


def _fixed(targets: Sequence[str], console: Console) -> Sequence[Finding]:
    """Declare what is missing, tell of it, and return what is left."""
    try:
        fixing: Any = import_module("stageflow.lint.fixing")
    except ImportError as error:
        raise CommandError(text_of(error)) from error
    fixed = fixing.fix(targets)
    for path, count in fixed.written.items():
        console.tell(f"{path}: {count} {'dependency' if count == 1 else 'dependencies'} declared")
    for finding, why in fixed.why.items():
        at = finding.place
        console.tell(f"{at.path}:{at.line}:{at.column}: not declared: {why}")
    return fixed.left
