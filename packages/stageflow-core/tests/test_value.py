"""What frozen dataclasses of ours have in common."""

import copy
import dataclasses
import pickle
from dataclasses import dataclass, field

import pytest
from stageflow import Conversation, RunIdentity, StageArtifact, StageEvent
from stageflow.value import Value


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Point(Value):
    x: int
    y: int = 0
    seen: list[int] = field(default_factory=list, compare=False, repr=False)


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
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2
    assert Point(3, 2) == dataclasses.replace(point, x=3)
    assert point == pickle.loads(pickle.dumps(point)) == copy.deepcopy(point)
    identity = RunIdentity("r", user_id="u")
    assert {"pipeline_run_id": "r", "user_id": "u"}.items() <= dataclasses.asdict(identity).items()
    assert Conversation().with_message("user", "hi") == Conversation().with_message("user", "hi")
