"""Scenarios from seeds: the same seed gives the same scenario, in any process."""

from dataclasses import dataclass, replace
from random import Random
from typing import get_args

from simulation.scenario import (
    ROUTES,
    Act,
    Answer,
    Ending,
    Entry,
    Occasion,
    Outside,
    OutsideKind,
    Policy,
    Reaction,
    Scenario,
    Script,
    SinkKind,
    StoreKind,
    Wait,
)

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
TRANSIENT: tuple[Ending, ...] = ("retry", "retry", "retry later", "raise transient", "raise transient later")
FEATURES = ("failures", "conditions", "routes", "joins", "retries", "limits", "time", "suspension")


@dataclass(frozen=True, slots=True)
class Mood:
    """What the scenario of a seed is like, all over: so that some are calm and some are wild."""

    features: frozenset[str]
    ender_rate: float
    reaction_rate: float
    seconds: tuple[float, ...]
    holds: bool


def scenario_of(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    random = Random(f"scenario {seed}")
    features = random.sample(FEATURES, random.choice((0, 0, 1, 1, 2, 3, 4)))
    mood = Mood(
        features=frozenset(features),
        ender_rate=random.choice((0.0, 0.0, 0.05, 0.15, 0.4)),
        reaction_rate=random.choice((0.0, 0.3, 0.8)),
        seconds=_seconds(random),
        holds=random.random() < 0.15,
    )
    stages = _stages(random, mood)
    entry = random.choices(get_args(Entry), weights=(4, 1, 3, 3))[0]
    sink = _sink(random, mood)
    hangs = any(act.ending == "hang" for script in stages for act in (*script.acts, script.decided))
    return Scenario(
        stages=stages,
        entry=entry,
        sink=sink,
        store=_store(seed),
        outside=_outside(random, entry, sink, len(stages)),
        patience=100.0 if hangs else None,
        limit=random.choice((0.0, 0.5, 1.0, 2.0, 3.0)),
        timeout=random.choice((0.5, 1.0, 2.0, 3.0)) if "time" in features else None,
        goes_on="failures" in features and random.random() < 0.6,
        # Without any grace it is left to chance whether a task that is stopped is still waited for.
        cancel_grace=random.choice((0.25, 5.0) if "limits" in features else (0.0, 0.25, 5.0)),
        runs=2 if random.random() < 0.08 else 1,
        reads_events=entry.startswith("start") and random.random() < 0.3,
        resumes=random.choice((0, 1, 2)) if "suspension" in features else 0,
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
        behind = ()
        if "routes" in mood.features:
            routers = [other for other in chosen if scripts[other].is_router]
            behind = tuple((router, random.choice(ROUTES)) for router in routers if random.random() < 0.8)
        others = [other for other in chosen if other not in dict(behind)]
        required = [other for other in others if random.random() >= optional_rate]
        optional = [other for other in others if other not in required]
        script = _script(random, mood)
        script = replace(script, required=tuple(required), optional=tuple(optional), behind=behind)
        joins = bool(others) and "joins" in mood.features and random.random() < 0.4
        scripts[index] = replace(script, join_any=joins)
    return tuple(scripts[index] for index in range(size))


def _script(random: Random, mood: Mood) -> Script:
    features = mood.features
    limited = "limits" in features and random.random() < 0.4
    script = Script(
        acts=(_act(random, mood),),
        form=random.choice(("function", "function", "instance", "class")),
        sets_variable=random.random() < 0.15,
        publishes=random.random() < 0.15,
        critical="failures" not in features or random.random() < 0.7,
        when=_answer(random) if "conditions" in features and random.random() < 0.4 else None,
        timeout=random.choice((0.5, 1.0, 2.0)) if limited and random.random() < 0.8 else None,
        deadline=random.choice((0.5, 1.0, 2.0, 4.0)) if limited and random.random() < 0.5 else None,
    )
    if script.is_limited:
        script = replace(script, acts=tuple(map(_without_own_cancellation, script.acts)))
    if "retries" in features and random.random() < 0.5:
        script = _with_retries(random, mood, script)
    if "suspension" in features and random.random() < 0.25:
        asks = replace(script.acts[0], ending="suspend")
        decided = _act(random, mood, again=0.2)
        script = replace(script, acts=(asks,), decided=_without_own_cancellation(decided) if limited else decided)
    if "routes" in features and random.random() < 0.4:
        chooses: Ending = random.choice(("route a", "route a", "route b", "route b", "route nowhere"))
        acts = tuple(replace(act, ending=chooses) if act.ending in GENTLE else act for act in script.acts)
        script = replace(script, is_router=True, acts=acts)
    return script


def _without_own_cancellation(act: Act) -> Act:
    """A task that cancels itself and returns at once has no result, says asyncio, if the stage has it for itself."""
    return replace(act, ending="ok") if act.ending == "cancel own task and return" else act


def _with_retries(random: Random, mood: Mood, script: Script) -> Script:
    failing = [
        replace(_act(random, mood), ending=random.choice(TRANSIENT)) for _ in range(random.choice((0, 1, 1, 2, 4)))
    ]
    policy = Policy(
        max_attempts=random.choice((1, 2, 3, 4)),
        base_delay=random.choice((0.0, 0.25, 0.5, 1.0)),
        max_delay=random.choice((0.5, 30.0)),
        jitter=random.random() < 0.3,
        covers_limits=random.random() < 0.5,
    )
    return replace(script, acts=(*failing, *script.acts), policy=policy if random.random() < 0.9 else None)


def _act(random: Random, mood: Mood, *, again: float = 0.0) -> Act:
    reaction: Reaction = "leave"
    if random.random() < mood.reaction_rate:
        reaction = random.choice(get_args(Reaction))
    ending: Ending = random.choice(ENDERS if random.random() < mood.ender_rate else GENTLE)
    if random.random() < again:
        ending = "suspend"
    return Act(tuple(_wait(random, mood) for _ in range(_number_of_waits(random))), ending, reaction)


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


def _answer(random: Random) -> Answer:
    return random.choice(("yes", "yes", "no", "no", "raises", "nonsense"))


def _sink(random: Random, mood: Mood) -> SinkKind:
    # What a stage with a limit ends as is known some steps after its end: from the events, if anybody listens.
    if random.random() < 0.3 and "limits" not in mood.features:
        return "none"
    kinds = get_args(SinkKind)[1:]
    return "records" if random.random() < 0.5 else random.choice(kinds)


def _store(seed: int) -> StoreKind:
    # By numbers of its own: what else is in a scenario stays what it was before there were stores.
    random = Random(f"store {seed}")
    return random.choice(get_args(StoreKind)[1:]) if random.random() < 0.3 else "none"


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
