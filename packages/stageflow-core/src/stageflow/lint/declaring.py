"""What a stage declares: its name, its kind, its options."""

from __future__ import annotations

import ast
from typing import Any

from stageflow.lint.definitions import Bound, ClassValue, Function, Instance
from stageflow.lint.evaluation.evaluator import Evaluator
from stageflow.lint.evaluation.frames import Frame
from stageflow.lint.evaluation.joining import items_of
from stageflow.lint.models import Decorator, Named, StageModel
from stageflow.lint.values import UNKNOWN, Constant, External, Items, Record


class Declaring:
    """Reads declarations."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def of_function(self, frame: Frame, function: Function, how: Decorator, node: ast.AST) -> StageModel:
        """Return the stage that `@stage`, or `stage(function)`, makes of a function."""
        options = how.options
        given = None
        if isinstance(options, ast.Call):
            given = next((each.value for each in options.keywords if each.arg == "name"), None)
        name = function.name if given is None else self.text(frame, given)
        made = StageModel(name, function, node, frame.module)
        if node is not options:  # `stage(function)` has no place for options
            made.options, made.options_module = options, how.module
        self._options(frame, made)
        self._kind(frame, made, made.option("kind"))
        return made

    def spelled_out(self, frame: Frame, node: ast.Call) -> StageModel:
        """Return the stage of `with_stage(name, runner, kind, ...)` or `stage(name, runner, kind, ...)`."""
        name = self.text(frame, argument(node, 0, "name"))
        given = argument(node, 1, "runner")
        runner = UNKNOWN if given is None else self._evaluator.value(frame, given)
        made = StageModel(name, runner, argument(node, 0, "name") or node, frame.module)
        made.options = node
        if any(isinstance(each, ast.Starred) for each in node.args):
            made.name, made.runner, made.whole = None, UNKNOWN, False
        if isinstance(runner, StageModel):  # which the build refuses
            made.runner = UNKNOWN
        self._options(frame, made)
        self._kind(frame, made, argument(node, 2, "kind"))
        return made

    def text(self, frame: Frame, node: ast.expr | None) -> str | None:
        """Return the text that an expression stands for, or None if it is not known."""
        value = UNKNOWN if node is None else self._evaluator.value(frame, node)
        return value.value if isinstance(value, Constant) and isinstance(value.value, str) else None

    def _kind(self, frame: Frame, made: StageModel, given: ast.expr | None) -> None:
        value: Any = UNKNOWN
        if given is not None:
            value = self._evaluator.value(frame, given)
        elif isinstance(made.runner, (Function, Bound)):
            value = _TRANSFORM
        elif isinstance(made.runner, (ClassValue, Instance)):
            value = self._evaluator.attribute(made.runner, "kind")
            kind = made.runner if isinstance(made.runner, ClassValue) else made.runner.kind
            if value is UNKNOWN and kind.is_whole() and kind.member("kind") is None:
                value = _TRANSFORM
        if isinstance(value, External) and ".StageKind." in f".{value.name}":
            made.kind = value.short

    def _options(self, frame: Frame, made: StageModel) -> None:
        for keyword in made.options.keywords if isinstance(made.options, ast.Call) else ():
            value = self._evaluator.value(frame, keyword.value)
            match keyword.arg:
                case "dependencies" | "optional" | "streams":
                    self._dependencies(frame, made, keyword.arg, keyword.value, value)
                case "map_over":
                    made.source = self._source(frame, keyword.value, value)
                    key = value.pairs[1][0] if isinstance(value, Items) and len(value.pairs) == 2 else UNKNOWN
                    made.source_key = key.value if isinstance(key, Constant) and isinstance(key.value, str) else None
                    no_map = isinstance(value, Constant) and value.value is None
                    made.whole = made.whole and (no_map or made.source is not None)
                case "route":
                    made.whole = self._routers(frame, made, keyword.value, value) and made.whole
                case "join":
                    made.join_any = not (isinstance(value, Constant) and value.value == "all")
                case "when":
                    made.when = None if isinstance(value, Constant) and value.value is None else value
                case None:
                    made.whole = False
                case _:
                    pass

    def _dependencies(self, frame: Frame, made: StageModel, option: str, node: ast.expr, value: Any) -> None:
        targets = {"dependencies": made.required, "optional": made.optional, "streams": made.streams}
        made.shapes[option] = "one" if isinstance(value, (Constant, StageModel)) else "several"
        if isinstance(value, (Constant, StageModel)):
            declared = [Named(name_of(value), node, frame.module)]
        else:
            items = items_of(value)
            made.whole = made.whole and items is not None and items.complete
            literal = isinstance(node, (ast.Tuple, ast.List, ast.Set))
            pairs = [] if items is None else items.pairs
            declared = [Named(name_of(each), place if literal else node, frame.module) for each, place in pairs]
        made.whole = made.whole and all(each.name is not None for each in declared)
        targets[option] += declared

    def _source(self, frame: Frame, node: ast.expr, value: Any) -> Named | None:
        place: ast.AST = node
        if isinstance(value, Items) and value.pairs:
            value, inner = value.pairs[0]
            place = inner if isinstance(node, ast.Tuple) else node
        name = name_of(value)
        return None if name is None else Named(name, place, frame.module)

    def _routers(self, frame: Frame, made: StageModel, node: ast.expr, value: Any) -> bool:
        """Note the routers of a `route=`, and return whether all of them are known."""
        if isinstance(node, ast.Dict):
            keys = [(None if key is None else name_of(self._evaluator.value(frame, key)), key) for key in node.keys]
            known = [Named(name, key, frame.module) for name, key in keys if name is not None and key is not None]
            made.routers += known
            return len(known) == len(keys)
        if isinstance(value, Record) and value.complete:
            made.routers += (Named(name, node, frame.module) for name in value.fields)
            return True
        return isinstance(value, Constant) and value.value is None


_TRANSFORM = External("stageflow.StageKind.TRANSFORM")


def name_of(value: Any) -> str | None:
    """Return the name of a stage that is given by its name or its handle, or None if it is not known."""
    if isinstance(value, StageModel):
        return value.name
    return value.value if isinstance(value, Constant) and isinstance(value.value, str) else None


def argument(node: ast.Call, place: int, name: str) -> ast.expr | None:
    """Return what a call gives as an argument, by its place or by its name."""
    if any(isinstance(each, ast.Starred) for each in node.args[: place + 1]):
        return None
    if len(node.args) > place:
        return node.args[place]
    return next((each.value for each in node.keywords if each.arg == name), None)
