"""The rules that look at a pipeline as a whole, and at builder calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from stageflow.lint.definitions import Module
from stageflow.lint.findings import Finding
from stageflow.lint.models import StageModel
from stageflow.lint.places import place_of
from stageflow.lint.rules.knowledge import Knowledge
from stageflow.lint.rules.subjects import Subject
from stageflow.pipeline.cycles import find_cycles


def duplicates(subject: Subject) -> Iterator[Finding]:
    """Find stages of the same name."""
    seen: dict[str, StageModel] = {}
    for stage in subject.stages:
        if stage.name is None:
            continue
        first = seen.get(stage.name)
        seen.setdefault(stage.name, stage)
        if first is not None:
            where = place_of(first.module, first.node)
            message = f"{_capital(subject.title)} has two stages named '{stage.name}', the first in line {where.line}."
            write = f"Give one of them another name: '{stage.name}_2'."
            yield subject.finding(
                "duplicate-stage", message, (stage.module, stage.node), write, stage, about=stage.name
            )


def cycles(subject: Subject) -> Iterator[Finding]:
    """Find circles of stages that wait for each other."""
    for cycle in find_cycles({name: [e for e in after if e != name] for name, after in subject.edges.items()}):
        first = subject.by_name[cycle[0]]
        named = subject.edges[cycle[0]][cycle[1]]
        message = f"{_capital(subject.title)} has a cycle: {' -> '.join([*cycle, cycle[0]])}."
        at = (named.module, named.node)
        yield subject.finding("cycle", message, at, "Remove one of these dependencies.", first, about=cycle[1])


def isolated(subject: Subject, knowledge: Knowledge) -> Iterator[Finding]:
    """Find stages that are joined to no other one, in a pipeline in which others are."""
    joined = {name for name, after in subject.edges.items() if after}
    joined |= {each for after in subject.edges.values() for each in after}
    if not joined:
        return
    for stage in subject.stages:  # a read that was not declared is told by itself
        read = {each.stage for each in knowledge.reads(stage).reads if each.stage in subject.by_name}
        joined |= {stage.name or "", *read} if read else set()
        joined |= {meant for name in knowledge.declared(stage).names if (meant := subject.meant_by(name))}
    for stage in subject.stages:
        if stage.name not in joined and stage.whole and knowledge.reads(stage).known:
            message = f"Stage '{stage.name}' is joined to no other stage of {subject.title}."
            write = "Declare what it depends on, let another stage depend on it, or remove it."
            yield subject.finding("isolated-stage", message, (stage.module, stage.node), write, stage)


def discarded(thrown_away: Mapping[ast.Call, Module]) -> Iterator[Finding]:
    """Find builder calls whose pipeline nobody keeps."""
    for node, module in thrown_away.items():
        if isinstance(node.func, ast.Attribute):
            method, receiver = node.func.attr, node.func.value
            kept = f"{receiver.id} = {receiver.id}" if isinstance(receiver, ast.Name) else "pipeline = (...)"
            message = f"{method}() returns a new pipeline and leaves the old one as it is; this one is thrown away."
            write = f"Write: {kept}.{method}(...)"
            yield Finding("discarded-pipeline", message, place_of(module, node), write)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
