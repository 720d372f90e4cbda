"""S3: whose child a run is, and how far its parent's end reaches."""

from stageflow.context.parent import MOST_DEEP

from simulation.scenario import name_of

SLACK = 1e-6


def children_say_whose_they_are(account):
    """Each run has an id of its own; a child names the run and the stage of its parent, and how deep it lies."""
    run, call = account.run, account.run.call
    parent = None if call is None else account.world.runs_by_number[call.stay.run]
    expected = None if parent is None else parent.run_id
    strange = {event["parent_run_id"] for _, event in run.events if event["parent_run_id"] != expected}
    if strange:
        yield f"its events name {strange} as the parent, and it is {expected}"
    if any(event["pipeline_run_id"] != run.run_id for _, event in run.events):
        yield "its events carry the ids of several runs"
    if call is not None and account.listens:
        data = run.events[0][1]["data"]
        told = (data.get("parent_stage"), data.get("depth"))
        if told != (name_of(call.stay.index), depth_of(account.world, run)):
            yield f"it says that it is a child of {told}"


def depth_of(world, run):
    """Return how deep a run lies, the first one being 1."""
    depth = 1
    while run.call is not None:
        run, depth = world.runs_by_number[run.call.stay.run], depth + 1
    return depth


def a_child_lies_within_its_stage(account):
    """All of a child happens between its call and the end of that, and the call ends within the stage."""
    call = account.run.call
    if call is None:
        return
    places = [place for place, _ in account.run.events] + [stay.started for stay in account.run.stays]
    if places and min(places) < call.started:
        yield "it began before it was called"
    if call.ended is None:
        yield "its call never ended"
    elif any(place > call.ended for place, _ in account.run.events) and not account.excused:
        yield "it went on after its call had ended"
    elif call.stay.final is not None and call.stay.final < call.ended:
        # `gather` does not wait for the others when one fails; but the run does.
        parent = account.world.runs_by_number[call.stay.run]
        over = parent.ended if parent.call is None else parent.call.ended
        gathered = parent.plan.parts[call.stay.index].children_run == "gathered"
        if not gathered or (over is not None and over < call.ended and account.plan.cancel_grace >= 1):
            yield "its stage ended before it"


def nobody_lies_too_deep(account):
    """Runs lie at most so deep within each other, and one that calls itself without end is told so there."""
    depth = depth_of(account.world, account.run)
    if depth > MOST_DEEP:
        yield f"it lies {depth} deep"
    for stay in account.run.stays:
        too_deep = any(type(call.raised).__name__ == "PipelineDepthError" for call in stay.calls)
        own = [call for call in account.world.calls if call.stay is stay]
        began = any(run.call in own for run in account.world.runs_by_number if run.call is not None)
        if too_deep and depth == MOST_DEEP and began:
            yield "it has a child, and lies as deep as may be"
        if depth == MOST_DEEP and own and not too_deep and not any(call.raised is not None for call in own):
            yield "a child that would lie too deep was not refused"


def an_error_tells_the_chain_of_stages(account):
    """What a child raises begins its chain with the stages that led to it, and the results are the child's."""
    call = account.run.call
    if call is None or call.results is None:
        return
    if call.results.pipeline_run_id != account.run.run_id:
        yield f"the results are those of {call.results.pipeline_run_id}"
    chain = getattr(call.raised, "chain", None)
    if chain is not None and len(chain) < depth_of(account.world, account.run) - 1:
        yield f"the chain is {chain}, and it lies {depth_of(account.world, account.run)} deep"


def a_stop_reaches_every_stage(account):
    """R12, S1, S2, S3: whatever runs when somebody cancels the run is cancelled at once, in children too."""
    trace = account.world.trace
    stop = next((place for place, entry in enumerate(trace) if entry.what.startswith("cancel the")), None)
    if stop is None or account.world.roots_ended_by(stop) or _may_be_left(account):
        return
    for stay in account.run.stays:
        in_child = any(
            call.started_at - trace[stop].time <= SLACK and (call.ended or len(trace)) > stop for call in stay.calls
        )
        if stay.started < stop and (stay.ended is None or stay.ended > stop) and not in_child:
            reached = stay.cancelled_at if stay.cancelled_at is not None else stay.ended_at
            if reached is None or reached - trace[stop].time > SLACK:
                yield f"{name_of(stay.index)} ran on though the run was cancelled"


def _may_be_left(account):
    """Return whether `gather` may have left it running: then it is cancelled when the run of its stage ends."""
    run, by_number = account.run, account.world.runs_by_number
    while run.call is not None:
        parent = by_number[run.call.stay.run]
        if parent.plan.parts[run.call.stay.index].children_run == "gathered":
            return True
        run = parent
    return False


RULES = (
    children_say_whose_they_are,
    a_child_lies_within_its_stage,
    nobody_lies_too_deep,
    an_error_tells_the_chain_of_stages,
    a_stop_reaches_every_stage,
)
