"""From the arguments to the exit code."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

from stageflow.cli import exits
from stageflow.cli.commands import BUILT_IN, find, plug_ins
from stageflow.errors import CommandError
from stageflow.wording import one_line, text_of, type_name


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say, those of the process unless given, and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _have_streams()
    for stream in (sys.stdout, sys.stderr):
        _never_refuse(stream)
    try:
        code = _dispatch(given)
        sys.stdout.flush()
    except BrokenPipeError as error:
        if _leave_pipe():
            return exits.PIPE_CLOSED
        report(f"A pipe was closed by whoever read it: {text_of(error)}", error, traceback="--traceback" in given)
        return exits.BROKEN
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return code


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        _print_help()
        return exits.OK if given else exits.USAGE
    if given[0] in ("-V", "--version"):
        sys.stdout.write(f"stageflow {version() or '(not installed: it runs from its source)'}\n")
        return exits.OK
    traceback = "--traceback" in given
    package: str | None = None
    try:
        command, package = find(given[0])
        return import_module("stageflow.cli.calling").call(given[0], command, given[1:])
    except CommandError as error:
        report(text_of(error), error.__cause__ or error, traceback=traceback)
        return exits.USAGE
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a command raises is one line, and an exit code of its own
        whose = f"The command '{given[0]}'{f' of {package}' if package else ''} failed"
        report(f"{whose}: {type_name(error)}: {text_of(error)}", error, traceback=traceback)
        return exits.BROKEN


def report(message: str, error: BaseException | None = None, *, traceback: bool = False) -> None:
    """Say on stderr in one line what is wrong; where it comes from as well, if that was asked for."""
    if traceback and error is not None:
        import_module("traceback").print_exception(error)
    sys.stderr.write(f"stageflow: {one_line(message)}\n")


def _print_help() -> None:
    usable, problems = plug_ins()
    others = {each.name: f"from {each.package}" for each in usable}
    width = max(map(len, [*BUILT_IN, *others, "-V, --version"])) + 2
    lines = [
        "usage: stageflow COMMAND [ARGUMENT ...]",
        "",
        "Commands; each says more with `stageflow COMMAND --help`:",
        *(f"  {name:<{width}}{told}" for name, told in {**BUILT_IN, **others}.items()),
        "",
        "Options:",
        f"  {'-h, --help':<{width}}show this and end",
        f"  {'-V, --version':<{width}}show the version and end",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    for problem in problems:
        report(problem)


def version() -> str:
    """Return the version of core; nothing if it is not installed, but runs from its source."""
    metadata = import_module("importlib.metadata")
    try:
        return metadata.version("stageflow-core")
    except metadata.PackageNotFoundError:
        return ""


def _never_refuse(stream: object) -> None:
    """Let a stream write what its encoding does not have, as an escape: output is not to end in the middle."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _have_streams() -> None:
    """Write to nowhere what would go to a stream that the process was started without."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for as long as it runs


def _leave_pipe() -> bool:
    """Send what is still to be written nowhere, or Python complains about it at its end.

    Return whether it is our output that nobody reads any more: if not, it was another pipe that broke.
    """
    closed = [stream.fileno() for stream in (sys.stdout, sys.stderr) if _is_closed_pipe(stream)]
    for number in closed:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
    return bool(closed)


def _is_closed_pipe(stream: TextIO) -> bool:
    if not hasattr(select, "poll"):  # on Windows
        return True
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):  # what stands in for the stream is no file
        return False
    return any(happened & select.POLLERR for _, happened in poll.poll(0))
