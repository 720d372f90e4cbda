"""What a command is, and its call. Apart from the rest, since `--help` does without argparse."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Protocol


class Command(Protocol):
    """What a command is: a module, or any object. Its docstring is what its help begins with."""

    def configure(self, parser: ArgumentParser) -> None:
        """Add its arguments."""
        ...

    def run(self, options: Namespace) -> int | None:
        """Do it, and return the exit code; None is 0."""
        ...


def call(name: str, command: Command, arguments: list[str]) -> int:
    """Let a command read its arguments, and do what they say."""
    parser = ArgumentParser(prog=f"stageflow {name}", description=command.__doc__, allow_abbrev=False)
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")
    command.configure(parser)
    return command.run(parser.parse_args(arguments)) or 0
