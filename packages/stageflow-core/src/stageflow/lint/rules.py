"""The rules: what is compared with what."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any

from stageflow.lint.evaluation import Evaluator
from stageflow.lint.findings import Declaration, Finding, Place
from stageflow.lint.reading import KEYED, StageReads, keys_of, reads_of
from stageflow.lint.values import Module, Named, PipelineModel, StageModel
from stageflow.wording import nearest

GATING = frozenset({"GUARD", "ROUTE", "WORK"})
"""Kinds of stages that are depended on for what they allow, choose or have done, and not only for what they return."""

MOST_SHOWN_KEYS = 8


def place_of(module: Module, node: Any) -> Place:
    """Return where a node stands; of a function or class, its name's line."""
    line, column = node.lineno, node.col_offset
    end_line, end_column = node.end_lineno or line, node.end_col_offset or column
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        end_line, end_column = line, column + len(f"async def {node.name}")
    text = module.lines()
    return Place(
        str(module.path),
        line,
        _characters(text, line, column) + 1,
        end_line,
        _characters(text, end_line, end_column) + 1,
    )


def _characters(lines: list[str], line: int, offset: int) -> int:
    """Return a column in characters: `ast` counts the bytes of UTF-8."""
    text = lines[line - 1] if line <= len(lines) else ""
    return offset if text.isascii() else len(text.encode()[:offset].decode(errors="replace"))


