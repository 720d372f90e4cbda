"""What a call stands for."""

from __future__ import annotations

import ast
from typing import Any

from stageflow.lint.definitions import Bound, ClassValue, Function, Instance, Super, carries_context
from stageflow.lint.evaluation.frames import Evaluation, Frame
from stageflow.lint.evaluation.joining import items_of, text
from stageflow.lint.values import (
    UNKNOWN,
    Constant,
    External,
    InputsMethod,
    Items,
    Output,
    Record,
    UpstreamData,
)


def call(to: Evaluation, frame: Frame, node: ast.Call, function: Any, receiver: Any) -> Any:
    """Return what a call stands for; `receiver` is what its method was read from, if it is one."""
    if isinstance(function, InputsMethod):
        return UNKNOWN if to.reader is None else to.reader.read(frame, function.name, node)
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if isinstance(receiver, (Items, Record)):
        return _changed(to, frame, receiver, method, node)
    if isinstance(receiver, UpstreamData):
        return _of_upstream(to, frame, receiver, method, node)
    made = to.builder.call(frame, node, function, receiver)
    if made is not None:
        return made
    if isinstance(function, External) and function.name == "builtins.super" and not node.args:
        return _super(frame)
    arguments, named = given(to, frame, node)
    match function:
        case Function():
            return _followed(to, function, arguments, named)
        case Bound():
            return _followed(to, function.function, [function.of, *arguments], named)
        case ClassValue():
            return to.instance(function, arguments, named)
        case External():
            return _external(to, function.name, node, arguments, named)
        case _:
            to.let_go(*arguments, *named.values())
            return _of_text(receiver, method, arguments) if isinstance(receiver, Constant) else UNKNOWN


