"""When stages start, and what they find."""

from simulation.caller import DECISION
from simulation.rules import OK
from simulation.scenario import name_of


def _started(replay):
    return ((index, course) for index, course in enumerate(replay.courses) if course.stays)


def nothing_starts_before_its_dependencies(run, replay):
    """R1, R4: a stage starts after all that it depends on has ended, and ended as it must have."""
    for index, course in _started(replay):
        start = course.stays[0].start
        for other in run.scenario.stages[index].dependencies:
            settled = replay.courses[other].settled
            if settled is None or settled >= start:
                yield f"{name_of(index)} started before {name_of(other)} had ended"
        if course.ready is None:
            yield f"{name_of(index)} started though it must not"


def stages_start_as_soon_as_they_can(run, replay):
    """R1: no time passes between the last dependency's end and the start, or the question whether to start."""
    for index, course in enumerate(replay.courses):
        began = course.asked if course.asked is not None else course.stays[0].start if course.stays else None
        if course.ready is not None and began is not None:
            since = run.trace[course.ready].time if course.ready >= 0 else run.began_at
            late = run.trace[began].time - since
            if late > replay.slack:
                yield f"{name_of(index)} started {late:g} s after it could have"


def stages_do_what_the_rules_let_them(run, replay):
    """R5, R8, R9: whoever runs again had an attempt left, and whoever is cancelled was to be."""
    for index, course in enumerate(replay.courses):
        for fault in course.faults:
            yield f"{name_of(index)} {fault}"


def conditions_are_asked_before_the_first_attempt(run, replay):
    """R5: and of whoever resumes for a decision they are not asked again."""
    for index, course in _started(replay):
        is_due = run.scenario.stages[index].when is not None and name_of(index) not in run.decided
        if (course.asked is not None) is not is_due:
            yield f"{name_of(index)} started, and its condition was asked: {course.asked is not None}"


def nothing_starts_when_the_run_is_stopping(run, replay):
    """R6, R7: from the moment on in which a run has to end no stage starts, and none is tried again."""
    for index, course in _started(replay):
        for stay in course.stays:
            began = stay.start
            if stay is course.stays[0]:
                # What a sink does while it is told of a start comes after that start.
                began = _place_of_event(run, index, "started", began)
            # The task of a stage with a limit takes its first step in the turn after it was made.
            if run.scenario.stages[index].is_limited and replay.stop and stay.started_at - replay.stop.time < 1e-9:
                continue
            if replay.stop is not None and began > replay.stop.place:
                yield f"{name_of(index)} started though {replay.stop.reasons[0]}"
            if began == stay.start and run.trace[began].stopping:
                yield f"{name_of(index)} started and was told at once that the run ends"


def _place_of_event(run, index, kind, before):
    told = f"stage.{name_of(index)}.{kind}"
    for place in range(before - 1, -1, -1):
        entry = run.trace[place]
        if entry.run == run.number and entry.detail == told:
            return place
    return before


def stages_see_their_inputs_and_nothing_else(run, replay):
    """R3, I5: each dependency's output or its absence, the caller's ContextVars, a task that nobody has cancelled."""
    for index, course in enumerate(replay.courses):
        seen = " ".join(f"{name_of(o)}={_said(replay, o)}" for o in run.scenario.stages[index].dependencies)
        decision = DECISION if name_of(index) in run.decided else None
        for attempt, stay in enumerate(course.stays, 1):
            found = run.trace[stay.start].detail
            if attempt > 1:  # what it has set itself it may see
                found = found.replace(f"mark=stage {index}'s", "mark=the caller's")
            expected = f"{seen} mark=the caller's cancelling=0 attempt={attempt} decision={decision}"
            if found != expected:
                yield f"{name_of(index)} saw '{found}' in place of '{expected}'"
        if course.asked is not None:
            expected = f"{run.scenario.stages[index].when} {seen}".strip()
            if run.trace[course.asked].detail != expected:
                yield f"the condition of {name_of(index)} saw '{run.trace[course.asked].detail}', not '{expected}'"


def _said(replay, index):
    outcome = replay.courses[index].outcome
    return outcome.said if outcome is not None and outcome.status == OK else "absent"


def what_becomes_ready_together_starts_in_plan_order(run, replay):
    """R13: of the stages that one end releases, those earlier in the plan start earlier."""
    released = {}
    for index, course in _started(replay):
        if course.ready is not None and not run.scenario.stages[index].is_limited:
            released.setdefault(course.ready, []).append(index)
    for together in released.values():
        starts = [replay.courses[index].stays[0].start for index in sorted(together)]
        if starts != sorted(starts):
            yield f"{', '.join(map(name_of, sorted(together)))} became ready together and did not start in this order"


INVARIANTS = (
    nothing_starts_before_its_dependencies,
    stages_start_as_soon_as_they_can,
    stages_do_what_the_rules_let_them,
    conditions_are_asked_before_the_first_attempt,
    nothing_starts_when_the_run_is_stopping,
    stages_see_their_inputs_and_nothing_else,
    what_becomes_ready_together_starts_in_plan_order,
)
