"""What has to be so after every turn, whatever struck it. A rule yields what it finds broken, in words.

They say nothing of how a turn should end: the faults decide that. They say what users and operators rely on in all of
its endings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from stageflow import StageStatus
from stageflow_plus import Turn as Remembered

from examples.simulated_chat.pipeline import DENIED, MOST_TURNS, TIMEOUT_S
from examples.simulated_chat.turn import Turn

STAGES = (
    "authenticate",
    "input_guard",
    "memory",
    "triage",
    "profile",
    "documents",
    "prompt",
    "answer",
    "output_guard",
    "remember",
)
OK = StageStatus.OK
FINAL = {
    StageStatus.OK: "completed",
    StageStatus.FAIL: "failed",
    StageStatus.SKIP: "skipped",
    StageStatus.CANCEL: "cancelled",
}
ENDS = {stage: [f"stage.{stage}.{end}" for end in FINAL.values()] for stage in STAGES}
GRACE_S = 20.0
"""What the store, the sink and a reader may take after the run's own limit."""


def every_stage_has_one_outcome(turn: Turn) -> Iterator[str]:
    """Every stage has a final outcome, which is announced once, and begins once at most."""
    results, types = turn.results, Counter(turn.world.events.types)
    if tuple(results) != STAGES:
        yield f"the results are of {list(results)}"
    for stage in STAGES:
        status = results[stage].status
        announced, begun = sum(types[end] for end in ENDS[stage]), types[f"stage.{stage}.started"]
        if status not in FINAL:
            yield f"{stage} ended {status.name}"
        elif announced != 1 or types[f"stage.{stage}.{FINAL[status]}"] != 1:
            yield f"{stage} ended {status.name}, which is announced {announced} times"
        if begun > 1 or (status is OK and not begun and not turn.world.loses_events):
            yield f"{stage} is announced to have begun {begun} times"


def no_event_is_lost_unseen(turn: Turn) -> Iterator[str]:
    """The numbers of the events have no gap that is not counted as lost, and the last event is the run's."""
    numbers = [event.data["sequence"] for event in turn.world.events.events]
    if numbers != sorted(set(numbers)):
        yield f"the events come as {numbers}"
    if numbers[-1] - len(numbers) != turn.results.events_lost:
        yield f"{numbers[-1] - len(numbers)} events are lost, and {turn.results.events_lost} are counted"
    if turn.world.events.types[-1] != f"pipeline.{turn.results.status}":
        yield f"the last event is {turn.world.events.types[-1]}"


def the_store_knows_how_it_ended(turn: Turn) -> Iterator[str]:
    """The run store has the run, and how it ended."""
    known = turn.world.runs.history(turn.results.pipeline_run_id)
    if known != ["created", "running", turn.results.status] or turn.results.records_lost:
        yield f"the run store knows {known} of a run that {turn.results.status}"


def the_denied_never_reach_the_model(turn: Turn) -> Iterator[str]:
    """Neither a stranger, nor what the guard refuses, nor a user who wants a human reaches the model or its tool."""
    if _is_denied(turn) and (turn.world.llm.calls or turn.world.orders.calls or turn.read):
        yield f"{turn.world.user.question!r} of {turn.world.user.session_id} reached the model"


def _is_denied(turn: Turn) -> bool:
    text = turn.world.user.question.casefold()
    return (
        turn.world.user.session_id != "s-1"
        or not text.strip()
        or len(text) > 400
        or "human" in text
        or any(term in text for term in DENIED)
    )


def the_user_reads_nothing_denied(turn: Turn) -> Iterator[str]:
    """What the model may not say is not read, not even at first."""
    read = "".join(turn.read).casefold()
    if any(term in read for term in DENIED):
        yield f"the user read {''.join(turn.read)!r}"


def what_is_read_is_what_is_remembered(turn: Turn) -> Iterator[str]:
    """Of a turn that was answered, question and answer are remembered, once; of any other nothing is.

    Unless the memory wrote and nobody heard of it: `remember` then fails in the end, and the turns may be there.
    """
    world = turn.world
    now = world.memory.turns.get(world.user.session_id, [])
    added = now[len(world.before) :] if world.user.session_id == "s-1" else now
    answered = [Remembered("user", world.user.question), Remembered("assistant", "".join(turn.read))]
    if turn.results["remember"].status is OK:
        if added != answered:
            yield f"the user read {turn.read}, and {added} is remembered"
    elif added and not (world.memory.unheard and added == answered):
        yield f"{added} is remembered of a turn that was {turn.ending}"
    if turn.results.status == "completed" and world.llm.calls and turn.results["remember"].status is not OK:
        yield "the turn completed, and nothing is remembered"


def an_answer_is_whole(turn: Turn) -> Iterator[str]:
    """What completes was said by the model to its end, in one attempt: nothing of one that failed is in it."""
    if turn.results.status == "completed" and turn.world.llm.calls:
        said: list[str] = []
        for call in reversed(turn.world.llm.calls):
            said.append("" if call.answer is None else call.answer.text)
            if call.request.messages[-1].role == "user":  # the first call of the attempt
                break
        whole = "".join(reversed(said))
        if "".join(turn.read) != whole:
            yield f"the user read {turn.read}, and the model said {whole!r}"


def without_a_fault_it_ends_well(turn: Turn) -> Iterator[str]:
    """A turn that nothing struck, of a user who stayed, is answered or refused as it should be."""
    if turn.results.status == "completed" or turn.world.user.leaves_after is not None:
        return
    refused = turn.results.status == "cancelled"
    if not refused and not turn.world.faults():
        yield f"nothing struck the turn, and it {turn.ending} ({turn.results.error})"
    if refused and not _is_denied(turn) and not any(term in turn.world.says for term in DENIED):
        yield f"{turn.world.user.question!r} was {turn.ending}"


def nobody_is_asked_without_end(turn: Turn) -> Iterator[str]:
    """Retries are bounded: the model, its tool and the services are asked no more often than the policies say."""
    world = turn.world
    most = {"llm": 3 * MOST_TURNS, "orders": 3 * (MOST_TURNS - 1), "accounts": 3, "customers": 3, "library": 1}
    asked = {"llm": len(world.llm.calls), "orders": len(world.orders.calls)}
    asked |= {"accounts": world.accounts.calls, "customers": world.customers.calls, "library": world.library.calls}
    yield from (f"{name} was asked {count} times" for name, count in asked.items() if count > most[name])


def nothing_goes_on(turn: Turn) -> Iterator[str]:
    """It ends in time, and leaves no task, no open stream and no straggler behind."""
    if turn.took_s > TIMEOUT_S + GRACE_S:
        yield f"the turn took {turn.took_s:.1f} s"
    if turn.left or turn.results.stragglers:
        yield f"left behind: {turn.left}, {turn.results.stragglers}"
    running = [str(call) for call in (*turn.world.llm.calls, *turn.world.orders.calls) if call.ended == "running"]
    if running:
        yield f"still running: {running}"


RULES: tuple[Callable[[Turn], Iterator[str]], ...] = (
    every_stage_has_one_outcome,
    no_event_is_lost_unseen,
    the_store_knows_how_it_ended,
    the_denied_never_reach_the_model,
    the_user_reads_nothing_denied,
    what_is_read_is_what_is_remembered,
    an_answer_is_whole,
    without_a_fault_it_ends_well,
    nobody_is_asked_without_end,
    nothing_goes_on,
)


def violations_of(turn: Turn) -> list[str]:
    """Return what the turn breaks, each with the name of its rule."""
    return [f"{rule.__name__.replace('_', ' ')}: {found}" for rule in RULES for found in rule(turn)]
