"""What a run tells while it goes on. Nothing of this is asked of a run to which nobody listens."""

from asyncio import CancelledError

from simulation.composed.account import STATUS_OF_EVENT
from simulation.composed.world import TENANT
from simulation.scenario import name_of


def sequence_numbers_have_no_gap(account):
    """E1: they count from 1, for each run on its own."""
    numbers = [event["sequence"] for _, event in account.run.events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the sequence numbers are {numbers}"


def a_run_begins_and_ends_its_events(account):
    """E1: created and started come first, what became of the run comes last, once each."""
    if not account.listens:
        return
    types = [event["event_type"] for _, event in account.run.events]
    own = [name for name in types if name.startswith("pipeline.")]
    if types[:2] != ["pipeline.created", "pipeline.started"] or len(own) > 3:
        yield f"its own events are {own}, and it began with {types[:2]}"
    # Somebody who cancels the caller while the last event is on its way may keep it from the sink.
    is_cut_off = account.results is None or isinstance(account.run.raised, CancelledError)
    if not is_cut_off and (len(own) != 3 or types[-1] != f"pipeline.{account.results.status}"):
        yield f"it ended with {types[-1]}, and its status is {account.results.status}"


def each_stage_has_one_end(account):
    """E1: each stage has one event for its outcome, which the results repeat, and one for its start if it had one."""
    if not account.listens:
        return
    for index in range(len(account.parts)):
        kinds = [
            event["event_type"].rpartition(".")[2]
            for _, event in account.run.events
            if event["stage"] == name_of(index) and event["event_type"].startswith(f"stage.{name_of(index)}.")
        ]
        ends = [kind for kind in kinds if kind in STATUS_OF_EVENT]
        if len(ends) != 1 or kinds.count("started") > 1:
            yield f"the events of {name_of(index)} are {kinds}"
        elif account.status.get(index) != STATUS_OF_EVENT[ends[0]]:
            yield f"{name_of(index)} is recorded {account.status.get(index)}, and its event says {ends[0]}"
        if "started" not in kinds and account.run.stays_of(index):
            yield f"{name_of(index)} ran, and no event tells of its start"


def events_come_in_the_order_of_their_causes(account):
    """E1: the start is told before the code runs, the end after it has, and what was told is not told again."""
    for index, place in account.ended.items():
        stays = account.run.stays_of(index)
        if stays and stays[0].started < account.started.get(index, -1):
            yield f"the start of {name_of(index)} was told after it"
        late = [stay for stay in stays if stay.final is not None and stay.final > place]
        if late and index not in account.excused:
            yield f"the end of {name_of(index)} was told before it"
        if stays and account.started.get(index, -1) > place:
            yield f"the end of {name_of(index)} was told before its start"


def each_further_attempt_is_told(account):
    """E1: `retrying` comes before each further attempt, and for one that never comes only when the run stops."""
    if not account.listens:
        return
    for index, part in enumerate(account.parts):
        if part.mapped is None:
            ran, told = len(account.run.stays_of(index)), account.retries.get(index, 0)
            if not ran - 1 <= told <= max(ran, part.policy.max_attempts - 1 if part.policy and part.is_timed else ran):
                yield f"{name_of(index)} ran {ran} times, and {told} further attempts were told"


def events_say_whose_they_are(account):
    """E1, S3: each event carries the ids of its run, and of nobody else."""
    for _, event in account.run.events:
        strange = {key: event[key] for key, value in TENANT.items() if event[key] != value}
        if strange:
            yield f"{event['event_type']} says {strange}"


RULES = (
    sequence_numbers_have_no_gap,
    a_run_begins_and_ends_its_events,
    each_stage_has_one_end,
    events_come_in_the_order_of_their_causes,
    each_further_attempt_is_told,
    events_say_whose_they_are,
)
