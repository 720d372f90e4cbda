"""What a run says of its stages."""

from simulation.rules import OK
from simulation.scenario import name_of


def every_stage_has_one_outcome(run, replay):
    """R13: the results have each stage once, in plan order."""
    if run.results is not None and list(run.results) != run.names:
        yield f"the results have {list(run.results)}"


def each_outcome_is_the_right_one(run, replay):
    """R2 to R10, R12, R13: status, origin and reason follow from what the stages did."""
    if run.results is None:
        return
    for index, course in enumerate(replay.courses):
        record, expected = run.results.record(name_of(index)), course.outcome
        found, origin, told = record.status.value, record.origin, str(record.output.error or record.output.reason or "")
        if found != expected.status:
            yield f"{record.name} is recorded {found}, and should be {expected.status}"
        elif expected.stopped:
            reasons = [] if replay.stop is None else replay.stop.reasons
            if origin != told or not any(reason in told for reason in reasons):
                yield f"{record.name} is recorded {found} by '{origin}' for '{told}', and not by {reasons}"
        elif origin not in (expected.origins or {None}):
            yield f"{record.name} is recorded {found} by '{origin}', and not by {sorted(expected.origins)}"
        elif expected.text not in told:
            yield f"{record.name} is recorded {found} for '{told}', and not for '{expected.text}'"


def results_are_what_was_returned(run, replay):
    """What a stage returned stands in the results, also when the run came to a bad end."""
    if run.results is None:
        return
    for index, course in enumerate(replay.courses):
        found = run.results[name_of(index)]
        if found.status.value == OK == course.outcome.status:
            said = found.data.get("said", "nothing")
            if said != course.outcome.said:
                yield f"{name_of(index)} has the result '{said}', and returned '{course.outcome.said}'"


def attempts_and_times_are_those_of_the_code(run, replay):
    """Each record counts the executions, and its time is from the start of the first to the end of the last."""
    if run.results is None:
        return
    for index, course in enumerate(replay.courses):
        record, stays = run.results.record(name_of(index)), course.stays
        if course.is_carried:
            continue
        unrun = int(run.scenario.stages[index].is_limited and course.outcome.stopped)  # stopped before its first step
        if not len(stays) <= record.attempts <= len(stays) + unrun:
            yield f"{record.name} is recorded with {record.attempts} attempts, and ran {len(stays)} times"
        if not stays and not course.announced:
            if record.started_at is not None or record.duration_ms:
                yield f"{record.name} never ran, and is recorded with times"
        elif stays and course.settled is not None and not course.straggles:
            took = run.trace[course.settled].time - stays[0].started_at
            if abs(record.duration_ms / 1000 - took) > replay.slack + 1e-8:
                yield f"{record.name} took {took:g} s and is recorded with {record.duration_ms} ms"


def what_had_ended_is_taken_over(run, replay):
    """R10: what the suspended run had done stands as it was, and does not run again."""
    if run.resumes is None:
        return
    for index, course in enumerate(replay.courses):
        if course.is_carried and course.stays:
            yield f"{name_of(index)} ran again"
        if course.is_carried and run.results is not None:
            now, then = (results.record(name_of(index)) for results in (run.results, run.resumes.results))
            if _told(now) != _told(then):
                yield f"{name_of(index)} was recorded as {_told(then)}, and is as {_told(now)}"
    if run.results is not None and run.results.resumed_from != run.resumes.results.pipeline_run_id:
        yield f"it goes on with {run.results.resumed_from}, and not with {run.resumes.results.pipeline_run_id}"


def _told(record):
    return record.status, record.origin, record.attempts, record.duration_ms, dict(record.output.data)


def stragglers_are_named(run, replay):
    """R12: whoever ran on beyond the grace, and nobody else."""
    if run.results is None:
        return
    expected = {name_of(index) for index, course in enumerate(replay.courses) if course.straggles}
    if set(run.results.stragglers) != expected:
        yield f"stragglers are {sorted(run.results.stragglers)}, and should be {sorted(expected)}"


def nobody_is_left_behind_too_early(run, replay):
    """R12: who stops within the grace is waited for."""
    for index, course in enumerate(replay.courses):
        if course.straggles and course.stays[-1].end is not None:
            last = course.stays[-1]
            told_at = [] if replay.stop is None else [replay.stop.time]
            if last.causes - {"stop"}:
                told_at.append(last.cancelled_at)
            if all(last.ended_at - time < run.scenario.cancel_grace - replay.slack for time in told_at):
                yield f"{name_of(index)} ended at {last.ended_at:g} s, within its grace, and was left behind"


INVARIANTS = (
    every_stage_has_one_outcome,
    each_outcome_is_the_right_one,
    results_are_what_was_returned,
    attempts_and_times_are_those_of_the_code,
    what_had_ended_is_taken_over,
    stragglers_are_named,
    nobody_is_left_behind_too_early,
)
