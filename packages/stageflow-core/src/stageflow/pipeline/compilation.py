"""From specs to a plan: a list of passes, each of which adds the faults that it finds.

Nothing here recurses, and each pass is linear in stages and dependencies, so that 10,000 stages in a row or side by
side build like ten do.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from stageflow.core.stream import StreamOptions
from stageflow.errors import (
    CycleDetectedError,
    EmptyPipelineError,
    InvalidOptionError,
    InvalidStageError,
    InvalidStageNameError,
    InvalidStreamError,
    OverlappingDependencyError,
    PipelineValidationError,
    SelfDependencyError,
    UnknownDependencyError,
)
from stageflow.execution.invoking import choose_invoke
from stageflow.execution.plan import (
    Argument,
    ExecutionPlan,
    Form,
    Management,
    MapOver,
    OnFailure,
    PermitGroup,
    PlanNode,
    Reads,
    StreamPlan,
)
from stageflow.interceptors.chain import Chain
from stageflow.pipeline.contract_checks import (
    declared_chunks,
    declared_contract,
    declared_output,
    input_contract,
    parameter_fault,
    whole_fault,
)
from stageflow.pipeline.cycles import find_cycles
from stageflow.pipeline.fingerprint import fingerprint
from stageflow.pipeline.map_checks import map_faults, reads_one_item, source_faults
from stageflow.pipeline.routing import join_faults, route_faults
from stageflow.pipeline.signature import ParameterRead, UnreadableSignature, read_signature
from stageflow.pipeline.spec import StageSpec
from stageflow.pipeline.streaming import (
    Flow,
    awaited_for_others,
    groups_of,
    halting,
    limit_faults,
    option_faults,
    roots_first,
    stream_faults,
    streams_of,
)
from stageflow.validation.contract import TypeContract
from stageflow.validation.returning import mapped_contract
from stageflow.wording import nearest

MOST_SUGGESTIONS = 100
"""For how many unknown names the nearest one is looked for: each look compares it with all stages."""

STAGE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class _Draft:
    """A stage on its way into the plan.

    `declared` is the type that it says it returns, `chunks` the type of what it yields. `required`, `optional` and
    `streams` are its dependencies, from either form; each of `streams` with whether it is optional. `yields` tells
    whether it streams itself.
    """

    __slots__ = ("chunks", "contract", "declared", "optional", "parameters", "required", "spec", "streams", "yields")

    def __init__(
        self,
        spec: StageSpec[Any],
        parameters: tuple[ParameterRead, ...],
        declared: Any,
        contract: TypeContract | None,
        required: dict[str, None],
        optional: dict[str, None],
        streams: dict[str, bool],
        chunks: Any,
    ) -> None:
        self.spec = spec
        self.parameters = parameters
        self.declared = declared
        self.contract = contract
        self.required = required
        self.optional = optional
        self.streams = streams
        self.chunks = chunks
        self.yields = streams_of(spec.runner)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def dependencies(self) -> dict[str, Any]:
        """Everything that it names."""
        return {**self.required, **self.optional, **self.streams}

    @property
    def flow(self) -> Flow:
        whole = {read.stage for read in self.parameters if read.reads not in (Reads.STREAM, Reads.CONTEXT, Reads.INPUT)}
        both = whole & self.streams.keys()
        over = self.spec.map_over
        maps = over[0] if over is not None and over[1] is None else None
        return Flow(self.yields, self.streams, {**self.required, **self.optional}, both, maps)

    def joined(self) -> tuple[str, ...]:
        """Return the dependencies of which one is enough: the required ones but for routers, or all optional ones."""
        if self.spec.join == "all":
            return ()
        routers = self.spec.route or {}
        return tuple(name for name in self.required if name not in routers) or tuple(self.optional)


class PipelineOptions(NamedTuple):
    """The options of a pipeline, as `Pipeline` takes them."""

    timeout: float | None = None
    on_failure: OnFailure = "fail_fast"
    cancel_grace: float = 5.0
    interceptors: tuple[Any, ...] = ()
    input: Any = None
    max_concurrency: int | None = None

    def told(self) -> tuple[Any, ...]:
        """Return what a fingerprint knows of them: of interceptors their names, the same in every process."""
        names = tuple(interceptor.name for interceptor in self.interceptors)
        return (self.timeout, self.on_failure, self.cancel_grace, names, self.max_concurrency)


def compile_plan(pipeline: str, specs: Sequence[StageSpec[Any]], options: PipelineOptions) -> ExecutionPlan:
    """Check the stages of a pipeline and compile them.

    Raises:
        PipelineValidationError: With every fault there is; a single one is raised as its own type.
    """
    faults: list[PipelineValidationError] = []
    drafts = [_draft(spec, faults) for spec in specs]
    index = {draft.name: position for position, draft in enumerate(drafts)}
    if not drafts:
        faults.append(EmptyPipelineError(pipeline=pipeline))
    _check_names(pipeline, drafts, faults)
    _check_dependencies(pipeline, drafts, index, faults)
    _check_cycles(pipeline, drafts, index, faults)
    _check_routes_and_joins(drafts, faults)
    _check_maps(drafts, index, faults)
    groups = _check_streams(drafts, faults)
    asked = _input(pipeline, options, faults)
    _check_contracts(drafts, index, options, faults)
    if faults:
        raise PipelineValidationError.of(pipeline, faults)
    return _assemble(pipeline, drafts, index, options, asked, groups)


def _draft(spec: StageSpec[Any], faults: list[PipelineValidationError]) -> _Draft:
    parameters: tuple[ParameterRead, ...] = ()
    declared: Any = Any
    chunks: Any = Any
    contract: TypeContract | None = None
    try:
        if inspect.isroutine(spec.runner):
            parameters = read_signature(spec.runner, spec.local_names)
        yields = streams_of(spec.runner)
        if yields:
            chunks = declared_chunks(spec.runner, spec.local_names)
        declared = declared_output(spec.runner, spec.output, spec.local_names, returns=Any if yields else None)
        contract = declared_contract(declared, spec.local_names)
        if spec.map_over is not None:
            declared = Mapping[str, Any]  # of all items, where the contract is of one
    except UnreadableSignature as error:
        faults.append(
            InvalidStageError(f"Stage '{spec.name}' cannot be read: {error}", stage=spec.name, hint=error.hint)
        )
    reads = [parameter for parameter in parameters if parameter.stage and parameter.reads is not Reads.STREAM]
    read_streams = {name: name in spec.optional for name in spec.streams}
    read_streams |= {read.stage: read.optional for read in parameters if read.reads is Reads.STREAM}
    over: tuple[str, ...] = ()
    if spec.map_over is not None and spec.map_over[1] is None:
        read_streams[spec.map_over[0]] = False
    elif spec.map_over is not None:
        over = spec.map_over[:1]
    required = [*spec.dependencies, *(spec.route or ()), *over, *(read.stage for read in reads if not read.optional)]
    optional = [*spec.optional, *(read.stage for read in reads if read.optional)]
    return _Draft(
        spec,
        parameters,
        declared,
        contract,
        # To name a stage there and among the streams says how it is depended on.
        required=dict.fromkeys(name for name in required if name not in read_streams),
        optional=dict.fromkeys(name for name in optional if name not in read_streams),
        streams=read_streams,
        chunks=chunks,
    )


def _check_names(pipeline: str, drafts: list[_Draft], faults: list[PipelineValidationError]) -> None:
    faults.extend(
        InvalidStageNameError(draft.name, pipeline=pipeline) for draft in drafts if not STAGE_NAME.fullmatch(draft.name)
    )


def _check_dependencies(
    pipeline: str, drafts: list[_Draft], index: Mapping[str, int], faults: list[PipelineValidationError]
) -> None:
    names = tuple(index)
    near: dict[str, str] = {}
    for draft in drafts:
        both_ways = frozenset(draft.spec.dependencies).intersection(draft.spec.optional)
        for dependency in draft.dependencies:
            if dependency == draft.name:
                faults.append(SelfDependencyError(draft.name, pipeline=pipeline))
            elif dependency not in index:
                if dependency not in near:
                    near[dependency] = nearest(dependency, names) if len(near) < MOST_SUGGESTIONS else ""
                note = near[dependency] + _parameter_note(draft, dependency)
                faults.append(
                    UnknownDependencyError(draft.name, dependency, pipeline=pipeline, stages=names, note=note)
                )
            if dependency in both_ways or (dependency in draft.required and dependency in draft.optional):
                faults.append(OverlappingDependencyError(draft.name, dependency, pipeline=pipeline))


def _parameter_note(draft: _Draft, dependency: str) -> str:
    read = next((read for read in draft.parameters if read.stage == dependency), None)
    if read is None:
        return ""
    function: Any = draft.spec.runner
    what = f"It is the parameter '{read.parameter}' of {function.__qualname__}"
    return f"{what}: a parameter names a stage, is annotated StageContext, or is called `input`. "


def _check_cycles(
    pipeline: str, drafts: list[_Draft], index: Mapping[str, int], faults: list[PipelineValidationError]
) -> None:
    successors: dict[str, list[str]] = {draft.name: [] for draft in drafts}
    for draft in drafts:
        for dependency in draft.dependencies:
            if dependency in index and dependency != draft.name:
                successors[dependency].append(draft.name)
    faults.extend(CycleDetectedError([*cycle, cycle[0]], pipeline=pipeline) for cycle in find_cycles(successors))


def _input(pipeline: str, options: PipelineOptions, faults: list[PipelineValidationError]) -> TypeContract | None:
    if options.input is None:
        return None
    try:
        return input_contract(options.input)
    except UnreadableSignature as error:
        faults.append(
            InvalidOptionError(
                "input", f"cannot be read: {error}".rstrip("."), of=f"pipeline '{pipeline}'", hint=error.hint
            )
        )
        return None


def _check_contracts(
    drafts: list[_Draft],
    index: Mapping[str, int],
    options: PipelineOptions,
    faults: list[PipelineValidationError],
) -> None:
    """Find parameters that can never get what their annotation says."""
    for draft in drafts:
        for read in draft.parameters:
            if read.stage in index and read.reads is Reads.STREAM:
                given = drafts[index[read.stage]].chunks
            elif read.stage in index:
                given = drafts[index[read.stage]].declared
            elif read.reads is Reads.INPUT and options.input is not None:
                given = options.input
            else:
                continue
            fault = parameter_fault(draft.name, read, given)
            if fault is None and read.stage in index and drafts[index[read.stage]].yields:
                fault = whole_fault(draft.name, read, drafts[index[read.stage]].chunks)
            if fault is not None:
                mapped = read.stage in index and drafts[index[read.stage]].spec.map_over is not None
                faults.append(reads_one_item(fault) if mapped else fault)


def _check_routes_and_joins(drafts: list[_Draft], faults: list[PipelineValidationError]) -> None:
    faults.extend(route_faults({draft.name: draft.spec for draft in drafts}))
    for draft in drafts:
        if draft.spec.join == "any":
            joined = draft.joined()
            reads = [read.stage for read in draft.parameters if read.stage in joined and not read.optional]
            faults.extend(join_faults(draft.spec, joined, reads))


def _twice_read(draft: _Draft) -> list[PipelineValidationError]:
    """Return a fault for each stream that two parameters of a stage ask for."""
    read = [parameter.stage for parameter in draft.parameters if parameter.reads is Reads.STREAM]
    problem = "has two parameters for the stream of '{}', each of which would get some of its chunks"
    hint = "Keep one of them."
    return [
        InvalidStreamError(draft.name, problem.format(source), dependency=source, hint=hint)
        for source in dict.fromkeys(read)
        if read.count(source) > 1
    ]


def _check_streams(drafts: list[_Draft], faults: list[PipelineValidationError]) -> list[list[str]]:
    """Check how stages are joined by streams; return those that run together, group by group."""
    if not any(draft.streams or draft.spec.stream for draft in drafts):
        return []
    flows = {draft.name: draft.flow for draft in drafts}
    faults.extend(stream_faults(flows))
    for draft in drafts:
        faults.extend(_twice_read(draft))
        faults.extend(option_faults(draft.name, flows[draft.name], draft.spec))
    if faults:
        return []  # what halts can only be seen where everything else is right
    groups = groups_of(flows)
    faults.extend(halting(flows, groups))
    faults.extend(limit_faults(groups, {draft.name: draft.spec for draft in drafts}))
    return groups


def _check_maps(drafts: list[_Draft], index: Mapping[str, int], faults: list[PipelineValidationError]) -> None:
    for draft in drafts:
        if draft.spec.map_over is None:
            continue
        read = [*draft.spec.streams, *(read.stage for read in draft.parameters if read.reads is Reads.STREAM)]
        faults.extend(map_faults(draft.spec, draft.joined(), read))
        source = index.get(draft.spec.map_over[0])
        if source is not None and drafts[source] is not draft:
            faults.extend(source_faults(draft.spec, drafts[source].spec, drafts[source].declared))


_NOTHING_DECLARED: Mapping[str, int] = MappingProxyType({})
_NO_GATES: Mapping[int, str] = MappingProxyType({})


def _assemble(
    pipeline: str,
    drafts: list[_Draft],
    index: dict[str, int],
    options: PipelineOptions,
    asked: TypeContract | None,
    groups: list[list[str]],
) -> ExecutionPlan:
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
            management=_management(draft, chain, index, options)._replace(**_sharing(draft, whole, gathers, holders)),
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
        branching=frozenset(
            [
                *(source for node in nodes if node.gates or node.joined for source in node.waits_for),
                *(node.index for node in nodes if node.name in whole or node.stream is not None),
            ]
        ),
        streaming=tuple(
            StreamPlan(
                node.index,
                node.name,
                node.stream,
                tuple(
                    (reader, nodes[reader].name, node.index not in nodes[reader].optional) for reader in node.readers
                ),
            )
            for node in nodes
            if node.stream is not None
        ),
        timeout=options.timeout,
        on_failure=options.on_failure,
        max_concurrency=options.max_concurrency,
        groups={index[name]: number for number, group in enumerate(groups) for name in group},
        permit_groups=tuple(gathers.values()),
        limits={draft.name: draft.spec.limit for draft in drafts if draft.spec.limit is not None},
        cancel_grace=options.cancel_grace,
        intercepted=chain is not None,
        input=asked,
        fingerprint=partial(fingerprint, tuple(draft.spec for draft in drafts), nodes, options.told()),
    )


def _permit_group(members: list[_Draft], index: Mapping[str, int]) -> PermitGroup | None:
    """Return what a group of stages needs of permits at once; None if no two of them hold any."""
    holders = _holders(members)
    if len(holders) < 2:
        return None
    limits = tuple((index[draft.name], str(draft.spec.limit)) for draft in holders)
    needs = Counter(limit for _, limit in limits)
    return PermitGroup(limits, tuple(needs.items()), max(draft.spec.priority for draft in holders))


def _holders(members: list[_Draft]) -> list[_Draft]:
    """Return the members of a group that hold a permit until they end."""
    return [draft for draft in members if draft.spec.limit is not None and draft.spec.map_over is None]


def _sharing(
    draft: _Draft,
    whole: Mapping[str, list[str]],
    gathers: Mapping[str, PermitGroup],
    holders: Mapping[str, list[_Draft]],
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
    draft: _Draft,
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


def _management(draft: _Draft, chain: Chain | None, index: Mapping[str, int], options: PipelineOptions) -> Management:
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
