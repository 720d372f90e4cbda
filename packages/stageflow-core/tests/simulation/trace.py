"""What is seen of simulated runs, entry by entry, in the order in which it happened."""

from typing import NamedTuple


class Entry(NamedTuple):
    """One thing that happened.

    Attributes:
        time: In simulated seconds.
        run: Which run, from 0.
        what: "asked" of a condition; "start", "goes on", "cancelled", "end" and "finally" of a stage's code; "event"
            that a sink was given; "cancel the caller" and "cancel the run" by somebody outside; "returned" or "raised"
            to the caller.
        stage: The index of the stage, or None.
        detail: In words; nothing in it may differ between two runs of the same seed.
        stopping: What `ctx.cancelled` says at that moment, for entries of a stage's code.
    """

    time: float
    run: int
    what: str
    stage: int | None
    detail: str
    stopping: bool = False
