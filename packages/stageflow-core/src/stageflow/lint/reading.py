"""What the code of a stage reads of other stages."""

from __future__ import annotations

import ast
from typing import Any

from stageflow.lint.declaring import name_of
from stageflow.lint.definitions import Bound, ClassValue, Function, Instance, Module
from stageflow.lint.evaluation.evaluator import Evaluator, default_values
from stageflow.lint.evaluation.facts import is_stub
from stageflow.lint.evaluation.frames import Frame
from stageflow.lint.evaluation.joining import is_ours
from stageflow.lint.models import Named, StageModel
from stageflow.lint.values import (
    CONTEXT,
    INPUTS,
    UNKNOWN,
    Answer,
    Constant,
    External,
    UpstreamData,
    UpstreamOutput,
)

STAGE_READS = frozenset({"get_from", "require_from", "get_output", "has_output", "value", "stream"})
"""The methods of `ctx.inputs` whose first argument is a stage."""

KEYED = frozenset({"get_from", "require_from"})
"""Those whose second one is a key of its data."""

ASKING = frozenset({"has_output", "get_output"})
"""Those that tell whether there is any output."""


class Read:
    """One place where a stage reads another one.

    Attributes:
        stage: Which one.
        method: How: a method of `ctx.inputs`, or "data" if it is a key of what was read before.
        key: Of its data, where that is known.
        has_default: Whether the code says what it does if the stage is absent.
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
        required, optional: Of a function, the parameters that are stages.
        streamed: Those of them that are read as streams.
        unused: Parameters that the code never mentions, each with its stage.
        asks_all: Whether it reads a key of whichever dependency has it.
        guarded: The stages of which it asks whether they have any output.
        whole: Whether nothing else can be read: the context went nowhere where it is not followed.
        known: Whether the code was found at all.
    """

    def __init__(self) -> None:
        self.reads: list[Read] = []
        self.required: list[Named] = []
        self.optional: list[Named] = []
        self.streamed: set[str] = set()
        self.unused: list[Named] = []
        self.asks_all = False
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
        unclear = any(isinstance(each, ast.Starred) for each in node.args)
        values = [evaluator.value(frame, each) for each in node.args if not isinstance(each, ast.Starred)]
        named = {each.arg: evaluator.value(frame, each.value) for each in node.keywords}
        if method == "get":
            found.asks_all = True
            return UNKNOWN
        stage = name_of(values[0] if values else named.get("stage", UNKNOWN))
        if method not in STAGE_READS or stage is None or unclear:
            found.whole = False
            return UNKNOWN
        key = (values[1] if len(values) > 1 else named.get("key", UNKNOWN)) if method in KEYED else UNKNOWN
        has_default = method in ASKING or len(values) > 2 or "default" in named or self._is_caught()
        text = key.value if isinstance(key, Constant) and isinstance(key.value, str) else None
        read = Read(stage, method, text, has_default, node, frame.module)
        found.reads.append(read)
        if method in ASKING:
            found.guarded.add(stage)
        return UpstreamOutput(stage) if method == "get_output" else Answer(read)

    def key(self, frame: Frame, stage: str, key: str, node: ast.AST) -> None:
        self._found.reads.append(Read(stage, "data", key, True, node, frame.module))

    def _is_caught(self) -> bool:
        return self._evaluator.trying > 0

    def tested(self, value: Any) -> None:
        if isinstance(value, Answer) and value.read.method == "get_from":
            value.read.has_default = True

    def escaped(self) -> None:
        self._found.whole = False


def reads_of(evaluator: Evaluator, stage: StageModel) -> StageReads:
    """Return what a stage reads, its condition included."""
    found = StageReads()
    evaluator.reader = _Reader(evaluator, found)
    evaluator.following = stage.module
    try:
        _of_runner(evaluator, stage.runner, found)
        _of_condition(evaluator, stage.when, found)
    finally:
        evaluator.reader = None
    return found


def _of_runner(evaluator: Evaluator, runner: Any, found: StageReads) -> None:
    if isinstance(runner, (Function, Bound)):  # a method is an async function as any other
        function, first = (runner, []) if isinstance(runner, Function) else (runner.function, [runner.of])
        named = parameters_of(evaluator, function, found, bound=len(first))
        if named is None:
            found.known = found.whole = False
        else:
            evaluator.called(function, first, named)
        return
    instance = made_of(evaluator, runner)
    execute = evaluator.attribute(instance, "execute") if instance is not None else None
    if not isinstance(execute, Bound):
        found.known = found.whole = False
        return
    evaluator.called(execute.function, [instance, CONTEXT], {})


