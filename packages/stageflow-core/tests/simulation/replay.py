"""What must follow from what was seen, by the rules of the design alone.

The replay goes through the trace of one run entry by entry, as a spectator who sees when the code of each stage starts
and ends and when somebody outside interferes. From that it says how each stage has to be recorded, from when on it had
to run, and when and why the run had to stop. It knows nothing of workers, queues or the coordinator. Where two things
race within a turn of the loop the trace tells which was first, so that hardly anything has to be guessed:

- A cancelled caller, and the run's own time limit, take effect unseen. The first entry of a stage that finds
  `ctx.cancelled` true shows that they have.
- What a stage with a time limit ends as is known some steps after its code has ended. For those the events tell when,
  and if there is more than one answer, which it was.
- A stage that ends in the very moment in which the grace is over may be left behind or not; the results say.
"""

from dataclasses import dataclass, field

from simulation.attempts import STOPPED, Again, Stay, results_of
from simulation.caller import OWNERS_REASON
from simulation.rules import CANCEL, FAIL, OK, SUSPEND, Outcome, may_start
from simulation.scenario import name_of

CALLERS_REASON = "the caller was cancelled"
TIMES_UP = "the run took longer than its timeout"

STATUS_OF_EVENT = {"completed": OK, "failed": FAIL, "skipped": "skip", "cancelled": CANCEL, "suspended": SUSPEND}


@dataclass
class Stop:
    """From this place on the run ends before its stages are done.

    `by` is the stage that did it, or None. There is more than one reason if several race unseen.
    """

    place: int
    time: float
    reasons: list[str]
    by: int | None = None


@dataclass
class Course:
    """What one stage did in a run, and what has to be said of it.

    Attributes:
        ready: The place from which on it had to run, if it had to.
        asked: The place at which its condition was asked.
        announced: Whether an event told of its start. Its code may have been stopped before its first step, if it has a
            limit and so a task of its own.
        stays: Its attempts.
        due: When the next attempt has to begin, while one is due.
        pending: What its last attempt may have come to, until an event says which.
        settled: The place at which it had its outcome.
        outcome: How it has to be recorded.
        straggles: Whether it was left behind.
        is_carried: Whether its outcome is that of the run that was resumed.
        faults: What it did that it must not do.
    """

    ready: int | None = None
    asked: int | None = None
    announced: bool = False
    stays: list[Stay] = field(default_factory=list)
    due: Again | None = None
    pending: list[Outcome | Again] | None = None
    settled: int | None = None
    outcome: Outcome | None = None
    straggles: bool = False
    is_carried: bool = False
    faults: list[str] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        return bool(self.stays) and self.stays[-1].end is None and self.settled is None

    @property
    def has_work(self) -> bool:
        """Whether something is still to be done for it: it runs, is to be tried again, or could start."""
        return self.outcome is None and (self.ready is not None or bool(self.stays))


