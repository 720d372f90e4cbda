"""What the outcomes of its dependencies mean for a stage: the design's rules R1 to R5 and R10, and nothing else."""

from dataclasses import dataclass

from simulation.scenario import Script, name_of

OK, SKIP, FAIL, CANCEL, SUSPEND = "ok", "skip", "fail", "cancel", "suspend"


@dataclass(frozen=True)
class Outcome:
    """How a stage has to be recorded.

    Attributes:
        origins: The stages of which one has to be named as where it began; empty if it is the stage's own.
        text: What must occur in its reason or error.
        stopped: Whether it is the end of the whole run, for the run's reason.
        said: What the stage returned, for those who read it.
        route: The route that it chose, if it is a router that ended OK.
        attempts_left: Whether it asks for another attempt, and may have one.
    """

    status: str
    origins: frozenset[str] = frozenset()
    text: str = ""
    stopped: bool = False
    said: str = "absent"
    route: str | None = None


def joined(script: Script) -> tuple[int, ...]:
    """Return the dependencies of which one has to be OK: the required ones but for routers, else the optional ones."""
    if not script.join_any:
        return ()
    return script.required or script.optional


def may_start(script: Script, ended: dict[int, Outcome]) -> bool | Outcome:
    """Return whether a stage may start, or how it is skipped, by how its dependencies have ended.

    A suspended dependency has not ended, and neither has one that was stopped with the run: nothing follows from it.
    """
    over = {i: ended[i] for i in script.dependencies if i in ended and not _keeps_waiting(ended[i])}
    for router, route in script.behind:
        if router in over and over[router].status == OK and over[router].route != route:
            return Outcome(SKIP, frozenset({name_of(router)}), text=f"'{route}'")
    must_be_ok = (*script.routers, *(() if script.join_any else script.required))
    missing = [skipped_for(other, over[other]) for other in must_be_ok if other in over and over[other].status != OK]
    if missing:
        return missing[0] if len(missing) == 1 else either(missing)
    if len(over) < len(script.dependencies):
        return False
    ways = joined(script)
    if ways and all(over[other].status != OK for other in ways):
        return either([skipped_for(other, over[other]) for other in ways])
    return True


def either(outcomes: list[Outcome]) -> Outcome:
    """Return a skip that may be for any of several at once."""
    return Outcome(SKIP, frozenset().union(*(outcome.origins for outcome in outcomes)))


def skipped_for(other: int, outcome: Outcome) -> Outcome:
    """Return how a stage is skipped that requires this one: for what it began with."""
    name = name_of(other)
    return Outcome(SKIP, outcome.origins) if outcome.origins else Outcome(SKIP, frozenset({name}), text=f"'{name}'")


def _keeps_waiting(outcome: Outcome) -> bool:
    return outcome.status == SUSPEND or outcome.stopped