def made_of(evaluator: Evaluator, runner: Any) -> Instance | None:
    """Return the object whose `execute` runs, if the runner is one, or a class."""
    if isinstance(runner, ClassValue):
        reader, evaluator.reader = evaluator.reader, None
        runner = evaluator.instance(runner, [], {})
        evaluator.reader = reader
    return runner if isinstance(runner, Instance) else None


def _of_condition(evaluator: Evaluator, when: Any, found: StageReads) -> None:
    match when:
        case None:
            pass
        case Function():
            evaluator.called(when, [INPUTS, UNKNOWN], {})
        case Bound():
            evaluator.called(when.function, [when.of, INPUTS, UNKNOWN], {})
        case _:
            found.whole = False


# --- the parameters of functions --------------------------------------------------------------------------------------

_DATA_TYPES = frozenset({"builtins.dict", "typing.Mapping", "collections.abc.Mapping", "typing.Dict"})


def parameters_of(
    evaluator: Evaluator, function: Function, found: StageReads, *, bound: int = 0
) -> dict[str, Any] | None:
    """Return what each parameter of a function stage stands for, or None if they cannot be understood.

    The first ones may be bound already.
    """
    arguments = function.node.args
    if arguments.vararg is not None or arguments.kwarg is not None:
        return None
    optional = default_values(arguments)
    used = evaluator.facts(function.node).used
    is_written = not is_stub(function.node)
    named: dict[str, Any] = {}
    for each in (*[*arguments.posonlyargs, *arguments.args][bound:], *arguments.kwonlyargs):
        source, kind = source_and_type(evaluator, function, plain(each.annotation))
        if _is_context(each.arg, source, kind):
            named[each.arg] = CONTEXT
            continue
        named[each.arg] = UNKNOWN
        if source is None and each.arg == "input":
            continue
        stage = each.arg if source is None else source
        parameter = Named(stage, each, function.module)
        (found.optional if each.arg in optional else found.required).append(parameter)
        if is_ours(kind, "Stream"):
            found.streamed.add(stage)
        named[each.arg] = _what_is_read(stage, kind)
        if is_written and each.arg not in used and "locals" not in used:
            found.unused.append(parameter)
    return named


def _is_context(name: str, source: str | None, kind: Any) -> bool:
    """Return whether a parameter is the stage's context; its type may be another name for StageContext."""
    if is_ours(kind, "StageContext"):
        return True
    return source is None and name in ("ctx", "context") and (kind is UNKNOWN or isinstance(kind, External))


def _what_is_read(stage: str, kind: Any) -> Any:
    if is_ours(kind, "StageOutput"):
        return UpstreamOutput(stage)
    is_data = isinstance(kind, External) and kind.name in _DATA_TYPES
    is_data = is_data or (isinstance(kind, ClassValue) and kind.derives_from("TypedDict"))
    return UpstreamData(stage) if is_data else UNKNOWN


def plain(annotation: ast.expr | None) -> ast.expr | None:
    """Return an annotation without its quotes and its None."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return plain(ast.parse(annotation.value, mode="eval").body)
        except SyntaxError:
            return None
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        sides = [plain(annotation.left), plain(annotation.right)]
        others = [side for side in sides if not (isinstance(side, ast.Constant) and side.value is None)]
        return others[0] if len(others) == 1 else annotation
    return annotation


def source_and_type(evaluator: Evaluator, function: Function, annotation: ast.expr | None) -> tuple[str | None, Any]:
    """Return the stage that a `From` names, and what the type is."""
    if annotation is None:
        return None, UNKNOWN
    frame = Frame(function.module, function.scope)
    if not isinstance(annotation, ast.Subscript):
        return None, evaluator.value(frame, annotation)
    outer = evaluator.value(frame, annotation.value)
    short = outer.short if isinstance(outer, External) else ""
    if short == "Optional":
        return source_and_type(evaluator, function, plain(annotation.slice))
    if short != "Annotated":
        return None, outer
    parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
    source = None
    for part in parts[1:]:
        if isinstance(part, ast.Call) and is_ours(evaluator.value(frame, part.func), "From"):
            given = [*part.args, *(each.value for each in part.keywords)]
            source = name_of(evaluator.value(frame, given[0])) if given else None
    return source, source_and_type(evaluator, function, plain(parts[0]))[1]
