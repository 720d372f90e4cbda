"""The rule that looks for reads of what was not declared, and works out what to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stageflow.lint.definitions import Module
from stageflow.lint.findings import Declaration, Finding
from stageflow.lint.models import StageModel
from stageflow.lint.places import place_of
from stageflow.lint.reading import Read
from stageflow.lint.rules.knowledge import Declared, Knowledge
from stageflow.lint.rules.stages import line_to_write
from stageflow.lint.rules.subjects import Subject, titled


class Siblings:
    """Which stages the same piece of source makes, and which files may be changed: a fix of one is a fix of all."""

    def __init__(self, stages: Sequence[StageModel], own: Sequence[Module]) -> None:
        self._made: dict[int, list[StageModel]] = {}
        self._own = {id(module) for module in own}
        self._told: dict[tuple[int, int, str], StageModel] = {}
        for stage in stages:
            self._made.setdefault(id(stage.options), []).append(stage)

    def is_told(self, stage: StageModel, read: Read) -> bool:
        """Return whether a stage that the same call makes was told of a read: of those of a loop, one is enough."""
        return self._told.setdefault((id(read.node), id(stage.options), read.stage), stage) is not stage

    def obstacle(self, stage: StageModel, name: str) -> str:
        """Return why the options of a stage cannot be changed, or nothing."""
        if stage.options is None:
            return "the stage is made by a call that takes no options"
        if id(stage.options_module) not in self._own:
            return f"the stage is declared in {stage.options_module.path}, which was not asked for"
        others = self._made.get(id(stage.options), [])
        if any(other.runner is not stage.runner for other in others) or name in {other.name for other in others}:
            return "the same call makes other stages, too"
        return ""


def undeclared(subject: Subject, stage: StageModel, knowledge: Knowledge, siblings: Siblings) -> Iterator[Finding]:
    """Find reads of stages that the stage does not declare."""
    reads, declared = knowledge.reads(stage), knowledge.declared(stage)
    if not (stage.whole and reads.known):
        return
    told: set[tuple[str, bool]] = set()
    for read in reads.reads:
        is_stream = read.method == "stream"
        fault = _fault(read.stage, is_stream, declared)
        if fault is None or read.method == "data" or (read.stage, is_stream) in told:
            continue
        told.add((read.stage, is_stream))
        if read.stage == stage.name:
            message, write = f"{titled(stage)} reads itself.", "Remove it: a stage has no output before it ends."
            at = (read.module, read.node)
            yield subject.finding("self-dependency", message, at, write, stage, about=read.stage)
        elif siblings.is_told(stage, read):
            continue
        elif subject.whole and read.stage not in subject.by_name:
            message = f"{titled(stage)} reads '{read.stage}', which is not in {subject.title}."
            write = subject.suggestions(read.stage)
            yield subject.finding("unknown-stage", message, (read.module, read.node), write, stage, about=read.stage)
        elif read.stage not in map(subject.meant_by, declared.names):
            yield _finding(subject, stage, read, fault, siblings)


def _fault(name: str, is_stream: bool, declared: Declared) -> str | None:
    """Return what is wrong with a read, None if nothing is, nothing if the stage is not declared at all."""
    if name not in declared.names:
        return ""
    if name == declared.mapped:
        return None
    if is_stream and name not in declared.streamed:
        return "reads the stream of '{0}', which it declares as a dependency that it waits for"
    if not is_stream and name in declared.streamed:
        return "reads what '{0}' returned, which it declares as a stream"
    return None


def _finding(subject: Subject, stage: StageModel, read: Read, fault: str, siblings: Siblings) -> Finding:
    at = (read.module, read.node)
    of = "" if subject.model is None else f" of {subject.title}"
    if fault:
        write = f"Write: {_written(stage, 'streams', read.stage)}" if read.method == "stream" else "Read its stream."
        if read.method == "stream":
            write += f", and take '{read.stage}' out of the others"
        message = f"{titled(stage)}{of} {fault.format(read.stage)}."
        why = "the dependency would have to be moved"
        return subject.finding("undeclared-read", message, at, write, stage, about=read.stage, obstacle=why)
    option = {"stream": "streams", "has_output": "optional"}.get(read.method, "dependencies")
    declaration, obstacle = _declaration(subject, stage, option, read.stage, siblings)
    return subject.finding(
        "undeclared-read",
        f"{titled(stage)}{of} reads '{read.stage}' without declaring it.",
        at,
        f"Write: {_written(stage, option, read.stage)}",
        stage,
        about=read.stage,
        declaration=declaration,
        obstacle=obstacle,
    )


def _written(stage: StageModel, option: str, name: str) -> str:
    several = {"dependencies": stage.required, "optional": stage.optional, "streams": stage.streams}
    return line_to_write(several[option], option, name)


def _declaration(
    subject: Subject, stage: StageModel, option: str, name: str, siblings: Siblings
) -> tuple[Declaration | None, str]:
    """Return what would mend it, or why that is left to a person."""
    obstacle = siblings.obstacle(stage, name)
    if not obstacle and stage.join_any:
        obstacle = "its join is not 'all': only a person can say what it waits for"
    if not obstacle and stage.name is not None and subject.waits_for(name, stage.name):
        obstacle = f"'{name}' waits for '{stage.name}': that would be a cycle"
    if obstacle or stage.options is None:
        return None, obstacle
    if stage.name is not None:
        subject.written.setdefault(stage.name, set()).add(name)
    place = place_of(stage.options_module, stage.options)
    return Declaration(place, option, name, stage.shapes.get(option, "none")), ""
