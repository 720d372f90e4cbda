"""Which events a queue may drop."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow.errors import InvalidOptionError
from stageflow.events.event_classes import EventClass, event_classes


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("a.b", ["a.b"], ["a.bc", "xa.b", ""]),
        ("*", ["", "a", "a.b"], []),
        ("*.failed", ["stage.x.failed", ".failed"], ["failed", "stage.failed.x"]),
        ("stage.*", ["stage.", "stage.x.started"], ["stage", "my.stage.x"]),
        ("stage.*.artifact", ["stage.x.artifact", "stage.a.b.artifact"], ["stage.artifact", "stage.x.artifacts"]),
        ("a*a", ["aa", "aba"], ["a", "ab"]),
        ("a*b*c", ["abc", "axbxc", "abcbc"], ["ac", "acb", "cba"]),
        ("a**b", ["ab", "axb"], ["a", "b"]),
        ("[a]?", ["[a]?"], ["a", "ab"]),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, fitting: list[str], others: list[str]) -> None:
    """And nothing else is special."""
    one = EventClass(pattern, "block")
    assert (fitting, []) == (
        [name for name in fitting if one.holds(name)],
        [name for name in others if one.holds(name)],
    )


@settings(deadline=None)
@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_patterns_fit_what_shell_patterns_fit(pattern: str, name: str) -> None:
    """Where those have no other special characters."""
    assert fnmatch.fnmatchcase(name, pattern) == EventClass(pattern, "block").holds(name)


@pytest.mark.parametrize(
    "name",
    [f"pipeline.{end}" for end in ("completed", "failed", "cancelled", "suspended")]
    + [f"stage.x.{end}" for end in ("failed", "cancelled", "suspended")]
    + ["payment.failed"],
)
def test_audit_events_always_block(name: str) -> None:
    """Whatever the other options say."""
    assert "block" == event_classes("a queue", {"*": "drop_oldest", name: "drop_newest"}, ()).of(name).on_full


def test_the_first_pattern_that_fits_counts() -> None:
    """In the order in which they were given; what none fits is dropped when it comes."""
    classes = event_classes("a queue", {"a.b": "block", "a.*": "drop_oldest", "a.c": "block"}, ["d.*", "a.x"])
    assert [
        EventClass("a.b", "block"),
        EventClass("a.*", "drop_oldest"),
        EventClass("a.x", "block"),
        EventClass("d.*", "block"),
        EventClass("*", "drop_newest"),
    ] == [classes.of(name) for name in ("a.b", "a.c", "a.x", "d.e", "e")]


def test_one_audit_pattern_needs_no_list() -> None:
    """A string is one pattern, and not its letters."""
    classes = event_classes("a queue", "drop_oldest", "billing.*")
    assert ("billing.*", "*") == (classes.of("billing.done").pattern, classes.of("b").pattern)


def test_any_number_of_types_is_known_for_a_while_only() -> None:
    """Types with a number in them do not fill the memory."""
    classes = event_classes("a queue", {"n.*": "drop_oldest"}, ())
    for number in range(10_000):
        assert "n.*" == classes.of(f"n.{number}").pattern
    assert len(classes._known) <= 4_096  # pyright: ignore[reportPrivateUsage]


POLICIES = "one of block, drop_newest, drop_oldest"


@pytest.mark.parametrize(
    ("on_full", "audit", "message"),
    [
        ("drop-oldest", (), f"on_full of a queue is {POLICIES}, not 'drop-oldest'. Did you mean 'drop_oldest'?"),
        ("blok", (), f"on_full of a queue is {POLICIES}, not 'blok'. Did you mean 'block'?"),
        ({"a": None}, (), f"on_full of a queue is {POLICIES}, not None."),
        (["block"], (), f"on_full of a queue is {POLICIES}, not ['block']."),
        ({5: "block"}, (), "on_full of a queue is made of patterns of event types, such as 'search.*', not 5."),
        ("block", [""], "audit of a queue is made of patterns of event types, such as 'search.*', not ''."),
        ("block", 5, "audit of a queue is made of patterns of event types, such as 'search.*', not 5."),
    ],
)
def test_wrong_options_are_refused(on_full: Any, audit: Any, message: str) -> None:
    """With what they may be, and the nearest of it."""
    with pytest.raises(InvalidOptionError) as caught:
        event_classes("a queue", on_full, audit)
    assert message == str(caught.value)
