"""What an attempt of a stage may come to: the design's rules R8 and R9, and what ends stand for.

Mostly there is one answer. For a stage with a time limit there may be several, of which its events say which it was: it
ran in a task of its own, and what its code did and what became of it are some steps apart.
"""

from dataclasses import dataclass

from simulation.rules import CANCEL, FAIL, OK, SUSPEND, Outcome
from simulation.scenario import ROUTES, Act, Policy, Script
from simulation.stages import LATER

STOPPED = Outcome(CANCEL, stopped=True)


@dataclass
class Stay:
    """One execution of a stage's code: the places in the trace where it started, was cancelled, and ended.

    Attributes:
        act: What the script says of this attempt.
        how: What the "end" says: "return ..." or "raise ...".
        causes: What can have cancelled it: "stop", "timeout", "deadline".
    """

    act: Act
    start: int
    started_at: float
    cancelled: int | None = None
    cancelled_at: float = 0.0
    causes: frozenset[str] = frozenset()
    end: int | None = None
    ended_at: float = 0.0
    final: int | None = None
    how: str = ""


@dataclass(frozen=True)
class Again:
    """There is another attempt, which begins between these times."""

    earliest: float
    latest: float


def results_of(script: Script, number: int, first: Stay, stay: Stay, *, stopping: bool) -> list[Outcome | Again]:
    """Return what an attempt that has ended may come to.

    Args:
        script: Of the stage.
        number: Of the attempt, from 1.
        first: Its first attempt, from which the deadline counts.
        stay: This attempt.
        stopping: Whether the run was ending by then.
    """
    found: list[Outcome | Again] = []
    if stay.cancelled is None or "stop" in stay.causes:
        found += _by_itself(script, number, first, stay, stopping=stopping)
    if "timeout" in stay.causes:
        failure = Outcome(FAIL, text="timeout" if len(stay.causes) == 1 else "")
        covered = script.policy is not None and script.policy.covers_limits
        found += _tried_again(script, number, first, stay, failure, 0.0) if covered and not stopping else [failure]
    if "deadline" in stay.causes:
        found.append(Outcome(FAIL))
    if script.deadline is not None and stay.ended_at - first.started_at >= script.deadline:
        found.append(Outcome(FAIL, text="deadline"))
    return found


def _by_itself(script: Script, number: int, first: Stay, stay: Stay, *, stopping: bool) -> list[Outcome | Again]:
    kind, _, said = stay.how.partition(" ")
    if kind == "raise":
        if said.startswith("CancelledError"):
            return [STOPPED if stopping else Outcome(FAIL, text="CancelledError")]
        failure, asks = Outcome(FAIL, text=said), said.startswith(("TransientError", "LaterError"))
    else:
        status, _, text = said.partition(" ")
        if status not in ("retry", "wrong"):
            return [_returned(script, status, text)]
        failure, asks = Outcome(FAIL, text=text), status == "retry"
    if not asks or stopping or script.policy is None:
        return [failure]
    return _tried_again(script, number, first, stay, failure, LATER if stay.act.ending.endswith("later") else 0.0)


def _returned(script: Script, status: str, text: str) -> Outcome:
    if status != OK:
        return Outcome(status, text=text if status != SUSPEND else "")
    route = text.split(" ")[1] if text.startswith("route ") else None
    if script.is_router and route not in ROUTES:
        return Outcome(FAIL, text="route")
    return Outcome(OK, said=text.rpartition(" ")[2], route=route)


def _tried_again(
    script: Script, number: int, first: Stay, stay: Stay, failure: Outcome, after: float
) -> list[Outcome | Again]:
    policy = script.policy
    if policy is None or number >= policy.max_attempts:
        return [failure]
    shortest, longest = _delays(policy, number, after)
    now, found = stay.ended_at, list[Outcome | Again]()
    if script.deadline is None or now + shortest < first.started_at + script.deadline:
        found.append(Again(now + shortest, now + longest))
    if script.deadline is not None and now + longest >= first.started_at + script.deadline:
        found.append(Outcome(FAIL, text="deadline"))
    return found


def _delays(policy: Policy, number: int, after: float) -> tuple[float, float]:
    longest = min(policy.max_delay, policy.base_delay * 2.0 ** (number - 1))
    return max(0.0 if policy.jitter else longest, after), max(longest, after)
