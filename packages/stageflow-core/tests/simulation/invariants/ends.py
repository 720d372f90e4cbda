"""How runs end, what they raise, and what is left of them."""

import asyncio

from stageflow import PipelineCancelled, PipelineSuspended, PipelineTimeoutError, StageExecutionError

from simulation.replay import TIMES_UP
from simulation.rules import CANCEL, SUSPEND
from simulation.scenario import name_of
from simulation.sinks import SLOW, STUBBORN

LIMIT_OF_EMIT = 5.0
"""Seconds that a run waits for its sink to take the last event; as many again for a sink to obey its cancellation."""

LONGEST_EMIT = {"emit is slow": SLOW, "emit hangs": LIMIT_OF_EMIT, "emit is stubborn": LIMIT_OF_EMIT + STUBBORN}


def every_finally_has_run(run, replay):
    """R6, R12: when the caller learns of the end the code of every stage has ended, but for the stragglers'."""
    for index, course in enumerate(replay.courses):
        for stay in course.stays:
            if stay.final is None:
                yield f"the finally of {name_of(index)} never ran"
            elif stay.final > _end(run) and not course.straggles:
                yield f"the finally of {name_of(index)} ran after the run"


def _end(run):
    for place, entry in enumerate(run.trace):
        if entry.run == run.number and entry.what in ("returned", "raised"):
            return place
    return len(run.trace)


def no_task_outlives_the_run(run, replay):
    """R12: but the stragglers' own."""
    hurried = run.scenario.cancel_grace == 0 and replay.stop is not None
    if (
        run.scenario.runs > 1 or hurried
    ):  # each run sees the other's; without a grace nobody waits for a task's last steps
        return
    stragglers = sum(course.straggles for course in replay.courses)
    tasks = [name for name in run.left_over if name.startswith("stageflow worker")]
    if len(tasks) > stragglers or (run.left_over and not stragglers):
        yield f"tasks are left over: {run.left_over}"


def a_stop_reaches_every_stage(run, replay):
    """R6, R7, R12: whatever runs when the run has to end is cancelled at once, unless it is just ending by itself."""
    if replay.stop is None:
        return
    for index, course in enumerate(replay.courses):
        for stay in course.stays:
            reached = stay.end if stay.cancelled is None else stay.cancelled
            if reached is None or run.trace[reached].time - replay.stop.time > replay.slack:
                if stay.start < replay.stop.place and not course.is_carried:
                    yield f"{name_of(index)} ran on though {replay.stop.reasons[0]}"


def limits_reach_every_attempt(run, replay):
    """R9: no attempt goes on beyond its limit without being cancelled."""
    for index, course in enumerate(replay.courses):
        script = run.scenario.stages[index]
        for stay in course.stays:
            until = min(
                stay.started_at + (script.timeout or float("inf")),
                course.stays[0].started_at + (script.deadline or float("inf")),
            )
            reached = stay.end if stay.cancelled is None else stay.cancelled
            if reached is not None and run.trace[reached].time > until + replay.slack:
                yield f"{name_of(index)} ran on after {until:g} s"


def the_run_ends_with_its_last_stage(run, replay):
    """It waits for every stage, for stragglers as long as the grace, and for nobody longer."""
    ended = max([run.began_at, *(_over_at(run, replay, course) for course in replay.courses)])
    if replay.stop is not None:
        ended = max(ended, replay.stop.time)
    told = _store_told_at(run, ended) - ended
    longest = told + LONGEST_EMIT.get(run.scenario.sink, 0.0)
    shortest = told if replay.asked is not None or run.scenario.entry == "run within a limit" else longest
    if not shortest - replay.slack <= run.ended_at - ended <= longest + replay.slack:
        yield f"it ended at {run.ended_at:g} s, and its stages at {ended:g} s"
    if run.results is not None and abs(run.results.duration_ms / 1000 - (ended - run.began_at)) > replay.slack + 1e-8:
        yield f"it says that it took {run.results.duration_ms} ms, and its stages ended at {ended:g} s"


def _store_told_at(run, ended):
    """Return when the store has been told how the run ended: it is told of its beginning while it goes on."""
    if run.store is None:
        return ended
    created, running, over = run.store.takes
    return max(ended, run.began_at + created + running) + over


def _over_at(run, replay, course):
    """Return until when the run had to wait for a stage."""
    if course.is_carried or (course.settled is None and not course.stays):
        return run.began_at
    if course.settled is not None:
        return run.trace[course.settled].time
    ended = [stay.ended_at for stay in course.stays if stay.end is not None]
    if replay.stop is None:
        return max(ended, default=run.began_at)
    return min(max(ended, default=replay.stop.time), replay.stop.time + run.scenario.cancel_grace)


