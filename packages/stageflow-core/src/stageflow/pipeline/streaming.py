"""What a build must know of streams: which stages run together, and what can only come to a halt.

Stages that are joined by streams, directly or through others, are a group. A group starts as a whole: its roots, those
that read no stream, wait for everything that any member waits for from outside; each other member waits for the start
of those whose streams it reads. So no chunk is made for a reader that may never come, none waits for a reader that
waits for a permit or for a human, and a group that has started can go on to its end.

That is only possible if no member waits for another one to end, directly or through stages outside of the group: the
one could not end before the other reads, nor the other read before the one has ended. Such pipelines do not build.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from stageflow.errors import InvalidOptionError, InvalidStreamError, PipelineValidationError
from stageflow.pipeline.cycles import find_cycles
from stageflow.pipeline.runner import Runner


class Flow:
    """How one stage is joined to others.

    Attributes:
        streams: Whether it streams itself.
        reads: The stages whose streams it reads.
        waits: Those that it waits for to end.
        both: Those that its parameters ask both ways of.
        maps: The one whose chunks it is mapped over, if it is.
    """

    __slots__ = ("both", "maps", "reads", "streams", "waits")

    def __init__(
        self,
        streams: bool,
        reads: Collection[str],
        waits: Collection[str],
        both: Collection[str] = (),
        maps: str | None = None,
    ) -> None:
        self.streams = streams
        self.reads = reads
        self.waits = waits
        self.both = both
        self.maps = maps


def streams_of(runner: Runner) -> bool:
    """Return whether a runner is an async generator, or has one as its `execute`."""
    called: Any = runner if inspect.isroutine(runner) else getattr(runner, "execute", None)
    return inspect.isasyncgenfunction(inspect.unwrap(called))


def stream_faults(flows: Mapping[str, Flow]) -> Iterator[PipelineValidationError]:
    """Find reads of what is no stream."""
    for stage, flow in flows.items():
        for source in flow.reads:
            if source in flow.both:
                yield InvalidStreamError(
                    stage,
                    f"reads '{source}' both as a stream and as a whole",
                    dependency=source,
                    hint="Read its chunks, and let another stage, which waits for its end, read what it returned.",
                )
            elif source not in flows or source == stage or flows[source].streams:
                continue
            elif source == flow.maps:
                yield InvalidStreamError(
                    stage,
                    f"is mapped over the chunks of '{source}', which does not stream",
                    dependency=source,
                    hint=f"Name the key of its data that holds the items: map_over=('{source}', 'items'); or let "
                    f"'{source}' be an async generator that yields them.",
                )
            else:
                yield InvalidStreamError(
                    stage,
                    f"reads the stream of '{source}', which does not stream",
                    dependency=source,
                    hint=f"Let '{source}' be an async generator that yields its chunks, or read what it returns: "
                    f'dependencies=("{source}",), or a parameter that is not annotated Stream.',
                )


def option_faults(stage: str, flow: Flow, options: Any) -> Iterator[PipelineValidationError]:
    """Find options that do not go with streams; `options` is the stage's spec."""
    if options.stream is not None and not flow.streams:
        hint = "Leave it out, or let the stage `yield` its chunks."
        yield InvalidOptionError("stream", "is for an async generator, which this is not", stage=stage, hint=hint)
    for router in flow.reads:
        if router in (options.route or {}):
            yield InvalidStreamError(
                stage,
                f"reads the stream of '{router}', and is behind a route that is chosen when that ends",
                dependency=router,
                hint="Let a stage of its own choose the route, before or after the stream.",
            )
    if options.join == "any" and flow.reads:
        hint = "Let a stage that joins the others come before or after the one that reads the stream."
        yield InvalidOptionError("join", "cannot be 'any' of a stage that reads a stream", stage=stage, hint=hint)


