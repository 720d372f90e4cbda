"""Scenarios from seeds: the same seed gives the same scenario, in any process."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import get_args

from simulation.scenario import Ending, Occasion, Outside, OutsideKind, Reaction, Scenario, Script, SinkKind, Wait

GENTLE: tuple[Ending, ...] = ("ok", "ok", "ok", "value", "nothing", "skip", "cancel own task and return")
ENDERS: tuple[Ending, ...] = (
    "cancel",
    "fail",
    "raise",
    "raise odd",
    "raise cancelled",
    "raise in finally",
    "cancel own task",
    "wrong type",
    "hang",
)


@dataclass(frozen=True, slots=True)
class Mood:
    """What the scenario of a seed is like, all over: so that some are calm and some are wild."""

    ender_rate: float
    reaction_rate: float
    seconds: tuple[float, ...]
    holds: bool


def scenario_of(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    random = Random(f"scenario {seed}")
    mood = Mood(
        ender_rate=random.choice((0.0, 0.0, 0.05, 0.15, 0.4)),
        reaction_rate=random.choice((0.0, 0.3, 0.8)),
        seconds=_seconds(random),
        holds=random.random() < 0.15,
    )
    stages = _stages(random, mood)
    entry = random.choices(
        ("run", "run within a limit", "start and await", "start and watch"), weights=(4, 1, 3, 3)
    )[0]
    sink = _sink(random)
    return Scenario(
        stages=stages,
        entry=entry,
        sink=sink,
        outside=_outside(random, entry, sink, len(stages)),
        patience=100.0 if any(script.ending == "hang" for script in stages) else None,
        limit=random.choice((0.0, 0.5, 1.0, 2.0, 3.0)),
        runs=2 if random.random() < 0.08 else 1,
        cancel_grace=random.choice((0.0, 0.25, 5.0)),
        reads_events=entry.startswith("start") and random.random() < 0.3,
        order=seed,
    )


def _seconds(random: Random) -> tuple[float, ...]:
    """Return how long waits may take: no time at all, times that often meet, or times that never do."""
    match random.randrange(4):
        case 0:
            return (0.0,)
        case 1 | 2:
            return (0.0, 0.0, 1.0, 1.0, 2.0)
        case _:
            return (0.0, *(round(random.uniform(0.1, 3.0), 3) for _ in range(20)))


def _stages(random: Random, mood: Mood) -> tuple[Script, ...]:
    size = random.choice((1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 20))
    reach = random.choice((1, 3, 6, size))
    optional_rate = random.choice((0.0, 0.3, 0.7))
    order = random.sample(range(size), size)
    if random.random() < 0.5:
        order.sort()
    scripts: dict[int, Script] = {}
    for place, index in enumerate(order):
        before = order[max(0, place - reach) : place]
        chosen = random.sample(before, min(len(before), random.choice((0, 1, 1, 2, 3))))
        required = [other for other in chosen if random.random() >= optional_rate]
        optional = [other for other in chosen if other not in required]
        scripts[index] = _script(random, mood, tuple(required), tuple(optional))
    return tuple(scripts[index] for index in range(size))


def _script(random: Random, mood: Mood, required: tuple[int, ...], optional: tuple[int, ...]) -> Script:
    reaction: Reaction = "leave"
    if random.random() < mood.reaction_rate:
        reaction = random.choice(get_args(Reaction))
    return Script(
        required=required,
        optional=optional,
        waits=tuple(_wait(random, mood) for _ in range(_number_of_waits(random))),
        ending=random.choice(ENDERS if random.random() < mood.ender_rate else GENTLE),
        when_cancelled=reaction,
        sets_variable=random.random() < 0.15,
        publishes=random.random() < 0.15,
        form=random.choice(("function", "function", "instance", "class")),
    )


def _number_of_waits(random: Random) -> int:
    kind = random.random()
    if kind < 0.1:
        return 0
    return random.randint(1, 5) if kind < 0.95 else random.randint(6, 12)


def _wait(random: Random, mood: Mood) -> Wait:
    if mood.holds and random.random() < 0.3:
        return Wait("hold", random.choice((0.0004, 0.002)))
    kind = random.choices(
        ("turn", "sleep", "task", "gather", "group", "limit", "checkpoint"), weights=(30, 30, 6, 4, 4, 4, 6)
    )[0]
    return Wait(kind, 0.0 if kind in ("turn", "checkpoint") else random.choice(mood.seconds))


def _sink(random: Random) -> SinkKind:
    if random.random() < 0.3:
        return "none"
    return "records" if random.random() < 0.5 else random.choice(get_args(SinkKind))


def _outside(random: Random, entry: str, sink: SinkKind, size: int) -> Outside | None:
    if random.random() < 0.6:
        return None
    occasions: list[Occasion] = ["step", "step", "time"]
    if sink != "none":
        occasions.append("event")
    occasion = random.choice(occasions)
    at = random.choice((0.0, 0.5, 1.0, 2.0, 3.0)) if occasion == "time" else random.randint(1, 5 + size * 3)
    kinds = get_args(OutsideKind) if entry.startswith("start") else ("cancel the caller",)
    return Outside(random.choice(kinds), occasion, at, times=random.choice((1, 1, 1, 2, 3)))
