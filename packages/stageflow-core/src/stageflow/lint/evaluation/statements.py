"""What a statement does to the names around it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stageflow.lint.definitions import ClassValue, Function, Property, Scope
from stageflow.lint.evaluation.binding import bind, put
from stageflow.lint.evaluation.comprehensions import MOST_UNROLLED
from stageflow.lint.evaluation.expressions import operation
from stageflow.lint.evaluation.frames import Evaluation, Frame
from stageflow.lint.evaluation.joining import is_ours, items_of, joined
from stageflow.lint.models import Decorator, PipelineModel
from stageflow.lint.values import UNKNOWN, Constant, Context, External, Imported, Inputs, Items


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


def imported_from(node: ast.ImportFrom, package: str) -> str:
    """Return the whole name of the module that a statement imports from."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    kept = parts[: len(parts) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])


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
    {"override", "final", "staticmethod", "classmethod", "cache", "lru_cache", "wraps", "overload", "fixture"}
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
            return to.builder.decorate(frame, decorator, node, made)
        if isinstance(value, External) and value.short in ("property", "cached_property"):
            return Property(made)
    return made if isinstance(value, External) and value.short in _TRANSPARENT else UNKNOWN


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


# --- branches ---------------------------------------------------------------------------------------------------------


def _if(to: Evaluation, frame: Frame, node: Any) -> bool:
    """Follow an `if` with all its `elif`, which the tree holds one inside the other."""
    bodies: list[list[ast.stmt]] = []
    while True:
        truth = to.tested(to.value(frame, node.test))
        if truth is not False:
            bodies.append(node.body)
        if truth is True:
            break
        following = node.orelse
        if len(following) != 1 or not isinstance(following[0], ast.If):
            bodies.append(following)
            break
        node = following[0]
    return to.block(frame, bodies[0]) if len(bodies) == 1 else _branches(to, frame, bodies)


def _match(to: Evaluation, frame: Frame, node: Any) -> bool:
    to.tested(to.value(frame, node.subject))
    bodies: list[list[ast.stmt]] = []
    is_exhaustive = False
    for case in node.cases:
        for part in ast.walk(case.pattern):
            name = getattr(part, "name", None) or getattr(part, "rest", None)
            if isinstance(name, str):
                frame.scope.names[name] = UNKNOWN
        if case.guard is not None:
            to.tested(to.value(frame, case.guard))
        elif isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None:
            is_exhaustive = True
        bodies.append(case.body)
    return _branches(to, frame, bodies if is_exhaustive else [*bodies, []])


def _branches(to: Evaluation, frame: Frame, bodies: Sequence[Sequence[ast.stmt]]) -> bool:
    """Follow each body from where the code stands, and go on with what they have in common."""
    before = frame.scope
    ends: list[dict[str, Any]] = []
    to.branching += 1
    for body in bodies:
        frame.scope = Scope(before)
        if not to.block(frame, body):
            ends.append(frame.scope.names)
    to.branching -= 1
    frame.scope = before
    _rejoin(to, before, ends)
    return not ends


def _rejoin(to: Evaluation, scope: Scope, ends: Sequence[dict[str, Any]]) -> None:
    """Set each name to what stands for any of the ways that lead here; one that sets no name leaves it as it was."""
    ways: dict[str, list[Any]] = {}
    for names in ends:
        for name, value in names.items():
            ways.setdefault(name, []).append(value)
    for name, values in ways.items():
        scope.names[name] = to.either(values if len(values) == len(ends) else [scope.find(name), *values])


def _try(to: Evaluation, frame: Frame, node: Any) -> bool:
    to.trying += bool(node.handlers)
    left = to.block(frame, node.body)
    to.trying -= bool(node.handlers)
    for handler in node.handlers:
        if handler.name:
            frame.scope.names[handler.name] = UNKNOWN
    bodies = [handler.body for handler in node.handlers]
    if bodies and left:
        left = _branches(to, frame, bodies)
    elif bodies or node.orelse:
        _branches(to, frame, [*bodies, node.orelse])
    return to.block(frame, node.finalbody) or left


def _with(to: Evaluation, frame: Frame, node: Any) -> bool:
    expecting = False
    for item in node.items:
        value = to.value(frame, item.context_expr)
        expecting = expecting or _expects_error(item.context_expr)
        if item.optional_vars is not None:
            bind(to, frame, item.optional_vars, value if isinstance(value, (Context, Inputs)) else UNKNOWN)
    to.expecting += expecting
    left = to.block(frame, node.body)
    to.expecting -= expecting
    return left and not expecting


def _expects_error(node: ast.expr) -> bool:
    function = node.func if isinstance(node, ast.Call) else node
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("raises", "suppress") or name.startswith("assertRaises")


# --- loops ------------------------------------------------------------------------------------------------------------


def _for(to: Evaluation, frame: Frame, node: Any) -> bool:
    value = to.value(frame, node.iter)
    over = items_of(value)
    if over is not None and over.complete and len(over.pairs) <= MOST_UNROLLED and to.may_repeat():
        to.branching += over.several
        for each, _ in list(over.pairs):
            bind(to, frame, node.target, each)
            _once(to, frame, node.body)
        to.branching -= over.several
    else:
        to.let_go(value)
        _forget(to, frame, node)
        bind(to, frame, node.target, UNKNOWN)
        _branches(to, frame, [node.body, []])
    return to.block(frame, node.orelse)


def _once(to: Evaluation, frame: Frame, body: Sequence[ast.stmt]) -> None:
    """Follow the body of a loop, and join the ways that lead to its end."""
    scope = frame.scope
    ways: list[dict[str, Any]] = []
    frame.loops.append((scope, ways))
    to.block(frame, body)
    frame.loops.pop()
    if ways:
        names = {name for way in ways for name in way}
        _rejoin(to, scope, [{name: scope.find(name) for name in names}, *ways])


def _leave_loop(to: Evaluation, frame: Frame, _node: Any) -> bool:
    """Note what the names stand for where the code may leave a loop, or go on with the next of its items."""
    if frame.loops and to.branching:
        outer, ways = frame.loops[-1]
        found: dict[str, Any] = {}
        scope: Scope | None = frame.scope
        while scope is not None and scope is not outer:
            found = {**scope.names, **found}
            scope = scope.around
        names = set(found) | set(outer.names if len(outer.names) <= MOST_UNROLLED else ())
        ways.append({name: found.get(name, outer.names.get(name)) for name in names})
    return True


def _while(to: Evaluation, frame: Frame, node: Any) -> bool:
    _forget(to, frame, node)
    truth = to.tested(to.value(frame, node.test))
    ends_within = _branches(to, frame, [node.body, []] if truth is not True else [node.body])
    has_break = any(isinstance(each, ast.Break) for each in ast.walk(node))
    return to.block(frame, node.orelse) or (ends_within and truth is True and not has_break)


def _forget(to: Evaluation, frame: Frame, node: ast.AST) -> None:
    """Forget what a loop may change, before the first of its rounds is taken for any of them."""
    for name in to.facts(node).assigned:
        value = frame.scope.find(name)
        if isinstance(value, PipelineModel):
            frame.scope.names[name] = to.builder.opened(value)
        elif value is not None and not isinstance(value, Imported):
            to.let_go(value)
            frame.scope.names[name] = UNKNOWN


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
    ast.If: _if,
    ast.Match: _match,
    ast.For: _for,
    ast.AsyncFor: _for,
    ast.While: _while,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Try: _try,
    ast.TryStar: _try,
    ast.Return: _return,
    ast.Continue: _leave_loop,
    ast.Break: _leave_loop,
    ast.Expr: _expression,
}
