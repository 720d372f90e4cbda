"""The simulated chat: its turns keep the rules, a seed gives one trace anywhere, and planted bugs are found."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from stageflow import Pipeline, RetryPolicy, StageContext, StageKind, StageOutput, Stream, stage
from stageflow.errors import ProviderTransientError
from stageflow.providers import AnswerInPieces, LLMRequest, Message, closing_stream
from stageflow.results import AgentResult
from stageflow_plus import GuardStage, MemoryWriteStage
from stageflow_plus import Turn as Remembered

from examples.simulated_chat import command
from examples.simulated_chat.command import main
from examples.simulated_chat.pipeline import DENIED, Prompt, briefly, chat_pipeline, sentences
from examples.simulated_chat.rules import RULES, STAGES, violations_of
from examples.simulated_chat.turn import take_turn, turn_of

ROOT = Path(__file__).resolve().parents[2]
GRAPH = chat_pipeline().build()


@pytest.fixture(scope="module")
def digests():
    """The traces of the first seeds."""
    return [turn_of(seed, GRAPH).digest() for seed in range(150)]


@pytest.mark.stageflow_simulation(seeds=150)
async def test_every_turn_keeps_every_rule(digests):
    """The marker takes the same turns as the command does, each of them under its seed."""
    turn = await take_turn(GRAPH)
    assert [] == violations_of(turn)
    assert turn.digest() in digests


def test_a_seed_is_one_trace(digests):
    """Another time in the same process changes nothing, and seeds differ."""
    assert digests[:60] == [turn_of(seed, GRAPH).digest() for seed in range(60)]
    assert len(digests) == len(set(digests))


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_is_one_trace_in_any_process(digests, hash_seed):
    """Neither addresses nor the order of sets and hashes change a trace."""
    code = (
        "from examples.simulated_chat.turn import turn_of\n"
        "from examples.simulated_chat.pipeline import chat_pipeline\n"
        "graph = chat_pipeline().build()\n"
        "print(*[turn_of(seed, graph).digest() for seed in range(60)])"
    )
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert digests[:60] == told.stdout.split()


def test_turns_end_in_many_ways():
    """The worlds are as different as they should be: every ending, every stage, most faults."""
    judged = command.judge(range(400))
    assert [] == judged.broken
    assert judged.endings["answered"] > 200
    assert {
        "handed over to a human",
        "failed: answer",
        "cancelled: the session has expired",
        "cancelled: the user has left",
        "cancelled: the text is empty",
        "cancelled: the answer holds what may not be said",
    } < set(judged.endings)
    assert 20 > len(judged.faults) > 16
    assert STAGES == GRAPH.stages


# --- bugs that are planted, each as a stage of somebody's pull request ---


@stage(name="input_guard", kind=StageKind.GUARD)
async def swallowing_guard(ctx: StageContext, authenticate: Mapping[str, Any]) -> StageOutput[Any]:
    """A guard in a wrapper for its metrics, which lets everything pass that has a text."""
    refused = await GuardStage(max_characters=400, denied=DENIED).execute(ctx)
    del refused  # "counted"
    return StageOutput.ok(text=ctx.snapshot.input_text)


@stage(name="authenticate", kind=StageKind.GUARD)
async def trusting_authentication(ctx: StageContext) -> StageOutput[Any]:
    """When the accounts are down everybody is let in."""
    try:
        user_id = await ctx.ports.accounts.user_of(ctx.snapshot.run_id.session_id)
    except ConnectionError:
        user_id = "guest"
    return StageOutput.cancel("the session has expired") if user_id is None else StageOutput.ok(user_id=user_id)


@stage(name="output_guard", kind=StageKind.GUARD)
async def moderated_guard(answer: Stream[str]) -> AsyncIterator[str | StageOutput[Any]]:
    """No bug: asks a service of each sentence, and so is still at work when the model has ended."""
    passed = []
    async for sentence in sentences(answer):
        await asyncio.sleep(0.1)
        if any(term in sentence.casefold() for term in DENIED):
            yield StageOutput.cancel("the answer holds what may not be said")
            return
        passed.append(sentence)
        yield sentence
    yield StageOutput.ok(text="".join(passed))


@stage(name="output_guard", kind=StageKind.GUARD)
async def late_guard(answer: Stream[str]) -> AsyncIterator[str | StageOutput[Any]]:
    """Sends first and checks then, since that is quicker."""
    passed = []
    async for sentence in sentences(answer):
        yield sentence
        passed.append(sentence)
        if any(term in sentence.casefold() for term in DENIED):
            yield StageOutput.cancel("the answer holds what may not be said")
            return
    yield StageOutput.ok(text="".join(passed))


@stage(name="output_guard", kind=StageKind.GUARD)
async def patching_guard(answer: Stream[str]) -> AsyncIterator[str | StageOutput[Any]]:
    """Blanks what is denied for the user, and hands on what it was."""
    text = []
    async for sentence in sentences(answer):
        text.append(sentence)
        yield sentence.replace("password", "********")
    yield StageOutput.ok(text="".join(text))


class RemembersEachAttempt:
    """Its key is of the attempt, so that the store cannot tell that it was written before."""

    async def execute(self, ctx: StageContext) -> StageOutput[Any]:
        turns = (
            Remembered("user", ctx.inputs.require_from("input_guard", "text")),
            Remembered("assistant", ctx.inputs.require_from("output_guard", "text")),
        )
        await ctx.ports.memory.append(ctx.snapshot.run_id.session_id, turns, key=f"{ctx.idempotency_key}-{ctx.attempt}")
        return StageOutput.ok(written=2)


@stage(name="answer", kind=StageKind.AGENT, timeout=15)
async def stubborn_answer(ctx: StageContext, prompt: Prompt) -> AsyncIterator[str | AgentResult]:
    """Has a loop of its own around the stream: the user reads the beginning twice."""
    for attempt in range(3):
        pieces = AnswerInPieces(ctx.ports.llm.name)
        try:
            async with closing_stream(
                ctx.ports.llm.stream(LLMRequest(prompt.messages, tools=(ctx.ports.orders.tool,)))
            ) as chunks:
                async for chunk in chunks:
                    pieces.add(chunk)
                    if chunk.text:
                        yield chunk.text
            response = pieces.whole()
            break
        except ProviderTransientError:
            if attempt == 2:
                raise
    yield AgentResult(response.text, model=response.model, provider="mock", finish_reason="stop")


@stage(name="answer", kind=StageKind.AGENT, timeout=15)
async def gullible_answer(ctx: StageContext, prompt: Prompt) -> AsyncIterator[str | AgentResult]:
    """Takes the end of the stream for the end of the answer."""
    text = ""
    async with closing_stream(
        ctx.ports.llm.stream(LLMRequest(prompt.messages, tools=(ctx.ports.orders.tool,)))
    ) as chunks:
        async for chunk in chunks:
            if chunk.text:
                text += chunk.text
                yield chunk.text
    yield AgentResult(text, model="mock-1", provider="mock", finish_reason="stop")


@stage(name="documents", kind=StageKind.ENRICH, route={"triage": "answer"}, critical=False)
async def forgetful_search(ctx: StageContext, input_guard: Mapping[str, Any]) -> dict[str, Any]:
    """Goes on without the search when that is slow, and forgets it."""
    search = asyncio.ensure_future(ctx.ports.library.search(input_guard["text"]))
    done, _ = await asyncio.wait({search}, timeout=1.5)
    return {"found": search.result() if done else ()}


FOUND = {}


@stage(name="documents", kind=StageKind.ENRICH, route={"triage": "answer"}, critical=False, timeout=1.5)
async def caching_search(ctx: StageContext, input_guard: Mapping[str, Any]) -> None:
    """Leaves what it finds in a cache."""
    FOUND[ctx.snapshot.run_id.pipeline_run_id] = await ctx.ports.library.search(input_guard["text"])


@stage(name="prompt")
async def undeclared_prompt(ctx: StageContext, input_guard: Mapping[str, Any], profile: Mapping[str, str]) -> Prompt:
    """Reads the cache, and does not say on whom it depends: most of the time nobody has been there yet."""
    found = FOUND.pop(ctx.snapshot.run_id.pipeline_run_id)
    return Prompt((Message("system", " ".join(found)), Message("user", input_guard["text"])))


remember_early = stage(
    "remember",
    MemoryWriteStage(answer_from="answer"),
    dependencies=("input_guard", "answer"),
    retry=briefly,
    timeout=2,
)
remember_twice = stage(
    "remember",
    RemembersEachAttempt,
    kind=StageKind.WORK,
    dependencies=("input_guard", "output_guard"),
    retry=RetryPolicy(max_attempts=3, base_delay=0.1, retry_on=(ConnectionError, TimeoutError)),
    timeout=2,
)


def with_bug(*planted: Any):
    by_name = {spec.name: spec for spec in planted}
    chat = chat_pipeline()
    return Pipeline(chat.name, [by_name.get(spec.name, spec) for spec in chat.stages], timeout=60)


def found_at(pipeline: Pipeline, most: int) -> tuple[int, list[str]] | None:
    graph = pipeline.build()
    return next(((seed, found) for seed in range(most) if (found := violations_of(turn_of(seed, graph)))), None)


# Of each bug the rule that finds it, and within how many seeds.
BUGS = {
    "remembers before the guard": ([remember_early, moderated_guard], "what is read is what is remembered", 60),
    "swallows a refusal": ([swallowing_guard], "the denied never reach the model", 60),
    "lets everybody in": ([trusting_authentication], "the denied never reach the model", 1500),
    "checks too late": ([late_guard], "the user reads nothing denied", 60),
    "remembers what was blanked": ([patching_guard], "what is read is what is remembered", 60),
    "appends twice": ([remember_twice], "what is read is what is remembered", 60),
    "begins again": ([stubborn_answer], "an answer is whole", 60),
    "takes half an answer": ([gullible_answer], "an answer is whole", 300),
    "leaves a task behind": ([forgetful_search], "nothing goes on", 60),
    "reads what it did not declare": ([caching_search, undeclared_prompt], "without a fault it ends well", 60),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug):
    """Each is found within so many seeds, by the rule that is about it; its seed alone shows it again."""
    planted, rule, most = BUGS[bug]
    pipeline = with_bug(*planted)
    seed, found = found_at(pipeline, most)
    assert any(told.startswith(rule) for told in found), found
    again = violations_of(turn_of(seed, pipeline.build()))
    # but for the names of tasks, which are counted on in a process
    assert [re.sub(r"Task-\d+", "", told) for told in found] == [re.sub(r"Task-\d+", "", told) for told in again]


def test_what_is_planted_with_a_bug_is_none():
    """A guard that takes its time breaks no rule by itself."""
    assert found_at(with_bug(moderated_guard), 100) is None


def test_each_rule_is_tried():
    """Every rule that is about the application has a bug that it finds; the others are about what runs it."""
    found = {rule for _, rule, _ in BUGS.values()}
    about_the_run = {
        "every stage has one outcome",
        "no event is lost unseen",
        "the store knows how it ended",
        "nobody is asked without end",
    }
    assert {rule.__name__.replace("_", " ") for rule in RULES} == found | about_the_run


@pytest.fixture
def answered_turn():
    """One that nothing struck."""
    return next(
        turn
        for turn in (turn_of(seed, GRAPH) for seed in range(50))
        if turn.ending == "answered" and not turn.world.faults()
    )


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("every stage has one outcome", lambda turn: turn.world.events.events.pop(5)),
        ("every stage has one outcome", lambda turn: turn.world.events.events.append(turn.world.events.events[3])),
        ("no event is lost unseen", lambda turn: turn.world.events.events.pop(3)),
        ("no event is lost unseen", lambda turn: turn.world.events.events.pop()),
        ("the store knows how it ended", lambda turn: turn.world.runs.__init__()),
        ("nobody is asked without end", lambda turn: setattr(turn.world.library, "calls", 2)),
        ("nobody is asked without end", lambda turn: setattr(turn.world.accounts, "calls", 4)),
        ("nothing goes on", lambda turn: setattr(turn, "took_s", 90)),
        ("nothing goes on", lambda turn: setattr(turn.world.llm.calls[0], "ended", "running")),
        ("nothing goes on", lambda turn: turn.left.append("Task-7")),
        ("what is read is what is remembered", lambda turn: turn.world.memory.turns.clear()),
        ("what is read is what is remembered", lambda turn: turn.read.pop()),
    ],
)
def test_a_rule_sees_what_it_is_about(answered_turn, rule, spoil):
    """What is spoiled after a good turn is told by the rule that is about it."""
    turn = answered_turn
    assert [] == violations_of(turn)
    spoil(turn)
    assert any(told.startswith(rule) for told in violations_of(turn)), violations_of(turn)


# --- the command ---


def test_the_command_says_what_came_of_the_turns(capsys):
    """One process or two, the same comes of the same seeds."""
    assert 0 == main(["--turns", "260", "--processes", "1"])
    alone = capsys.readouterr().out
    assert re.match(r"260 turns of 10 stages in \d+\.\d s on 1 process\n\d+ calls of the model\n", alone)
    assert alone.endswith("\nEvery turn keeps every rule.\n")
    counts = [int(count) for count in re.findall(r"^ +(\d+)  (?!.*: (?:\w| )+$)", alone, re.MULTILINE)]
    assert all(one >= other for one, other in pairwise(counts))
    assert 0 == main(["--turns", "260", "--processes", "2"])
    assert alone.splitlines()[1:] == capsys.readouterr().out.splitlines()[1:]


def test_a_broken_rule_is_told_with_the_command_that_shows_it(monkeypatch, capsys):
    """The seed alone gives the same violation, with the trace that led to it."""
    monkeypatch.setattr(command, "chat_pipeline", lambda: with_bug(late_guard))
    command.the_graph.cache_clear()
    try:
        assert 1 == main(["--turns", "20", "--processes", "1"])
        out = capsys.readouterr().out
        told = re.search(r"^seed (\d+): (the user reads nothing denied: .*)$", out, re.MULTILINE)
        assert out.endswith(f"    python -m examples.simulated_chat --seed {told[1]}\n")
        assert 1 == main(["--seed", told[1]])
        shown = capsys.readouterr().out
        assert shown.endswith(f"\n{told[2]}\n")
        assert "stage.output_guard.started" in shown
    finally:
        command.the_graph.cache_clear()


def test_a_seed_alone_is_shown(capsys):
    """Who asked what, each event, each call, what was read and what is remembered."""
    assert 0 == main(["--seed", "7"])
    out = capsys.readouterr().out
    for part in ("User(", "  1 1.000000 pipeline.created", "mock-llm: 1. chat at", "read: ", "remembered in s-1: user"):
        assert part in out
    assert out.endswith("It keeps every rule.\n")


def test_it_is_run_as_a_module():
    """`python -m examples.simulated_chat`, with warnings as errors, says nothing beside its report."""
    asked = [sys.executable, "-W", "error", "-m", "examples.simulated_chat", "--turns", "60", "--first", "1000"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("60 turns of 10 stages in ")
