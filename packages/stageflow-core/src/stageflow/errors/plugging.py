"""What goes wrong with what an application plugs in."""

from __future__ import annotations

from collections.abc import Sequence

from stageflow.errors.base import StageflowError
from stageflow.errors.stage import StageError
from stageflow.wording import listed, nearest, shown


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
        article = "an" if protocol[0] in "AEIOU" else "a"
        super().__init__(f"{what} is not {article} {protocol}, but {shown(value)}{told}.", hint=hint)
        self.what = what
        self.protocol = protocol
        self.problems = tuple(problems)


class MissingPortError(StageError, AttributeError):
    """A stage needs something from outside that its run was not given.

    Attributes:
        stage: The stage; empty where a port was read outside of any.
        port: The name of the port.
        given: The names of those that the run was given.
    """

    code = "missing-port"

    def __init__(self, stage: str, port: str, *, given: Sequence[str] = ()) -> None:
        who = f"Stage '{stage}' needs the port '{port}', which its run was not given"
        had = f"The run has: {listed(given)}. " if given else "The run has no ports. "
        super().__init__(
            f"{who if stage else f'There is no port {port!r}'}.",
            stage=stage,
            hint=f"{nearest(port, given)}{had}Give it: run(ports=StagePorts({port}=...)).",
        )
        self.port = port
        self.given = tuple(given)