def given(to: Evaluation, frame: Frame, node: ast.Call) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a call, by place and by name; under "**" is what has names that are not known."""
    arguments: list[Any] = []
    for each in node.args:
        if not isinstance(each, ast.Starred):
            arguments.append(to.value(frame, each))
            continue
        value = to.value(frame, each.value)
        inner = items_of(value)
        if inner is not None and inner.complete and not inner.several:
            arguments += (item for item, _ in inner.pairs)
        else:
            to.let_go(value)
            arguments += [UNKNOWN] * 8  # as many as there may be: none of them is taken for another
    named: dict[str, Any] = {}
    for each in node.keywords:
        value = to.value(frame, each.value)
        if each.arg is None and isinstance(value, Record) and value.complete:
            named.update(value.fields)
        else:
            named[each.arg or "**"] = value
    return arguments, named


def _followed(to: Evaluation, function: Function, arguments: list[Any], named: dict[str, Any]) -> Any:
    """Follow a call if it can make or read anything that matters."""
    values = (*arguments, *named.values())
    is_local = to.reader is not None and function.scope is not function.module.scope
    matters = is_local or any(map(carries_context, values)) or _is_short(function.node)
    if "**" not in named and (matters or to.facts(function.node).builds):
        return to.called(function, arguments, named)
    to.let_go(*values)
    return UNKNOWN


def _is_short(node: ast.AST) -> bool:
    """Return whether following a function costs little: most of what makes names and runners is."""
    return isinstance(node, ast.Lambda) or len(getattr(node, "body", ())) <= 8


def _super(frame: Frame) -> Any:
    owner = None if frame.function is None else frame.function.owner
    return UNKNOWN if frame.subject is None or owner is None else Super(frame.subject, owner)


# --- what Python itself brings ----------------------------------------------------------------------------------------

_COPIES = frozenset({"tuple", "list", "set", "frozenset", "sorted", "reversed", "iter"})
_PASSING_ON = frozenset({"wait_for", "shield", "create_task", "ensure_future"})


def _external(to: Evaluation, name: str, node: ast.Call, arguments: list[Any], named: dict[str, Any]) -> Any:
    module, _, short = name.rpartition(".")
    first = arguments[0] if arguments else UNKNOWN
    if module == "builtins":
        made = _builtin(short, node, arguments, named)
        if made is not None:
            return made
    if name.startswith("stageflow.") and module.endswith("StageOutput"):
        return _output(short, arguments, named)
    if name == "enum.auto":
        return External(name)  # the class that it stands in tells what it becomes
    if short == "cast" and len(arguments) == 2:
        return arguments[1]
    if name == "functools.wraps":
        return External(name)  # as a decorator it changes nothing that matters
    if module == "asyncio" and short in _PASSING_ON:
        return first
    if name == "builtins.setattr" and isinstance(first, Instance):
        first.attributes.clear()
        first.attributes.update(dict.fromkeys(first.kind.attribute_names(), UNKNOWN))
    to.let_go(*arguments, *named.values())
    return UNKNOWN


def _builtin(name: str, node: ast.Call, arguments: list[Any], named: dict[str, Any]) -> Any:
    """Return what a builtin function gives of known arguments, or None."""
    sequences = [items_of(each) for each in arguments]
    first = sequences[0] if sequences else None
    if name in _COPIES:
        copied = Items([]) if not arguments else None if first is None else Items(list(first.pairs), first.complete)
        if copied is not None and first is not None:
            copied.several = first.several
        return copied
    if name == "dict" and not arguments and "**" not in named:
        return Record(dict(named), node=node)
    if name == "dict" and len(arguments) == 1 and isinstance(arguments[0], Record):
        return Record({**arguments[0].fields, **named}, arguments[0].complete and "**" not in named, node)
    if name == "enumerate" and len(arguments) == 1 and first is not None:
        counted = [(_pair(node, Constant(place), each), at) for place, (each, at) in enumerate(first.pairs)]
        return Items(counted, first.complete)
    if name == "zip" and all(each is not None and each.complete and not each.several for each in sequences):
        rows = zip(*(each.pairs for each in sequences if each is not None), strict=False)
        return Items([(_pair(node, *(value for value, _ in row)), node) for row in rows])
    if name == "range" and len(arguments) == 1 and isinstance(arguments[0], Constant):
        count = arguments[0].value
        return Items([(Constant(each), node) for each in range(count)]) if _is_few(count) else None
    if name == "str" and len(arguments) == 1 and isinstance(arguments[0], Constant):
        return text(str(arguments[0].value))
    return None


def _pair(node: ast.AST, *values: Any) -> Items:
    return Items([(value, node) for value in values])


def _is_few(count: Any) -> bool:
    return isinstance(count, int) and 0 <= count <= 1_000


_TEXT_METHODS = frozenset({"lower", "upper", "strip", "title", "replace", "removeprefix", "removesuffix"})


def _of_text(owner: Constant, method: str, arguments: list[Any]) -> Any:
    """Return what a method of a text gives."""
    values = [each.value for each in arguments if isinstance(each, Constant) and isinstance(each.value, str)]
    if isinstance(owner.value, str) and method == "join" and len(arguments) == 1:
        parts = items_of(arguments[0])
        known = parts is not None and parts.complete and not parts.several
        texts = [each.value for each, _ in parts.pairs if isinstance(each, Constant)] if known and parts else []
        if known and parts is not None and len(texts) == len(parts.pairs) and all(isinstance(t, str) for t in texts):
            return text(owner.value.join(texts))
    if not isinstance(owner.value, str) or method not in _TEXT_METHODS or len(values) != len(arguments):
        return UNKNOWN
    try:
        return text(getattr(owner.value, method)(*values))
    except TypeError:  # too many or too few arguments: the code would raise as well
        return UNKNOWN


def _output(made_by: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    if made_by != "ok":
        return Output(made_by, None)
    fields = {name: value for name, value in named.items() if name not in ("version", "data", "**")}
    data = arguments[0] if arguments else named.get("data")
    whole = "**" not in named
    if data is None or (isinstance(data, Constant) and data.value is None):
        return Output("ok", Record(fields, complete=whole))
    if isinstance(data, Record):
        return Output("ok", Record({**data.fields, **fields}, data.complete and whole))
    return Output("ok", data if whole and not fields else UNKNOWN)


# --- methods of what is known -----------------------------------------------------------------------------------------


def _of_upstream(to: Evaluation, frame: Frame, owner: UpstreamData, method: str, node: ast.Call) -> Any:
    arguments, _ = given(to, frame, node)
    first = arguments[0] if arguments else UNKNOWN
    if method == "get" and isinstance(first, Constant) and isinstance(first.value, str) and to.reader is not None:
        to.reader.key(frame, owner.stage, first.value, node)
    return UNKNOWN


def _changed(to: Evaluation, frame: Frame, owner: Items | Record, method: str, node: ast.Call) -> Any:
    """Follow a call of a method of a list, a set or a dict."""
    arguments, named = given(to, frame, node)
    if isinstance(owner, Items):
        return _of_items(to, owner, method, arguments, node)
    to.let_go(*arguments, *named.values())
    return _of_record(owner, method, arguments, named, node)


def _of_items(to: Evaluation, owner: Items, method: str, arguments: list[Any], node: ast.Call) -> Any:
    added = items_of(arguments[0]) if arguments else None
    if method in ("append", "add") and len(arguments) == 1 and node.args:
        owner.pairs.append((arguments[0], node.args[0]))
    elif method in ("extend", "update") and added is not None:
        owner.pairs += added.pairs
        owner.complete = owner.complete and added.complete
        owner.several = owner.several or added.several
    elif method == "copy":
        copied = Items(list(owner.pairs), owner.complete)
        copied.several = owner.several
        return copied
    elif method not in ("index", "count"):
        owner.complete = False
        to.let_go(*arguments)
    if method not in ("index", "count"):
        owner.several = owner.several or to.branching > 0
    return UNKNOWN


def _of_record(owner: Record, method: str, arguments: list[Any], named: dict[str, Any], node: ast.Call) -> Any:
    first = arguments[0] if arguments else None
    at = node if owner.node is None else owner.node
    match method:
        case "keys":
            return items_of(owner)
        case "values":
            return Items([(each, at) for each in owner.fields.values()], owner.complete)
        case "items":
            pairs = [(_pair(at, Constant(name), each), at) for name, each in owner.fields.items()]
            return Items(pairs, owner.complete)
        case "copy":
            return Record(dict(owner.fields), owner.complete, at)
        case "get" if isinstance(first, Constant):
            return owner.fields.get(first.value, UNKNOWN)
        case "setdefault" if isinstance(first, Constant) and isinstance(first.value, str):
            return owner.fields.setdefault(first.value, arguments[1] if len(arguments) > 1 else UNKNOWN)
        case "update" if "**" not in named and all(isinstance(each, Record) for each in arguments):
            for each in arguments:
                owner.fields.update(each.fields)
                owner.complete = owner.complete and each.complete
            owner.fields.update(named)
        case "get":
            pass
        case _:
            owner.complete = False
    return UNKNOWN
