"""Where in a tree of runs an error began."""

from __future__ import annotations

import pytest
from stageflow import StageflowError
from stageflow.context.parent import ParentStage
from stageflow.execution.locating import chain_of, located, passed_on

PARENT = ParentStage("r", "outer", "a", "key")


def test_a_chain_ends_with_the_stage_or_the_pipeline() -> None:
    """Below that of the parent, if there is one."""
    assert ("p.s",) == chain_of(None, "p", "s")
    assert ("outer.a", "p.s") == chain_of(PARENT, "p", "s")
    assert ("outer.a", "p") == chain_of(PARENT, "p")


def test_an_error_of_a_child_notes_what_led_to_it() -> None:
    """That of a first run has nothing to note."""
    child, first = located(StageflowError("no"), PARENT, "p", "s"), located(StageflowError("no"), None, "p", "s")
    assert (("outer.a", "p.s"), ["In a child run of outer.a."]) == (child.chain, child.__notes__)
    assert (("p.s",), False) == (first.chain, hasattr(first, "__notes__"))


@pytest.mark.parametrize(
    ("chain", "here", "expected"),
    [
        (("o.a", "i.b"), ("o.a",), True),
        (("o.a", "i.b", "l.c"), ("o.a",), True),
        (("o.a",), ("o.a",), False),
        (("o.x", "i.b"), ("o.a",), False),
        ((), ("o.a",), False),
    ],
)
def test_an_error_is_passed_on_if_it_began_in_a_child_of_the_stage(
    chain: tuple[str, ...], here: tuple[str, ...], expected: bool
) -> None:
    """Its chain leads through the stage, and further."""
    error = StageflowError("no")
    error.chain = chain
    assert (error if expected else None) is passed_on(error, here)
    assert passed_on(ValueError(), here) is None
    assert passed_on(None, here) is None