def groups_of(flows: Mapping[str, Flow]) -> list[list[str]]:
    """Return the stages that run together, in plan order, group by group."""
    neighbours: dict[str, list[str]] = {}
    for stage, flow in flows.items():
        for source in flow.reads:
            neighbours.setdefault(stage, []).append(source)
            neighbours.setdefault(source, []).append(stage)
    order = {stage: place for place, stage in enumerate(flows)}
    seen: set[str] = set()
    groups: list[list[str]] = []
    for stage in flows:
        if stage not in neighbours or stage in seen:
            continue
        seen.add(stage)
        reached = [stage]
        for member in reached:
            fresh = [other for other in neighbours[member] if other not in seen]
            seen.update(fresh)
            reached += dict.fromkeys(fresh)
        groups.append(sorted(reached, key=order.__getitem__))
    return groups


def halting(flows: Mapping[str, Flow], groups: list[list[str]]) -> Iterator[PipelineValidationError]:
    """Find groups of which one member waits for another one to end."""
    whole = {member: group[0] for group in groups for member in group}
    edges: dict[str, dict[str, tuple[str, str]]] = {whole.get(stage, stage): {} for stage in flows}
    for stage, flow in flows.items():
        for source in flow.waits:
            mine, other = whole.get(stage, stage), whole.get(source, source)
            if mine == other:
                yield _halt(((source, stage),))
            else:
                edges[other].setdefault(mine, (source, stage))
    for cycle in find_cycles({stage: list(after) for stage, after in edges.items()}):
        waits = [edges[one][other] for one, other in zip(cycle, (*cycle[1:], cycle[0]), strict=True)]
        # Told from a group whose member that is waited for is not the one that waits: without one, no streams were
        # needed for the cycle, and it was found before.
        first = next((place for place, wait in enumerate(waits) if wait[0] != waits[place - 1][1]), 0)
        yield _halt((*waits[first:], *waits[:first]))


def _halt(waits: tuple[tuple[str, str], ...]) -> InvalidStreamError:
    told = ", ".join(f"'{later}' waits for '{earlier}' to end" for earlier, later in waits)
    earlier, later = waits[0][0], waits[-1][1]
    return InvalidStreamError(
        later,
        f"is joined to '{earlier}' by streams, so that they run together, but {told}",
        dependency=earlier,
        hint="That would come to a halt as soon as the chunks no longer fit. Read the stream there, too, or wait for "
        "its end in both places.",
    )


def limit_faults(groups: list[list[str]], specs: Mapping[str, Any]) -> Iterator[PipelineValidationError]:
    """Find stages mapped over chunks whose items could wait for a permit that the other stages do not give back."""
    for group in groups:
        limited = [name for name in group if specs[name].limit is not None]
        holder = next((name for name in limited if specs[name].map_over is None), None)
        if holder is None:
            continue
        for name in limited:
            if specs[name].map_over is not None:
                problem = (
                    f"is for one of a stage mapped over chunks and those that stream them; '{holder}' names one, too"
                )
                hint = "Map over a list, which a stage that collects the chunks returns: map_over=('collect', 'items')."
                yield InvalidOptionError("limit", problem, stage=name, hint=hint)


def awaited_for_others(
    flows: Mapping[str, Flow], groups: list[list[str]], together: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return what the roots of each group wait for on behalf of the other members.

    Where permits are taken for all, in groups that begin with one of `together`, so does every member: one that can do
    without a stage that was skipped would else hold them while others wait for what needs them.
    """
    awaited: dict[str, tuple[str, ...]] = {}
    for group in groups:
        outside = dict.fromkeys(source for member in group for source in flows[member].waits)
        for member in group:
            if not flows[member].reads or group[0] in together:
                awaited[member] = tuple(source for source in outside if source not in flows[member].waits)
    return awaited


def roots_first(flows: Mapping[str, Flow], group: list[str]) -> list[str]:
    """Return the members of a group, those first that read no stream."""
    return sorted(group, key=lambda member: bool(flows[member].reads))
