"""What frozen dataclasses of ours have in common."""

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

import pytest
from stageflow import (
    ContextSnapshot,
    Conversation,
    PipelineContext,
    PipelineEvent,
    RetryPolicy,
    RunIdentity,
    StageArtifact,
    StageEvent,
    StageKind,
    StageResult,
    StageSpec,
    StreamOptions,
)
from stageflow.context.parent import ParentStage
from stageflow.contracts import contract_of
from stageflow.core.output import ErrorInfo
from stageflow.execution.results import Suspension
from stageflow.frozen import EMPTY
from stageflow.pipeline.drafts import PipelineOptions
from stageflow.pipeline.spec import From
from stageflow.providers import Message
from stageflow.value import Value, made_by

_NO_LIST: list[int] = made_by(list)


class Point(Value):
    """A value like ours, with all that a field may be."""

    __slots__ = ("seen", "x", "y")
    uncompared = unshown = ("seen",)

    x: int
    y: int
    seen: list[int]

    def __init__(self, x: int, y: int = 0, seen: list[int] = _NO_LIST) -> None:
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)
        object.__setattr__(self, "seen", [] if seen is _NO_LIST else seen)


@dataclass(frozen=True, slots=True)
class Written:
    x: int
    y: int = 0
    seen: list[int] = field(default_factory=list, compare=False, repr=False)


def test_values_are_equal_by_their_compared_fields():
    """As dataclasses are."""
    assert Point(1, 2) == Point(1, 2, [3])
    assert Point(1, 2) != Point(1, 3)
    assert 1 == len({Point(1), Point(1, 0, [3])})
    assert hash(Written(1, 2)) == hash(Point(1, 2))


def test_values_of_two_classes_are_never_equal():
    """Be their fields the same."""
    assert Point(1) != Written(1)
    assert StageArtifact("note") != StageEvent("note")
    assert Point(1).__eq__(Written(1)) is NotImplemented


def test_a_value_shows_its_fields():
    """As a dataclass does."""
    assert repr(Written(1, 2)).replace("Written", "Point") == repr(Point(1, 2))


