"""Begin a project: a folder with a pipeline that runs, a test that passes, and what installs it."""

from __future__ import annotations

import keyword
import re
import shlex
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from stageflow.cli.console import Console
from stageflow.cli.new.project import files
from stageflow.errors import CommandError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*")


def configure(parser: ArgumentParser) -> None:
    """Add what `new` takes."""
    parser.add_argument("name", metavar="NAME", help="of the project, and of its folder: letters, digits, - and _")


def run(options: Namespace) -> int:
    """Write the project."""
    name, package = options.name, package_name(options.name)
    folder = Path(name)
    console = Console()
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CommandError(f"'{folder}' is there already, and is not empty.", hint="Choose another name.")
        for path, text in files(name, package).items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
            console.data(str(place))
    except OSError as error:
        raise CommandError(f"'{folder}' cannot be written: {error.strerror}.") from error
    console.tell("")
    console.tell(f"cd {shlex.quote(name)}")
    console.tell(f'PYTHONPATH=src stageflow run {package}.pipeline:pipeline --input "to be or not to be"')
    console.tell("stageflow lint src")
    console.tell("python -m pytest")
    return 0


def package_name(name: str) -> str:
    """Return the name of the package of a project.

    Raises:
        CommandError: No project can have that name.
    """
    if not _NAME.fullmatch(name):
        problem = "is letters, digits, - and _, and begins with a letter"
        raise CommandError(f"The name of a project {problem}, unlike '{name}'.")
    package = name.lower().replace("-", "_")
    taken = package in sys.stdlib_module_names or package.startswith("stageflow") or package in ("tests", "pytest")
    if keyword.iskeyword(package) or taken:
        raise CommandError(f"A package cannot be called '{package}': that name is taken.", hint="Choose another name.")
    return package