def the_caller_gets_what_happened(run, replay):
    """R6 to R12: results, or the error that says what happened; a cancelled caller its cancellation."""
    raised, stop = run.raised, replay.stop
    limited = run.scenario.entry == "run within a limit"
    if replay.asked is not None and not limited:
        if not isinstance(raised, asyncio.CancelledError):
            yield f"the caller was cancelled, and got {raised!r}"
        return
    if limited and isinstance(raised, TimeoutError | asyncio.CancelledError) and run.results is None:
        if run.ended_at - run.began_at < run.scenario.limit - replay.slack and replay.asked is None:
            yield f"the caller got {raised!r} after {run.ended_at - run.began_at:g} s"
        return
    error = run.results.error if run.scenario.entry == "start and watch" and run.results else raised
    if replay.failures or isinstance(error, StageExecutionError):
        yield from _check_failure(error, replay, run)
    elif isinstance(error, PipelineTimeoutError):
        yield from _check_timeout(error, replay, run)
    elif stop is None or (replay.cut_nothing_off and not isinstance(error, PipelineCancelled)):
        yield from _check_rest(error, replay)
    elif not isinstance(error, PipelineCancelled) or stop.reasons == [TIMES_UP]:
        yield f"{stop.reasons[0]}, and the caller got {error!r}"
    else:
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


def _check_rest(error, replay):
    asking = [
        i for i, course in enumerate(replay.courses) if course.outcome.status == SUSPEND and not course.outcome.origins
    ]
    if not asking and error is not None:
        yield f"nothing went wrong, and the caller got {error!r}"
    if asking and (not isinstance(error, PipelineSuspended) or list(error.stages) != _names(asking)):
        yield f"{_names(asking)} ask for decisions, and the caller got {error!r}"


def _check_timeout(error, replay, run):
    cut_off = [i for i, course in enumerate(replay.courses) if course.stays and course.outcome.stopped]
    reasons = replay.perhaps_stopped if replay.stop is None else replay.stop.reasons
    if TIMES_UP not in reasons or error.seconds != run.scenario.timeout:
        yield f"the caller got {error!r}, and it was {reasons}"
    by_themselves = [i for i, course in enumerate(replay.courses) if course.stays and course.outcome.status == CANCEL]
    # A limited stage begins a turn after it was told to have started: the end may come in between.
    limited = [i for i, script in enumerate(run.scenario.stages) if script.is_limited]
    if not set(_names(cut_off)) <= set(error.running) <= {*_names(by_themselves), *_names(limited)}:
        yield f"{_names(cut_off)} were cut off, and {error!r} says {error.running}"


def _names(indices):
    return [name_of(index) for index in sorted(indices)]


def the_status_says_what_happened(run, replay):
    """A failure wins over all; then a stop; then a question; else the run is completed."""
    if run.results is None:
        return
    possible = set()
    if replay.stop is not None:
        possible = {"failed" if reason == TIMES_UP else "cancelled" for reason in replay.stop.reasons}
    if replay.stop is None or replay.cut_nothing_off:
        asks = any(course.outcome.status == SUSPEND for course in replay.courses)
        possible.add("suspended" if asks else "completed")
    possible |= {"failed" if reason == TIMES_UP else "cancelled" for reason in replay.perhaps_stopped}
    if replay.failures:
        possible = {"failed"}
    elif replay.perhaps:
        possible.add("failed")
    if run.results.status not in possible:
        yield f"the status is {run.results.status}, and should be {sorted(possible)}"


def the_caller_is_left_as_it_was(run, replay):
    """I5, R12: no ContextVar of a stage reaches the caller, and no cancellation that the run itself made."""
    cancelled = sum(1 for entry in run.trace if entry.run == run.number and entry.what == "cancel the caller")
    expected = f"mark=the caller's cancelling={cancelled}"
    if run.left_behind != expected:
        yield f"the caller finds '{run.left_behind}' in its task in place of '{expected}'"


INVARIANTS = (
    every_finally_has_run,
    no_task_outlives_the_run,
    a_stop_reaches_every_stage,
    limits_reach_every_attempt,
    the_run_ends_with_its_last_stage,
    the_caller_gets_what_happened,
    the_status_says_what_happened,
    the_caller_is_left_as_it_was,
)
