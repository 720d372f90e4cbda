"""What must follow from what was seen, by the rules of the design alone.

The replay goes through the trace of one run entry by entry, as a spectator who sees when the code of each stage starts
and ends and when somebody outside interferes. From that it says how each stage has to be recorded, from when on it had
to run, and when and why the run had to stop. It knows nothing of workers, queues or the coordinator. Where two things
race within a turn of the loop the trace tells which was first, so that nothing has to be guessed.

Only a cancelled caller is less plain: it takes effect when the caller's task has its next step, which nobody sees. From
then on every stage that runs is cancelled before it gets any further; so it has taken effect once one is.
"""

from dataclasses import dataclass

from simulation.caller import OWNERS_REASON
from simulation.scenario import name_of

CALLERS_REASON = "the caller was cancelled"

OK, SKIP, FAIL, CANCEL = "ok", "skip", "fail", "cancel"


@dataclass
class Stay:
    """One execution of a stage's code: the places in the trace where it started, was cancelled, and ended."""

    start: int
    cancelled: int | None = None
    end: int | None = None
    final: int | None = None
    how: str = ""
    """What the "end" says: "return ..." or "raise ..."."""


@dataclass
class Stop:
    """From this place on the run ends before its stages are done.

    `by` is the stage that did it, or None. There is more than one reason if two of them race unseen.
    """

    place: int
    time: float
    reasons: list[str]
    by: int | None = None


@dataclass
class Expected:
    """How a stage has to be recorded: by itself, through another (`origin`), or by the end of the run (`stopped`).

    `text` must occur in its reason or error.
    """

    status: str
    origin: str | None = None
    text: str = ""
    stopped: bool = False


