"""Typed inputs of JSON that somebody wrote by hand."""

from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest
from stageflow.cli.run.typed_input import made_of
from stageflow.errors import CommandError


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


class Record(msgspec.Struct):
    name: str
    at: Point | None = None


class Model(pydantic.BaseModel):
    at: Point
    tags: list[str] = []


class Plain(TypedDict):
    x: int


@pytest.mark.parametrize(
    ("annotation", "data", "expected"),
    [
        (Point, {"x": 1}, Point(1)),
        (Point | None, {"x": 1}, Point(1)),
        (Point | None, None, None),
        (Point | Record, {"x": 1}, {"x": 1}),
        (list[Point], [{"x": 1}, {"x": 2, "y": 3}], [Point(1), Point(2, 3)]),
        (tuple[Point, ...], [{"x": 1}], (Point(1),)),
        (dict[str, Point], {"a": {"x": 1}}, {"a": Point(1)}),
        (Record, {"name": "n", "at": {"x": 1}}, Record("n", Point(1))),
        (Model, {"at": {"x": "7"}, "tags": ["t"]}, Model(at=Point(7), tags=["t"])),
        (Plain, {"x": 1}, {"x": 1}),
        (Point, 3, 3),
        (Any, {"x": 1}, {"x": 1}),
        (list, [{"x": 1}], [{"x": 1}]),
    ],
)
def test_objects_become_what_the_annotations_say(annotation, data, expected):
    """Everything else stays as it is: the run checks its input."""
    made = made_of(annotation, data)
    assert (type(expected), expected) == (type(made), made)


@pytest.mark.parametrize(
    ("annotation", "data"),
    [(Point, {}), (Point, {"x": 1, "z": 2}), (Model, {"at": 3}), (list[Point], [{"z": 1}]), (Record, {"at": {}})],
)
def test_a_class_that_refuses_its_fields_is_told(annotation, data):
    """With its name."""
    with pytest.raises(CommandError, match=r"^--input-json: \w+ refuses its fields: "):
        made_of(annotation, data)
