"""What is known of several values at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stageflow.lint.definitions import Bound, ClassValue, Function, Instance
from stageflow.lint.models import PipelineModel, StageModel
from stageflow.lint.values import OURS, UNKNOWN, Constant, External, InputsMethod, Items, Record

LONGEST_TEXT = 1_000
LONGEST_LIST = 20_000


def is_ours(value: Any, name: str) -> bool:
    """Return whether a value is a name of core, wherever in it that was imported from."""
    if not isinstance(value, External):
        return False
    parts = value.name.split(".")
    return parts[0] in OURS and parts[-1] == name


def truth_of(value: Any) -> bool | None:
    """Return whether a value is true, or None if that is not known."""
    match value:
        case Constant():
            return bool(value.value)
        case Items() if value.complete and not value.several:
            return bool(value.pairs)
        case _:
            return None


def is_something(value: Any) -> bool:
    """Return whether a value is certainly not None."""
    return isinstance(value, (Items, Record, Instance, StageModel, PipelineModel, Function, ClassValue, Bound))


def same(one: Any, other: Any) -> bool:
    """Return whether two values are certainly the same."""
    if one is other:
        return True
    match one, other:
        case Constant(), Constant():
            return type(one.value) is type(other.value) and one.value == other.value
        case (External(), External()) | (InputsMethod(), InputsMethod()):
            return one.name == other.name
        case Bound(), Bound():
            return one.function is other.function and one.of is other.of
        case _:
            return False


def distinct(values: Sequence[Any]) -> list[Any]:
    """Return the values without those that are the same as an earlier one."""
    found: list[Any] = []
    for value in values:
        if not any(same(value, each) for each in found):
            found.append(value)
            if len(found) > 8:
                return list({id(each): each for each in values}.values())
    return found


def joined(left: Items, right: Items) -> Items:
    """Return one sequence after the other."""
    if len(left.pairs) + len(right.pairs) > LONGEST_LIST:
        return Items(left.pairs, complete=False)
    both = Items([*left.pairs, *right.pairs], left.complete and right.complete)
    both.several = left.several or right.several
    return both


def text(value: str) -> Any:
    """Return a text as a value; one that grew too long to name anything is not known."""
    return Constant(value) if len(value) <= LONGEST_TEXT else UNKNOWN


def items_of(value: Any) -> Items | None:
    """Return what a loop over a value goes through, or None if that is not known."""
    match value:
        case Items():
            return value
        case Record():
            pairs: list[tuple[Any, Any]] = [(Constant(name), value.node) for name in value.fields]
            return Items(pairs, value.complete)
        case ClassValue() if value.derives_from("Enum", "StrEnum"):
            members = value.scope.names.items()
            return Items([(each, value.node) for name, each in members if not name.startswith("_") and _is_text(each)])
        case _:
            return None


def _is_text(value: Any) -> bool:
    return isinstance(value, Constant) and isinstance(value.value, str)
