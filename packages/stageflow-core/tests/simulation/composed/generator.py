"""Composed scenarios from seeds: the same kind and seed give the same scenario, in any process."""

from dataclasses import replace
from random import Random

from simulation.composed.scenario import Chunks, Composed, Ending, Mapped, Part, Plan, Reading, Waits
from simulation.scenario import Outside, Policy

POLICIES = ("block", "block", "block", "drop_oldest", "drop_newest", "error")

STORES = ("none", "none", "none", "keeps", "is slow", "raises", "hangs at first", "is stubborn")


def composed_of(kind: str, seed: int) -> Composed:
    """Return the scenario of a kind and a seed."""
    random = Random(f"{kind} {seed}")
    scenario = KINDS[kind](random, Mood(random), seed)
    if kind != "children":
        return scenario
    # By numbers of its own: what else is in a scenario stays what it was before there were stores.
    return replace(scenario, store=Random(f"store {seed}").choice(STORES))


class Mood:
    """What the scenario of a seed is like, all over: so that some are calm and some are wild.

    Attributes:
        ender_rate: How many of the stages end badly.
        capacities: Of the limits that there are.
    """

    def __init__(self, random: Random):
        self.random = random
        self.ender_rate = random.choice((0.0, 0.0, 0.05, 0.15, 0.4))
        self.reaction_rate = random.choice((0.0, 0.3, 0.8))
        self.seconds = random.choice(((0.0,), (0.0, 0.0, 1.0, 1.0, 2.0), (-1.0, 0.0, 0.25, 0.5, 1.0, 3.0)))
        self.timed = random.random() < 0.2
        self.retries = random.random() < 0.3
        self.grace = random.choice((5.0, 5.0, 5.0, 0.05))
        self.capacities: dict[str, int] = {}

    def waits(self, most: int) -> Waits:
        return tuple(self.random.choice(self.seconds) for _ in range(self.random.randint(0, most)))

    def pace(self) -> Waits:
        return self.waits(3) or (-1.0,)

    def ending(self) -> Ending:
        random = self.random
        if random.random() >= self.ender_rate:
            return "ok" if random.random() < 0.9 else "skip"
        return random.choice(("cancel", "fail", "raise", "raise", "skip", "retry", "raise transient", "hang"))

    def part(self, **given) -> Part:
        """Return a stage with what every stage may have."""
        random = self.random
        endings: tuple[Ending, ...] = (self.ending(),)
        policy = None
        if self.retries and random.random() < 0.5:
            transient: list[Ending] = ["retry", "raise transient"]
            endings = (*(random.choice(transient) for _ in range(random.randint(0, 2))), *endings)
            policy = Policy(random.choice((2, 3)), random.choice((0.0, 0.5)), covers_limits=random.random() < 0.5)
        reaction = "leave"
        if random.random() < self.reaction_rate:
            reaction = random.choice(("clean up", "go on", "raise"))
        timed = self.timed and random.random() < 0.4
        return Part(
            waits=self.waits(3),
            endings=endings,
            when_cancelled=reaction,
            policy=policy,
            timeout=random.choice((0.5, 1.0, 2.0)) if timed and random.random() < 0.7 else None,
            deadline=random.choice((0.5, 1.0, 2.0, 4.0)) if timed and random.random() < 0.5 else None,
            critical=random.random() < 0.85,
            limit=random.choice(sorted(self.capacities)) if self.capacities and random.random() < 0.6 else None,
            priority=random.choice((0, 0, 1, 5)),
            sets_variable=random.random() < 0.15,
            **given,
        )

    def plan(self, parts: list[Part], **given) -> Plan:
        """Return a pipeline of these stages."""
        random = self.random
        return Plan(
            tuple(parts),
            goes_on=random.random() < 0.4,
            max_concurrency=random.choice((None, None, 1, 2, 3)),
            timeout=random.choice((0.5, 1.0, 3.0)) if self.timed and random.random() < 0.3 else None,
            cancel_grace=self.grace,
            **given,
        )

    def scenario(self, plan: Plan, seed: int, **given) -> Composed:
        """Return a scenario with what every scenario may have."""
        random = self.random
        entry = given.pop("entry", None) or random.choice(("run", "start"))
        outside = None
        if random.random() < 0.4:
            occasion = random.choice(("step", "step", "time"))
            at = random.choice((0.0, 0.5, 1.0, 2.0, 3.0)) if occasion == "time" else random.randint(1, 80)
            kinds = ("cancel the caller", "cancel the run") if entry == "start" else ("cancel the caller",)
            outside = Outside(random.choice(kinds), occasion, at, times=random.choice((1, 1, 1, 2)))
        return Composed(
            plan,
            entry=entry,
            outside=outside,
            patience=300.0 if _hangs(plan) else None,
            listens=random.random() < 0.9,
            capacities=tuple(sorted(self.capacities.items())),
            order=seed,
            **given,
        )

    def limits(self, rate: float) -> None:
        """Let there be limits, of one permit or two, at that rate."""
        if self.random.random() < rate:
            self.capacities["one"] = self.random.choice((1, 1, 2))
            if self.random.random() < 0.3:
                self.capacities["other"] = self.random.choice((1, 2))


