"""What a cassette refuses, and what it finds when it is checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_SHOWN = 12
"""Differences that a message shows."""


class Difference(NamedTuple):
    """In what an asked request is not the recorded one: where, and how both are shown; None where there is nothing."""

    path: str
    recorded: str | None
    asked: str | None

    def __str__(self) -> str:
        recorded = "nothing" if self.recorded is None else self.recorded
        return f"{self.path}: recorded {recorded}, asked {'nothing' if self.asked is None else self.asked}"


class CassetteRefusal(BaseException):
    """A cassette does not do what it was asked for.

    **It is no `Exception`**, as the failures of pytest are none: a provider's client takes every Exception of its
    transport for a broken connection, tries again, and raises an error of its own, which a policy may retry in turn.

    Attributes:
        cassette: The file.
        asked: Method and address of the request.
        hint: What to do.
    """

    def __init__(self, cassette: Path, asked: str, hint: str = "") -> None:
        super().__init__(cassette, asked, hint)
        self.cassette, self.asked, self.hint = cassette, asked, hint


class UnknownRequestError(CassetteRefusal):
    """A request is not on the cassette, or no more.

    Attributes:
        nearest: Which recorded exchange is the most like it, in words; None if there is nothing on the cassette.
        differences: In what they differ; nothing, if that exchange has been used up by another request.
    """

    def __init__(
        self, cassette: Path, asked: str, nearest: str | None, differences: Sequence[Difference], hint: str
    ) -> None:
        super().__init__(cassette, asked, hint)
        self.args = (cassette, asked, nearest, differences, hint)
        self.nearest, self.differences = nearest, tuple(differences)

    def __str__(self) -> str:
        lines = [f"There is no answer to this request on the cassette: {self.cassette}", f"  asked:   {self.asked}"]
        lines.append(f"  nearest: {self.nearest or 'none, nothing was recorded'}")
        lines.extend(f"    {each}" for each in self.differences[:_SHOWN])
        if len(self.differences) > _SHOWN:
            lines.append(f"    and {len(self.differences) - _SHOWN} more differences")
        return "\n".join([*lines, f"  {self.hint}"])


class RecordingEndsError(CassetteRefusal):
    """A stream is read further than it was when it was recorded: its reader left it then."""

    def __str__(self) -> str:
        return (
            f"The recorded answer ends here, since its reader left then: {self.cassette}\n  asked: {self.asked}\n"
            f"  {self.hint}"
        )


class RecordingInCIError(CassetteRefusal):
    """A recording would have asked a service from within continuous integration."""

    def __str__(self) -> str:
        return (
            f"A cassette is to be recorded while the environment variable CI is set: {self.cassette}\n"
            f"  not asked: {self.asked}\n"
            "  Record where you develop, and commit the file. If this is meant, unset CI for this command."
        )


class CassetteClosedError(CassetteRefusal):
    """A cassette is asked before it is entered, or after it was left."""

    def __str__(self) -> str:
        return (
            f"The cassette is not in use: {self.cassette}\n  asked: {self.asked}\n"
            "  Ask within `with cassette:` or `async with cassette:`."
        )


class CassetteCheckError(AssertionError):
    """A test has passed, and has not asked what its cassette holds.

    Attributes:
        cassette: The file.
        unused: The recorded exchanges that nothing asked for, in words.
        refused: The refusals that the tested code has caught.
    """

    def __init__(self, cassette: Path, unused: Sequence[str], refused: Sequence[CassetteRefusal], hint: str) -> None:
        super().__init__(cassette, unused, refused, hint)
        self.cassette = cassette
        self.unused = tuple(unused)
        self.refused = tuple(refused)
        self.hint = hint

    def __str__(self) -> str:
        lines = [str(each) for each in self.refused]
        if self.refused:
            lines.append("This was raised, and something has caught it.")
        if self.unused:
            many = "An exchange was" if len(self.unused) == 1 else f"{len(self.unused)} exchanges were"
            lines.append(f"{many} never asked for: {self.cassette}")
            lines.extend(f"  {each}" for each in self.unused)
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class CassetteFileError(ValueError):
    """A cassette cannot be read, or not be written.

    Attributes:
        cassette: The file.
        path: Where in it, `exchanges[2].response.status` say.
        problem: What is wrong there.
    """

    def __init__(self, cassette: Path, path: str, problem: str, hint: str) -> None:
        super().__init__(cassette, path, problem, hint)
        self.cassette = cassette
        self.path = path
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.cassette}: {self.path}{': ' if self.path else ''}{self.problem}. {self.hint}"