class Linting:
    """Applies the rules to what was built, each stage of each pipeline once."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._reads: dict[int, tuple[StageModel, StageReads]] = {}
        self._keys: dict[int, tuple[StageModel, frozenset[str] | None]] = {}

    def findings(self, pipelines: Iterable[PipelineModel]) -> Iterator[Finding]:
        """Yield what is wrong with pipelines, but for those that are only parts of others."""
        for pipeline in pipelines:
            if pipeline.used or not pipeline.extensions:
                yield from self._of_pipeline(pipeline)

    def _reads_of(self, stage: StageModel) -> StageReads:
        if id(stage) not in self._reads:
            self._reads[id(stage)] = (stage, reads_of(self._evaluator, stage))
        return self._reads[id(stage)][1]

    def _keys_of(self, stage: StageModel) -> frozenset[str] | None:
        if id(stage) not in self._keys:
            self._keys[id(stage)] = (stage, keys_of(self._evaluator, stage))
        return self._keys[id(stage)][1]

    def _of_pipeline(self, pipeline: PipelineModel) -> Iterator[Finding]:
        by_name = {stage.name: stage for stage in pipeline.stages if stage.name is not None}
        if not pipeline.several:
            yield from _duplicates(pipeline)
        whole = pipeline.complete and all(stage.name is not None for stage in pipeline.stages)
        for stage in pipeline.stages:
            yield from self._of_stage(pipeline, stage, by_name, whole)
        if not pipeline.several:
            yield from self._cycles(pipeline, by_name)
        if whole:
            yield from self._isolated(pipeline, by_name)

    # --- one stage ----------------------------------------------------------------------------------------------------

    def _of_stage(
        self, pipeline: PipelineModel, stage: StageModel, by_name: dict[str, StageModel], whole: bool
    ) -> Iterator[Finding]:
        reads = self._reads_of(stage)
        required, optional = declared_by(stage, reads)
        declared = {named.name: named for named in (*required, *optional)}
        yield from _declared_twice(pipeline, stage)
        for named in (*required, *optional):
            if named.name == stage.name:
                yield _finding(
                    "self-dependency",
                    f"Stage '{stage.name}' depends on itself.",
                    place_of(_module_of(stage, named), named.node),
                    "Remove it; what a stage knew earlier belongs in the snapshot.",
                    pipeline,
                    stage,
                )
            elif whole and named.name is not None and named.name not in by_name:
                yield self._unknown(pipeline, stage, named, by_name)
        if stage.whole and reads.known:
            yield from self._undeclared(pipeline, stage, reads, declared, by_name, whole)
        yield from self._unused(pipeline, stage, reads, by_name, whole)
        yield from self._optional_reads(pipeline, stage, reads, required, optional)
        yield from self._keys_read(pipeline, stage, reads, declared, by_name)

    def _unknown(
        self, pipeline: PipelineModel, stage: StageModel, named: Named, by_name: dict[str, StageModel]
    ) -> Finding:
        near = nearest(named.name or "", list(by_name))
        known = ", ".join(by_name)
        return _finding(
            "unknown-stage",
            f"Stage '{stage.name}' depends on '{named.name}', which is not in {_named(pipeline)}.",
            place_of(_module_of(stage, named), named.node),
            f"{near}Stages: {known}.",
            pipeline,
            stage,
        )

    def _undeclared(
        self,
        pipeline: PipelineModel,
        stage: StageModel,
        reads: StageReads,
        declared: dict[str | None, Named],
        by_name: dict[str, StageModel],
        whole: bool,
    ) -> Iterator[Finding]:
        told: set[str] = set()
        for read in reads.reads:
            if read.method == "parameter" or read.stage in told:
                continue
            streamed = {named.name for named in stage.streams} | reads.streamed | _mapped(stage)
            wanted = "streams" if read.method == "stream" else "dependencies"
            if read.stage in declared and (wanted == "dependencies" or read.stage in streamed):
                continue
            told.add(read.stage)
            if read.stage == stage.name:
                message, write = (
                    f"Stage '{stage.name}' reads itself.",
                    "Remove it: a stage has no output before it ends.",
                )
                yield _finding("self-dependency", message, place_of(read.module, read.node), write, pipeline, stage)
                continue
            if whole and read.stage not in by_name:
                near = nearest(read.stage, list(by_name))
                message = f"Stage '{stage.name}' reads '{read.stage}', which is not in {_named(pipeline)}."
                write = f"{near}Stages: {', '.join(by_name)}."
                yield _finding("unknown-stage", message, place_of(read.module, read.node), write, pipeline, stage)
                continue
            yield _finding(
                "undeclared-read",
                f"Stage '{stage.name}' of {_named(pipeline)} reads '{read.stage}' without declaring it.",
                place_of(read.module, read.node),
                _line_to_write(stage, wanted, read.stage),
                pipeline,
                stage,
                Declaration(place_of(stage.module, stage.node), wanted, read.stage),
            )

    def _unused(
        self, pipeline: PipelineModel, stage: StageModel, reads: StageReads, by_name: dict[str, StageModel], whole: bool
    ) -> Iterator[Finding]:
        for named in reads.unused:
            if whole and named.name not in by_name:
                continue  # which was said
            message = f"Stage '{stage.name}' takes '{named.name}' and never uses it."
            yield _finding(
                "unused-dependency",
                message,
                place_of(stage.runner.module, named.node),
                f"Remove the parameter; if it only has to wait: @stage(dependencies={_quoted(named.name)}).",
                pipeline,
                stage,
            )
        if not (reads.whole and reads.known) or stage.join_any or any(read.key is None for read in reads.keys):
            return
        if reads.keys:  # they are asked of all
            return
        read_names = {read.stage for read in reads.reads}
        for option, several in (
            ("dependencies", stage.required),
            ("optional", stage.optional),
            ("streams", stage.streams),
        ):
            for named in several:
                upstream = by_name.get(named.name or "")
                if named.name in read_names or upstream is None or upstream.kind in GATING or upstream.kind is None:
                    continue
                if any(named.name == other.name for other in (*reads.required, *reads.optional, *stage.routers)):
                    continue
                if stage.kind is None or named.name in _mapped(stage):
                    continue
                yield _finding(
                    "unused-dependency",
                    f"Stage '{stage.name}' of {_named(pipeline)} declares '{named.name}' in {option}= and never reads it.",
                    place_of(stage.module, named.node),
                    f"Remove '{named.name}' from {option}=, or read it.",
                    pipeline,
                    stage,
                )

    def _optional_reads(
        self,
        pipeline: PipelineModel,
        stage: StageModel,
        reads: StageReads,
        required: list[Named],
        optional: list[Named],
    ) -> Iterator[Finding]:
        names = {named.name for named in optional} - {named.name for named in required}
        for read in reads.reads:
            if read.stage not in names or read.stage in reads.guarded or read.has_default or read.method == "parameter":
                continue
            if read.method == "get_from":
                write = f"inputs.get_from({_quoted(read.stage)}, {_quoted(read.key or 'key')}, default)"
            else:
                write = f"if inputs.has_output({_quoted(read.stage)}): ..."
            yield _finding(
                "optional-read",
                f"Stage '{stage.name}' reads '{read.stage}', which is optional, and has nothing for when it is absent.",
                place_of(read.module, read.node),
                f"Write: {write}",
                pipeline,
                stage,
            )

    def _keys_read(
        self,
        pipeline: PipelineModel,
        stage: StageModel,
        reads: StageReads,
        declared: dict[str | None, Named],
        by_name: dict[str, StageModel],
    ) -> Iterator[Finding]:
        for read in reads.reads:
            upstream = by_name.get(read.stage)
            if read.key is None or upstream is None or read.stage not in declared or pipeline.several:
                continue
            if read.method in KEYED or read.method == "parameter":
                keys = self._keys_of(upstream)
                if keys is not None and read.key not in keys:
                    shown = ", ".join(sorted(keys)[:MOST_SHOWN_KEYS]) or "none"
                    yield _finding(
                        "unknown-key",
                        f"Stage '{stage.name}' reads '{read.key}' of '{read.stage}', which never returns it.",
                        place_of(read.module, read.node),
                        f"{nearest(read.key, sorted(keys))}Its keys: {shown}.",
                        pipeline,
                        stage,
                    )

    # --- the graph ------------------------------------------------------------------------------------------------------

    def _edges(self, pipeline: PipelineModel, by_name: dict[str, StageModel]) -> dict[str, dict[str, Named]]:
        """Return, by stage, the stages of the pipeline that it waits for."""
        edges: dict[str, dict[str, Named]] = {}
        for stage in pipeline.stages:
            if stage.name is not None:
                required, optional = declared_by(stage, self._reads_of(stage))
                known = ((named.name, named) for named in (*required, *optional))
                edges[stage.name] = {name: named for name, named in known if name is not None and name in by_name}
        return edges

    def _cycles(self, pipeline: PipelineModel, by_name: dict[str, StageModel]) -> Iterator[Finding]:
        edges = self._edges(pipeline, by_name)
        for cycle in cycles_in({name: [each for each in after if each != name] for name, after in edges.items()}):
            first = by_name[cycle[0]]
            named = edges[cycle[0]][cycle[1]]
            path = " -> ".join([*reversed([*cycle, cycle[0]])])
            yield _finding(
                "cycle",
                f"{_named(pipeline).capitalize()} has a cycle: {path}.",
                place_of(_module_of(first, named), named.node),
                "Remove one of these dependencies.",
                pipeline,
                first,
            )

    def _isolated(self, pipeline: PipelineModel, by_name: dict[str, StageModel]) -> Iterator[Finding]:
        edges = self._edges(pipeline, by_name)
        joined = {name for name, after in edges.items() if after} | {each for after in edges.values() for each in after}
        if not joined:
            return
        for stage in pipeline.stages:
            if stage.name not in joined and stage.whole and self._reads_of(stage).known:
                yield _finding(
                    "isolated-stage",
                    f"Stage '{stage.name}' is joined to no other stage of {_named(pipeline)}.",
                    place_of(stage.module, stage.node),
                    "Declare what it depends on, let another stage depend on it, or remove it.",
                    pipeline,
                    stage,
                )


def declared_by(stage: StageModel, reads: StageReads) -> tuple[list[Named], list[Named]]:
    """Return all that a stage depends on: what must have ended OK, and what may be absent."""
    source = [] if stage.source is None else [stage.source]
    explicit = {named.name for named in (*stage.required, *stage.optional)}
    streams = [named for named in stage.streams if named.name not in explicit]
    return [*stage.required, *streams, *stage.routers, *source, *reads.required], [*stage.optional, *reads.optional]


def _mapped(stage: StageModel) -> set[str | None]:
    return set() if stage.source is None else {stage.source.name}


def _module_of(stage: StageModel, named: Named) -> Module:
    """Return the module that a dependency is declared in: for a parameter, that of the function."""
    return stage.runner.module if isinstance(named.node, ast.arg) else stage.module


def _duplicates(pipeline: PipelineModel) -> Iterator[Finding]:
    seen: dict[str, StageModel] = {}
    for stage in pipeline.stages:
        if stage.name is None:
            continue
        if stage.name in seen and seen[stage.name].node is not stage.node:
            first = place_of(seen[stage.name].module, seen[stage.name].node)
            yield _finding(
                "duplicate-stage",
                f"{_named(pipeline).capitalize()} has two stages named '{stage.name}', the first in line {first.line}.",
                place_of(stage.module, stage.node),
                f"Give one of them another name: '{stage.name}_2'.",
                pipeline,
                stage,
            )
        seen.setdefault(stage.name, stage)


def _declared_twice(pipeline: PipelineModel, stage: StageModel) -> Iterator[Finding]:
    seen: set[str] = set()
    for named in (*stage.required, *stage.optional):
        if named.name is None:
            continue
        if named.name in seen:
            yield _finding(
                "duplicate-stage",
                f"Stage '{stage.name}' declares '{named.name}' twice.",
                place_of(stage.module, named.node),
                "Keep one of the two.",
                pipeline,
                stage,
            )
        seen.add(named.name)


def cycles_in(edges: dict[str, list[str]]) -> Iterator[list[str]]:
    """Yield a cycle for each time that a walk along the edges comes back to where it is: without recursion."""
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        on_path: dict[str, int] = {}
        stack: list[tuple[str, Iterator[str]]] = []
        if start in done:
            continue
        stack.append((start, iter(edges[start])))
        on_path[start] = 0
        path.append(start)
        while stack:
            node, following = stack[-1]
            step = next(following, None)
            if step is None:
                stack.pop()
                path.pop()
                del on_path[node]
                done.add(node)
            elif step in on_path:
                yield path[on_path[step] :]
            elif step not in done and step in edges:
                on_path[step] = len(path)
                path.append(step)
                stack.append((step, iter(edges[step])))


def discarded(thrown_away: dict[ast.Call, Module]) -> Iterator[Finding]:
    """Yield what is wrong with calls whose pipeline nobody keeps."""
    for node, module in thrown_away.items():
        method = node.func.attr if isinstance(node.func, ast.Attribute) else "with_stage"
        receiver = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else "pipeline"
        kept = (
            f"{receiver} = {receiver}.{method}(...)" if receiver.isidentifier() else f"pipeline = (...).{method}(...)"
        )
        yield Finding(
            "discarded-pipeline",
            f"{method}() returns a new pipeline and leaves the old one as it is; this one is thrown away.",
            place_of(module, node),
            f"Write: {kept}",
        )


def _line_to_write(stage: StageModel, option: str, name: str) -> str:
    declared = stage.streams if option == "streams" else stage.required
    names = [*dict.fromkeys(named.name for named in declared if named.name is not None), name]
    listed = ", ".join(map(_quoted, names))
    return f"Write: {option}=({listed}{',' if len(names) == 1 else ''})"


def _finding(
    rule: str,
    message: str,
    place: Place,
    write: str,
    pipeline: PipelineModel,
    stage: StageModel,
    declaration: Declaration | None = None,
) -> Finding:
    return Finding(rule, message, place, write, stage.name, pipeline.name, declaration)


def _named(pipeline: PipelineModel) -> str:
    return "the pipeline" if pipeline.name is None else f"pipeline '{pipeline.name}'"


def _quoted(name: str | None) -> str:
    return '"' + (name or "") + '"'
