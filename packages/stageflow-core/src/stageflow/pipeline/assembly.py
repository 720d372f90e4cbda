"""From stages that were checked to the plan that runs execute: indices for names, edges, and what starts each."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from stageflow.core.stream import StreamOptions
from stageflow.execution.invoking import choose_invoke
from stageflow.execution.plan import (
    Argument,
    ExecutionPlan,
    Form,
    Management,
    MapOver,
    PermitGroup,
    PlanNode,
    Reads,
    StreamPlan,
)
from stageflow.execution.returning import mapped_contract
from stageflow.interceptors.chain import Chain
from stageflow.pipeline.drafts import Draft, PipelineOptions
from stageflow.pipeline.fingerprint import fingerprint
from stageflow.pipeline.signature import ParameterRead
from stageflow.pipeline.spec import StageSpec
from stageflow.pipeline.streaming import (
    awaited_for_others,
    roots_first,
)
from stageflow.validation.contract import TypeContract

_NOTHING_DECLARED: Mapping[str, int] = MappingProxyType({})
_NO_GATES: Mapping[int, str] = MappingProxyType({})


def assemble(
    pipeline: str,
    drafts: list[Draft],
    index: dict[str, int],
    options: PipelineOptions,
    asked: TypeContract | None,
    groups: list[list[str]],
) -> ExecutionPlan:
    """Return the plan of a pipeline in which nothing is wrong.

    Args:
        pipeline: Its name.
        drafts: Its stages.
        index: The place of each by its name.
        options: Its options.
        asked: What the input of a run must be, or None.
        groups: Stages that streams join, group by group.
    """
    flows = {draft.name: draft.flow for draft in drafts} if groups else {}
    by_name = {draft.name: draft for draft in drafts} if groups else {}
    gathers = {
        group[0]: gathered for group in groups if (gathered := _permit_group([by_name[name] for name in group], index))
    }
    awaited = awaited_for_others(flows, groups, gathers)
    following = {
        group[0]: sum(bool(flows[name].reads) for name in group) for group in map(partial(roots_first, flows), groups)
    }
    successors: list[list[int]] = [[] for _ in drafts]
    readers: list[list[int]] = [[] for _ in drafts]
    for position, draft in enumerate(drafts):
        for dependency in (*draft.required, *draft.optional, *awaited.get(draft.name, ())):
            successors[index[dependency]].append(position)
        for dependency in draft.streams:
            readers[index[dependency]].append(position)
    holders = {group[0]: _holders([by_name[name] for name in group]) for group in groups}
    whole = {name: group for group in groups for name in group}
    chain = Chain.of(options.interceptors)
    nodes = tuple(
        _node(
            draft,
            index,
            management=_management(draft, chain, index, options).but(**_sharing(draft, whole, gathers, holders)),
            awaited=awaited.get(draft.name, ()),
            successors=tuple(successors[position]),
            readers=tuple(readers[position]),
            following=following.get(draft.name, 0),
        )
        for position, draft in enumerate(drafts)
    )
    in_degrees = tuple(len(node.waits_for) for node in nodes)
    return ExecutionPlan(
        name=pipeline,
        nodes=nodes,
        names=tuple(index),
        index=index,
        in_degrees=in_degrees,
        roots=tuple(position for position, degree in enumerate(in_degrees) if not degree),
        conditions={position: draft.spec.when for position, draft in enumerate(drafts) if draft.spec.when is not None},
        branching=_branching(nodes, whole),
        streaming=_streaming(nodes),
        timeout=options.timeout,
        on_failure=options.on_failure,
        max_concurrency=options.max_concurrency,
        groups={index[name]: number for number, group in enumerate(groups) for name in group},
        permit_groups=tuple(gathers.values()),
        limits={draft.name: draft.spec.limit for draft in drafts if draft.spec.limit is not None},
        ports=_ports(drafts),
        cancel_grace=options.cancel_grace,
        intercepted=chain is not None,
        input=asked,
        fingerprint=partial(fingerprint, tuple(draft.spec for draft in drafts), nodes, options.told()),
    )


def _ports(drafts: list[Draft]) -> Mapping[str, tuple[str, ...]]:
    """Return the stages that need each port."""
    needing: dict[str, list[str]] = {}
    for draft in drafts:
        for port in draft.spec.ports:
            needing.setdefault(port, []).append(draft.name)
    return MappingProxyType({port: tuple(stages) for port, stages in needing.items()})


def _branching(nodes: tuple[PlanNode, ...], whole: Mapping[str, list[str]]) -> frozenset[int]:
    """Return the stages whose end means more than one dependency less to wait for; `whole` are those of groups."""
    before_forks = (source for node in nodes if node.gates or node.joined for source in node.waits_for)
    in_streams = (node.index for node in nodes if node.name in whole or node.stream is not None)
    return frozenset((*before_forks, *in_streams))


def _streaming(nodes: tuple[PlanNode, ...]) -> tuple[StreamPlan, ...]:
    plans: list[StreamPlan] = []
    for node in nodes:
        if node.stream is not None:
            read = ((nodes[reader], reader) for reader in node.readers)
            readers = tuple((place, reader.name, node.index not in reader.optional) for reader, place in read)
            plans.append(StreamPlan(node.index, node.name, node.stream, readers))
    return tuple(plans)


def _permit_group(members: list[Draft], index: Mapping[str, int]) -> PermitGroup | None:
    """Return what a group of stages needs of permits at once; None if no two of them hold any."""
    holders = _holders(members)
    if len(holders) < 2:
        return None
    limits = tuple((index[draft.name], str(draft.spec.limit)) for draft in holders)
    needs = Counter(limit for _, limit in limits)
    return PermitGroup(limits, tuple(needs.items()), max(draft.spec.priority for draft in holders))


def _holders(members: list[Draft]) -> list[Draft]:
    """Return the members of a group that hold a permit until they end."""
    return [draft for draft in members if draft.spec.limit is not None and draft.spec.map_over is None]


def _sharing(
    draft: Draft,
    whole: Mapping[str, list[str]],
    gathers: Mapping[str, PermitGroup],
    holders: Mapping[str, list[Draft]],
) -> dict[str, Any]:
    """Return how a stage shares permits with those that it is joined to by streams."""
    group = whole.get(draft.name)
    if group is None:
        return {}
    return {
        "gathers": gathers.get(group[0]),  # of readers too: those that they read may be skipped
        "holding": next((other.spec.limit for other in holders[group[0]] if other is not draft), None),
    }


def _node(
    draft: Draft,
    index: Mapping[str, int],
    *,
    management: Management,
    awaited: tuple[str, ...],
    successors: tuple[int, ...],
    readers: tuple[int, ...],
    following: int,
) -> PlanNode:
    spec = draft.spec
    runner: Any = spec.runner
    if inspect.isroutine(runner):
        form, target = Form.FUNCTION, runner
    elif isinstance(runner, type):
        form, target = Form.CLASS, runner
    else:
        form, target = Form.METHOD, runner.execute
    declared = {name: index[name] for name in (*draft.required, *draft.optional)}
    return PlanNode(
        index=index[spec.name],
        name=spec.name,
        kind=spec.kind,
        invoke=choose_invoke(form, management),
        form=form,
        target=target,
        arguments=tuple(_argument(read, index) for read in draft.parameters),
        declared=declared or _NOTHING_DECLARED,
        # The chunks that it is mapped over are its items.
        streams={name: index[name] for name in draft.streams if name != draft.flow.maps} or _NOTHING_DECLARED,
        waits_for=tuple(index[name] for name in (*declared, *awaited, *draft.streams)),
        optional=frozenset(
            index[name]
            for name in (*draft.optional, *awaited, *(name for name, optional in draft.streams.items() if optional))
        ),
        joined=frozenset(index[name] for name in draft.joined()),
        gates={index[router]: route for router, route in spec.route.items()} if spec.route else _NO_GATES,
        critical=spec.critical,
        successors=successors,
        readers=readers,
        following=following,
        stream=spec.stream or StreamOptions() if draft.yields else None,
        contract=draft.contract if spec.map_over is None else mapped_contract(draft.contract),
        started_event=f"stage.{spec.name}.started",
        completed_event=f"stage.{spec.name}.completed",
    )


def _management(draft: Draft, chain: Chain | None, index: Mapping[str, int], options: PipelineOptions) -> Management:
    spec = draft.spec
    return Management(
        retry=spec.retry,
        timeout=spec.timeout,
        deadline=spec.deadline,
        routes=spec.routes,
        version=spec.version,
        contract=draft.contract,
        chain=chain,
        grace_s=options.cancel_grace,
        limit=spec.limit,
        priority=spec.priority,
        streams=draft.yields if draft.streams or draft.yields else None,
        map_over=_map_over(spec, index, options.max_concurrency),
        ports=spec.ports,
    )


def _map_over(spec: StageSpec[Any], index: Mapping[str, int], most: int | None) -> MapOver | None:
    if spec.map_over is None:
        return None
    source, key = spec.map_over
    at_once = spec.map_concurrency if most is None else min(spec.map_concurrency, most)
    return MapOver(index[source], source, key, at_once)


def _argument(read: ParameterRead, index: Mapping[str, int]) -> Argument:
    source = index[read.stage] if read.stage else -1
    is_stream = read.reads is Reads.STREAM
    return Argument(
        reads=read.reads,
        source=-1 if is_stream else source,
        stream=source if is_stream else -1,
        default=read.default,
        keyword=read.parameter if read.keyword_only else None,
    )
