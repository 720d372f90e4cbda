"""What a simulated run with streams, maps, children and permits consists of, as plain data."""

from dataclasses import dataclass
from typing import Literal

from simulation.scenario import Outside, Policy

Ending = Literal["ok", "skip", "cancel", "fail", "raise", "raise transient", "retry", "hang"]
"""How an execution ends that is left alone."""

Reaction = Literal["leave", "clean up", "go on", "raise"]
"""What a stage does when it is cancelled: nothing of its own, take its time for its cleanup, do more of its work all
the same, or raise something else."""

Waits = tuple[float, ...]
"""Seconds of sleeps, one after the other; 0 is a turn of the loop, and less than that no wait at all."""


@dataclass(frozen=True, slots=True)
class Chunks:
    """How a stage streams.

    Attributes:
        count: How many chunks it yields, beside one for each that it reads.
        pace: The waits between them, over and over.
        says_so: Whether its last chunk is a StageOutput.
    """

    count: int = 3
    capacity: int = 16
    on_full: Literal["block", "drop_oldest", "drop_newest", "error"] = "block"
    pace: Waits = (0.0,)
    says_so: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """How a stage, or somebody outside, reads a stream.

    Attributes:
        source: The stage that streams.
        stop_after: After how many chunks it stops, if it does.
        how: What it does then: leave the stream alone, close it, or fail.
        pace: The waits between chunks, over and over.
    """

    source: int
    optional: bool = False
    stop_after: int | None = None
    how: Literal["break", "close", "fail"] = "break"
    pace: Waits = (-1.0,)


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a stage is mapped over.

    Attributes:
        source: The stage that gives the items.
        of_stream: Whether they are the chunks that it streams.
        concurrency: How many of them may run at once.
        faults: By index and attempt (or 0 for all further ones), how an item ends that does not end as the stage does.
    """

    source: int
    concurrency: int = 10
    faults: tuple[tuple[int, int, Ending], ...] = ()
    of_stream: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What one stage depends on and does.

    Attributes:
        needs, hears: Stages that it waits for to end, required and optional.
        waits: Before all else, in each attempt.
        endings: Of each attempt; the last one is for all further ones.
        items: How many items it returns.
        items_are: What they come as.
        items_pace: The waits between them, over and over, if they come one by one.
        children: What it runs as children.
        children_run: One after the other, in a TaskGroup, or by `gather`, which does not wait for all if one fails.
        spawns_itself: Whether it runs its own pipeline as a child, without an end.
        when_child_fails: What it does with what a child raises: raise it, or go on.
    """

    needs: tuple[int, ...] = ()
    hears: tuple[int, ...] = ()
    reads: tuple[Reading, ...] = ()
    chunks: Chunks | None = None
    mapped: Mapped | None = None
    waits: Waits = ()
    endings: tuple[Ending, ...] = ("ok",)
    when_cancelled: Reaction = "leave"
    items: int | None = None
    items_are: Literal["list", "async"] = "list"
    items_pace: Waits = (0.0,)
    children: tuple["Plan", ...] = ()
    children_run: Literal["in turn", "in a group", "gathered"] = "in turn"
    spawns_itself: bool = False
    when_child_fails: Literal["raise", "go on"] = "raise"
    policy: Policy | None = None
    timeout: float | None = None
    deadline: float | None = None
    critical: bool = True
    limit: str | None = None
    priority: int = 0
    sets_variable: bool = False

    @property
    def waits_for(self) -> tuple[int, ...]:
        """The stages that must have ended before it starts."""
        return (*self.needs, *self.hears, *self._source_of_items)

    @property
    def must_be_ok(self) -> tuple[int, ...]:
        """The stages without which it does not run."""
        return (*self.needs, *self._source_of_items)

    @property
    def _source_of_items(self) -> tuple[int, ...]:
        return () if self.mapped is None or self.mapped.of_stream else (self.mapped.source,)

    @property
    def streams_read(self) -> tuple[Reading, ...]:
        """The streams that it reads, also those whose chunks are its items."""
        if self.mapped is None or not self.mapped.of_stream:
            return self.reads
        return (Reading(self.mapped.source),)

    @property
    def is_timed(self) -> bool:
        return self.timeout is not None or self.deadline is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline."""

    parts: tuple[Part, ...]
    goes_on: bool = False
    max_concurrency: int | None = None
    timeout: float | None = None
    cancel_grace: float = 5.0


@dataclass(frozen=True, slots=True)
class Composed:
    """A whole simulated run, or several at once of the same graph with the same permits.

    Attributes:
        listeners: Those who read `run.stream`; there are some only if the run is started by `start`.
        capacities: Of the limits, by name.
        patience: Seconds after which the run is cancelled come what may, so that one with a hanging stage ends.
        starts: When each of the runs begins, in seconds.
        listens: Whether there is a sink.
        store: What becomes of records; see `simulation.scenario.StoreKind`.
        order: The seed of the order of tasks; None is asyncio's own order.
    """

    plan: Plan
    entry: Literal["run", "start"] = "run"
    starts: tuple[float, ...] = (0.0,)
    listeners: tuple[Reading, ...] = ()
    capacities: tuple[tuple[str, int], ...] = ()
    outside: Outside | None = None
    patience: float | None = None
    listens: bool = True
    store: Literal["none", "keeps", "is slow", "raises", "hangs at first", "is stubborn"] = "none"
    order: int | None = None
