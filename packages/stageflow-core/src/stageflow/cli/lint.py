"""Find forgotten dependencies, and their like, in source code, which is neither imported nor run.

Exit code 1 if something is found.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stageflow.cli import exits
from stageflow.cli.console import Console
from stageflow.errors import CommandError
from stageflow.lint import UnreadableSourceError, lint_files, python_files
from stageflow.lint.modules import Modules
from stageflow.wording import text_of


def configure(parser: ArgumentParser) -> None:
    """Add what `lint` takes."""
    told = "a file, a folder, or module:attribute (its module is looked at); unless given, the current folder"
    parser.add_argument("places", metavar="PATH|MODULE:ATTRIBUTE", nargs="*", default=["."], help=told)


def run(options: Namespace) -> int:
    """Print what is found."""
    console = Console()
    try:
        files = list(dict.fromkeys(file for place in options.places for file in python_files(path_of(place))))
        findings = lint_files(files)
    except UnreadableSourceError as error:
        raise CommandError(text_of(error)) from error
    for each in findings:
        console.data(f"{each.place.path}:{each.place.line}:{each.place.column}: {each.rule}: {each.message}")
    return exits.FAILED if findings else exits.OK


def path_of(place: str) -> Path:
    """Return the file or the folder that is meant; of `module:attribute` the file of the module.

    Raises:
        CommandError: There is no such module in the current folder or among what is installed.
    """
    name, colon, _ = place.partition(":")
    if not colon or Path(place).exists() or name.endswith(".py"):
        return Path(name if name.endswith(".py") else place)
    modules = Modules()
    found = modules.locate(name)
    if found is None:
        raise CommandError(f"There is no module '{name}'.", hint=f"Looked in {Path.cwd()} and in what is installed.")
    return found
