"""S1: what flows, how far ahead, who counts it, and how one side ends the other."""

from simulation.composed.account import NEVER, OK
from simulation.composed.acting import CLEANING
from simulation.scenario import name_of

SLACK = 1e-6
"""Seconds by which sums of times may differ."""


class Flow:
    """The stream of one stage, and one of its readers: a stage, or somebody outside.

    Attributes:
        yields: Place, time, time of going on, and text of each chunk.
        reads: What the reader read, over all of its attempts.
        told: What is counted of it, or None if there are no results.
        closed_at: When the reader had told the stream that it wants no more, or had ended.
        has_left: Whether it closed the stream itself.
        begun: Whether the reader has begun.
        is_mapped: Whether its chunks are the items of a mapped stage, so that nobody sees it read.
    """

    def __init__(self, account, source, name, readers, *, index=None, required=False):
        self.account, self.source, self.name, self.index, self.required = account, source, name, index, required
        self.chunks = account.parts[source].chunks
        self.stays = account.run.stays_of(source)
        self.yields = [
            (*noted, f"{source}:{stay.attempt}:{number}")
            for stay in self.stays
            for number, noted in enumerate(stay.yields)
        ]
        self.readers = readers
        self.reads = [read for reader in readers for read in reader.reads]
        self.told = None
        if account.records:
            self.told = account.records[source].statistics["stream"]["readers"].get(name)
        closed = [reader.left_at for reader in readers if reader.left_at is not None]
        if index is not None and index in account.ended:
            closed.append(account.time_of(account.ended[index]))
        self.closed_at = min(closed, default=NEVER)
        self.has_left = index is not None and any(reader.left_at is not None for reader in readers)
        self.begun = index is None or account.has_started(index)
        self.excused = source in account.excused or index in account.excused
        # What it reads then is seen when its items begin: which is not when they are taken from the stream.
        self.is_mapped = index is not None and account.parts[index].mapped is not None


def flows_of(account):
    """Return every stream with every reader of it."""
    for index, reading in account.streams_read():
        stays = account.run.stays_of(index)
        readers = [reader for stay in stays for reader in stay.readers if reader.reading.source == reading.source]
        yield Flow(account, reading.source, name_of(index), readers, index=index, required=not reading.optional)
    for number, reader in enumerate(account.run.listeners):
        source = reader.reading.source
        before = sum(1 for other in account.run.listeners[:number] if other.reading.source == source)
        yield Flow(account, source, "run.stream" if not before else f"run.stream#{before + 1}", [reader])


def seen_flows_of(account):
    """Return those whose reader can be seen to read."""
    return [flow for flow in flows_of(account) if not flow.is_mapped]


def what_was_sent_was_received_or_dropped(account):
    """For each reader the counters add up, and are what was read; for one outside, when it has read all."""
    for flow in flows_of(account):
        told = flow.told
        if told is None:
            continue
        which = f"of {name_of(flow.source)} to {flow.name}"
        if flow.index is None:  # it may go on reading what waits for it when the run has ended
            final = flow.readers[0].final
            is_over = flow.readers[0].ended == "end" and final.sent == final.received + final.dropped
            if told["received"] > len(flow.reads) or not (is_over or flow.readers[0].ended != "end"):
                yield f"{len(flow.reads)} chunks {which} were read, the record says {told}, and the reader {final}"
        elif told["sent"] != told["received"] + told["dropped"]:
            yield f"the counters {which} do not add up: {told}"
        elif not flow.excused and not flow.is_mapped and told["received"] != len(flow.reads):
            yield f"{len(flow.reads)} chunks {which} were read, and it says {told['received']}"
        if told["high_water"] > flow.chunks.capacity:
            yield f"{told['high_water']} chunks {which} waited, and there is room for {flow.chunks.capacity}"
        if flow.index is not None:
            again = account.records[flow.index].statistics["streams"][name_of(flow.source)]
            if again != told:
                yield f"the counters {which} are {told} on one side, and {again} on the other"


def what_was_yielded_is_counted(account):
    """A stage that streams counts every chunk, and those that nobody heard."""
    for index, part in enumerate(account.parts):
        if part.chunks is None or not account.records or index in account.excused:
            continue
        told = account.records[index].statistics["stream"]
        yielded = sum(len(stay.yields) for stay in account.run.stays_of(index))
        if told["sent"] != yielded:
            yield f"{name_of(index)} yielded {yielded} chunks, and it says {told['sent']}"
        has_readers = bool(told["readers"])
        if told["unheard"] > told["sent"] or (not has_readers and told["unheard"] != told["sent"]):
            yield f"{told['unheard']} of {told['sent']} chunks of {name_of(index)} were unheard"
        for name, counted in told["readers"].items():
            # One that the reader had left before counts for nobody.
            if counted["sent"] > told["sent"]:
                yield f"{name} counts {counted['sent']} chunks, and {name_of(index)} yielded {told['sent']}"


