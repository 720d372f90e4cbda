"""S2: what runs of a mapped stage, in which order its results come, and what is left when it fails."""

from simulation.composed.account import FAIL, OK
from simulation.scenario import name_of

SLACK = 1e-6


def _maps(account):
    return [(index, part.mapped) for index, part in enumerate(account.parts) if part.mapped is not None]


def _by_item(account, index):
    """Return the attempts of each item."""
    by_item = {}
    for stay in account.run.stays_of(index):
        by_item.setdefault(stay.item, []).append(stay)
    return by_item


def _has_failed(part, stay):
    """Return whether an attempt that nobody disturbed is the end of its item, and of the map."""
    if stay.cancelled is not None or stay.how is None or part.is_timed:
        return False
    if stay.how in ("return retry", "raise TransientError"):
        return part.policy is None or stay.attempt >= part.policy.max_attempts
    return stay.how == "return fail" or (stay.how.startswith("raise") and stay.how != "raise CancelledError")


def _settled_at(account, index):
    """Return the place at which an item failed or cancelled the run, and so ended the map; None if none did."""
    part = account.parts[index]
    ended = [
        stay.final
        for stay in account.run.stays_of(index)
        if _has_failed(part, stay) or (stay.how == "return cancel" and stay.cancelled is None and not part.is_timed)
    ]
    return min(ended, default=None)


def no_more_items_run_at_once_than_may(account):
    """Items that have begun and not ended are at most `map_concurrency`, and at most `max_concurrency`."""
    for index, mapped in _maps(account):
        most = min(mapped.concurrency, account.plan.max_concurrency or mapped.concurrency)
        changes = [(stay.started, 1) for stay in account.run.stays_of(index)]
        changes += [(stay.final, -1) for stay in account.run.stays_of(index) if stay.final is not None]
        running = 0
        for _, change in sorted(changes):
            running += change
            if running > most and index not in account.excused:
                yield f"{running} items of {name_of(index)} ran at once"
                break


def results_are_those_of_the_items_in_order(account):
    """There is one result for each item, in the order of the items; None for one that was skipped."""
    for index, mapped in _maps(account):
        if account.status.get(index) != OK or not account.records:
            continue
        results = account.results[name_of(index)].data["items"]
        by_item = _by_item(account, index)
        if sorted(by_item) != list(range(len(results))):
            yield f"{name_of(index)} has {len(results)} results, and ran for {sorted(by_item)}"
            continue
        for item, stays in by_item.items():
            expected = {"return ok": {"item": item}, "return skip": None}.get(stays[-1].how, "a failure")
            if results[item] != expected:
                yield f"{name_of(index)} has {results[item]} for item {item}, which ended '{stays[-1].how}'"
        source = account.parts[mapped.source]
        if source.items is not None and len(results) != source.items:
            yield f"{name_of(index)} has {len(results)} results for {source.items} items"


def each_item_is_what_it_should_be(account):
    """`ctx.item` is the item of `ctx.index`, and the items that were begun are the first ones."""
    for index, mapped in _maps(account):
        by_item = _by_item(account, index)
        if by_item and index not in account.excused and max(by_item) >= len(by_item):
            missing = sorted(set(range(max(by_item))) - by_item.keys())
            if _settled_at(account, index) is None and not account.is_stopped and account.status.get(index) == OK:
                yield f"{name_of(index)} ran for item {max(by_item)}, and not for {missing}"
        for item, stays in by_item.items():
            plainly = account.parts[mapped.source].mapped is None and not mapped.of_stream
            if plainly and any(stay.item_value != item for stay in stays):
                yield f"{name_of(index)} was given {[stay.item_value for stay in stays]} as item {item}"


def what_one_item_has_ended_goes_no_further(account):
    """Once an item has failed, no other one begins, and those that run are cancelled at once."""
    for index, _ in _maps(account):
        place = _settled_at(account, index)
        if place is None:
            continue
        for stay in account.run.stays_of(index):
            if stay.started > place:
                yield f"item {stay.item} of {name_of(index)} began after another one had ended the map"
            elif stay.final is None or stay.final > place:
                reached = stay.cancelled_at if stay.cancelled_at is not None else stay.ended_at
                if reached is None or reached - account.time_of(place) > SLACK:
                    yield f"item {stay.item} of {name_of(index)} went on after another one had ended the map"


