"""What a stage returns, as far as its code shows."""

from __future__ import annotations

import ast
from typing import Any

from stageflow.lint.definitions import Bound, ClassValue, Function, Instance
from stageflow.lint.evaluation.evaluator import Evaluator
from stageflow.lint.evaluation.facts import is_generator
from stageflow.lint.evaluation.frames import Frame
from stageflow.lint.evaluation.joining import is_ours
from stageflow.lint.models import StageModel
from stageflow.lint.reading import StageReads, made_of, parameters_of, plain
from stageflow.lint.values import CONTEXT, UNKNOWN, Constant, Output, Record


def keys_of(evaluator: Evaluator, stage: StageModel) -> frozenset[str] | None:
    """Return the keys that the data of a stage can have, or None if that is not known."""
    if stage.source is not None:
        return frozenset({"items"})
    declared = stage.option("output")
    if declared is not None:
        return _fields(evaluator.value(Frame(stage.options_module, stage.options_module.scope), declared))
    instance = made_of(evaluator, stage.runner)
    runner = stage.runner
    bound: list[Any] = [runner.of] if isinstance(runner, Bound) else []
    function = runner.function if isinstance(runner, Bound) else runner
    if instance is not None:
        function = instance.kind.member("execute")
    if not isinstance(function, Function) or isinstance(function.node, ast.Lambda):
        return None
    if is_generator(function.node):
        return _closing_keys(_frame(evaluator, function, instance, bound))
    annotated = _annotated_keys(evaluator, function)
    return _returned_keys(_frame(evaluator, function, instance, bound)) if annotated is None else annotated


def _frame(evaluator: Evaluator, function: Function, instance: Instance | None, bound: list[Any]) -> Frame | None:
    evaluator.following = function.module
    if instance is not None:
        return evaluator.frame_of(function, [instance, CONTEXT], {})
    named = parameters_of(evaluator, function, StageReads(), bound=len(bound))
    return None if named is None else evaluator.frame_of(function, bound, named)


def _annotated_keys(evaluator: Evaluator, function: Function) -> frozenset[str] | None:
    annotation = plain(getattr(function.node, "returns", None))
    frame = Frame(function.module, function.scope)
    if isinstance(annotation, ast.Subscript) and is_ours(evaluator.value(frame, annotation.value), "StageOutput"):
        annotation = plain(annotation.slice)
    return None if annotation is None else _fields(evaluator.value(frame, annotation))


def _returned_keys(frame: Frame | None) -> frozenset[str] | None:
    return None if frame is None or not frame.returned else _all_keys(frame.returned)


def _closing_keys(frame: Frame | None) -> frozenset[str] | None:
    """Return the keys of the output that a stream ends with: a count, unless it yields one."""
    if frame is None:
        return None
    outputs = [each for each, _ in frame.yielded if isinstance(each, Output)]
    if outputs:
        return _all_keys(outputs)
    are_chunks = all(each is not UNKNOWN for each, _ in frame.yielded)
    return frozenset({"count"}) if are_chunks else None


def _all_keys(values: list[Any]) -> frozenset[str] | None:
    found: set[str] = set()
    for value in values:
        keys = _keys_in(value)
        if keys is None:
            return None
        found |= keys
    return frozenset(found) or None  # one that returns nothing yet is not worth a word


def _keys_in(value: Any) -> frozenset[str] | None:
    match value:
        case Output():
            return frozenset() if value.made_by != "ok" else _keys_in(value.data)
        case Record():
            return frozenset(value.fields) if value.complete else None
        case Instance():
            return _fields(value.kind)
        case Constant(value=None):
            return frozenset()
        case _:
            return None


# --- the fields of a class --------------------------------------------------------------------------------------------

_RECORD_BASES = ("TypedDict", "NamedTuple", "BaseModel", "Struct")
_RECORD_DECORATORS = ("dataclass", "define", "frozen", "mutable")


def _fields(kind: Any) -> frozenset[str] | None:
    """Return the fields of a class whose objects are contract values, or None if they are not all known."""
    if not isinstance(kind, ClassValue) or not kind.is_whole() or not _is_record(kind) or _may_have_more(kind):
        return None
    fields = kind.fields()
    return frozenset(fields) if fields else None


def _is_record(kind: ClassValue) -> bool:
    return kind.derives_from(*_RECORD_BASES) or any(
        name in ast.unparse(decorator)
        for each in kind.line()
        for decorator in each.node.decorator_list
        for name in _RECORD_DECORATORS
    )


def _may_have_more(kind: ClassValue) -> bool:
    """Return whether an object may have other keys than its fields: pydantic's extras, aliases, computed fields."""
    for each in kind.line():
        if "model_config" in each.scope.names or any(word.arg not in _PLAIN_KEYWORDS for word in each.node.keywords):
            return True
        decorated = (node for node in each.node.body if isinstance(node, ast.FunctionDef))
        if any("computed_field" in ast.unparse(d) for node in decorated for d in node.decorator_list):
            return True
    return False


_PLAIN_KEYWORDS = frozenset({"total", "frozen", "kw_only", "slots", "order"})
