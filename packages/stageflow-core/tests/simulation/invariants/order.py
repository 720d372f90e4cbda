"""When stages start, and what they find."""

from simulation.replay import OK
from simulation.scenario import name_of


def nothing_starts_before_its_dependencies(run, replay):
    """R1: a stage starts after its required dependencies were OK and its optional ones settled."""
    for index, stays in replay.stays.items():
        start, script = stays[0].start, run.scenario.stages[index]
        for other in script.dependencies:
            if replay.settled.get(other, start) >= start:
                yield f"{name_of(index)} started before {name_of(other)} had ended"
        for other in script.required:
            if other in replay.expected and replay.expected[other].status != OK:
                yield f"{name_of(index)} started though {name_of(other)} ended {replay.expected[other].status}"


def stages_start_as_soon_as_they_can(run, replay):
    """R1: no time passes between the last dependency's end and the start."""
    for index, stays in replay.stays.items():
        if index in replay.ready:
            since = run.trace[replay.ready[index]].time if replay.ready[index] else run.began_at
            late = run.trace[stays[0].start].time - since
            if late > replay.slack:
                yield f"{name_of(index)} started {late:g} s after it could have"


def nothing_is_forgotten(run, replay):
    """Every stage runs unless a rule keeps it from running."""
    for index in replay.forgotten:
        yield f"{name_of(index)} never ran or ended, and nothing kept it from it"


def nothing_runs_twice(run, replay):
    """A stage without a policy for retries runs once."""
    for index, stays in replay.stays.items():
        if len(stays) > 1:
            yield f"{name_of(index)} ran {len(stays)} times"


def nothing_starts_when_the_run_is_stopping(run, replay):
    """R6, R7: from the moment on in which a run has to end, no stage starts."""
    if replay.stop is None:
        return
    for index, stays in replay.stays.items():
        # What a sink does while it is told of a start comes after that start.
        told = (place for place in range(stays[0].start) if run.trace[place][1:] == (run.number, "event", index, f"stage.{name_of(index)}.started"))
        if next(told, stays[0].start) > replay.stop.place:
            yield f"{name_of(index)} started though {replay.stop.reasons[0]}"


def stages_see_their_inputs_and_nothing_else(run, replay):
    """R3, I5: each dependency's output or its absence, the caller's ContextVars, a task that nobody has cancelled."""
    for index, stays in replay.stays.items():
        seen = [f"{name_of(other)}={_said(replay, other)}" for other in run.scenario.stages[index].dependencies]
        for attempt, stay in enumerate(stays, 1):
            expected = " ".join([*seen, "mark=the caller's", "cancelling=0", f"attempt={attempt}"])
            if run.trace[stay.start].detail != expected:
                yield f"{name_of(index)} saw '{run.trace[stay.start].detail}' in place of '{expected}'"


def _said(replay, index):
    outcome = replay.expected.get(index)
    if outcome is None or outcome.status != OK:
        return "absent"
    return replay.stays[index][-1].how.rpartition(" ")[2]


def what_becomes_ready_together_starts_in_plan_order(run, replay):
    """R13: of the stages that one end releases, those earlier in the plan start earlier."""
    released = {}
    for index, place in replay.ready.items():
        if index in replay.stays:
            released.setdefault(place, []).append(index)
    for together in released.values():
        starts = [replay.stays[index][0].start for index in sorted(together)]
        if starts != sorted(starts):
            yield f"{', '.join(map(name_of, sorted(together)))} became ready together and did not start in this order"


INVARIANTS = (
    nothing_starts_before_its_dependencies,
    stages_start_as_soon_as_they_can,
    nothing_is_forgotten,
    nothing_runs_twice,
    nothing_starts_when_the_run_is_stopping,
    stages_see_their_inputs_and_nothing_else,
    what_becomes_ready_together_starts_in_plan_order,
)
