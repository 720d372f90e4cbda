"""Which way the code goes: branches, loops, and what is known where they meet again."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from stageflow.lint.definitions import Scope
from stageflow.lint.evaluation.binding import bind
from stageflow.lint.evaluation.comprehensions import MOST_UNROLLED
from stageflow.lint.evaluation.frames import Evaluation, Frame, Loop
from stageflow.lint.evaluation.joining import items_of
from stageflow.lint.models import PipelineModel
from stageflow.lint.values import UNKNOWN, Context, Imported, Inputs

# --- branches ---------------------------------------------------------------------------------------------------------


def follow_if(to: Evaluation, frame: Frame, node: Any) -> bool:
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


def follow_match(to: Evaluation, frame: Frame, node: Any) -> bool:
    """Follow a `match`."""
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


def follow_try(to: Evaluation, frame: Frame, node: Any) -> bool:
    """Follow a `try`, each handler as a branch."""
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


def follow_with(to: Evaluation, frame: Frame, node: Any) -> bool:
    """Follow a `with`; what it binds is not known."""
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


def follow_for(to: Evaluation, frame: Frame, node: Any) -> bool:
    """Follow a `for`: over known items as often as it runs."""
    value = to.value(frame, node.iter)
    over = items_of(value)
    if over is not None and over.complete and len(over.pairs) <= MOST_UNROLLED and to.may_repeat():
        to.branching += over.several
        _rounds(to, frame, node, [each for each, _ in over.pairs])
        to.branching -= over.several
    else:
        to.let_go(value)
        _forget(to, frame, node)
        bind(to, frame, node.target, UNKNOWN)
        _branches(to, frame, [node.body, []])
    return to.block(frame, node.orelse)


def _rounds(to: Evaluation, frame: Frame, node: Any, values: Sequence[Any]) -> None:
    """Follow the rounds of a loop; those behind one that may be the last are a branch."""
    outer: list[Scope] = []
    for value in values:
        bind(to, frame, node.target, value)
        ends = _round(to, frame, node)
        if ends == "certainly":
            break
        if ends == "maybe":
            outer.append(frame.scope)
            frame.scope = Scope(frame.scope)
            to.branching += 1
    for scope in reversed(outer):
        names, frame.scope = frame.scope.names, scope
        to.branching -= 1
        _rejoin(to, scope, [names, {}])


def _round(to: Evaluation, frame: Frame, node: Any) -> str:
    """Follow the body of a loop, join the ways that lead to its end, and return whether it is the last round."""
    loop = Loop(frame.scope, to.facts(node).assigned, to.branching)
    frame.loops.append(loop)
    to.block(frame, node.body)
    frame.loops.pop()
    if loop.ways:
        names = {name for way in loop.ways for name in way}
        _rejoin(to, loop.scope, [{name: loop.scope.find(name) for name in names}, *loop.ways])
    return loop.ends


def leave_loop(to: Evaluation, frame: Frame, node: Any) -> bool:
    """Note what the names stand for where the code may leave a round of a loop."""
    if not frame.loops:
        return True
    loop = frame.loops[-1]
    is_certain = to.branching == loop.branching
    if isinstance(node, ast.Break) and loop.ends != "certainly":
        loop.ends = "certainly" if is_certain and loop.ends == "no" else "maybe"
    if not is_certain:
        found: dict[str, Any] = {}
        scope: Scope | None = frame.scope
        while scope is not None and scope is not loop.scope:
            found = {**scope.names, **found}
            scope = scope.around
        loop.ways.append({name: found.get(name, loop.scope.find(name)) for name in loop.changed})
    return True


def follow_while(to: Evaluation, frame: Frame, node: Any) -> bool:
    """Follow a `while` once."""
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
