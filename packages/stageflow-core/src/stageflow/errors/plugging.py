"""What goes wrong with what an application plugs in."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import isroutine

from stageflow.errors.base import StageflowError
from stageflow.errors.stage import StageError
from stageflow.wording import listed, nearest, shown, with_article


class ProtocolMismatchError(StageflowError, TypeError):
    """What was handed over does not have the methods of its protocol, as it has to have them.

    Attributes:
        what: What it was handed over as.
        protocol: The name of the protocol.
        problems: What is amiss, one text for each method or attribute, with the method as it should be.
    """

    code = "protocol-mismatch"

    def __init__(
        self, what: str, protocol: str, value: object, *, problems: Sequence[str] = (), hint: str | None = None
    ) -> None:
        told = f": {'; '.join(problems)}" if problems else ""
        super().__init__(f"{what} is not {with_article(protocol)}, but {_described(value)}{told}.", hint=hint)
        self.what = what
        self.protocol = protocol
        self.problems = tuple(problems)


def _described(value: object) -> str:
    """Return what was handed over, without the repr of an object: settings and clients show their keys in theirs."""
    if value is None or type(value) in (bool, int, float) or isinstance(value, type) or isroutine(value):
        return shown(value)
    return with_article(type(value).__qualname__)


class MissingPortError(StageError, AttributeError):
    """A stage needs something from outside that its run was not given.

    Attributes:
        stage: The stage; empty where code read a port of which its stage had not said that it needs it.
        port: The name of the port.
        given: The names of those that the run was given.
    """

    code = "missing-port"

    def __init__(self, stage: str, port: str, *, given: Sequence[str] = (), way_out: str | None = None) -> None:
        problem = f"Stage '{stage}' needs the port '{port}', which its run was not given."
        if not stage:
            problem = f"The port '{port}' was read, which the run was not given."
        near = "" if port in given else nearest(port, given)  # a mapping may have it as a key
        had = f"The run has: {listed(given)}. " if given else "The run has no ports. "
        give = way_out or f"Give it: run(ports=StagePorts({port}=...))."
        super().__init__(problem, stage=stage, hint=f"{near}{had}{give}")
        self.port = port
        self.given = tuple(given)
