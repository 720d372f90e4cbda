"""Pipelines and stages as the source builds them."""

from __future__ import annotations

import ast
from typing import Any

from stageflow.lint.evaluation import Evaluator, Frame, is_ours
from stageflow.lint.modules import Modules
from stageflow.lint.values import (
    UNKNOWN,
    Bound,
    ClassValue,
    Constant,
    Decorator,
    External,
    Function,
    Instance,
    Items,
    Module,
    Named,
    PipelineModel,
    Record,
    StageModel,
)

_EXTENDING = ("with_stage", "compose")
_USING = ("build", "run", "start", "run_sync")


class Building:
    """Follows modules, and keeps what they build.

    Attributes:
        pipelines: In the order in which they are made.
        thrown_away: Calls that return a pipeline which nobody keeps, each with its module.
    """

    def __init__(self, modules: Modules) -> None:
        self.evaluator = Evaluator(modules, self)
        self.pipelines: list[PipelineModel] = []
        self.thrown_away: dict[ast.Call, Module] = {}

    # --- what the evaluation asks -----------------------------------------------------------------------------------

    def call(self, frame: Frame, node: ast.Call, function: Any, receiver: Any) -> Any:
        """Return what a call makes if it is one of a builder, else None."""
        if isinstance(receiver, PipelineModel) and isinstance(node.func, ast.Attribute):
            return self._of_pipeline(frame, node, receiver, node.func.attr)
        if isinstance(receiver, StageModel) and isinstance(node.func, ast.Attribute) and node.func.attr == "named":
            name = self._text(frame, _argument(node, 0, "name"))
            return receiver.renamed(name, node, frame.module)
        if is_ours(function, "Pipeline"):
            return self._pipeline(frame, node)
        if is_ours(function, "from_stages"):
            return self._from_stages(frame, node)
        if is_ours(function, "stage"):
            return self._stage(frame, node)
        if isinstance(function, Decorator) and len(node.args) == 1:
            given = self.evaluator.value(frame, node.args[0])
            return self._decorated(frame, given, function.call, node) if isinstance(given, Function) else UNKNOWN
        if isinstance(node.func, ast.Attribute) and node.func.attr == "run_pipeline" and node.args:
            child = self.evaluator.value(frame, node.args[0])
            if isinstance(child, PipelineModel):
                child.used = True
        return None

    def decorate(self, frame: Frame, node: ast.FunctionDef | ast.AsyncFunctionDef, function: Function) -> Any:
        """Return the stage that `@stage` makes of a function."""
        call = next(
            (each for each in node.decorator_list if isinstance(each, ast.Call) and self._is_stage(frame, each.func)),
            None,
        )
        return self._decorated(frame, function, call, node)

    def merged(self, one: PipelineModel, other: PipelineModel) -> PipelineModel:
        """Return the pipeline that stands for either of two."""
        if one is other:
            return one
        known = {id(stage) for stage in one.stages}
        stages = [*one.stages, *(stage for stage in other.stages if id(stage) not in known)]
        both = self._made(PipelineModel(one.name, stages, one.complete and other.complete, one.node, one.module))
        both.several = True
        one.extensions += 1
        other.extensions += 1
        return both

    def discarded(self, frame: Frame, node: ast.Call, value: Any) -> None:
        """Note a statement that is nothing but a call, if the pipeline that it returns is lost."""
        is_builder = isinstance(node.func, ast.Attribute) and node.func.attr in _EXTENDING
        if is_builder and isinstance(value, PipelineModel):
            value.extensions += 1  # nobody has it, so it is not looked at
            if value.base is not None:
                value.base.extensions -= 1
            self.thrown_away[node] = frame.module
        elif (
            is_builder and value is UNKNOWN and isinstance(node.func, ast.Attribute) and node.func.attr == "with_stage"
        ):
            self.thrown_away[node] = frame.module

    # --- pipelines --------------------------------------------------------------------------------------------------

    def _made(self, pipeline: PipelineModel) -> PipelineModel:
        self.pipelines.append(pipeline)
        return pipeline

    def _pipeline(self, frame: Frame, node: ast.Call) -> PipelineModel:
        given = _argument(node, 1, "stages")
        for each in (*node.args, *(keyword.value for keyword in node.keywords)):
            if each is not given:
                self.evaluator.value(frame, each)
        items = Items([]) if given is None else self.evaluator.value(frame, given)
        unclear = any(isinstance(each, ast.Starred) for each in node.args) or any(
            not each.arg for each in node.keywords
        )
        name = self._text(frame, _argument(node, 0, "name")) if node.args or node.keywords else None
        return self._of_items(frame, node, name, items, unclear)

    def _from_stages(self, frame: Frame, node: ast.Call) -> PipelineModel:
        items = self.evaluator.value(frame, ast.copy_location(ast.List(list(node.args), ast.Load()), node))
        for each in node.keywords:
            self.evaluator.value(frame, each.value)
        return self._of_items(frame, node, None, items, unclear=False)

    def _of_items(self, frame: Frame, node: ast.Call, name: str | None, items: Any, unclear: bool) -> PipelineModel:
        stages: list[StageModel] = []
        complete = isinstance(items, Items) and items.complete and not unclear
        for value, _ in items.pairs if isinstance(items, Items) else ():
            if isinstance(value, StageModel):
                stages.append(value)
            else:
                complete = False
        pipeline = self._made(PipelineModel(name, stages, complete, node, frame.module))
        pipeline.several = isinstance(items, Items) and items.several
        return pipeline

    def _of_pipeline(self, frame: Frame, node: ast.Call, pipeline: PipelineModel, method: str) -> Any:
        if method == "with_stage":
            made = self._spelled_out(frame, node)
            stages = [*pipeline.stages, made]
            complete = pipeline.complete and made.name is not None
            return self._extended(pipeline, stages, complete, node, frame.module)
        if method == "compose":
            other = self.evaluator.value(frame, node.args[0]) if node.args else UNKNOWN
            if not isinstance(other, PipelineModel):
                return self._extended(pipeline, pipeline.stages, complete=False, node=node, module=frame.module)
            other.extensions += 1
            known = {id(stage) for stage in pipeline.stages}
            stages = [*pipeline.stages, *(stage for stage in other.stages if id(stage) not in known)]
            both = self._extended(pipeline, stages, pipeline.complete and other.complete, node, frame.module)
            both.several = True  # what is equal in both is merged
            return both
        for each in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.evaluator.value(frame, each.value if isinstance(each, ast.Starred) else each)
        if method in _USING:
            pipeline.used = True
        return pipeline if method == "build" else UNKNOWN

    def _extended(
        self, pipeline: PipelineModel, stages: list[StageModel], complete: bool, node: ast.AST, module: Module
    ) -> PipelineModel:
        pipeline.extensions += 1
        made = PipelineModel(pipeline.name, stages, complete, node, module)
        made.base = pipeline
        made.several = pipeline.several
        return self._made(made)

    # --- stages -----------------------------------------------------------------------------------------------------

    def _stage(self, frame: Frame, node: ast.Call) -> Any:
        if not node.args:
            for each in node.keywords:
                self.evaluator.value(frame, each.value)
            return Decorator(node)
        first = self.evaluator.value(frame, node.args[0])
        if isinstance(first, Function):
            return self._decorated(frame, first, None, node)
        return self._spelled_out(frame, node)

    def _is_stage(self, frame: Frame, node: ast.expr) -> bool:
        return is_ours(self.evaluator.value(frame, node), "stage")

    def _decorated(self, frame: Frame, function: Function, call: ast.Call | None, node: ast.AST) -> StageModel:
        given = None if call is None else next((each.value for each in call.keywords if each.arg == "name"), None)
        name = function.name if given is None else self._text(frame, given)
        made = StageModel(name, function, node, frame.module, call)
        self._options(frame, made, call)
        self._kind(frame, made, None)
        return made

    def _spelled_out(self, frame: Frame, node: ast.Call) -> StageModel:
        """Return the stage of `with_stage(name, runner, kind, ...)` or `stage(name, runner, kind, ...)`."""
        name = self._text(frame, _argument(node, 0, "name"))
        given = _argument(node, 1, "runner")
        runner = UNKNOWN if given is None else self.evaluator.value(frame, given)
        if isinstance(runner, Bound):
            runner = UNKNOWN
        made = StageModel(name, runner, node, frame.module, node)
        if any(isinstance(each, ast.Starred) for each in node.args):
            made.name, made.runner, made.whole = None, UNKNOWN, False
        if isinstance(runner, StageModel):  # which the build refuses
            made.runner = UNKNOWN
        self._options(frame, made, node)
        self._kind(frame, made, _argument(node, 2, "kind"))
        return made

    def _kind(self, frame: Frame, made: StageModel, given: ast.expr | None) -> None:
        if given is None and made.call is not None:
            given = next((each.value for each in made.call.keywords if each.arg == "kind"), None)
        value: Any
        if given is not None:
            value = self.evaluator.value(frame, given)
        elif isinstance(made.runner, Function):
            value = External("stageflow.StageKind.TRANSFORM")
        elif isinstance(made.runner, (ClassValue, Instance)):
            value = self.evaluator.attribute(made.runner, "kind")
            if value is UNKNOWN and isinstance(made.runner, (ClassValue, Instance)):
                kind = made.runner if isinstance(made.runner, ClassValue) else made.runner.kind
                known = kind.is_whole() and kind.member("kind") is None
                value = External("stageflow.StageKind.TRANSFORM") if known else UNKNOWN
        else:
            value = UNKNOWN
        if isinstance(value, External) and ".StageKind." in f".{value.name}":
            made.kind = value.name.rpartition(".")[2]

    def _options(self, frame: Frame, made: StageModel, call: ast.Call | None) -> None:
        for keyword in () if call is None else call.keywords:
            value = self.evaluator.value(frame, keyword.value)
            match keyword.arg:
                case "dependencies" | "optional" | "streams":
                    declared = self._names(keyword.value, value)
                    made.whole = made.whole and declared is not None
                    target = {"dependencies": made.required, "optional": made.optional, "streams": made.streams}
                    target[keyword.arg] += declared or ()
                case "map_over":
                    made.source = self._source(keyword.value, value)
                    made.whole = made.whole and made.source is not None
                case "route":
                    made.whole = self._routers(frame, made, keyword.value, value) and made.whole
                case "join":
                    made.join_any = not (isinstance(value, Constant) and value.value == "all")
                case "when":
                    made.when = value
                case None:
                    made.whole = False
                case _:
                    pass

    def _names(self, node: ast.expr, value: Any) -> list[Named] | None:
        """Return the dependencies that an option names, or None if not all of them are known."""
        if isinstance(value, (Constant, StageModel)):
            name = _name_of(value)
            return None if name is None else [Named(name, node)]
        if not isinstance(value, Items) or not value.complete:
            return None
        literal = isinstance(node, (ast.Tuple, ast.List, ast.Set))
        named = [Named(_name_of(each), place if literal else node) for each, place in value.pairs]
        return None if any(each.name is None for each in named) else named

    def _source(self, node: ast.expr, value: Any) -> Named | None:
        if isinstance(value, Items) and value.pairs:
            first, place = value.pairs[0]
            name = _name_of(first)
            return None if name is None else Named(name, place if isinstance(node, ast.Tuple) else node)
        name = _name_of(value)
        return None if name is None else Named(name, node)

    def _routers(self, frame: Frame, made: StageModel, node: ast.expr, value: Any) -> bool:
        """Note the routers of a `route=`, and return whether all of them are known."""
        if isinstance(node, ast.Dict):
            keys = [(None if key is None else _name_of(self.evaluator.value(frame, key)), key) for key in node.keys]
            made.routers += (Named(name, key) for name, key in keys if name is not None and key is not None)
            return all(name is not None for name, _ in keys)
        if isinstance(value, Record) and value.complete:
            made.routers += (Named(name, node) for name in value.fields)
            return True
        return False

    def _text(self, frame: Frame, node: ast.expr | None) -> str | None:
        value = UNKNOWN if node is None else self.evaluator.value(frame, node)
        return value.value if isinstance(value, Constant) and isinstance(value.value, str) else None


def _name_of(value: Any) -> str | None:
    if isinstance(value, StageModel):
        return value.name
    return value.value if isinstance(value, Constant) and isinstance(value.value, str) else None


def _argument(node: ast.Call, place: int, name: str) -> ast.expr | None:
    if len(node.args) > place:
        return node.args[place]
    return next((each.value for each in node.keywords if each.arg == name), None)
