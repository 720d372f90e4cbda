"""What an expression stands for.

A chain such as `a.b(c)[d] + e` is followed from its innermost part outwards, in a loop: generated code has chains of
thousands of steps.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from stageflow.lint.definitions import ClassValue, Function
from stageflow.lint.evaluation.calls import call
from stageflow.lint.evaluation.comprehensions import comprehension
from stageflow.lint.evaluation.frames import Evaluation, Frame
from stageflow.lint.evaluation.joining import is_something, items_of, joined, text
from stageflow.lint.values import UNKNOWN, Answer, Constant, External, Items, Record, UpstreamData


def evaluate(to: Evaluation, frame: Frame, node: ast.expr) -> Any:
    """Return what an expression stands for."""
    steps: list[ast.expr] = []
    while True:
        inner = _inner(node)
        if inner is None:
            break
        steps.append(node)
        node = inner
    receiver: Any = None
    value = _LEAVES.get(type(node), _other)(to, frame, node)
    for step in reversed(steps):
        before, value = value, _step(to, frame, step, value, receiver)
        receiver = before if isinstance(step, ast.Attribute) else None
    return value


def _inner(node: ast.expr) -> ast.expr | None:
    match node:
        case ast.Call():
            return node.func
        case ast.Attribute() | ast.Subscript() | ast.Await():
            return node.value
        case ast.BinOp():
            return node.left
        case _:
            return None


def _step(to: Evaluation, frame: Frame, node: ast.expr, value: Any, receiver: Any) -> Any:
    match node:
        case ast.Call():
            return call(to, frame, node, value, receiver)
        case ast.Attribute():
            return to.attribute(value, node.attr)
        case ast.Subscript():
            return subscript(to, frame, node, value)
        case ast.BinOp():
            return operation(to, node.op, value, to.value(frame, node.right))
        case _:
            return value  # awaited


def _part(to: Evaluation, frame: Frame, node: ast.Slice, owner: Items) -> Any:
    """Return what `owner[start:stop:step]` stands for."""
    ends = [Constant(None) if each is None else to.value(frame, each) for each in (node.lower, node.upper, node.step)]
    known = [each.value for each in ends if isinstance(each, Constant)]
    fits = len(known) == len(ends) and all(each is None or isinstance(each, int) for each in known)
    if owner.complete and not owner.several and fits and known[2] != 0:
        return Items(owner.pairs[slice(*known)])
    return UNKNOWN


def subscript(to: Evaluation, frame: Frame, node: ast.Subscript, owner: Any) -> Any:
    """Return what `owner[...]` stands for."""
    if isinstance(node.slice, ast.Slice) and isinstance(owner, Items):
        return _part(to, frame, node.slice, owner)
    key = to.value(frame, node.slice)
    known = key.value if isinstance(key, Constant) else None
    match owner:
        case UpstreamData():
            if to.reader is not None and isinstance(known, str):
                to.reader.key(frame, owner.stage, known, node)
            return UNKNOWN
        case Record() if isinstance(known, str):
            return owner.fields.get(known, UNKNOWN)
        case Items() if owner.complete and not owner.several and isinstance(known, int):
            return owner.pairs[known][0] if -len(owner.pairs) <= known < len(owner.pairs) else UNKNOWN
        case External():  # a type with its parameters
            return owner
        case _:
            return owner if isinstance(owner, ClassValue) else UNKNOWN


def operation(to: Evaluation, op: ast.operator, left: Any, right: Any) -> Any:
    """Return what an operator gives."""
    match op, left, right:
        case ast.Add(), Items(), Items():
            return joined(left, right)
        case ast.Add(), Items(), _:
            return Items(left.pairs, complete=False)
        case ast.Add(), Constant(value=str()), Constant(value=str()):
            return text(left.value + right.value)
        case ast.Mod(), Constant(value=str()), Constant(value=str()) if left.value.count("%") == 1:
            return text(left.value.replace("%s", right.value)) if "%s" in left.value else UNKNOWN
        case ast.BitOr(), Record(), Record():
            return Record({**left.fields, **right.fields}, left.complete and right.complete)
        case _:
            to.let_go(left, right)
            return UNKNOWN


# --- what chains begin with -------------------------------------------------------------------------------------------


def _other(to: Evaluation, frame: Frame, node: Any) -> Any:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            to.let_go(to.value(frame, child))
    return UNKNOWN


def _constant(_to: Evaluation, _frame: Frame, node: Any) -> Any:
    return Constant(node.value)


def _name(to: Evaluation, frame: Frame, node: Any) -> Any:
    found = frame.scope.find(node.id)
    return External(f"builtins.{node.id}") if found is None else to.looked_up(found)


def _items(to: Evaluation, frame: Frame, node: Any) -> Any:
    pairs: list[tuple[Any, ast.AST]] = []
    complete, several = True, False
    for each in node.elts:
        if not isinstance(each, ast.Starred):
            pairs.append((to.value(frame, each), each))
            continue
        inner = items_of(to.value(frame, each.value))
        pairs += () if inner is None else inner.pairs
        complete = complete and inner is not None and inner.complete
        several = several or (inner is not None and inner.several)
    made = Items(pairs, complete)
    made.several = several
    return made


def _dict(to: Evaluation, frame: Frame, node: Any) -> Any:
    record = Record({}, node=node)
    for key, each in zip(node.keys, node.values, strict=True):
        value = to.value(frame, each)
        name = None if key is None else to.value(frame, key)
        if key is None and isinstance(value, Record):
            record.fields.update(value.fields)
            record.complete = record.complete and value.complete
        elif isinstance(name, Constant) and isinstance(name.value, str):
            record.fields[name.value] = value
        else:
            record.complete = False
            to.let_go(value)
    return record


def _boolean(to: Evaluation, frame: Frame, node: Any) -> Any:
    is_and = isinstance(node.op, ast.And)
    seen: list[Any] = []
    for place, each in enumerate(node.values):
        value = to.value(frame, each)
        is_last = place == len(node.values) - 1
        truth = None if is_last else to.tested(value)
        if is_last or (truth is not None and truth is not is_and):
            seen.append(value)
            break  # the rest is not reached
        if truth is None:
            seen.append(value)
    return seen[0] if len(seen) == 1 else to.either(seen)


def _unary(to: Evaluation, frame: Frame, node: Any) -> Any:
    value = to.value(frame, node.operand)
    if isinstance(node.op, ast.Not):
        truth = to.tested(value)
        return UNKNOWN if truth is None else Constant(not truth)
    negative = isinstance(node.op, ast.USub) and isinstance(value, Constant) and isinstance(value.value, int)
    return Constant(-value.value) if negative else UNKNOWN


def _compare(to: Evaluation, frame: Frame, node: Any) -> Any:
    sides = [to.value(frame, each) for each in (node.left, *node.comparators)]
    if any(isinstance(op, (ast.Is, ast.IsNot, ast.Eq, ast.NotEq, ast.In, ast.NotIn)) for op in node.ops):
        for side in sides:
            if isinstance(side, Answer):
                to.tested(side)
    return _compared(node.ops[0], *sides) if len(sides) == 2 else UNKNOWN


def _compared(op: ast.cmpop, left: Any, right: Any) -> Any:
    equal: bool | None = None
    if isinstance(left, Constant) and isinstance(right, Constant):
        equal = left.value == right.value and type(left.value) is type(right.value)
    elif isinstance(right, Constant) and right.value is None and is_something(left):
        equal = False
    match op:
        case ast.Is() | ast.Eq() if equal is not None:
            return Constant(equal)
        case ast.IsNot() | ast.NotEq() if equal is not None:
            return Constant(not equal)
        case ast.In() | ast.NotIn() if isinstance(left, Constant):
            inside = _is_inside(left, right)
            return UNKNOWN if inside is None else Constant(inside is isinstance(op, ast.In))
        case _:
            return UNKNOWN


def _is_inside(value: Constant, container: Any) -> bool | None:
    items = items_of(container)
    if items is None or not items.complete or items.several:
        return None
    if not all(isinstance(each, Constant) for each, _ in items.pairs):
        return None
    return any(each.value == value.value for each, _ in items.pairs)


def _either(to: Evaluation, frame: Frame, node: Any) -> Any:
    truth = to.tested(to.value(frame, node.test))
    if truth is not None:
        return to.value(frame, node.body if truth else node.orelse)
    to.branching += 1
    both = [to.value(frame, node.body), to.value(frame, node.orelse)]
    to.branching -= 1
    return to.either(both)


def _text(to: Evaluation, frame: Frame, node: Any) -> Any:
    parts: list[str] | None = []
    for each in node.values:
        value = to.value(frame, each.value if isinstance(each, ast.FormattedValue) else each)
        plain = not isinstance(each, ast.FormattedValue) or (each.conversion == -1 and each.format_spec is None)
        known = plain and isinstance(value, Constant) and isinstance(value.value, (str, int))
        parts = [*parts, str(value.value)] if parts is not None and known else None
    return UNKNOWN if parts is None else text("".join(parts))


def _walrus(to: Evaluation, frame: Frame, node: Any) -> Any:
    value = to.value(frame, node.value)
    frame.scope.names[node.target.id] = value
    return value


def _lambda(to: Evaluation, frame: Frame, node: Any) -> Any:
    function = Function(node, frame.module, frame.scope)
    to.defined(function)
    return function


def _yield(to: Evaluation, frame: Frame, node: Any) -> Any:
    if isinstance(node, ast.YieldFrom):
        over = items_of(to.value(frame, node.value))
        frame.yielded += () if over is None else over.pairs
        frame.maybe_more = frame.maybe_more or over is None or not over.complete
    else:
        value = Constant(None) if node.value is None else to.value(frame, node.value)
        frame.yielded.append((value, node.value or node))
        frame.maybe_more = frame.maybe_more or to.branching > 0
    return UNKNOWN


_LEAVES: Mapping[type[ast.AST], Callable[[Evaluation, Frame, Any], Any]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Tuple: _items,
    ast.List: _items,
    ast.Set: _items,
    ast.Dict: _dict,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.IfExp: _either,
    ast.JoinedStr: _text,
    ast.NamedExpr: _walrus,
    ast.Lambda: _lambda,
    ast.ListComp: comprehension,
    ast.SetComp: comprehension,
    ast.GeneratorExp: comprehension,
    ast.DictComp: comprehension,
    ast.Yield: _yield,
    ast.YieldFrom: _yield,
}
