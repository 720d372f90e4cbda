"""Applies the rules to what was built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stageflow.lint.building import Building
from stageflow.lint.definitions import Module
from stageflow.lint.findings import Finding
from stageflow.lint.models import PipelineModel, StageModel
from stageflow.lint.rules import graphs, stages
from stageflow.lint.rules.knowledge import Knowledge
from stageflow.lint.rules.subjects import Subject
from stageflow.lint.rules.undeclared import Siblings, undeclared


def findings_of(building: Building, own: Sequence[Module], only: PipelineModel | None = None) -> Iterator[Finding]:
    """Yield what is wrong with what the modules that were asked for build.

    Args:
        building: What was built.
        own: The modules that were asked for.
        only: The pipeline that was asked for, if it is a single one.
    """
    building.evaluator.begin_reading()
    knowledge = Knowledge(building.evaluator, own)
    siblings = Siblings(building.stages, own)
    if only is not None:
        yield from _of_pipeline(Subject(only, only.stages(), knowledge), knowledge, siblings)
        return
    mine = {id(module) for module in own}
    seen: set[int] = set()
    for pipeline in building.pipelines:
        if not pipeline.used and pipeline.extensions:
            continue  # a part of another one
        seen.update(id(stage.runner) for stage in pipeline.stages())
        if id(pipeline.module) in mine and not pipeline.planted:
            yield from _of_pipeline(Subject(pipeline, pipeline.stages(), knowledge), knowledge, siblings)
    # Those that are in no pipeline which can be seen.
    loose = [stage for stage in building.stages if id(stage.module) in mine and id(stage.runner) not in seen]
    subject = Subject(None, loose, knowledge)
    for stage in loose:
        yield from _of_stage(subject, stage, knowledge, siblings)
    yield from graphs.discarded({node: module for node, module in building.thrown_away.items() if id(module) in mine})


def _of_pipeline(subject: Subject, knowledge: Knowledge, siblings: Siblings) -> Iterator[Finding]:
    if not subject.several:
        yield from graphs.duplicates(subject)
    for stage in subject.stages:
        yield from _of_stage(subject, stage, knowledge, siblings)
    if not subject.several:
        yield from graphs.cycles(subject)
    if subject.whole:
        yield from graphs.isolated(subject, knowledge)


def _of_stage(subject: Subject, stage: StageModel, knowledge: Knowledge, siblings: Siblings) -> Iterator[Finding]:
    yield from stages.declared_twice(subject, stage)
    yield from stages.wrong_names(subject, stage, knowledge)
    yield from undeclared(subject, stage, knowledge, siblings)
    yield from stages.optional_reads(subject, stage, knowledge)
    if subject.model is not None:
        yield from stages.unused(subject, stage, knowledge)
        yield from stages.unknown_keys(subject, stage, knowledge)