def chunks_come_in_their_order(account):
    """Each reader gets a subsequence of the chunks, and all up to the last if none are to be dropped."""
    for flow in seen_flows_of(account):
        all_of_them = [chunk for *_, chunk in flow.yields]
        got = [read.chunk for read in flow.reads]
        rest = iter(all_of_them)
        which = f"{flow.name} read {got} of {name_of(flow.source)}, which yielded {all_of_them}"
        if not all(chunk in rest for chunk in got):
            yield which
        elif flow.chunks.on_full in ("block", "error") and got != all_of_them[: len(got)]:
            yield f"{which}, and none were to be dropped"


def what_there_is_no_room_for_is_dropped_and_nothing_else(account):
    """Of a stream that drops chunks a reader gets those that a buffer of that size would have had for it."""
    for flow in seen_flows_of(account):
        if not flow.chunks.on_full.startswith("drop"):
            continue
        happened = [(place, chunk, True) for place, *_, chunk in flow.yields]
        happened += [(read.place, read.chunk, False) for read in flow.reads]
        buffer = []
        for _, chunk, is_yield in sorted(happened):
            if not is_yield:
                expected = buffer.pop(0) if buffer else "nothing"
                if chunk != expected:
                    yield f"{flow.name} read {chunk} of {name_of(flow.source)}, and should have read {expected}"
                    break
            elif len(buffer) < flow.chunks.capacity:
                buffer.append(chunk)
            elif flow.chunks.on_full == "drop_oldest":
                buffer = [*buffer[1:], chunk]


def who_reads_to_the_end_gets_all(account):
    """A reader that saw the end of a stream has had every chunk that was not dropped."""
    for flow in seen_flows_of(account):
        if not flow.readers or flow.readers[-1].ended != "end" or flow.has_left:
            continue
        if flow.excused or flow.source in account.excused:
            continue
        status = account.status.get(flow.source, OK)
        if status != OK:
            yield f"{flow.name} read the end of {name_of(flow.source)}, which ended {status}"
        got, sent = len(flow.reads), len(flow.yields)
        if flow.chunks.on_full in ("block", "error") and got != sent:
            yield f"{flow.name} read {got} of the {sent} chunks of {name_of(flow.source)}, and the end"
        if flow.told is not None and flow.told["sent"] != sent:
            yield f"{flow.name} counts {flow.told['sent']} chunks of the {sent} of {name_of(flow.source)}"


def items_are_the_chunks_in_their_order(account):
    """S2: a stage that is mapped over a stream runs for each chunk, the first one being item 0."""
    for flow in flows_of(account):
        if not flow.is_mapped or flow.excused:
            continue
        by_item = {stay.item: stay.item_value for stay in account.run.stays_of(flow.index)}
        chunks, got = [chunk for *_, chunk in flow.yields], [by_item[item] for item in sorted(by_item)]
        whole = account.status.get(flow.index) == OK and flow.chunks.on_full in ("block", "error")
        rest = iter(chunks)
        if not all(chunk in rest for chunk in got) or (whole and got != chunks):
            yield f"{flow.name} ran for {got}, and {name_of(flow.source)} yielded {chunks}"


def who_requires_what_broke_does_not_end_ok(account):
    """The failure of a stage that streams ends those that require all of it, if they have not ended or let go of it."""
    for flow in flows_of(account):
        if flow.index is None or not flow.required or flow.excused or not account.listens:
            continue
        source, reader = flow.source, flow.index
        if account.status.get(source, OK) == OK or account.status.get(reader) != OK:
            continue
        # One that goes on when its run is ending ends as it likes: it may have had all that it wants.
        stopped = any(account.world.trace[stay.final].stopping for stay in account.run.stays_of(reader))
        left = [one.left_place for one in flow.readers if one.left_place is not None]
        had_enough = min(left, default=account.ended[source]) < account.ended[source]
        # One that streams itself and was closed first, since nobody read it, has done all that it was to do.
        closed = account.parts[reader].chunks is not None and any(
            stay.cancelled is not None or stay.how == "raise GeneratorExit" for stay in account.run.stays_of(reader)
        )
        if account.ended[source] < account.ended[reader] and not (stopped or had_enough or closed):
            yield f"{name_of(reader)} ended OK though {name_of(source)}, which it reads, had not"


