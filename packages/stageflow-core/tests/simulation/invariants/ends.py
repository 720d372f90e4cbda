"""How runs end, what they raise, and what is left of them."""

import asyncio

from stageflow import PipelineCancelled, StageExecutionError
from simulation.replay import CALLERS_REASON
from simulation.scenario import name_of
from simulation.sinks import SLOW, STUBBORN

LIMIT_OF_EMIT = 5.0
"""Seconds that a run waits for its sink to take the last event; as many again for a sink to obey its cancellation."""

LONGEST_EMIT = {"emit is slow": SLOW, "emit hangs": LIMIT_OF_EMIT, "emit is stubborn": LIMIT_OF_EMIT + STUBBORN}


def every_finally_has_run(run, replay):
    """R6, R12: when the caller learns of the end the code of every stage has ended, but for the stragglers'."""
    for index, stays in replay.stays.items():
        for stay in stays:
            if stay.final is None:
                yield f"the finally of {name_of(index)} never ran"
            elif stay.final > _end(run) and index not in replay.stragglers:
                yield f"the finally of {name_of(index)} ran after the run"


def _end(run):
    return next(
        place
        for place, entry in enumerate(run.trace)
        if entry.run == run.number and entry.what in ("returned", "raised")
    )


def no_task_outlives_the_run(run, replay):
    """R12: but the stragglers' own."""
    if run.scenario.runs > 1:  # each sees the other's
        return
    workers = [name for name in run.left_over if name.startswith("stageflow")]
    theirs = [name for name in run.left_over if name not in workers]
    if len(workers) > len(replay.stragglers) or (theirs and not replay.stragglers):
        yield f"tasks are left over: {run.left_over}"


def only_stops_cancel(run, replay):
    """A stage is cancelled only when the run is ending."""
    for index in replay.causeless:
        yield f"{name_of(index)} was cancelled, and nobody had asked for it"


def a_stop_reaches_every_stage(run, replay):
    """R6, R7, R12: whatever runs when the run has to end is cancelled at once, unless it is just ending by itself."""
    if replay.stop is None:
        return
    for index, stays in replay.stays.items():
        for stay in stays:
            reached = stay.end if stay.cancelled is None else stay.cancelled
            if reached is None or run.trace[reached].time - replay.stop.time > replay.slack:
                yield f"{name_of(index)} ran on though {replay.stop.reasons[0]}"


def the_run_ends_with_its_last_stage(run, replay):
    """It waits for every stage, for stragglers as long as the grace, and for nobody longer."""
    ended = _expected_end(run, replay)
    longest = LONGEST_EMIT.get(run.scenario.sink, 0.0)
    shortest = 0.0 if _is_interrupted(run, replay) else longest
    if not shortest - replay.slack <= run.ended_at - ended <= longest + replay.slack:
        yield f"it ended at {run.ended_at:g} s, and its stages at {ended:g} s"
    if run.results is not None and abs(run.results.duration_ms / 1000 - (ended - run.began_at)) > replay.slack + 1e-8:
        yield f"it says that it took {run.results.duration_ms} ms, and its stages ended at {ended:g} s"


def _expected_end(run, replay):
    ends = [run.trace[stay.end].time for stays in replay.stays.values() for stay in stays if stay.end is not None]
    if replay.stop is None:
        return max(ends, default=run.began_at)
    last = max([*ends, replay.stop.time])
    return min(last, replay.stop.time + run.scenario.cancel_grace)


def _is_interrupted(run, replay):
    return replay.asked is not None or run.scenario.entry == "run within a limit"


def the_caller_gets_what_happened(run, replay):
    """R6, R7, R11, R12: results, or the error that says what happened; a cancelled caller its cancellation."""
    raised, stop = run.raised, replay.stop
    if replay.asked is not None and run.scenario.entry != "run within a limit":
        if not isinstance(raised, asyncio.CancelledError):
            yield f"the caller was cancelled, and got {raised!r}"
        return
    if run.scenario.entry == "run within a limit" and isinstance(raised, TimeoutError | asyncio.CancelledError):
        if run.ended_at - run.began_at < run.scenario.limit - replay.slack and replay.asked is None:
            yield f"the caller got {raised!r} after {run.ended_at - run.began_at:g} s"
        return
    error = run.results.error if run.scenario.entry == "start and watch" and run.results else raised
    if replay.failures:
        yield from _check_failure(error, replay, run)
    elif stop is None:
        if error is not None:
            yield f"nothing went wrong, and the caller got {error!r}"
    elif not isinstance(error, PipelineCancelled) and not replay.perhaps:
        yield f"{stop.reasons[0]}, and the caller got {error!r}"
    elif isinstance(error, PipelineCancelled):
        by = None if stop.by is None else name_of(stop.by)
        if error.stage != by and len(stop.reasons) > 1:
            by = None  # the sink had cancelled the run before it could take note of the stage
        if error.stage != by or (by is None and error.reason not in stop.reasons):
            yield f"the caller got {error!r} of '{error.stage}' for '{error.reason}', and it was {stop.reasons}"


def _check_failure(error, replay, run):
    if not isinstance(error, StageExecutionError):
        yield f"{_names(replay.failures)} failed, and the caller got {error!r}"
        return
    found = [failure.stage for failure in error.failures]
    expected = _names(replay.failures)
    if found != sorted(found, key=run.names.index) or error.stage != found[0]:
        yield f"the failures {found} are not in plan order, or the error is not the first"
    if not set(expected) <= set(found) <= set(expected) | set(_names(replay.perhaps)):
        yield f"the failures are {found}, and should be {expected}"
    cause = run.results[error.stage].error.exception
    if error.__cause__ is not cause:
        yield f"the cause of {error!r} is {error.__cause__!r}"
    if error.results is not run.results or error.attempts != run.results.record(error.stage).attempts:
        yield f"{error!r} does not carry what the run left behind"


def _names(indices):
    return [name_of(index) for index in sorted(indices)]


def the_status_says_what_happened(run, replay):
    """A failure wins over a cancel; else the run is cancelled if it had to stop, and completed if not."""
    if run.results is None:
        return
    expected = "failed" if replay.failures else "completed" if replay.stop is None else "cancelled"
    if run.results.status != expected and not (replay.perhaps and run.results.status == "failed"):
        yield f"the status is {run.results.status}, and should be {expected}"


def the_caller_is_left_as_it_was(run, replay):
    """I5, R12: no ContextVar of a stage reaches the caller, and no cancellation that the run itself made."""
    cancelled = sum(1 for entry in run.trace if entry.run == run.number and entry.what == "cancel the caller")
    expected = f"mark=the caller's cancelling={cancelled}"
    if run.left_behind != expected:
        yield f"the caller finds '{run.left_behind}' in its task in place of '{expected}'"


INVARIANTS = (
    every_finally_has_run,
    no_task_outlives_the_run,
    only_stops_cancel,
    a_stop_reaches_every_stage,
    the_run_ends_with_its_last_stage,
    the_caller_gets_what_happened,
    the_status_says_what_happened,
    the_caller_is_left_as_it_was,
)
