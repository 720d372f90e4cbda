"""What the code of a stage reads of other stages, and what it returns."""

from __future__ import annotations

import ast
from typing import Any

from stageflow.lint.evaluation import Evaluator, Frame, is_ours
from stageflow.lint.values import (
    UNKNOWN,
    ClassValue,
    Constant,
    Context,
    External,
    Function,
    Inputs,
    Instance,
    Items,
    Module,
    Named,
    Output,
    Record,
    StageModel,
    UpstreamData,
)

STAGE_READS = frozenset({"get_from", "require_from", "get_output", "has_output", "value", "stream"})
"""The methods of `ctx.inputs` whose first argument is a stage."""

KEYED = frozenset({"get_from", "require_from"})


class Read:
    """One place where a stage reads another one.

    Attributes:
        stage: Which one.
        method: How: a method of `ctx.inputs`, or "parameter".
        key: Of its data, where that is known.
        has_default: Whether the code says what it gets if the stage, or the key, is absent.
        node, module: Where.
    """

    __slots__ = ("has_default", "key", "method", "module", "node", "stage")

    def __init__(
        self, stage: str, method: str, key: str | None, has_default: bool, node: ast.AST, module: Module
    ) -> None:
        self.stage = stage
        self.method = method
        self.key = key
        self.has_default = has_default
        self.node = node
        self.module = module


class StageReads:
    """What the code of a stage reads.

    Attributes:
        reads: Where, in the order of the code.
        parameters: Of a function, those that are stages: required and optional, and whether the code uses them.
        streamed: Those of them that are read as streams.
        unused: Parameters that the code never mentions, each with its stage and its place.
        keys: The keys that are asked of all dependencies at once.
        whole: Whether nothing else can be read: the context went nowhere where it is not followed.
        known: Whether the code was found at all.
    """

    def __init__(self) -> None:
        self.reads: list[Read] = []
        self.required: list[Named] = []
        self.optional: list[Named] = []
        self.streamed: set[str] = set()
        self.unused: list[Named] = []
        self.keys: list[Read] = []
        self.guarded: set[str] = set()
        self.whole = True
        self.known = True


class _Reader:
    """Collects what one stage reads."""

    def __init__(self, evaluator: Evaluator, found: StageReads) -> None:
        self._evaluator = evaluator
        self._found = found

    def read(self, frame: Frame, method: str, node: ast.Call) -> Any:
        evaluator, found = self._evaluator, self._found
        values = [evaluator.value(frame, each) for each in node.args]
        named = {each.arg: evaluator.value(frame, each.value) for each in node.keywords}
        if method == "get":
            key = values[0] if values else named.get("key", UNKNOWN)
            text = key.value if isinstance(key, Constant) and isinstance(key.value, str) else None
            found.keys.append(Read("", "get", text, True, node, frame.module))
            return UNKNOWN
        if method not in STAGE_READS:
            found.whole = False
            return UNKNOWN
        stage = _stage_name(values[0] if values else named.get("stage", UNKNOWN))
        if stage is None:
            found.whole = False
            return UNKNOWN
        key = (values[1] if len(values) > 1 else named.get("key", UNKNOWN)) if method in KEYED else UNKNOWN
        text = key.value if isinstance(key, Constant) and isinstance(key.value, str) else None
        has_default = method in ("has_output", "get_output") or len(values) > 2 or "default" in named
        if method == "has_output":
            found.guarded.add(stage)
        found.reads.append(Read(stage, method, text, has_default, node, frame.module))
        return UNKNOWN

    def key(self, frame: Frame, stage: str, key: str, node: ast.AST, *, has_default: bool) -> None:
        self._found.reads.append(Read(stage, "parameter", key, has_default, node, frame.module))

    def escaped(self) -> None:
        self._found.whole = False


def _stage_name(value: Any) -> str | None:
    if isinstance(value, StageModel):
        return value.name
    return value.value if isinstance(value, Constant) and isinstance(value.value, str) else None


def reads_of(evaluator: Evaluator, stage: StageModel) -> StageReads:
    """Return what a stage reads, its condition included."""
    found = StageReads()
    evaluator.reader = _Reader(evaluator, found)
    try:
        _of_runner(evaluator, stage, found)
        if stage.when is not None:
            if isinstance(stage.when, Function):
                evaluator.call_function(stage.when, [Inputs(), UNKNOWN], {})
            else:
                found.whole = False
    finally:
        evaluator.reader = None
    return found


def _of_runner(evaluator: Evaluator, stage: StageModel, found: StageReads) -> None:
    runner = stage.runner
    if isinstance(runner, Function):
        named = _parameters(evaluator, runner, found)
        if named is None:
            found.known = found.whole = False
            return
        evaluator.call_function(runner, [], named)
        return
    if isinstance(runner, ClassValue):
        reader, evaluator.reader = evaluator.reader, None
        runner = evaluator.instance(runner, [], {})
        evaluator.reader = reader
    execute = runner.kind.member("execute") if isinstance(runner, Instance) else None
    if not isinstance(execute, Function):
        found.known = found.whole = False
        return
    evaluator.call_function(execute, [runner, Context()], {})


# --- the parameters of functions --------------------------------------------------------------------------------------