def test_values_are_frozen_dataclasses_like_any_other():
    """For whoever looks at their fields, copies, replaces or pickles them."""
    point = Point(1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x
    assert Point(3, 2) == dataclasses.replace(point, x=3)
    assert point == pickle.loads(pickle.dumps(point)) == copy.deepcopy(point)
    identity = RunIdentity("r", user_id="u")
    assert {"pipeline_run_id": "r", "user_id": "u"}.items() <= dataclasses.asdict(identity).items()
    assert Conversation().with_message("user", "hi") == Conversation().with_message("user", "hi")


def described(kind: Any) -> list[tuple[Any, ...]]:
    """Return all that there is to know of the fields of a dataclass."""
    return [
        (each.name, each.default, each.default_factory, each.compare, each.repr, each.init, each.kw_only)
        for each in dataclasses.fields(kind)
    ]


def test_the_fields_of_a_value_are_those_that_a_dataclass_would_have():
    """With their defaults, what makes them, and whether they are compared and shown."""
    assert dataclasses.is_dataclass(Point)
    assert described(Written) == described(Point)
    assert Written.__match_args__ == Point.__match_args__ == ("x", "y", "seen")
    assert Point.__dataclass_params__.frozen


def test_the_default_of_what_is_made_anew_is_shown_as_the_call_that_makes_it():
    """In the signature, and so in the help and the docs."""
    assert "(x: int, y: int = 0, seen: list[int] = list()) -> None" == str(inspect.signature(Point))
    assert Point(1).seen is not Point(1).seen


def test_a_value_has_no_fields_before_somebody_asks_for_them():
    """To derive them takes longer than everything else about the class."""
    code = (
        "import stageflow; from stageflow.value import Value\n"
        "assert not [kind for kind in Value.__subclasses__() if '__dataclass_fields__' in vars(kind)]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_value_itself_is_no_dataclass():
    """Else each class that derives from it would seem to have fields already."""
    assert not dataclasses.is_dataclass(Value)


async def answer() -> None:
    """Be the runner of a stage."""


MADE: tuple[tuple[Any, Mapping[str, Any]], ...] = (
    (From("a"), {"stage": "b"}),
    (Message("user", "hi"), {"content": "ho"}),
    (Conversation([Message("user", "hi")]), {"messages": ()}),
    (RunIdentity("r", user_id="u"), {"user_id": "v"}),
    (PipelineContext(deadline=3), {"deadline": 4}),
    (RetryPolicy(5, retry_on=OSError), {"jitter": False}),
    (StreamOptions(4, "error"), {"capacity": 5}),
    (StageArtifact("note", {"a": [1]}), {"payload": {}}),
    (StageEvent("note", {"a": [1]}), {"type": "other"}),
    (ErrorInfo("bad", code="c"), {"message": "good"}),
    (StageResult("a", None, 1, 2.0, 3.0), {"attempts": 2}),  # pyright: ignore[reportArgumentType] - nobody looks
    (ParentStage("r", "p", "s", "k"), {"holding": "x"}),
    (Suspension(ContextSnapshot(), {"": "d"}, "r"), {"first_run_id": "s"}),
    (PipelineOptions(), {"timeout": 2.0}),
    (StageSpec("a", answer, StageKind.WORK, limit="x"), {"priority": 5}),
    (
        PipelineEvent(event_id="r:1", event_type="t", timestamp=1.0, sequence=1, pipeline_run_id="r"),
        {"data": {"a": 1}},
    ),
)


@pytest.mark.parametrize(("value", "changes"), MADE, ids=lambda each: type(each).__name__)
def test_each_value_of_ours_has_a_field_for_each_parameter(value: Any, changes: Mapping[str, Any]):
    """It keeps what it is given, cannot be changed, has typed fields, and is copied, pickled and replaced."""
    names = [each.name for each in dataclasses.fields(value)]
    assert names == list(inspect.signature(type(value)).parameters)
    assert {*names} == {*get_type_hints(type(value))}
    for name in names:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, getattr(value, name))
    assert value == copy.copy(value) == pickle.loads(pickle.dumps(value))
    assert all(same(getattr(value, name), getattr(copy.copy(value), name)) for name in names)
    other = dataclasses.replace(value, **changes)
    assert other != value
    assert {name: getattr(other, name) for name in changes} == changes
    assert all(same(getattr(other, name), getattr(value, name)) for name in names if name not in changes)


def same(one: Any, other: Any) -> bool:
    """Return whether both are the same object, or equal ones."""
    return one is other or one == other


def test_a_value_is_a_contract_type_that_is_frozen():
    """So a stage may return one, or hold it in what it returns, and it is shared."""
    found = contract_of(Message)
    assert found is not None
    names = ("role", "content", "name", "tool_calls", "tool_call_id")
    assert (names, True, True) == (found.names, found.frozen, found.closed)


def test_a_value_matches_by_position():
    """As a dataclass does, but for fields that are given by name alone."""
    match Message("user", "hi"):
        case Message("user", text):
            assert "hi" == text
        case _:
            pytest.fail("it did not match")
    assert () == PipelineContext.__match_args__


def test_a_dataclass_may_derive_from_a_value():
    """Its fields come first, with their defaults."""

    @dataclass(frozen=True)
    class Named(RunIdentity):
        label: str = "none"

    named = Named(user_id="u", label="x")
    assert ("u", "x") == (named.user_id, named.label)
    assert 36 == len(named.pipeline_run_id) != Named().pipeline_run_id
    assert EMPTY is PipelineEvent(event_id="r:1", event_type="t", timestamp=1.0, sequence=1, pipeline_run_id="r").data


def test_a_class_that_derives_from_a_value_has_its_fields():
    """And may hold more, which it keeps when it is copied."""

    class Marked(Message):
        pass

    marked = Marked("user", "hi")
    object.__setattr__(marked, "mark", 1)
    assert ("role", "content", "name") == Marked.__match_args__
    assert 1 == copy.copy(marked).mark
    assert marked == copy.copy(marked)
    assert marked != Message("user", "hi")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is new in Python 3.13")
def test_copy_replace_takes_a_value():
    """As it takes a dataclass."""
    assert Point(3, 2) == copy.replace(Point(1, 2), x=3)  # pyright: ignore[reportAttributeAccessIssue]
