"""Pipelines and stages as the source builds them."""

from __future__ import annotations

import ast
from typing import Any

from stageflow.lint.declaring import Declaring, argument
from stageflow.lint.definitions import ClassValue, Function, Instance, Module
from stageflow.lint.evaluation.evaluator import Evaluator
from stageflow.lint.evaluation.frames import Frame
from stageflow.lint.evaluation.joining import is_ours, items_of
from stageflow.lint.models import Decorator, PipelineModel, StageModel
from stageflow.lint.modules import Modules
from stageflow.lint.values import UNKNOWN, Items

_EXTENDING = frozenset({"with_stage", "compose", "with_interceptors"})
_USING = frozenset({"build", "run", "start", "run_sync"})


class Building:
    """Follows modules, and keeps what they build.

    Attributes:
        pipelines, stages: In the order in which they are made.
        thrown_away: Calls that return a pipeline which nobody keeps, each with its module.
    """

    def __init__(self, modules: Modules) -> None:
        self.evaluator = Evaluator(modules, self)
        self.pipelines: list[PipelineModel] = []
        self.stages: list[StageModel] = []
        self.thrown_away: dict[ast.Call, Module] = {}
        self._declaring = Declaring(self.evaluator)

    # --- what the evaluation asks -----------------------------------------------------------------------------------

    def call(self, frame: Frame, node: ast.Call, function: Any, receiver: Any) -> Any:
        """Return what a call makes if it is one of a builder, else None."""
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if isinstance(receiver, PipelineModel):
            return self._of_pipeline(frame, node, receiver, method)
        if isinstance(receiver, StageModel) and method == "named":
            name = self._declaring.text(frame, argument(node, 0, "name"))
            return self._kept(receiver.renamed(name, node, frame.module))
        if is_ours(function, "Pipeline"):
            return self._pipeline(frame, node)
        if is_ours(function, "from_stages"):
            return self._from_stages(frame, node)
        if is_ours(function, "stage"):
            return self._stage(frame, node)
        if is_ours(function, "StageSpec"):
            return self._spec(frame, node)
        if isinstance(function, Decorator) and len(node.args) == 1:
            given = self.evaluator.value(frame, node.args[0])
            return self._of_function(frame, given, function, node) if isinstance(given, Function) else UNKNOWN
        if method == "with_stage" and receiver is UNKNOWN:
            return self._on_unknown(frame, node)
        if method == "run_pipeline" and node.args:
            child = self.evaluator.value(frame, node.args[0])
            if isinstance(child, PipelineModel):
                self._use(child)
        return None

    def decorate(self, frame: Frame, decorator: ast.expr, node: ast.AST, function: Function) -> Any:
        """Return the stage that `@stage` makes of a function."""
        return self._of_function(frame, function, Decorator(decorator, frame.module), node)

    def either(self, one: PipelineModel, other: PipelineModel) -> PipelineModel:
        """Return the pipeline that stands for either of two."""
        stages = [*one.stages(), *_others(other, one)]
        both = self._made(PipelineModel(one.name, stages, one.complete and other.complete, one.node, one.module))
        both.several = True
        one.extensions += 1
        other.extensions += 1
        return both

    def opened(self, pipeline: PipelineModel) -> PipelineModel:
        """Return the pipeline that stands for one with any stages more."""
        opened = self._extended(pipeline, [], complete=False, node=pipeline.node, module=pipeline.module)
        opened.several = True
        return opened

    def given(self, node: ast.AST, module: Module) -> PipelineModel:
        """Return the pipeline that a parameter stands for."""
        return PipelineModel(None, [], complete=False, node=node, module=module)

    def discarded(self, frame: Frame, node: ast.Call, value: Any) -> None:
        """Note a statement that is nothing but a call, if the pipeline that it returns is lost."""
        if not (isinstance(value, PipelineModel) and isinstance(node.func, ast.Attribute)):
            return
        if node.func.attr in _EXTENDING:
            value.extensions += 1  # nobody has it, so it is not looked at
            if value.base is not None:
                value.base.extensions -= 1
            if not (self.evaluator.expecting or self.evaluator.trying):
                self.thrown_away[node] = frame.module

    # --- pipelines --------------------------------------------------------------------------------------------------

    def _made(self, pipeline: PipelineModel) -> PipelineModel:
        pipeline.planted = self.evaluator.expecting > 0
        self.pipelines.append(pipeline)
        return pipeline

    def _use(self, pipeline: PipelineModel) -> None:
        if self.evaluator.expecting:
            pipeline.planted = pipeline.planted or not pipeline.used
        else:
            pipeline.planted = False
        pipeline.used = True

    def _pipeline(self, frame: Frame, node: ast.Call) -> PipelineModel:
        given = argument(node, 1, "stages")
        for each in (*node.args, *(keyword.value for keyword in node.keywords)):
            if each is not given and not isinstance(each, ast.Starred):
                self.evaluator.value(frame, each)
        items = Items([]) if given is None else items_of(self.evaluator.value(frame, given))
        unclear = any(isinstance(each, ast.Starred) for each in node.args)
        unclear = unclear or any(each.arg is None for each in node.keywords)
        name_given = argument(node, 0, "name")
        name = None if name_given is None else self._declaring.text(frame, name_given)
        return self._of_items(frame, node, name, items, unclear)

    def _from_stages(self, frame: Frame, node: ast.Call) -> PipelineModel:
        listed = ast.copy_location(ast.List(list(node.args), ast.Load()), node)
        items = items_of(self.evaluator.value(frame, listed))
        name = self._declaring.text(frame, next((each.value for each in node.keywords if each.arg == "name"), None))
        return self._of_items(frame, node, name, items, unclear=False)

    def _of_items(
        self, frame: Frame, node: ast.Call, name: str | None, items: Items | None, unclear: bool
    ) -> PipelineModel:
        values = [] if items is None else [value for value, _ in items.pairs]
        stages = [value for value in values if isinstance(value, StageModel)]
        complete = items is not None and items.complete and not unclear and len(stages) == len(values)
        pipeline = self._made(PipelineModel(name, stages, complete, node, frame.module))
        pipeline.several = items is not None and items.several
        return pipeline

    def _of_pipeline(self, frame: Frame, node: ast.Call, pipeline: PipelineModel, method: str) -> Any:
        if method == "with_stage":
            made = self._kept(self._declaring.spelled_out(frame, node))
            complete = pipeline.complete and made.name is not None
            return self._extended(pipeline, [made], complete, node, frame.module)
        if method == "compose":
            return self._composed(frame, node, pipeline)
        for each in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.evaluator.value(frame, each.value if isinstance(each, ast.Starred) else each)
        if method == "with_interceptors":
            return self._extended(pipeline, [], pipeline.complete, node, frame.module)
        if method in _USING:
            self._use(pipeline)
        return pipeline if method == "build" else UNKNOWN

    def _composed(self, frame: Frame, node: ast.Call, pipeline: PipelineModel) -> PipelineModel:
        other = self.evaluator.value(frame, node.args[0]) if node.args else UNKNOWN
        if not isinstance(other, PipelineModel):
            return self._extended(pipeline, [], complete=False, node=node, module=frame.module)
        other.extensions += 1
        complete = pipeline.complete and other.complete
        both = self._extended(pipeline, _others(other, pipeline), complete, node, frame.module)
        both.several = True  # what is equal in both is merged
        return both

    def _extended(
        self, pipeline: PipelineModel, added: list[StageModel], complete: bool, node: ast.AST, module: Module
    ) -> PipelineModel:
        pipeline.extensions += 1
        return self._made(PipelineModel(pipeline.name, added, complete, node, module, base=pipeline))

    def _on_unknown(self, frame: Frame, node: ast.Call) -> PipelineModel | None:
        """Return what `with_stage` makes of a pipeline that is not known, if what it is given is certainly a stage."""
        given = argument(node, 1, "runner")
        runner = UNKNOWN if given is None else self.evaluator.value(frame, given)
        kind = runner.kind if isinstance(runner, Instance) else runner
        is_stage = isinstance(kind, ClassValue) and isinstance(kind.member("execute"), Function)
        if not is_stage or "with_stage" in self.evaluator.facts(frame.module.tree).assigned:
            return None  # or a builder of somebody else's
        return self._of_pipeline(frame, node, self.given(node, frame.module), "with_stage")

    # --- stages -----------------------------------------------------------------------------------------------------

    def _kept(self, stage: StageModel) -> StageModel:
        if not self.evaluator.expecting:
            self.stages.append(stage)
        return stage

    def _stage(self, frame: Frame, node: ast.Call) -> Any:
        if not node.args:
            for each in node.keywords:
                self.evaluator.value(frame, each.value)
            return Decorator(node, frame.module)
        first = self.evaluator.value(frame, node.args[0])
        if isinstance(first, Function):
            return self._of_function(frame, first, Decorator(node, frame.module), node)
        return self._kept(self._declaring.spelled_out(frame, node))

    def _spec(self, frame: Frame, node: ast.Call) -> StageModel:
        made = self._kept(self._declaring.spelled_out(frame, node))
        made.whole = made.whole and len(node.args) <= 3  # the options behind these are by name anywhere else
        return made

    def _of_function(self, frame: Frame, function: Function, how: Decorator, node: ast.AST) -> StageModel:
        return self._kept(self._declaring.of_function(frame, function, how, node))


def _others(pipeline: PipelineModel, than: PipelineModel) -> list[StageModel]:
    known = {id(stage) for stage in than.stages()}
    return [stage for stage in pipeline.stages() if id(stage) not in known]
