"""What is seen of simulated runs, entry by entry, in the order in which it happened."""

from typing import NamedTuple


class Entry(NamedTuple):
    """One thing that happened.

    Attributes:
        time: In simulated seconds.
        run: Which run, from 0.
        what: "start", "goes on", "cancelled", "end" and "finally" of a stage's code; "event" that a sink was given;
            "cancel the caller" and "cancel the run" by somebody outside; "returned" or "raised" to the caller.
        stage: The index of the stage, or None.
        detail: In words; nothing in it may differ between two runs of the same seed.
    """

    time: float
    run: int
    what: str
    stage: int | None
    detail: str


def shown(trace: list[Entry]) -> str:
    """Return a trace for a reader, numbered by place."""
    several = any(entry.run for entry in trace)
    lines = []
    for place, (time, run, what, stage, detail) in enumerate(trace):
        who = "" if stage is None else f"s{stage}"
        which = f"run {run} " if several else ""
        lines.append(f"{place:4} {time:9.3f} s  {which}{who:4} {what} {detail}".rstrip())
    return "\n".join(lines)