class Replay:
    """What follows from the trace of one run.

    Attributes:
        stays: What each stage did, by index.
        settled: The place at which each stage had an outcome of its own, or was skipped.
        ready: The place from which on each stage had to run.
        expected: How each stage has to be recorded.
        failures: Stages that failed of their own accord.
        perhaps: Stages that failed when `ctx.checkpoint()` had told them to stop: of their own accord or not.
        asked: The place at which the cancellation of the caller was asked for, if it was and is to be obeyed.
        stop: When and why the run stopped, or None.
        causeless: Stages that were cancelled though nobody had asked for it.
        forgotten: Stages that never ran though nothing kept them from it.
        stragglers: Stages that still ran when the grace was over: False for those that ended in that very moment, of
            which the run may think either way.
        uncertain: Those that the run may think either way of, and what requires them.
        slack: Seconds by which times may differ, since computations hold up the event loop.
    """

    def __init__(self, run):
        self.run = run
        self.scripts = run.scenario.stages
        self.stays = {}
        self.settled = {}
        self.ready = {}
        self.expected = {}
        self.failures = []
        self.perhaps = []
        self.asked = None
        self.stop = None
        self.causeless = []
        self.told = set()
        self.forgotten = []
        self.stragglers = {}
        self.uncertain = set()
        self.slack = slack_of(run)
        self.note_ready(0)
        for place, entry in enumerate(run.trace):
            if entry.run == run.number:
                self.follow(place, entry)
        self.conclude()

    def follow(self, place, entry):
        """Take one entry of the trace into account."""
        match entry.what:
            case "start":
                self.stays.setdefault(entry.stage, []).append(Stay(place))
            case "cancelled":
                self.stays[entry.stage][-1].cancelled = place
                if self.stop is None:
                    self.obey_the_caller(place, entry)
            case "end":
                stay = self.stays[entry.stage][-1]
                stay.end, stay.how = place, entry.detail
                if not self.is_beyond_the_grace(entry):
                    self.settle(place, entry, stay)
            case "event" if entry.detail.endswith(".skipped"):
                self.told.add(entry.stage)
            case "finally":
                self.stays[entry.stage][-1].final = place
            case "cancel the run":
                self.obey_the_owner(place, entry)
            case "cancel the caller" if self.asked is None and self.run.scenario.entry != "start and watch":
                self.asked = place

    def obey_the_owner(self, place, entry):
        if self.stop is None and not self.is_settled():
            # The caller's cancellation may have taken effect unseen.
            unseen = [] if self.asked is None else [CALLERS_REASON]
            self.stop = Stop(place, entry.time, [OWNERS_REASON, *unseen])
        elif self.stop is not None and self.stop.time == entry.time and self.run.scenario.outside.occasion == "event":
            # The sink may have been told of what a failure entails before the run takes note of the failure.
            self.stop.reasons.append(OWNERS_REASON)

    def obey_the_caller(self, place, entry):
        if self.asked is None and self.is_over_the_limit(entry):
            self.asked = place
        if self.asked is None:
            self.causeless.append(entry.stage)
        else:
            self.stop = Stop(place, entry.time, [CALLERS_REASON])

    def is_over_the_limit(self, entry):
        scenario = self.run.scenario
        return scenario.entry == "run within a limit" and entry.time - self.run.began_at >= scenario.limit

    def is_beyond_the_grace(self, entry):
        """Return whether a stage ends so late that the run has left it behind, or must have."""
        if self.stop is None:
            return False
        late = entry.time - self.stop.time - self.run.scenario.cancel_grace
        if late >= -self.slack:
            self.stragglers[entry.stage] = late > self.slack
        return late > self.slack

    def settle(self, place, entry, stay):
        """Give a stage whose code has ended its outcome, and see what follows for others."""
        index = entry.stage
        if self.stop is None and CALLERS_REASON in stay.how:  # it had just cancelled its own task as well
            self.obey_the_caller(place, entry)
        outcome = self.expected[index] = self.outcome(stay)
        self.settled[index] = place
        if outcome.status == FAIL:
            self.note_failure(index, stay)
        if outcome.status in (FAIL, CANCEL) and self.stop is None:
            said = "failed" if outcome.status == FAIL else "cancelled the run"
            self.stop = Stop(place, entry.time, [f"stage '{name_of(index)}' {said}"], by=index)
        if not outcome.stopped:
            self.skip_dependents(place)
        self.note_ready(place)

    def outcome(self, stay):
        how, _, said = stay.how.partition(" ")
        kind, _, text = said.partition(" ")
        if how == "return":
            return Expected(FAIL, text=text) if kind == "wrong" else Expected(kind, text="" if kind == OK else text)
        if kind.startswith("CancelledError") and self.stop is not None:
            return Expected(CANCEL, stopped=True)
        return Expected(FAIL, text=said)

    def note_failure(self, index, stay):
        if stay.cancelled is None:
            self.failures.append(index)
        elif any(wait.kind == "checkpoint" for wait in self.scripts[index].waits):
            self.perhaps.append(index)

    def skip_dependents(self, place):
        """Skip what requires a stage that is settled and not OK, then what requires that, until no more is found."""
        found = True
        while found:
            found = False
            for index, script in enumerate(self.scripts):
                if index in self.settled or index in self.stays:
                    continue
                for other in script.required:
                    outcome = self.expected.get(other)
                    if outcome is not None and outcome.status != OK and not outcome.stopped:
                        origin = outcome.origin or name_of(other)
                        self.expected[index] = Expected(SKIP, origin=origin, text=origin)
                        self.settled[index] = place
                        found = True
                        break

    def dependents_of(self, indices):
        """Return these stages and all that requires one of them, however far."""
        found = set(indices)
        while more := {i for i, script in enumerate(self.scripts) if found.intersection(script.required)} - found:
            found |= more
        return found

    def note_ready(self, place):
        for index, script in enumerate(self.scripts):
            if index not in self.ready and index not in self.settled:
                required = all(other in self.settled and self.expected[other].status == OK for other in script.required)
                if required and all(other in self.settled for other in script.optional):
                    self.ready[index] = place

    def is_settled(self):
        """Return whether every stage has its outcome; one that is skipped has it once the sink is told of it."""
        untold = set(self.settled) - set(self.stays) - self.told if self.run.sink is not None else ()
        return len(self.settled) == len(self.scripts) and not untold

    def conclude(self):
        """Give those that are left their outcome: the run has stopped before they ran, or before they ended."""
        self.uncertain = self.dependents_of([index for index, surely in self.stragglers.items() if not surely])
        left = [index for index in range(len(self.scripts)) if index not in self.settled]
        if left and self.stop is None:
            if self.asked is None and self.run.scenario.entry != "run within a limit":
                self.forgotten = left
                return
            asked_at = self.run.began_at + self.run.scenario.limit
            if self.asked is not None:
                asked_at = self.run.trace[self.asked].time
            self.stop = Stop(len(self.run.trace), asked_at, [CALLERS_REASON])
        for index in left:
            self.expected[index] = Expected(CANCEL, stopped=True)


def slack_of(run):
    """Return how long computations may have held up the event loop, all together."""
    holds = sum(wait.seconds for script in run.scenario.stages for wait in script.waits if wait.kind == "hold")
    return holds * run.scenario.runs + 1e-9
