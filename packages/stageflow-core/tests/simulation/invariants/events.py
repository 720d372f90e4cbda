"""What a run tells while it goes on. Nothing of this is asked of a run to which nobody listens."""

from simulation.rules import SUSPEND
from simulation.scenario import name_of

WORDS = {"ok": "completed", "fail": "failed", "skip": "skipped", "cancel": "cancelled", "suspend": "suspended"}
ENDINGS = tuple(WORDS.values())


def _stage_events(run, kinds):
    for place, entry in enumerate(run.trace):
        if entry.run == run.number and entry.what == "event" and entry.stage is not None:
            kind = entry.detail.rpartition(".")[2]
            if entry.detail == f"stage.{name_of(entry.stage)}.{kind}" and kind in kinds:
                yield place, entry.stage, kind


def _listens(run):
    return run.sink is not None and run.events


def sequence_numbers_have_no_gap(run, replay):
    """E1: they count from 1, and the ids are made of them."""
    numbers = [event["sequence"] for event in run.events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the sequence numbers are {numbers}"
    if len({event["event_id"] for event in run.events}) != len(run.events):
        yield "two events have the same id"


def a_run_begins_and_ends_its_events(run, replay):
    """E1: created and started come first, what became of the run comes last, once each."""
    if not _listens(run):
        return
    types = [event["event_type"] for event in run.events]
    if types[:2] != ["pipeline.created", "pipeline.started"]:
        yield f"it began with {types[:2]}"
    own = [name for name in types if name.startswith("pipeline.")]
    takes_last = (
        run.scenario.sink not in ("emit raises", "emit hangs") and replay.asked is None and not _is_cut_off(run)
    )
    status = run.results.status if run.results is not None else None
    if takes_last and (len(own) != 3 or types[-1] != own[-1] or (status and own[-1] != f"pipeline.{status}")):
        yield f"it ended with {own[2:]}, and its status is {status}"


def _is_cut_off(run):
    """Return whether a cancellation of the caller kept the sink from taking the last event."""
    return not run.sink.offered or (run.scenario.sink == "emit is slow" and run.sink.lost > 0)


def each_start_has_one_end(run, replay):
    """E1: a stage that starts has one event for that and one for its outcome, which every stage has once.

    But for those that only wait for a decision, and those that the run has taken over: nothing happens to them.
    """
    if not _listens(run):
        return
    started = [index for _, index, _ in _stage_events(run, ("started",))]
    ran = [
        i for i, course in enumerate(replay.courses) if course.stays or (course.announced and course.outcome.stopped)
    ]
    if sorted(started) != ran:
        yield f"events say that {sorted(started)} ran, and it was {ran}"
    ended = [index for _, index, _ in _stage_events(run, ENDINGS)]
    expected = [
        index
        for index, course in enumerate(replay.courses)
        if not course.is_carried and not (course.outcome.status == SUSPEND and course.outcome.origins)
    ]
    if sorted(ended) != expected:
        yield f"events tell the ends of {sorted(ended)}, and it should be of {expected}"


def each_further_attempt_is_told(run, replay):
    """E1: `retrying` comes before each further attempt, and for one that never comes only when the run stops."""
    if not _listens(run):
        return
    told = [index for _, index, _ in _stage_events(run, ("retrying",))]
    for index, course in enumerate(replay.courses):
        further = max(len(course.stays) - 1, 0)
        cut_short = course.outcome.stopped
        if told.count(index) not in (further, further + cut_short):
            yield f"{name_of(index)} ran {len(course.stays)} times, and events tell of {told.count(index)} retries"


def events_say_what_the_results_say(run, replay):
    """E1: status, attempt and duration of a stage's last event are those of its record."""
    if not _listens(run) or run.results is None:
        return
    for event in run.events:
        name, kind = event["stage"], event["event_type"].rpartition(".")[2]
        if name is None or event["event_type"] != f"stage.{name}.{kind}" or kind not in ENDINGS:
            continue
        record = run.results.record(name)
        told = (kind, event["status"], event["attempt"] or 0)
        if told != (WORDS[record.status.value], record.status.value, record.attempts):
            yield f"'{event['event_type']}' tells {told} of {record}"
        if record.started_at is not None and event["duration_ms"] != record.duration_ms:
            yield f"'{event['event_type']}' took {event['duration_ms']} ms, and its record says {record.duration_ms}"


def events_come_in_the_order_of_their_causes(run, replay):
    """E1: the start is told before the code runs, its end after that, and a dependency's before what waited for it."""
    if not _listens(run):
        return
    started = {index: place for place, index, _ in _stage_events(run, ("started",))}
    ended = {index: place for place, index, _ in _stage_events(run, ENDINGS)}
    for index, place in started.items():
        course = replay.courses[index]
        if not course.stays:
            continue
        if place > course.stays[0].start:
            yield f"{name_of(index)} ran before its start was told"
        last = course.stays[-1]
        if not course.straggles and last.end is not None and ended.get(index, last.end) < last.end:
            yield f"the end of {name_of(index)} was told before it"
        for other in run.scenario.stages[index].dependencies:
            if not replay.courses[other].is_carried and ended.get(other, place) >= place:
                yield f"the start of {name_of(index)} was told before the end of {name_of(other)}"


def ends_are_told_at_once(run, replay):
    """E1: no time passes between the end of a stage's code and its last event, unless it is left behind."""
    if not _listens(run):
        return
    for place, index, _ in _stage_events(run, ENDINGS):
        course = replay.courses[index]
        if course.stays and course.stays[-1].end is not None and not course.straggles and not course.outcome.stopped:
            late = run.trace[place].time - course.stays[-1].ended_at
            if late > replay.slack:
                yield f"the end of {name_of(index)} was told {late:g} s late"


def what_stages_publish_is_told(run, replay):
    """E4: the artifacts and events of an output come once, before the stage's last event."""
    if not _listens(run):
        return
    ended = {index: place for place, index, _ in _stage_events(run, ENDINGS)}
    for index, course in enumerate(replay.courses):
        published = [
            place
            for place, entry in enumerate(run.trace)
            if (entry.run, entry.stage, entry.what) == (run.number, index, "event")
            and entry.detail in ("own.event", f"stage.{name_of(index)}.artifact")
        ]
        last = course.stays[-1] if course.stays else None
        publishes = run.scenario.stages[index].publishes and last is not None and last.cancelled is None
        due = 2 if publishes and last.act.ending in ("ok", "value") and course.outcome.status == "ok" else 0
        if len(published) != due or any(place > ended.get(index, place) for place in published):
            yield f"{name_of(index)} published {len(published)} things, and {due} were to be told before its end"


def what_sinks_lose_is_counted(run, replay):
    """E2: events_lost is what the sink dropped, refused, or did not take in time."""
    lost = 0 if run.sink is None else run.sink.lost + (not run.sink.offered)
    if run.results is not None and run.results.events_lost != lost:
        yield f"{run.results.events_lost} events are counted as lost, and it is {lost}"


def readers_see_every_event(run, replay):
    """E1: a reader of events() gets what the sink gets, and the reading ends."""
    if run.read is None:
        return
    if not run.reader.done():
        yield "the reader of events() still waits"
    numbers = [event.sequence for event in run.read]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the reader of events() saw the numbers {numbers}"
    types = [event.event_type for event in run.read]
    taken = [event["event_type"] for event in run.events]
    if run.sink is not None and types[: len(taken)] != taken:
        yield f"the reader of events() saw {types}, and the sink {taken}"
    if run.results is not None and types[-1] != f"pipeline.{run.results.status}":
        yield f"the last that the reader of events() saw is {types[-1]}"


INVARIANTS = (
    sequence_numbers_have_no_gap,
    a_run_begins_and_ends_its_events,
    each_start_has_one_end,
    each_further_attempt_is_told,
    events_say_what_the_results_say,
    events_come_in_the_order_of_their_causes,
    ends_are_told_at_once,
    what_stages_publish_is_told,
    what_sinks_lose_is_counted,
    readers_see_every_event,
)
