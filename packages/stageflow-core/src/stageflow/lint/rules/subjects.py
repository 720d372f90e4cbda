"""The pipeline whose stages are looked at, and how findings name it."""

from __future__ import annotations

from typing import Any

from stageflow.lint.definitions import Module
from stageflow.lint.findings import Declaration, Finding
from stageflow.lint.models import Named, PipelineModel, StageModel
from stageflow.lint.places import place_of
from stageflow.lint.rules.knowledge import Knowledge
from stageflow.wording import listed, nearest, similar

MOST_NEAREST = 100
"""For as many names of a pipeline the nearest one is looked for, which takes the longer the more stages there are."""


class Subject:
    """A pipeline while it is looked at; of stages that are in none, `model` is None.

    Attributes:
        model: The pipeline.
        stages, by_name: Its stages.
        whole: Whether these are all, and all have names.
        edges: For each stage, the stages of the pipeline that it waits for, each with its declaration.
        written: What findings would have declared, beside what is: no two of them may close a circle.
    """

    def __init__(self, model: PipelineModel | None, stages: list[StageModel], knowledge: Knowledge) -> None:
        self.model = model
        self.stages = stages
        self.by_name = {stage.name: stage for stage in stages if stage.name is not None}
        self.several = model is None or model.several
        self.whole = model is not None and model.complete and all(stage.name is not None for stage in stages)
        self.edges: dict[str, dict[str, Named]] = {}
        self.written: dict[str, set[str]] = {}
        self._sought = 0
        self._meant: dict[str, str | None] = {}
        self._knowledge = knowledge
        for stage in stages:
            if stage.name is not None:
                declared = knowledge.declared(stage)
                named = ((each.name, each) for each in (*declared.required, *declared.optional))
                self.edges[stage.name] = {
                    name: each for name, each in named if name is not None and name in self.by_name
                }

    @property
    def title(self) -> str:
        """What a message calls it."""
        return "the pipeline" if self.model is None or self.model.name is None else f"pipeline '{self.model.name}'"

    def suggestions(self, name: str | None) -> str:
        """Return the nearest name of a stage, and which there are."""
        self._sought += 1
        near = nearest(name or "", list(self.by_name)) if self._sought <= MOST_NEAREST else ""
        return f"{near}Stages: {listed(list(self.by_name))}."

    def meant_by(self, name: str | None) -> str | None:
        """Return the stage that was meant by a name that no stage has, or None: what is told of that one is enough."""
        if name is None or not self.whole or name in self.by_name:
            return None
        if name not in self._meant:
            found = similar(name, list(self.by_name)) if len(self._meant) < MOST_NEAREST else ()
            self._meant[name] = found[0] if found else None
        return self._meant[name]

    def waits_for(self, stage: str, other: str) -> bool:
        """Return whether a stage waits for another one, if only through others."""
        seen = {stage}
        waiting = [stage]
        while waiting:
            each = waiting.pop()
            if each == other:
                return True
            after = (*self.edges.get(each, ()), *self.written.get(each, ()))
            waiting += (name for name in after if name not in seen)
            seen.update(after)
        return False

    def finding(
        self,
        rule: str,
        message: str,
        at: tuple[Module, Any],
        write: str,
        stage: StageModel,
        *,
        about: str | None = None,
        declaration: Declaration | None = None,
        obstacle: str = "",
    ) -> Finding:
        """Return what is wrong with a stage of it.

        What is wrong in code that was not asked for, such as a stage of a library, is told of where it is used.
        """
        module, node = at
        if not self._knowledge.is_own(module):
            message = f"{message.rstrip('.')}, in {module.path}, line {node.lineno}."
            user = stage if self.model is None or self._knowledge.is_own(stage.module) else self.model
            module, node = user.module, user.node
        return Finding(
            rule,
            message,
            place_of(module, node),
            write,
            stage=stage.name,
            pipeline=None if self.model is None else self.model.name,
            about=about or "",
            declaration=declaration,
            obstacle=obstacle,
        )


def titled(stage: StageModel) -> str:
    """Return what a message calls a stage, at its beginning."""
    return "A stage" if stage.name is None else f"Stage '{stage.name}'"
