"""Stages by name and by handle."""

from __future__ import annotations

from typing import Any

import pytest
from stageflow import StageContext, stage
from stageflow.core.handle import name_of


@stage
async def profile(ctx: StageContext) -> dict[str, int]:
    """Answer."""
    return {"answer": 42}


class Named:
    """Has a name and is no handle: in a pipeline it may bear another."""

    name = "profile"


def test_a_name_is_its_own_name() -> None:
    """A string is taken as it is."""
    assert "profile" == name_of("profile")


def test_a_handle_has_the_name_of_its_stage() -> None:
    """Also one that was given another name."""
    assert ("profile", "other") == (name_of(profile), name_of(profile.named("other")))


@pytest.mark.parametrize(
    ("other", "called"),
    [
        (None, "None"),
        (5, "5"),
        (Named, "the class Named"),
        (Named(), "a Named"),
        (Named.__init__, "the function object.__init__"),
        (b"profile", "b'profile'"),
        (("profile",), "('profile',)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_anything_else_is_refused(other: Any, called: str) -> None:
    """The error says what a stage is given by."""
    with pytest.raises(TypeError) as caught:
        name_of(other)
    assert f"A stage is given by its name or by its handle (what `stage` made), not as {called}." == str(caught.value)
