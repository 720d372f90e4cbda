"""The rules that look at one stage of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator

from stageflow.lint.findings import Finding
from stageflow.lint.models import Named, StageModel
from stageflow.lint.reading import KEYED
from stageflow.lint.rules.knowledge import Knowledge
from stageflow.lint.rules.subjects import Subject, titled
from stageflow.wording import listed, nearest

MOST_SHOWN_KEYS = 8


def declared_twice(subject: Subject, stage: StageModel) -> Iterator[Finding]:
    """Find dependencies that a stage declares more than once."""
    seen: set[str] = set()
    for named in (*stage.required, *stage.optional):
        if named.name is not None and named.name in seen:
            message = f"{titled(stage)} declares '{named.name}' twice."
            at = (named.module, named.node)
            yield subject.finding("duplicate-stage", message, at, "Keep one of the two.", stage, about=named.name)
        seen.add(named.name or "")


def wrong_names(subject: Subject, stage: StageModel, knowledge: Knowledge) -> Iterator[Finding]:
    """Find dependencies on the stage itself, and on what is not in its pipeline."""
    declared = knowledge.declared(stage)
    for named in (*declared.required, *declared.optional):
        at = (named.module, named.node)
        if named.name is None:
            continue
        if named.name == stage.name:
            message = f"{titled(stage)} depends on itself."
            write = "Remove it; what a stage knew earlier belongs in the snapshot."
            yield subject.finding("self-dependency", message, at, write, stage, about=named.name)
        elif subject.whole and named.name not in subject.by_name:
            message = f"{titled(stage)} depends on '{named.name}', which is not in {subject.title}."
            write = subject.suggestions(named.name)
            yield subject.finding("unknown-stage", message, at, write, stage, about=named.name)


def unused(subject: Subject, stage: StageModel, knowledge: Knowledge) -> Iterator[Finding]:
    """Find dependencies that the stage's code never reads, on stages that are there to be read."""
    reads, declared = knowledge.reads(stage), knowledge.declared(stage)
    for named in reads.unused:
        if named.name is not None and _is_to_be_read(subject, stage, named.name, knowledge):
            message = f"{titled(stage)} takes '{named.name}' and never uses it."
            write = f"Remove the parameter; if '{named.name}' only has to come first, its kind is WORK."
            yield subject.finding(
                "unused-dependency", message, (named.module, named.node), write, stage, about=named.name
            )
    if not (reads.whole and reads.known) or stage.join_any or reads.asks_all or stage.kind is None:
        return
    needed = {read.stage for read in reads.reads} | {declared.mapped} | {router.name for router in stage.routers}
    needed |= {named.name for named in (*reads.required, *reads.optional)}
    needed |= {subject.meant_by(read.stage) for read in reads.reads}
    for option, several in (("dependencies", stage.required), ("optional", stage.optional), ("streams", stage.streams)):
        for named in several:
            if named.name is None or named.name in needed or not _is_to_be_read(subject, stage, named.name, knowledge):
                continue
            message = f"{titled(stage)} of {subject.title} declares '{named.name}' in {option}= and never reads it."
            write = f"Remove it from {option}=, or read it; if '{named.name}' only has to come first, its kind is WORK."
            yield subject.finding(
                "unused-dependency", message, (named.module, named.node), write, stage, about=named.name
            )


def _is_to_be_read(subject: Subject, stage: StageModel, name: str, knowledge: Knowledge) -> bool:
    """Return whether one stage depends on another one for what that returns, and for nothing else."""
    upstream = subject.by_name.get(name)
    if upstream is None or upstream is stage or upstream.kind is None or knowledge.gates(upstream):
        return False
    return not knowledge.asks(stage)  # what a human is asked about has come first, whether or not the code reads it


def optional_reads(subject: Subject, stage: StageModel, knowledge: Knowledge) -> Iterator[Finding]:
    """Find reads of optional dependencies that have nothing for when they are absent."""
    reads, declared = knowledge.reads(stage), knowledge.declared(stage)
    names = {named.name for named in declared.optional} - {named.name for named in declared.required}
    for read in reads.reads:
        if read.stage not in names or read.stage in reads.guarded or read.has_default:
            continue
        if read.method == "stream":
            continue  # nothing but the stream itself tells whether it is there
        if read.method == "get_from":
            write = f"Write: inputs.get_from({quoted(read.stage)}, {quoted(read.key or 'key')}, default)"
        else:
            write = f"Write: if inputs.has_output({quoted(read.stage)}): ..."
        message = f"{titled(stage)} reads '{read.stage}', which is optional, and has nothing for when it is absent."
        yield subject.finding("optional-read", message, (read.module, read.node), write, stage, about=read.stage)


def unknown_keys(subject: Subject, stage: StageModel, knowledge: Knowledge) -> Iterator[Finding]:
    """Find reads of keys that the other stage visibly never returns."""
    if subject.several:
        return
    declared = knowledge.declared(stage)
    for read in knowledge.reads(stage).reads:
        upstream = subject.by_name.get(read.stage)
        if read.key is None or upstream is None or read.stage not in declared.names:
            continue
        keys = knowledge.keys(upstream) if read.method in KEYED or read.method == "data" else None
        if keys is not None and read.key not in keys:
            if read.method == "data" and read.has_default and not knowledge.is_own(read.module):
                continue  # a stage of a library is to fit several others
            message = f"{titled(stage)} reads '{read.key}' of '{read.stage}', which never returns it."
            write = f"{nearest(read.key, sorted(keys))}Its keys: {listed(sorted(keys), MOST_SHOWN_KEYS)}."
            at = (read.module, read.node)
            yield subject.finding("unknown-key", message, at, write, stage, about=f"{read.stage}.{read.key}")
    yield from _unknown_items(subject, stage, knowledge)


def _unknown_items(subject: Subject, stage: StageModel, knowledge: Knowledge) -> Iterator[Finding]:
    """Find a stage that is mapped over a key that the other stage visibly never returns."""
    source, key = stage.source, stage.source_key
    upstream = None if source is None or source.name is None else subject.by_name.get(source.name)
    keys = None if upstream is None or key is None else knowledge.keys(upstream)
    if source is not None and key is not None and keys is not None and key not in keys:
        message = f"{titled(stage)} is mapped over '{key}' of '{source.name}', which never returns it."
        write = f"{nearest(key, sorted(keys))}Its keys: {listed(sorted(keys), MOST_SHOWN_KEYS)}."
        at = (source.module, source.node)
        yield subject.finding("unknown-key", message, at, write, stage, about=f"{source.name}.{key}")


def line_to_write(several: list[Named], option: str, name: str) -> str:
    """Return an option with one more name."""
    names = [*dict.fromkeys(named.name for named in several if named.name is not None), name]
    return f"{option}=({', '.join(map(quoted, names))}{',' if len(names) == 1 else ''})"


def quoted(name: str) -> str:
    """Return a name as the source writes it."""
    return f'"{name}"'
