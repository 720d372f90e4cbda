"""How stages and runs end, and what is left of them."""

from asyncio import CancelledError

from simulation.composed.account import CANCEL, FAIL, OK, SKIP
from simulation.scenario import name_of


def every_finally_has_run(account):
    """R6, R12, S1: when the caller learns of the end the code of every stage has ended, but for the stragglers'."""
    for stay in account.run.stays:
        name = name_of(stay.index)
        if stay.final is None:
            yield f"the finally of {name} never ran"
        elif account.over is not None and stay.final > account.over and stay.index not in account.excused:
            yield f"the finally of {name} ran after the run"


def no_task_outlives_the_run(account):
    """R12: but the stragglers' own."""
    if account.run.left_over and not _somebody_is_excused(account):
        yield f"tasks are left over: {account.run.left_over}"


def _somebody_is_excused(account):
    # With a short grace it may be a stage of a child, or one that nobody told of.
    return bool(account.excused) or account.plan.cancel_grace < 1


def every_stage_has_one_outcome(account):
    """R13: the results have each stage once, in plan order."""
    if account.results is not None:
        if list(account.results) != [name_of(index) for index in range(len(account.parts))]:
            yield f"the results have {list(account.results)}"


def a_stage_ends_as_its_code_did(account):
    """R6, R7: the outcome of a stage whose code nobody disturbed is what that came to."""
    for index, part in enumerate(account.parts):
        stays, status = account.run.stays_of(index), account.status.get(index)
        if not stays or status is None or part.mapped is not None or part.is_timed or index in account.excused:
            continue
        last = stays[-1]
        if last.cancelled is not None or last.how == "raise GeneratorExit" or last.final is None:
            continue
        if status == CANCEL and account.is_stopped and last.how in ("return retry", "raise TransientError"):
            continue  # before its next attempt
        if status == OK and part.chunks is not None and last.how in ("return retry", "raise TransientError"):
            continue  # nobody was left to read it when its next attempt was due
        expected = last.how.removeprefix("return ") if last.how.startswith("return") else FAIL
        possible = {FAIL if expected == "retry" else expected}
        if _reads_what_broke(account, part):
            possible |= {SKIP, FAIL}
        if "raise CancelledError" == last.how and account.is_stopped:
            possible.add(CANCEL)
        if status not in possible:
            yield f"{name_of(index)} ended '{last.how}', and is recorded {status}"


def who_is_cut_off_is_skipped(account):
    """S1: a stage that required a stream which broke did not fail, and is skipped, whatever it returned then."""
    for index, part in enumerate(account.parts):
        stays, status = account.run.stays_of(index), account.status.get(index)
        if not stays or stays[-1].final is None or part.is_timed or index in account.excused or status is None:
            continue
        last = stays[-1]
        broken = any(account.status.get(read.source) != OK for read in part.streams_read if not read.optional)
        was_cut = broken and last.cancelled is not None and not last.told_to_stop
        if was_cut and part.mapped is None and not account.world.trace[last.final].stopping and part.chunks is None:
            by_itself = last.how.startswith("raise") and last.how != "raise CancelledError"
            if status != (FAIL if by_itself else SKIP):
                yield f"{name_of(index)} was cut off and ended '{last.how}', and is recorded {status}"


def _reads_what_broke(account, part):
    return any(account.status.get(reading.source) != OK for reading in part.streams_read)


def what_is_cancelled_was_to_be(account):
    """R12, S1, S2: code is cancelled if its run ends, its time is up, its stream breaks, or nobody reads it."""
    for stay in account.run.stays:
        part = account.parts[stay.index]
        if stay.cancelled is None or stay.told_to_stop or part.is_timed:
            continue
        broken = any(account.status.get(read.source) != OK for read in part.streams_read if not read.optional)
        closed = part.chunks is not None and _has_lost_its_readers(account, stay)
        if not (broken or closed or part.mapped is not None):
            yield f"{name_of(stay.index)} was cancelled, and nobody had asked for it"


def _has_lost_its_readers(account, stay):
    for index, _ in account.readers_of(stay.index):
        if account.parts[index].mapped is not None:
            continue  # it leaves the stream when one of its items fails, before its end
        left = [reader.left_place for other in account.run.stays_of(index) for reader in other.readers]
        left = [place for place in left if place is not None]
        ended = account.ended.get(index, min(left, default=None)) if account.listens else 0
        if min([place for place in (ended, *left) if place is not None], default=stay.cancelled) >= stay.cancelled:
            return False
    return True


def what_never_ran_says_why(account):
    """R2, R13: a stage that never ran is skipped for one that it depends on, or cancelled with its run."""
    for index, part in enumerate(account.parts):
        status = account.status.get(index)
        if status is None or account.has_started(index) or not account.listens:
            continue
        depended = (*part.must_be_ok, *(reading.source for reading in part.streams_read if not reading.optional))
        missing = [other for other in depended if account.status.get(other) != OK]
        if status == SKIP:
            if not missing:
                yield f"{name_of(index)} is skipped, and all that it depends on is there"
            elif account.records and account.records[index].origin not in map(name_of, range(len(account.parts))):
                yield f"{name_of(index)} is skipped for {account.records[index].origin!r}"
        elif status != CANCEL or not account.is_stopped:
            yield f"{name_of(index)} never ran, and is recorded {status}"


def the_status_says_what_happened(account):
    """R6 to R11: a run is completed if nothing went wrong, and failed if something did that matters."""
    if account.results is None:
        return
    failed = [i for i, status in account.status.items() if status == FAIL and account.parts[i].critical]
    cancelled = [i for i, status in account.status.items() if status == CANCEL]
    status, raised = account.results.status, account.run.raised
    if account.run.interfered and isinstance(raised, CancelledError):
        raised = None  # the caller was cancelled when all was over
    if status == "completed" and (failed or cancelled or raised is not None):
        yield f"it completed, though {[name_of(i) for i in (*failed, *cancelled)]} did not, and raised {raised!r}"
    if status == "failed" and not failed and account.plan.timeout is None:
        yield "it failed, and no stage did"
    if status == "cancelled" and not cancelled and account.run.interfered == 0 and account.run.call is None:
        yield "it was cancelled, and nobody had asked for it"
    if status != "completed" and account.results.error is None:
        yield f"it is {status}, and has no error"


RULES = (
    every_finally_has_run,
    no_task_outlives_the_run,
    every_stage_has_one_outcome,
    a_stage_ends_as_its_code_did,
    who_is_cut_off_is_skipped,
    what_is_cancelled_was_to_be,
    what_never_ran_says_why,
    the_status_says_what_happened,
)
