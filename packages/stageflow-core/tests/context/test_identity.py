"""The ids of a run."""

from __future__ import annotations

import functools
import operator
import time
import uuid
from typing import Any

import pytest
from stageflow import RunIdentity
from stageflow.context.identity import uuid7


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Version and variant are where RFC 9562 has them, and the text is canonical."""
    for _ in range(100):
        text = uuid7()
        parsed = uuid.UUID(text)
        assert (7, uuid.RFC_4122, text) == (parsed.version, parsed.variant, str(parsed))


def test_an_id_starts_with_the_time_in_milliseconds() -> None:
    """Its first 48 bits lie between the clock before and the clock after."""
    before = time.time_ns() // 1_000_000
    stamp = uuid.UUID(uuid7()).int >> 80
    assert before <= stamp <= time.time_ns() // 1_000_000


def test_the_other_74_bits_are_random() -> None:
    """Over many ids, each of them is set in some and not in others."""
    ids = [uuid.UUID(uuid7()).int for _ in range(300)]
    random_bits = (0xFFF << 64) | ((1 << 62) - 1)
    ever, always = functools.reduce(operator.or_, ids), functools.reduce(operator.and_, ids)
    assert (random_bits, 0) == (ever & random_bits, always & random_bits)


def test_ids_sort_by_the_time_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later millisecond sorts behind, as text."""
    moments = iter([1_000_000_000, 2_000_000_000, 1_800_000_000_000_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))
    ids = [uuid7(), uuid7(), uuid7()]
    assert sorted(ids) == ids


def test_ids_differ() -> None:
    """A thousand of one moment are a thousand."""
    assert 1000 == len({uuid7() for _ in range(1000)})


def test_each_identity_is_a_new_run() -> None:
    """The run's id is made unless it is given; the others are None."""
    first, second = RunIdentity(), RunIdentity()
    assert first.pipeline_run_id != second.pipeline_run_id
    assert RunIdentity(first.pipeline_run_id) == first
    assert (None, None, None, None, None) == (
        first.request_id,
        first.session_id,
        first.user_id,
        first.org_id,
        first.interaction_id,
    )


@pytest.mark.parametrize("name", RunIdentity.__slots__)
def test_an_id_is_a_string(name: str) -> None:
    """A number is refused where it is given, since it could not be read back from JSON."""
    ids: Any = {name: 5}
    with pytest.raises(TypeError) as caught:
        RunIdentity(**ids)
    assert f"{name} of a RunIdentity is a string, not 5." == str(caught.value)


def test_the_run_id_cannot_be_none() -> None:
    """None is what the other ids may be."""
    nothing: Any = None
    with pytest.raises(TypeError, match="pipeline_run_id of a RunIdentity is a string, not None"):
        RunIdentity(nothing)
