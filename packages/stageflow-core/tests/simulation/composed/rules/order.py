"""When stages start, how many run at once, and what they find."""

from itertools import pairwise

from simulation.composed.account import OK
from simulation.scenario import name_of


def nothing_starts_before_what_it_waits_for(account):
    """R1, S1: what a stage waits for has ended when it starts, and ended OK if it must have."""
    for stay in account.run.stays:
        part = account.parts[stay.index]
        for other in part.waits_for:
            if other not in account.excused and not _is_over(account, other, stay.started):
                yield f"{name_of(stay.index)} started before {name_of(other)} had ended"
        for other in part.must_be_ok:
            if account.status.get(other, OK) != OK:
                yield f"{name_of(stay.index)} started though {name_of(other)} did not end OK"


def _is_over(account, index, place):
    if account.listens:
        return account.ended.get(index, place) < place
    return all(stay.final is not None and stay.final < place for stay in account.run.stays_of(index))


def readers_start_with_what_they_read(account):
    """S1: a reader starts when the stage that streams has started, and not after its end if that is to come."""
    if not account.listens:
        return
    for index, reading in account.streams_read():
        if index not in account.started:
            continue
        began, opened = account.started[index], account.started.get(reading.source)
        if not reading.optional and (opened is None or opened > began):
            yield f"{name_of(index)} started before {name_of(reading.source)}, whose stream it reads"


def groups_start_as_a_whole(account):
    """S1: a stage that streams starts when all that its group waits for has ended."""
    groups = account.groups()
    for stay in account.run.stays:
        part = account.parts[stay.index]
        if part.streams_read or part.chunks is None:
            continue
        for member in groups[stay.index]:
            for other in account.parts[member].waits_for:
                if other not in account.excused and not _is_over(account, other, stay.started):
                    yield (
                        f"{name_of(stay.index)} started before {name_of(other)} had ended, "
                        f"for which {name_of(member)} of its group waits"
                    )


def no_more_run_at_once_than_may(account):
    """S4: stages that have started and not ended are at most max_concurrency, those joined by streams one together."""
    most = account.plan.max_concurrency
    if most is None or not account.listens:
        return
    groups = account.groups()
    changes = [(place, index, 1) for index, place in account.started.items()]
    changes += [(place, index, -1) for index, place in account.ended.items() if index in account.started]
    running = {}
    for _, index, change in sorted(changes):
        group = min(groups[index])
        running[group] = running.get(group, 0) + change
        if sum(1 for count in running.values() if count) > most:
            yield f"more than {most} ran at once when {name_of(index)} started"
            return


def what_is_stopping_starts_nothing(account):
    """R6, R7: from the moment on in which a run has to end no code of its stages starts."""
    for stay in account.run.stays:
        if account.world.trace[stay.started].stopping:
            yield f"{name_of(stay.index)} started when its run was to end"


def attempts_are_counted(account):
    """R8: each attempt has the next number, there are no more than the policy says, and none after a success."""
    for index, part in enumerate(account.parts):
        by_item = {}
        for stay in account.run.stays_of(index):
            by_item.setdefault(stay.item, []).append(stay)
        for item, stays in by_item.items():
            name = name_of(index) + ("" if item is None else f"[{item}]")
            if [stay.attempt for stay in stays] != list(range(1, len(stays) + 1)):
                yield f"{name} made the attempts {[stay.attempt for stay in stays]}"
            if len(stays) > (1 if part.policy is None else part.policy.max_attempts):
                yield f"{name} made {len(stays)} attempts"
            for earlier, later in pairwise(stays):
                if earlier.final is None or earlier.final > later.started:
                    yield f"{name} made attempt {later.attempt} before {earlier.attempt} was over"
                covered = earlier.how in ("return retry", "raise TransientError") or part.timeout is not None
                if not covered and earlier.how != "raise GeneratorExit":
                    yield f"{name} was tried again after '{earlier.how}'"


def stages_see_no_variable_of_another(account):
    """I5, S2: neither of another stage, nor of another item."""
    expected = "the caller's"
    if account.run.call is not None:
        parent = account.run.call.stay
        sets = parent.world.runs_by_number[parent.run].plan.parts[parent.index].sets_variable
        expected = f"stage {parent.index}'s" if sets else parent.mark
    for stay in account.run.stays:
        own = f"stage {stay.index}'s"
        if stay.mark != expected and not (stay.attempt > 1 and stay.mark == own):
            yield f"{name_of(stay.index)} found the variable of {stay.mark}"


RULES = (
    nothing_starts_before_what_it_waits_for,
    readers_start_with_what_they_read,
    groups_start_as_a_whole,
    no_more_run_at_once_than_may,
    what_is_stopping_starts_nothing,
    attempts_are_counted,
    stages_see_no_variable_of_another,
)
