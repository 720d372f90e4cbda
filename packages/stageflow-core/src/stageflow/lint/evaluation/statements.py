"""What a statement does to the names around it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from stageflow.lint.definitions import ClassValue, Function, Property, Scope
from stageflow.lint.evaluation.binding import bind, put
from stageflow.lint.evaluation.expressions import operation
from stageflow.lint.evaluation.flow import (
    follow_for,
    follow_if,
    follow_match,
    follow_try,
    follow_while,
    follow_with,
    leave_loop,
)
from stageflow.lint.evaluation.frames import Evaluation, Frame
from stageflow.lint.evaluation.joining import is_ours, items_of, joined
from stageflow.lint.models import Decorator
from stageflow.lint.modules import imported_from
from stageflow.lint.values import UNKNOWN, Constant, External, Imported, Items


def follow(to: Evaluation, frame: Frame, node: ast.stmt) -> bool:
    """Follow one statement; return whether the code certainly does not go on behind it."""
    handle = _STATEMENTS.get(type(node))
    return _other(to, frame, node) if handle is None else bool(handle(to, frame, node))


def _other(to: Evaluation, frame: Frame, node: ast.stmt) -> bool:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            to.tested(to.value(frame, child))  # of an `assert`, or what is raised
    return isinstance(node, ast.Raise)


# --- names from elsewhere ---------------------------------------------------------------------------------------------


def _import(_to: Evaluation, frame: Frame, node: Any) -> None:
    for alias in node.names:
        head = alias.name.partition(".")[0]
        frame.scope.names[alias.asname or head] = Imported(alias.name if alias.asname else head)


def _import_from(to: Evaluation, frame: Frame, node: Any) -> None:
    base = imported_from(node, frame.module.package)
    for alias in node.names:
        if alias.name == "*":
            frame.scope.names.update(to.all_of(base))
        else:
            frame.scope.names[alias.asname or alias.name] = Imported(f"{base}.{alias.name}")


def _global(_to: Evaluation, frame: Frame, node: Any) -> None:
    """Forget a name that a function may set while others read it."""
    scope: Scope | None = frame.scope.around
    while scope is not None:
        for name in node.names:
            if name in scope.names:
                scope.names[name] = UNKNOWN
        scope = scope.around


# --- definitions ------------------------------------------------------------------------------------------------------

_TRANSPARENT = frozenset(
    {
        "override",
        "final",
        "staticmethod",
        "classmethod",
        "cache",
        "lru_cache",
        "wraps",
        "overload",
        "fixture",
        "contextmanager",
        "asynccontextmanager",
    }
)


def _define(to: Evaluation, frame: Frame, node: Any) -> None:
    function = Function(node, frame.module, frame.scope)
    made: Any = function
    for decorator in reversed(node.decorator_list):
        made = _decorated(to, frame, decorator, node, made)
    frame.scope.names[node.name] = made
    to.defined(function)


def _decorated(to: Evaluation, frame: Frame, decorator: ast.expr, node: ast.AST, made: Any) -> Any:
    value = to.value(frame, decorator)
    if isinstance(made, Function):
        if isinstance(value, Decorator) or is_ours(value, "stage"):
            # What a decorator has put around the function may have another name and other parameters.
            return to.builder.decorate(frame, decorator, node, made) if made.node is node else UNKNOWN
        if isinstance(value, Function):
            around = to.called(value, [made], {})
            return around if isinstance(around, Function) and _parameters(around) == _parameters(made) else UNKNOWN
        if isinstance(value, External) and value.short in ("property", "cached_property"):
            return Property(made)
    return made if isinstance(value, External) and value.short in _TRANSPARENT else UNKNOWN


def _parameters(function: Function) -> list[str]:
    taken = function.node.args
    names = [each.arg for each in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
    return names + [f"*{each.arg}" for each in (taken.vararg, taken.kwarg) if each is not None]


def _class(to: Evaluation, frame: Frame, node: Any) -> None:
    bases = [to.value(frame, base) for base in node.bases]
    kind = ClassValue(node, frame.module, Scope(frame.scope), bases)
    reader, to.reader = to.reader, None
    to.block(Frame(frame.module, kind.scope), node.body)
    to.reader = reader
    for name, member in kind.scope.names.items():
        inner = member.function if isinstance(member, Property) else member
        if isinstance(inner, Function):
            # A method does not see the names of its class, but is found with it.
            inner.owner = kind
            inner.scope = frame.scope
        elif isinstance(member, External) and member.name == "enum.auto" and kind.derives_from("StrEnum"):
            kind.scope.names[name] = Constant(name.lower())
    frame.scope.names[node.name] = kind


# --- assignments ------------------------------------------------------------------------------------------------------


def _assign(to: Evaluation, frame: Frame, node: Any) -> None:
    value = to.value(frame, node.value)
    for target in node.targets:
        bind(to, frame, target, value)


def _annotated(to: Evaluation, frame: Frame, node: Any) -> None:
    if node.value is not None:
        bind(to, frame, node.target, to.value(frame, node.value))


def _augment(to: Evaluation, frame: Frame, node: Any) -> None:
    added = to.value(frame, node.value)
    before = to.value(frame, node.target)
    if isinstance(before, Items) and isinstance(node.op, ast.Add):
        inner = items_of(added)
        both = joined(before, Items([], complete=False) if inner is None else inner)
        before.pairs, before.complete = both.pairs, both.complete  # a list is changed in place
        before.several = both.several or to.branching > 0
        return
    bind(to, frame, node.target, operation(to, node.op, before, added))


def _delete(to: Evaluation, frame: Frame, node: Any) -> None:
    for target in node.targets:
        if isinstance(target, ast.Name):
            frame.scope.names[target.id] = UNKNOWN
        elif isinstance(target, ast.Subscript):
            put(to, frame, target, UNKNOWN)


# --- the rest ---------------------------------------------------------------------------------------------------------


def _return(to: Evaluation, frame: Frame, node: Any) -> bool:
    frame.returned.append(Constant(None) if node.value is None else to.value(frame, node.value))
    return True


def _expression(to: Evaluation, frame: Frame, node: Any) -> None:
    value = to.value(frame, node.value)
    if isinstance(node.value, ast.Call):
        to.builder.discarded(frame, node.value, value)


_STATEMENTS: Mapping[type[ast.AST], Callable[[Evaluation, Frame, Any], bool | None]] = {
    ast.Import: _import,
    ast.ImportFrom: _import_from,
    ast.Global: _global,
    ast.Nonlocal: _global,
    ast.FunctionDef: _define,
    ast.AsyncFunctionDef: _define,
    ast.ClassDef: _class,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augment,
    ast.Delete: _delete,
    ast.If: follow_if,
    ast.Match: follow_match,
    ast.For: follow_for,
    ast.AsyncFor: follow_for,
    ast.While: follow_while,
    ast.With: follow_with,
    ast.AsyncWith: follow_with,
    ast.Try: follow_try,
    ast.TryStar: follow_try,
    ast.Return: _return,
    ast.Continue: leave_loop,
    ast.Break: leave_loop,
    ast.Expr: _expression,
}