def _parameters(evaluator: Evaluator, function: Function, found: StageReads) -> dict[str, Any] | None:
    """Return what each parameter of a function stage stands for, or None if they cannot be understood."""
    arguments = function.node.args
    if arguments.vararg is not None or arguments.kwarg is not None:
        return None
    placed = [*arguments.posonlyargs, *arguments.args]
    optional = {each.arg for each in placed[len(placed) - len(arguments.defaults) :]}
    optional |= {each.arg for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default}
    used = {each.id for each in ast.walk(function.node) if isinstance(each, ast.Name)}
    named: dict[str, Any] = {}
    for each in (*placed, *arguments.kwonlyargs):
        annotation = _plain(each.annotation)
        source, kind = _source_and_type(evaluator, function, annotation)
        named[each.arg] = UNKNOWN
        if is_ours(kind, "StageContext"):
            named[each.arg] = Context()
        elif source is not None or each.arg != "input":
            stage = each.arg if source is None else source
            target = found.optional if each.arg in optional else found.required
            target.append(Named(stage, each))
            if is_ours(kind, "Stream"):
                found.streamed.add(stage)
            elif isinstance(kind, External) and kind.name in _DATA_TYPES:
                named[each.arg] = UpstreamData(stage)
            if each.arg not in used:
                found.unused.append(Named(stage, each))
    return named


_DATA_TYPES = frozenset({"builtins.dict", "typing.Mapping", "collections.abc.Mapping", "typing.Dict"})


def _plain(annotation: ast.expr | None) -> ast.expr | None:
    """Return an annotation without its quotes and its None."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return _plain(ast.parse(annotation.value, mode="eval").body)
        except SyntaxError:
            return None
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        sides = [_plain(annotation.left), _plain(annotation.right)]
        others = [side for side in sides if not (isinstance(side, ast.Constant) and side.value is None)]
        return others[0] if len(others) == 1 else annotation
    return annotation


def _source_and_type(evaluator: Evaluator, function: Function, annotation: ast.expr | None) -> tuple[str | None, Any]:
    """Return the stage that a `From` names, and what the type is."""
    if annotation is None:
        return None, UNKNOWN
    frame = Frame(function.module, function.scope)
    if not isinstance(annotation, ast.Subscript):
        return None, evaluator.value(frame, annotation)
    outer = evaluator.value(frame, annotation.value)
    if isinstance(outer, External) and outer.name.rpartition(".")[2] == "Optional":
        return _source_and_type(evaluator, function, _plain(annotation.slice))
    if not (isinstance(outer, External) and outer.name.rpartition(".")[2] == "Annotated"):
        return None, outer
    parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
    source = None
    for part in parts[1:]:
        if isinstance(part, ast.Call) and is_ours(evaluator.value(frame, part.func), "From") and part.args:
            source = _stage_name(evaluator.value(frame, part.args[0]))
    _, kind = _source_and_type(evaluator, function, _plain(parts[0]))
    return source, kind


# --- what a stage returns -----------------------------------------------------------------------------------------------


def keys_of(evaluator: Evaluator, stage: StageModel) -> frozenset[str] | None:
    """Return the keys that the data of a stage can have, or None if that is not known."""
    if stage.source is not None:
        return frozenset({"items"})
    declared = next((each.value for each in stage.call.keywords if each.arg == "output"), None) if stage.call else None
    if declared is not None:
        return _fields(evaluator.value(Frame(stage.module, stage.module.scope), declared))
    runner = stage.runner
    function: Any = runner
    if isinstance(runner, (ClassValue, Instance)):
        function = (runner if isinstance(runner, ClassValue) else runner.kind).member("execute")
    if not isinstance(function, Function) or isinstance(function.node, ast.Lambda):
        return None
    annotated = _annotated_keys(evaluator, function)
    if annotated is not None:
        return annotated
    return _returned_keys(evaluator, stage, function)


def _annotated_keys(evaluator: Evaluator, function: Function) -> frozenset[str] | None:
    annotation = _plain(getattr(function.node, "returns", None))
    frame = Frame(function.module, function.scope)
    if isinstance(annotation, ast.Subscript) and is_ours(evaluator.value(frame, annotation.value), "StageOutput"):
        annotation = _plain(annotation.slice)
    return None if annotation is None else _fields(evaluator.value(frame, annotation))


def _fields(kind: Any) -> frozenset[str] | None:
    if not isinstance(kind, ClassValue) or not kind.is_whole():
        return None
    fields = kind.fields()
    return frozenset(fields) if fields else None


def _returned_keys(evaluator: Evaluator, stage: StageModel, function: Function) -> frozenset[str] | None:
    named: dict[str, Any] = {}
    arguments: list[Any] = []
    runner = stage.runner
    if isinstance(runner, ClassValue):
        runner = evaluator.instance(runner, [], {})
    if isinstance(runner, Instance):
        arguments = [runner, Context()]
    elif (parameters := _parameters(evaluator, function, StageReads())) is not None:
        named = parameters
    frame = evaluator.frame_of(function, arguments, named)
    if frame is None:
        return None
    keys: set[str] = set()
    streams = any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in ast.walk(function.node))
    given = [each for each in frame.yielded if isinstance(each, Output)] if streams else frame.returned
    if streams and not given:
        return frozenset({"count"})
    if streams and any(not isinstance(each, Output) for each in frame.yielded):
        pass  # chunks
    for value in given:
        found = _keys_in(value)
        if found is None:
            return None
        keys |= found
    return frozenset(keys) if given else None


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
        case Items():
            return None
        case _:
            return None