def a_failed_map_says_which_item_and_what_there_was(account):
    """The error of a map has the index of an item that failed, and the results of those that had ended by then."""
    for index, _ in _maps(account):
        if account.status.get(index) != FAIL or not account.records:
            continue
        error, part = account.results[name_of(index)].error.exception, account.parts[index]
        if type(error).__name__ != "MapItemError":
            if type(error).__name__ != "StageTimeoutError" and account.run.stays_of(index):
                yield f"{name_of(index)} failed with {error!r}"
            continue
        by_item = _by_item(account, index)
        last = by_item[error.index][-1]
        # When the run is ending there is no further attempt.
        failed = _has_failed(part, last) or (
            account.is_stopped and last.how in ("return retry", "raise TransientError")
        )
        if not part.is_timed and not failed:
            yield f"{name_of(index)} says that item {error.index} failed, which ended '{last.how}'"
        place, done = _settled_at(account, index), {}
        if part.is_timed or place is None:
            continue
        told = dict(error.completed)
        for item, stays in by_item.items():
            last = stays[-1]
            # Those that end in the same turn may be in it, too.
            due = last.final < place or (item in told and last.final_at - account.time_of(place) <= SLACK)
            if last.how in ("return ok", "return skip") and due:
                done[item] = {"item": item} if last.how == "return ok" else None
        if told != done:
            yield f"{name_of(index)} says that {told} was done, and it was {done}"


def what_a_map_counts_adds_up(account):
    """Its statistics are what ran: how many items, how many of them OK or skipped, and how many attempts."""
    for index, _ in _maps(account):
        if not account.records or index in account.excused or account.parts[index].is_timed:
            continue
        told = account.records[index].statistics.get("map")
        stays, by_item = account.run.stays_of(index), _by_item(account, index)
        if told is None:
            if stays and account.status.get(index) == OK:
                yield f"{name_of(index)} counts nothing"
            continue
        if account.status.get(index) == OK:
            lasts = [stays_of_one[-1].how for stays_of_one in by_item.values()]
            counted = {"items": len(by_item), "ok": lasts.count("return ok"), "skipped": lasts.count("return skip")}
            counted["attempts"] = len(stays)
            wrong = {key: told[key] for key, count in counted.items() if told[key] != count}
            if wrong:
                yield f"{name_of(index)} counts {wrong}, and it was {counted}"


def items_are_asked_for_when_there_is_room(account):
    """A source whose items come one by one is asked for each when there is room for it, and is closed."""
    for index, part in enumerate(account.parts):
        readers = [other for other, mapped in _maps(account) if mapped.source == index]
        if part.items_are != "async" or part.items is None or len(readers) != 1 or readers[0] in account.excused:
            continue
        (reader,) = readers
        mapped = account.parts[reader].mapped
        most = min(mapped.concurrency, account.plan.max_concurrency or mapped.concurrency)
        last = [stays[-1] for stays in _by_item(account, reader).values()]
        for giver in account.run.stays_of(index):
            for number, place in enumerate(giver.pulls):
                ended = sum(1 for stay in last if stay.final is not None and stay.final < place)
                # When the run is stopping one may still be asked for, in vain.
                if number >= ended + most and not account.world.trace[place].stopping:
                    yield f"{name_of(reader)} asked for item {number} when {ended} had ended, and {most} run at once"
                    break
            closed, over = giver.source_closed, account.ended.get(reader)
            if giver.pulls and (closed is None or (over is not None and closed > over)):
                yield f"the source of {name_of(reader)} was not closed before its end"


RULES = (
    no_more_items_run_at_once_than_may,
    results_are_those_of_the_items_in_order,
    each_item_is_what_it_should_be,
    what_one_item_has_ended_goes_no_further,
    a_failed_map_says_which_item_and_what_there_was,
    what_a_map_counts_adds_up,
    items_are_asked_for_when_there_is_room,
)
