"""What stands on the left of an assignment."""

from __future__ import annotations

import ast
from typing import Any

from stageflow.lint.definitions import ClassValue, Instance
from stageflow.lint.evaluation.frames import Evaluation, Frame
from stageflow.lint.values import UNKNOWN, Constant, Items, Record


def bind(to: Evaluation, frame: Frame, target: ast.AST, value: Any) -> None:
    """Give a value to what stands on the left of an assignment."""
    match target:
        case ast.Name():
            frame.scope.names[target.id] = value
        case ast.Tuple() | ast.List():
            _unpack(to, frame, target.elts, value)
        case ast.Starred():
            bind(to, frame, target.value, value)
        case ast.Attribute():
            to.let_go(value)
            _set_attribute(to.value(frame, target.value), target.attr, value)
        case ast.Subscript():
            put(to, frame, target, value)
        case _:
            pass


def _unpack(to: Evaluation, frame: Frame, targets: list[ast.expr], value: Any) -> None:
    starred = any(isinstance(each, ast.Starred) for each in targets)
    known = isinstance(value, Items) and value.complete and not value.several and len(value.pairs) == len(targets)
    if not known:
        to.let_go(value)
    for place, each in enumerate(targets):
        bind(to, frame, each, value.pairs[place][0] if known and not starred else UNKNOWN)


def _set_attribute(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, Instance):
        owner.attributes[name] = value
    elif isinstance(owner, ClassValue):
        owner.scope.names[name] = value


def put(to: Evaluation, frame: Frame, target: ast.Subscript, value: Any) -> None:
    """Give a value to `owner[...]`."""
    owner, key = to.value(frame, target.value), to.value(frame, target.slice)
    to.let_go(value)
    if isinstance(owner, Record) and isinstance(key, Constant) and isinstance(key.value, str):
        owner.fields[key.value] = value
    elif isinstance(owner, (Record, Items)):
        owner.complete = False
