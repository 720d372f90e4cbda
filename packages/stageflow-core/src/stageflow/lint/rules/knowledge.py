"""What is known of each stage: worked out once, however many pipelines it is in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stageflow.lint.definitions import Instance, Module
from stageflow.lint.evaluation.evaluator import Evaluator
from stageflow.lint.models import Named, StageModel
from stageflow.lint.reading import StageReads, reads_of
from stageflow.lint.returning import keys_of

GATING = frozenset({"GUARD", "ROUTE", "WORK"})
"""Kinds of stages that are depended on for what they allow, choose or have done, and not only for what they return."""


class Declared:
    """All that a stage depends on, by its options and by its parameters.

    Attributes:
        required: What must have ended OK.
        optional: What may be absent.
        names: Their names.
        streamed: Those that are read as streams.
        mapped: The one that the stage is mapped over, or None.
    """

    __slots__ = ("mapped", "names", "optional", "required", "streamed")

    def __init__(self, stage: StageModel, reads: StageReads) -> None:
        explicit = {named.name for named in (*stage.required, *stage.optional)}
        streams = [named for named in stage.streams if named.name not in explicit]
        source = [] if stage.source is None else [stage.source]
        self.required: list[Named] = [*stage.required, *streams, *stage.routers, *source, *reads.required]
        self.optional: list[Named] = [*stage.optional, *reads.optional]
        self.names = {named.name for named in (*self.required, *self.optional)}
        self.streamed = {named.name for named in stage.streams} | reads.streamed
        self.mapped = None if stage.source is None else stage.source.name


class Knowledge:
    """What the code of stages reads, declares and returns; stages of the same runner share what it says.

    Args:
        evaluator: What follows their code.
        own: The modules that were asked for.
    """

    def __init__(self, evaluator: Evaluator, own: Iterable[Module]) -> None:
        self._evaluator = evaluator
        self._own = {id(module) for module in own}
        self._reads: dict[tuple[int, int], tuple[Any, StageReads]] = {}
        self._declared: dict[int, tuple[StageModel, Declared]] = {}
        self._keys: dict[tuple[int, int, bool], tuple[StageModel, frozenset[str] | None]] = {}

    def is_own(self, module: Module) -> bool:
        """Return whether a module was asked for, and not only imported by one that was."""
        return id(module) in self._own

    def reads(self, stage: StageModel) -> StageReads:
        """Return what a stage reads."""
        key = (id(stage.runner), id(stage.when))
        if key not in self._reads:
            self._reads[key] = ((stage.runner, stage.when), reads_of(self._evaluator, stage))
        return self._reads[key][1]

    def gates(self, stage: StageModel) -> bool:
        """Return whether a stage decides what goes on: by its kind, or since it asks a human."""
        return stage.kind in GATING or self.asks(stage)

    def asks(self, stage: StageModel) -> bool:
        """Return whether a stage may ask for a decision."""
        runner = stage.runner
        node = runner.kind.node if isinstance(runner, Instance) else getattr(runner, "node", None)
        return node is not None and self._evaluator.facts(node).suspends

    def declared(self, stage: StageModel) -> Declared:
        """Return what a stage depends on."""
        if id(stage) not in self._declared:
            self._declared[id(stage)] = (stage, Declared(stage, self.reads(stage)))
        return self._declared[id(stage)][1]

    def keys(self, stage: StageModel) -> frozenset[str] | None:
        """Return the keys that the data of a stage can have, or None if that is not known."""
        key = (id(stage.runner), id(stage.option("output")), stage.source is not None)
        if key not in self._keys:
            self._keys[key] = (stage, keys_of(self._evaluator, stage))
        return self._keys[key][1]