class Replay:
    """What follows from the trace of one run.

    Attributes:
        courses: By index, of each stage.
        failures: Critical stages that failed of their own accord.
        perhaps: Those that failed when they had been told to stop: of their own accord or not.
        asked: The place at which the cancellation of the caller was asked for, if it was and is to be obeyed.
        stop: When and why the run stopped, or None.
        perhaps_stopped: Reasons for which the run may have stopped at last, though every stage had ended.
        slack: Seconds by which times may differ, since computations hold up the event loop.
    """

    def __init__(self, run):
        self.run = run
        self.scripts = run.scenario.stages
        self.courses = [Course() for _ in self.scripts]
        self.failures = []
        self.perhaps = []
        self.asked = None
        self.stop = None
        self.told = set()
        self.is_over = False
        self.slack = slack_of(run)
        self.carry_over()
        self.release(-1)
        for place, entry in enumerate(run.trace):
            if entry.run == run.number:
                self.notice_a_stop(place, entry)
                self.follow(place, entry)
        self.conclude()

    def carry_over(self):
        """Let what had ended in the run that is resumed be settled from the start."""
        if self.run.resumes is None:
            return
        for index, course in enumerate(self.courses):
            record = self.run.resumes.results.record(name_of(index))
            waits = record.output.status.value == SUSPEND and record.origin is not None
            if waits or record.name in self.run.decided:
                continue
            data = record.output.data
            origins = frozenset() if record.origin is None else frozenset({record.origin})
            said = data.get("said", "nothing") if record.output.status.value == OK else "absent"
            course.outcome = Outcome(record.output.status.value, origins, said=said, route=data.get("route"))
            course.settled, course.is_carried = -1, True

    def follow(self, place, entry):
        """Take one entry of the trace into account."""
        match entry.what:
            case "asked":
                self.ask(place, entry)
            case "start":
                self.start(place, entry)
            case "cancelled":
                self.note_cancellation(place, entry)
            case "end":
                self.end(place, entry)
            case "finally":
                self.courses[entry.stage].stays[-1].final = place
            case "event" if entry.stage is not None:
                self.hear(place, entry)
            case "cancel the run":
                self.obey_the_owner(place, entry)
            case "returned" | "raised":
                self.is_over = True
            case "cancel the caller" if self.asked is None and self.run.scenario.entry != "start and watch":
                self.asked = place

    # --- why a run stops ---------------------------------------------------------------------------------------

    def notice_a_stop(self, place, entry):
        """Take note of a stop that took effect unseen, when a stage is the first to see it."""
        if entry.stopping and self.stop is None:
            self.stop_unseen(place, entry.time)
            if self.stop is None:
                self.courses[entry.stage].faults.append("was told to stop, and nothing had happened")

    def stop_unseen(self, place, now):
        """Take it that the run has stopped by now, if there is a cause of which the trace need not tell."""
        causes = self.unseen_causes(now)
        if causes:
            self.stop = Stop(place, min(when for _, when in causes), [reason for reason, _ in causes])

    def unseen_causes(self, now):
        """Return what may have stopped the run by now without a trace, with the time of each."""
        scenario, began, found = self.run.scenario, self.run.began_at, []
        if self.asked is not None:
            found.append((CALLERS_REASON, self.run.trace[self.asked].time))
        if scenario.entry == "run within a limit" and now - began >= scenario.limit - self.slack:
            found.append((CALLERS_REASON, began + scenario.limit))
        if scenario.timeout is not None and now - began >= scenario.timeout - self.slack:
            found.append((TIMES_UP, began + scenario.timeout))
        return found

    def obey_the_owner(self, place, entry):
        outside, results = self.run.scenario.outside, self.run.results
        by_sink = outside is not None and outside.occasion == "event"
        if self.stop is not None:
            if self.stop.time == entry.time and by_sink:
                # The sink may be told of what a failure entails before the run takes note of the failure.
                self.stop.reasons.append(OWNERS_REASON)
            return
        obeyed = any(course.has_work for course in self.courses)
        if (
            by_sink
            and not self.is_told_of_all()
            and not any(course.has_work and not course.pending for course in self.courses)
        ):
            obeyed = (
                results is not None and results.status == "cancelled"
            )  # just when the last stage ends: it may be late
        if not obeyed:
            return
        unseen = self.unseen_causes(entry.time)
        earlier = [(reason, when) for reason, when in unseen if when < entry.time - self.slack]
        if earlier:  # the run was ending already, and nobody was there to see it
            self.stop_unseen(place, entry.time)
        else:
            self.stop = Stop(place, entry.time, [OWNERS_REASON, *(reason for reason, _ in unseen)])

    def is_told_of_all(self):
        """Return whether the sink knows the outcome of every stage."""
        return all(course.is_carried or index in self.told for index, course in enumerate(self.courses))

    # --- what stages do ----------------------------------------------------------------------------------------

    def ask(self, place, entry):
        course = self.courses[entry.stage]
        if course.asked is not None or course.ready is None:
            course.faults.append("was asked for its condition twice, or too early")
        course.asked = place
        answer = entry.detail.partition(" ")[0]
        if answer == "no":
            self.settle(place, entry, Outcome("skip", text="when"))
        elif answer != "yes":
            self.settle(place, entry, Outcome(FAIL, text="cannot say" if answer == "raises" else ""))

    def start(self, place, entry):
        course, script = self.courses[entry.stage], self.scripts[entry.stage]
        if course.stays and course.due is None:
            course.faults.append("ran again, and had no attempt left")
        elif course.due is not None:
            late, early = entry.time - course.due.latest, course.due.earliest - entry.time
            if max(late, early) > self.slack:
                course.faults.append(f"ran again at {entry.time:g} s, and {course.due} was due")
        number = len(course.stays) + 1
        act = script.acts[min(number, len(script.acts)) - 1]
        if name_of(entry.stage) in self.run.decided:
            act = script.decided
        course.stays.append(Stay(act, place, entry.time))
        course.due = None

    def note_cancellation(self, place, entry):
        course, script = self.courses[entry.stage], self.scripts[entry.stage]
        stay = course.stays[-1]
        stay.causes = self.limits_passed(script, course, entry.time) | ({"stop"} if self.stop is not None else set())
        if not stay.causes:
            course.faults.append("was cancelled, and nobody had asked for it")
        stay.cancelled, stay.cancelled_at = place, entry.time

    def limits_passed(self, script, course, now):
        passed = set()
        if script.timeout is not None and now - course.stays[-1].started_at >= script.timeout - self.slack:
            passed.add("timeout")
        if script.deadline is not None and now - course.stays[0].started_at >= script.deadline - self.slack:
            passed.add("deadline")
        return frozenset(passed)

    def end(self, place, entry):
        course, script = self.courses[entry.stage], self.scripts[entry.stage]
        stay = course.stays[-1]
        stay.end, stay.ended_at, stay.how = place, entry.time, entry.detail
        if course.settled is not None or self.is_left_behind(course, entry):
            return  # by the run, and nothing that it does counts any more
        if stay.cancelled is None and stay.how.startswith("raise CancelledError"):
            stay.causes = self.limits_passed(script, course, entry.time)  # just when it cancelled itself
        stopping = self.stop is not None
        results = results_of(script, len(course.stays), course.stays[0], stay, stopping=stopping)
        if script.is_limited:
            course.pending = results
            return
        (result,) = results
        if isinstance(result, Again):
            course.due = result
        else:
            self.settle(place, entry, result)

    def is_left_behind(self, course, entry):
        """Return whether a stage without a limit of its own ends after the grace, and so after the run."""
        if self.stop is None or self.scripts[entry.stage].is_limited:
            return False
        late = entry.time - self.stop.time - self.run.scenario.cancel_grace
        if abs(late) > self.slack:
            course.straggles = late > 0
        elif self.run.results is not None:
            course.straggles = name_of(entry.stage) in self.run.results.stragglers
        else:
            course.straggles = entry.stage in self.told or self.is_over
        return course.straggles

    # --- what events say of stages with limits -----------------------------------------------------------------

    def hear(self, place, entry):
        """Take note of an event of a stage."""
        course, kind = self.courses[entry.stage], entry.detail.removeprefix(f"stage.{name_of(entry.stage)}.")
        if kind in STATUS_OF_EVENT:
            self.told.add(entry.stage)
        if kind == "cancelled" and course.due is not None and self.stop is None:
            self.stop_unseen(place, entry.time)
        if not self.scripts[entry.stage].is_limited:
            return
        if kind == "straggling":
            course.straggles = True
        elif course.settled is not None:
            return
        elif kind == "retrying" and course.stays:
            self.hear_of_another_attempt(course, entry)
        elif kind == "started":
            course.announced = True
        elif kind in STATUS_OF_EVENT and course.announced:
            self.hear_the_end(place, entry, course, STATUS_OF_EVENT[kind])

    def hear_of_another_attempt(self, course, entry):
        due = [result for result in course.pending or () if isinstance(result, Again)]
        if not due:
            course.faults.append(f"is to be tried again, and it can only be {course.pending}")
            return
        shift = entry.time - course.stays[-1].ended_at
        course.due, course.pending = Again(due[0].earliest + shift, due[0].latest + shift), None

    def hear_the_end(self, place, entry, course, status):
        """Settle a stage with a limit as its event says, if that is among what it can be."""
        possible = [result for result in course.pending or () if isinstance(result, Outcome)]
        if self.stop is not None or self.unseen_causes(entry.time):
            # Between the end of its code and now, or while it waits for another attempt, or while it goes on too long.
            possible.append(STOPPED)
            if any(isinstance(result, Again) or result.text == "deadline" for result in course.pending or ()):
                possible.append(Outcome(FAIL))  # and is not tried again any more
        if self.is_beyond_its_limit(course, entry):
            possible.append(Outcome(FAIL))
        fitting = [outcome for outcome in possible if outcome.status == status]
        if not fitting:
            course.faults.append(f"is told to have ended {status}, and it can only be {possible}")
        outcome = fitting[0] if len({outcome.text for outcome in fitting}) == 1 else Outcome(status)
        if outcome.stopped and self.stop is None:
            self.stop_unseen(place, entry.time)
        self.settle(place, entry, outcome)

    def is_beyond_its_limit(self, course, entry):
        """Return whether a stage was cancelled by its limit and goes on, though the grace is over."""
        if not course.stays or course.stays[-1].cancelled is None:
            return False
        late = entry.time - course.stays[-1].cancelled_at - self.run.scenario.cancel_grace
        return course.stays[-1].causes != {"stop"} and late >= -self.slack

    # --- what follows ------------------------------------------------------------------------------------------

    def settle(self, place, entry, outcome):
        """Give a stage its outcome, and see what follows for others and for the run."""
        index, script = entry.stage, self.scripts[entry.stage]
        course = self.courses[index]
        course.outcome, course.settled, course.pending, course.due = outcome, place, None, None
        if outcome.status == FAIL and script.critical:
            self.note_failure(index, course, entry.time)
        ends = outcome.status == CANCEL or (
            outcome.status == FAIL and script.critical and not self.run.scenario.goes_on
        )
        if ends and not outcome.stopped and self.stop is None:
            unseen = [reason for reason, _ in self.unseen_causes(entry.time)] if script.is_limited else []
            self.stop = Stop(place, entry.time, [f"stage '{name_of(index)}' ", *unseen], by=index)
        self.release(place)

    def note_failure(self, index, course, now):
        if self.scripts[index].is_limited and self.unseen_causes(now):
            self.perhaps.append(index)  # the run may have stopped before it heard of this
        elif self.stop is None or not course.stays:
            self.failures.append(index)
        elif self.scripts[index].is_limited:  # it ended before it was told, or the run heard of it after
            self.perhaps.append(index)
        elif "stop" not in course.stays[-1].causes:
            self.failures.append(index)
        elif any(wait.kind == "checkpoint" for wait in course.stays[-1].act.waits):  # told before it was cancelled
            self.perhaps.append(index)

    def release(self, place):
        """Let go on, or skip, what the outcomes so far decide on, until nothing more follows."""
        ended = {i: course.outcome for i, course in enumerate(self.courses) if course.outcome is not None}
        again = True
        while again:
            again = False
            for index, course in enumerate(self.courses):
                if course.outcome is not None or course.ready is not None or course.stays:
                    continue
                verdict = may_start(self.scripts[index], ended)
                if isinstance(verdict, Outcome):
                    course.outcome = ended[index] = verdict
                    course.settled, again = place, True
                elif verdict:
                    course.ready = place

    def conclude(self):
        """Give those that are left their outcome: they wait for a decision, or the run has stopped before."""
        self.perhaps_stopped = self.ended_while_stopping() if self.stop is None else []
        self.let_wait()
        left = [course for course in self.courses if course.outcome is None]
        if left and self.stop is None:
            self.stop_unseen(len(self.run.trace), self.run.ended_at)
        for course in left:
            course.outcome = STOPPED
            if self.stop is None:
                course.faults.append("never ran or never ended, and nothing kept it from that")

    def ended_while_stopping(self):
        """Return why the run may have stopped when nothing was left to do but to hear of a stage with a limit."""
        heard = [c.settled for c, s in zip(self.courses, self.scripts, strict=True) if s.is_limited and c.settled]
        last = max((self.run.trace[place].time for place in heard), default=-1.0)
        return [reason for reason, when in self.unseen_causes(last) if when <= last + self.slack]

    @property
    def cut_nothing_off(self):
        """Return whether the run's time was up and every stage ended by itself all the same: then the run completes."""
        stopped = any(course.outcome.stopped for course in self.courses)
        return self.stop is not None and TIMES_UP in self.stop.reasons and not stopped

    def let_wait(self):
        """Let everything wait that depends, however far, on a stage that asks for a decision."""
        asking = [i for i, course in enumerate(self.courses) if course.outcome and course.outcome.status == SUSPEND]
        origins = {index: {name_of(index)} for index in asking}
        again = True
        while again:
            again = False
            for index, course in enumerate(self.courses):
                script = self.scripts[index]
                found = set().union(*(origins.get(other, ()) for other in script.dependencies))
                if course.outcome is None and not course.stays and not found <= origins.get(index, set()):
                    origins[index], again = found, True
        for index, course in enumerate(self.courses):
            if course.outcome is None and index in origins:
                course.outcome = Outcome(SUSPEND, frozenset(origins[index]))


def slack_of(run):
    """Return how long computations may have held up the event loop, all together."""
    acts = [act for script in run.scenario.stages for act in (*script.acts, script.decided)]
    attempts = max((script.policy.max_attempts for script in run.scenario.stages if script.policy), default=1)
    holds = sum(wait.seconds for act in acts for wait in act.waits if wait.kind == "hold")
    return holds * attempts * run.scenario.runs + 1e-9
