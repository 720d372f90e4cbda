"""What a run says of its stages."""

from simulation.scenario import name_of


def every_stage_has_one_outcome(run, replay):
    """R13: the results have each stage once, in plan order."""
    if run.results is not None and list(run.results) != run.names:
        yield f"the results have {list(run.results)}"


def each_outcome_is_the_right_one(run, replay):
    """R2, R6, R7, R12, R13: status, origin and reason follow from what the stages did."""
    if run.results is None:
        return
    for index, expected in sorted(replay.expected.items()):
        if index in replay.uncertain:
            continue
        record = run.results.record(name_of(index))
        found, origin, told = record.status.value, record.origin, str(record.output.error or record.output.reason or "")
        if found != expected.status:
            yield f"{record.name} is recorded {found}, and should be {expected.status}"
        elif expected.stopped:
            if origin != told or not any(reason in told for reason in replay.stop.reasons):
                yield f"{record.name} is recorded {found} by '{origin}' for '{told}', and not by {replay.stop.reasons}"
        elif origin != expected.origin:
            yield f"{record.name} is recorded {found} by '{origin}', and not by '{expected.origin}'"
        elif expected.text not in told:
            yield f"{record.name} is recorded {found} for '{told}', and not for '{expected.text}'"


def results_are_what_was_returned(run, replay):
    """What a stage returned stands in the results, also when the run came to a bad end."""
    if run.results is None:
        return
    for index, stays in replay.stays.items():
        found, how = run.results[name_of(index)], stays[-1].how
        if how.startswith("return ok") and found.status.value == "ok":
            said = found.data.get("said", "nothing")
            if said != how.rpartition(" ")[2]:
                yield f"{name_of(index)} has the result '{said}', and {how}"


def attempts_and_times_are_those_of_the_code(run, replay):
    """Each record counts the executions, and its time is theirs."""
    if run.results is None:
        return
    for index, name in enumerate(run.names):
        record, stays = run.results.record(name), replay.stays.get(index, [])
        if record.attempts != len(stays):
            yield f"{name} is recorded with {record.attempts} attempts, and ran {len(stays)} times"
        if not stays:
            if record.started_at is not None or record.duration_ms:
                yield f"{name} never ran, and is recorded with times"
        elif index not in replay.stragglers:
            took = run.trace[stays[-1].end].time - run.trace[stays[0].start].time
            if abs(record.duration_ms / 1000 - took) > replay.slack + 1e-8:
                yield f"{name} took {took:g} s and is recorded with {record.duration_ms} ms"


def stragglers_are_named(run, replay):
    """R12: whoever ran on beyond the grace, and nobody else."""
    if run.results is None:
        return
    surely = {name_of(index) for index, sure in replay.stragglers.items() if sure}
    perhaps = {name_of(index) for index in replay.stragglers}
    named = set(run.results.stragglers)
    if not surely <= named <= perhaps:
        yield f"stragglers are {sorted(named)}, and should be {sorted(surely)}"


INVARIANTS = (
    every_stage_has_one_outcome,
    each_outcome_is_the_right_one,
    results_are_what_was_returned,
    attempts_and_times_are_those_of_the_code,
    stragglers_are_named,
)
