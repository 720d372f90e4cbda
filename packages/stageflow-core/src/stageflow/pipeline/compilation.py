"""From specs to a plan: a list of passes, each of which adds the faults that it finds.

Nothing here recurses, and each pass is linear in stages and dependencies, so that 10,000 stages in a row or side by
side build like ten do.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

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
from stageflow.execution.plan import (
    ExecutionPlan,
    Reads,
)
from stageflow.pipeline.assembly import assemble
from stageflow.pipeline.contract_checks import (
    declared_chunks,
    declared_contract,
    declared_output,
    input_contract,
    parameter_fault,
    whole_fault,
)
from stageflow.pipeline.cycles import find_cycles
from stageflow.pipeline.drafts import Draft, PipelineOptions
from stageflow.pipeline.map_checks import map_faults, reads_one_item, source_faults
from stageflow.pipeline.routing import join_faults, route_faults
from stageflow.pipeline.signature import ParameterRead, UnreadableSignature, read_signature
from stageflow.pipeline.spec import StageSpec
from stageflow.pipeline.streaming import (
    groups_of,
    halting,
    limit_faults,
    option_faults,
    stream_faults,
    streams_of,
)
from stageflow.validation.contract import TypeContract
from stageflow.wording import nearest

MOST_SUGGESTIONS = 100
"""For how many unknown names the nearest one is looked for: each look compares it with all stages."""


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
    return assemble(pipeline, drafts, index, options, asked, groups)


def _draft(spec: StageSpec[Any], faults: list[PipelineValidationError]) -> Draft:
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
    return Draft(
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


def _check_names(pipeline: str, drafts: list[Draft], faults: list[PipelineValidationError]) -> None:
    faults.extend(InvalidStageNameError(draft.name, pipeline=pipeline) for draft in drafts if not _is_name(draft.name))


def _is_name(text: str) -> bool:
    """Return whether a stage may be called so: letters of ASCII, digits, `_` and `-`, the first one a letter or `_`."""
    return text.isascii() and text[:1] != "-" and text.replace("-", "_").isidentifier()


def _check_dependencies(
    pipeline: str, drafts: list[Draft], index: Mapping[str, int], faults: list[PipelineValidationError]
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


def _parameter_note(draft: Draft, dependency: str) -> str:
    read = next((read for read in draft.parameters if read.stage == dependency), None)
    if read is None:
        return ""
    function: Any = draft.spec.runner
    what = f"It is the parameter '{read.parameter}' of {function.__qualname__}"
    return f"{what}: a parameter names a stage, is annotated StageContext, or is called `input`. "


def _check_cycles(
    pipeline: str, drafts: list[Draft], index: Mapping[str, int], faults: list[PipelineValidationError]
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
    drafts: list[Draft],
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


def _check_routes_and_joins(drafts: list[Draft], faults: list[PipelineValidationError]) -> None:
    faults.extend(route_faults({draft.name: draft.spec for draft in drafts}))
    for draft in drafts:
        if draft.spec.join == "any":
            joined = draft.joined()
            reads = [read.stage for read in draft.parameters if read.stage in joined and not read.optional]
            faults.extend(join_faults(draft.spec, joined, reads))


def _twice_read(draft: Draft) -> list[PipelineValidationError]:
    """Return a fault for each stream that two parameters of a stage ask for."""
    read = [parameter.stage for parameter in draft.parameters if parameter.reads is Reads.STREAM]
    problem = "has two parameters for the stream of '{}', each of which would get some of its chunks"
    hint = "Keep one of them."
    return [
        InvalidStreamError(draft.name, problem.format(source), dependency=source, hint=hint)
        for source in dict.fromkeys(read)
        if read.count(source) > 1
    ]


def _check_streams(drafts: list[Draft], faults: list[PipelineValidationError]) -> list[list[str]]:
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


def _check_maps(drafts: list[Draft], index: Mapping[str, int], faults: list[PipelineValidationError]) -> None:
    for draft in drafts:
        if draft.spec.map_over is None:
            continue
        read = [*draft.spec.streams, *(read.stage for read in draft.parameters if read.reads is Reads.STREAM)]
        faults.extend(map_faults(draft.spec, draft.joined(), read))
        source = index.get(draft.spec.map_over[0])
        if source is not None and drafts[source] is not draft:
            faults.extend(source_faults(draft.spec, drafts[source].spec, drafts[source].declared))
