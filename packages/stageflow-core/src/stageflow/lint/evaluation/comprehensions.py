"""What a comprehension stands for: over known items it is followed item by item, over any other once."""

from __future__ import annotations

import ast
from typing import Any

from stageflow.lint.definitions import Scope
from stageflow.lint.evaluation.binding import bind
from stageflow.lint.evaluation.frames import Evaluation, Frame
from stageflow.lint.evaluation.joining import items_of
from stageflow.lint.values import UNKNOWN, Constant, Items, Record

MOST_UNROLLED = 64
"""As often as a loop over known items is followed."""


def comprehension(to: Evaluation, frame: Frame, node: Any) -> Any:
    """Return what a comprehension makes."""
    outer, frame.scope = frame.scope, Scope(frame.scope)
    made: list[tuple[Any, Any]] = []
    try:
        complete = _generators(to, frame, node, 0, made)
    finally:
        frame.scope = outer
    if not isinstance(node, ast.DictComp):
        return Items([(value, node.elt) for value, _ in made], complete)
    record = Record({}, complete, node)
    for key, value in made:
        if isinstance(key, Constant) and isinstance(key.value, str):
            record.fields[key.value] = value
        else:
            record.complete = False
    return record


def _generators(to: Evaluation, frame: Frame, node: Any, place: int, made: list[tuple[Any, Any]]) -> bool:
    """Follow a comprehension from one of its `for` on; return whether all that it makes is known."""
    if place == len(node.generators):
        if isinstance(node, ast.DictComp):
            made.append((to.value(frame, node.key), to.value(frame, node.value)))
        else:
            made.append((to.value(frame, node.elt), None))
        return True
    generator = node.generators[place]
    over = items_of(to.value(frame, generator.iter))
    known = over is not None and over.complete and len(over.pairs) <= MOST_UNROLLED and to.may_repeat()
    values = [value for value, _ in over.pairs] if known and over is not None else [UNKNOWN]
    complete = known and over is not None and not over.several
    for value in values:
        bind(to, frame, generator.target, value)
        truths = [to.tested(to.value(frame, test)) for test in generator.ifs]
        if False in truths:
            continue
        to.branching += not known
        complete = _generators(to, frame, node, place + 1, made) and complete and None not in truths
        to.branching -= not known
    return complete