def _hangs(plan: Plan) -> bool:
    """Return whether some stage may wait for ever: else nothing of the run may."""
    for part in plan.parts:
        faults = () if part.mapped is None else part.mapped.faults
        if "hang" in part.endings or any(ending == "hang" for *_, ending in faults):
            return True
        if any(map(_hangs, part.children)):
            return True
    return False


def _streams(random: Random, mood: Mood, seed: int) -> Composed:
    mood.limits(0.4)
    # A group that needs more permits than there are is refused: which is no reason to have it often.
    mood.capacities = {name: count + random.choice((0, 1, 2, 2)) for name, count in mood.capacities.items()}
    plan = _streaming_plan(random, mood)
    streaming = [index for index, part in enumerate(plan.parts) if part.chunks is not None]
    listeners: tuple[Reading, ...] = ()
    if streaming and random.random() < 0.4:
        listeners = tuple(_reading(random, mood, random.choice(streaming)) for _ in range(random.choice((1, 1, 2))))
    starts = (0.0,) if random.random() < 0.8 else (0.0, random.choice((0.0, 1.0)))
    return mood.scenario(plan, seed, entry="start" if listeners else None, listeners=listeners, starts=starts)


def _streaming_plan(random: Random, mood: Mood) -> Plan:
    # Stages read streams of their own cluster, and wait for the ends of those in earlier ones: so every graph builds.
    sizes = [random.choice((1, 2, 2, 3, 3, 4)) for _ in range(random.choice((1, 1, 2, 3)))]
    size = sum(sizes)
    order = list(range(size)) if random.random() < 0.5 else random.sample(range(size), size)
    parts: dict[int, Part] = {}
    earlier: list[int] = []
    for count in sizes:
        cluster = [order.pop(0) for _ in range(count)]
        for place, index in enumerate(cluster):
            streaming = [other for other in cluster[:place] if parts[other].chunks is not None]
            parts[index] = _streaming_part(random, mood, streaming, earlier, is_last=place == count - 1)
        earlier += cluster
    return mood.plan([parts[index] for index in range(size)])


def _streaming_part(random: Random, mood: Mood, streaming: list[int], earlier: list[int], *, is_last: bool) -> Part:
    if streaming and random.random() < 0.15:
        mapped = Mapped(random.choice(streaming), random.choice((1, 2, 10)), _faults(random, mood), of_stream=True)
        return replace(mood.part(mapped=mapped), limit=None)  # it may not name one if others of its group do
    streams = random.random() < (0.15 if is_last else 0.8)
    # One that streams reads one stream at most: with more of them it could wait for one while the other is full.
    most = 1 if streams else 3
    read = random.sample(streaming, min(len(streaming), random.choice((0, *range(1, most + 1), most))))
    waited = random.sample(earlier, min(len(earlier), random.choice((0, 0, 1, 2))))
    optional = {other for other in waited if random.random() < 0.4}
    chunks = None
    if streams:
        chunks = Chunks(
            count=random.choice((0, 1, 3, 6)),
            capacity=random.choice((1, 1, 2, 3, 4)),
            on_full=random.choice(POLICIES),
            pace=mood.pace(),
            says_so=random.random() < 0.3,
        )
    return mood.part(
        needs=tuple(other for other in waited if other not in optional),
        hears=tuple(other for other in waited if other in optional),
        reads=tuple(_reading(random, mood, source, several=len(read) > 1) for source in read),
        chunks=chunks,
    )


def _reading(random: Random, mood: Mood, source: int, *, several: bool = False) -> Reading:
    # One that leaves a stream alone while it goes on with another one would be waited for by both.
    return Reading(
        source,
        optional=random.random() < 0.3,
        stop_after=random.choice((0, 1, 2, 4)) if random.random() < 0.3 else None,
        how=random.choice(("close", "fail") if several else ("break", "close", "fail")),
        pace=mood.pace(),
    )