def chunks_are_read_as_soon_as_they_are_there(account):
    """No time passes between a chunk, or the question for it, and its arrival, unless its reader was made to wait."""
    for flow in seen_flows_of(account):
        made = {chunk: max(time, time if on is None else on) for _, time, on, chunk in flow.yields}
        for read in flow.reads:
            # Of several readers one may be given it when the slowest one has room.
            if read.at - max(read.asked_at, made.get(read.chunk, read.at)) > SLACK:
                yield f"{flow.name} got {read.chunk} at {read.at:g} s, and could have had it before"


def who_blocks_waits_for_room_and_no_longer(account):
    """A stage goes on as soon as its slowest reader has room for the chunk, and not before."""
    if not account.listens:
        return
    by_source = {}
    for flow in flows_of(account):
        by_source.setdefault(flow.source, []).append(flow)
    for source, flows in by_source.items():
        if any(flow.excused or flow.is_mapped for flow in flows):
            continue
        for number, (_, time, went_on, chunk) in enumerate(flows[0].yields):
            if went_on is None:
                continue
            expected = time
            if flows[0].chunks.on_full == "block":
                expected = max(time, *(_room_at(flow, number) for flow in flows))
            if abs(went_on - expected) > SLACK:
                yield f"{name_of(source)} went on from {chunk} at {went_on:g} s, and should at {expected:g} s"


def _room_at(flow, number):
    needed = number - flow.chunks.capacity
    if needed < 0:
        return 0.0
    taken = flow.reads[needed].at if needed < len(flow.reads) else NEVER
    return min(taken, flow.closed_at)


def the_time_that_one_waits_for_room_is_counted(account):
    """What a sole reader says that it was waited for is how long the stage could not go on."""
    flows = list(flows_of(account))
    for flow in flows:
        alone = sum(1 for other in flows if other.source == flow.source) == 1
        whole = all(went_on is not None for _, _, went_on, _ in flow.yields)
        if flow.told is None or not alone or not whole or flow.excused:
            continue
        blocked = sum(went_on - time for _, time, went_on, _ in flow.yields)
        if abs(flow.told["blocked_ms"] / 1000 - blocked) > SLACK:
            yield f"{name_of(flow.source)} was blocked for {blocked:g} s, and {flow.name} says {flow.told}"


def who_has_lost_all_readers_ends(account):
    """A stage whose readers have all stopped is closed: no time passes but for its own cleanup."""
    if not account.listens:
        return
    by_source = {}
    for flow in flows_of(account):
        by_source.setdefault(flow.source, []).append(flow)
    for source, flows in by_source.items():
        if source in account.excused or any(flow.excused for flow in flows) or not any(flow.begun for flow in flows):
            continue
        alone_from = max(flow.closed_at for flow in flows)
        for stay in flows[0].stays:
            if stay.final_at is not None and stay.final_at > max(alone_from, stay.started_at) + 3 * CLEANING:
                yield f"{name_of(source)} ran until {stay.final_at:g} s, and nobody read it from {alone_from:g} s on"


def nobody_starts_anew_once_chunks_were_delivered(account):
    """Neither side is tried again once a chunk has reached a reader."""
    for flow in seen_flows_of(account):
        sides = [
            (flow.source, flow.stays),
            (flow.index, [] if flow.index is None else account.run.stays_of(flow.index)),
        ]
        first = None
        for read in flow.reads:
            first = read.at if first is None else min(first, read.at)
        for index, stays in sides:
            if first is not None and any(stay.started_at > first for stay in stays if stay.attempt > 1):
                yield f"{name_of(index)} was tried again after a chunk had been delivered"


RULES = (
    what_was_sent_was_received_or_dropped,
    what_was_yielded_is_counted,
    chunks_come_in_their_order,
    what_there_is_no_room_for_is_dropped_and_nothing_else,
    who_reads_to_the_end_gets_all,
    items_are_the_chunks_in_their_order,
    who_requires_what_broke_does_not_end_ok,
    chunks_are_read_as_soon_as_they_are_there,
    who_blocks_waits_for_room_and_no_longer,
    the_time_that_one_waits_for_room_is_counted,
    who_has_lost_all_readers_ends,
    nobody_starts_anew_once_chunks_were_delivered,
)