def _maps(random: Random, mood: Mood, seed: int) -> Composed:
    mood.limits(0.4)
    starts = (0.0,) if random.random() < 0.8 else (0.0, random.choice((0.0, 1.0)))
    return mood.scenario(_mapping_plan(random, mood), seed, starts=starts)


def _mapping_plan(random: Random, mood: Mood) -> Plan:
    parts: list[Part] = []
    for index in range(random.choice((2, 2, 3, 4, 5))):
        sources = [other for other, part in enumerate(parts) if part.items is not None or part.mapped is not None]
        waited = [random.choice(range(index))] if index and random.random() < 0.3 else []
        if sources and random.random() < 0.7:
            source = random.choice(sources)
            mapped = Mapped(source, random.choice((1, 2, 3, 10)), _faults(random, mood))
            parts.append(mood.part(needs=tuple(other for other in waited if other != source), mapped=mapped))
        elif random.random() < 0.7:
            kind = random.choice(("list", "list", "async"))
            count, pace = random.choice((0, 1, 3, 5, 12)), mood.pace()
            parts.append(mood.part(needs=tuple(waited), items=count, items_are=kind, items_pace=pace))
        else:
            parts.append(mood.part(needs=tuple(waited)))
    return mood.plan(parts)


def _faults(random: Random, mood: Mood) -> tuple[tuple[int, int, Ending], ...]:
    if random.random() < 0.4:
        return ()
    endings: tuple[Ending, ...] = ("raise transient", "retry", "skip", "raise", "fail", "cancel", "hang")
    weights = (6, 3, 3, *(max(mood.ender_rate * 4, 0.2) for _ in range(4)))
    return tuple(
        (random.randint(0, 6), random.choice((0, 1, 1, 2)), random.choices(endings, weights)[0])
        for _ in range(random.randint(1, 4))
    )


def _children(random: Random, mood: Mood, seed: int) -> Composed:
    mood.limits(0.4)
    if random.random() < 0.05:
        parts = [mood.part() for _ in range(random.choice((0, 1)))]
        # Without further attempts, of which there would be more at each depth.
        parts.append(replace(mood.part(spawns_itself=True), policy=None, endings=("ok",)))
        return mood.scenario(mood.plan(parts), seed)
    return mood.scenario(_tree(random, mood, random.choice((1, 2, 2, 3))), seed)


def _tree(random: Random, mood: Mood, depth: int) -> Plan:
    kind = "plain" if depth else random.choice(("plain", "plain", "plain", "streams", "maps"))
    if kind == "maps":
        return _mapping_plan(random, mood)
    if kind == "streams":
        return _streaming_plan(random, mood)
    parts: list[Part] = []
    for index in range(random.choice((1, 2, 2, 3))):
        children: tuple[Plan, ...] = ()
        if depth and random.random() < 0.7:
            children = tuple(_tree(random, mood, depth - 1) for _ in range(random.choice((1, 1, 2))))
        parts.append(
            mood.part(
                needs=tuple(other for other in range(index) if random.random() < 0.3),
                children=children,
                children_run=random.choice(("in turn", "in a group", "gathered")),
                when_child_fails=random.choice(("raise", "raise", "go on")),
            )
        )
    return mood.plan(parts)


def _limits(random: Random, mood: Mood, seed: int) -> Composed:
    mood.limits(1.0)
    if random.random() < 0.1:
        return mood.scenario(_crowd(random, mood), seed, starts=(0.0, random.choice((0.0, 1.0))))
    parts: list[Part] = []
    for index in range(random.choice((1, 2, 3, 5, 8))):
        needs = (random.randrange(index),) if index and random.random() < 0.3 else ()
        parts.append(mood.part(needs=needs))
    starts = tuple(random.choice((0.0, 0.0, 0.5, 1.0)) for _ in range(random.choice((1, 2, 4))))
    return mood.scenario(mood.plan(parts), seed, starts=starts)


def _crowd(random: Random, mood: Mood) -> Plan:
    """Return stages of which many wait for a long time: then it shows who is passed over, and how often."""
    larger = random.choice(((5,), (1, 5)))
    parts = [
        replace(
            mood.part(),
            endings=("ok",),
            limit="one",
            priority=random.choice(larger) if random.random() < 0.85 else 0,
            deadline=None,
        )
        for _ in range(random.randint(20, 35))
    ]
    return replace(mood.plan(parts), max_concurrency=None)


KINDS = {"streams": _streams, "maps": _maps, "children": _children, "limits": _limits}
