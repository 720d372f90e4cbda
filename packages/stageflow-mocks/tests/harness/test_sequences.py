"""The comparison of events with what was expected: that it is right, readable, and fast."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow_mocks import RecordingEventSink
from stageflow_mocks.harness.sequences import _aligned, compared, fits

TYPES = st.sampled_from(["a", "b", "a.b", "b.a"])
EXPECTED = st.lists(st.one_of(TYPES, st.sampled_from(["*", "a*", "*b", "*.*", ...])), max_size=7)


def _fits_by_trying(expected, happened):
    """Say by the definition whether they fit, in as many steps as it takes."""
    if not expected:
        return not happened
    if expected[0] is ...:
        return any(_fits_by_trying(expected[1:], happened[place:]) for place in range(len(happened) + 1))
    first = {"*": lambda type: True, "a*": lambda type: type[0] == "a", "*b": lambda type: type[-1] == "b"}
    first["*.*"] = lambda type: "." in type
    is_first = happened and first.get(expected[0], expected[0].__eq__)(happened[0])
    return bool(is_first) and _fits_by_trying(expected[1:], happened[1:])


@settings(max_examples=500, deadline=None)
@given(EXPECTED, st.lists(TYPES, max_size=7))
def test_it_fits_as_it_is_defined(expected, happened):
    """Whatever the order of wildcards, and the comparison has a line that does not fit exactly if they do not."""
    right = _fits_by_trying(expected, happened)
    assert fits(expected, happened) == right
    rows = _aligned(expected, happened)
    assert all(row.fits for row in rows) == right
    assert [row.happened for row in rows if row.happened] == happened
    assert [row.expected for row in rows if row.expected not in ("", "...")] == [one for one in expected if one != ...]


def _sink(*types):
    sink = RecordingEventSink()
    for type in types:
        sink.try_emit(type=type, data={"stage": type.split(".")[1]} if "." in type else None)
    return sink


def _told(sink, expected, **which):
    with pytest.raises(AssertionError) as failed:
        sink.assert_sequence(expected, **which)
    return str(failed.value)


TEN_THOUSAND = [f"stage.s{number % 100}.{'started' if number % 2 else 'completed'}" for number in range(10_000)]


@pytest.mark.parametrize(
    "expected",
    [
        TEN_THOUSAND,
        [..., *TEN_THOUSAND[5_000:]],
        [*TEN_THOUSAND[:5_000], ..., "*.started"],
        [..., "stage.s99.*", ..., "stage.s98.*", ..., *TEN_THOUSAND[-4:]],
    ],
    ids=["all", "from the middle", "to the middle", "here and there"],
)
def test_ten_thousand_events(expected):
    """They are compared in a time that nobody notices, and one that is missing among them is shown in a few lines."""
    sink = _sink(*TEN_THOUSAND)
    begun = time.process_time()
    sink.assert_sequence(expected)
    passing_s = time.process_time() - begun
    broken = [*expected[:-2], "stage.other.started", *expected[-1:]]
    told = _told(sink, broken)
    failing_s = time.process_time() - begun
    assert passing_s < 0.5
    assert failing_s < 5
    lines = told.splitlines()
    assert len(lines) < 60
    assert any(line.strip().startswith("- stage.other.started") for line in lines), told


def test_lines_that_fit_are_left_out():
    """Three of them stand around what does not fit; of what came beyond that there are some, and their number."""
    types = [f"e{number}" for number in range(100)]
    assert _told(_sink(*types), [*types[:50], "x", *types[50:60]]) == (
        "The events are not those that were expected:\n"
        "    expected  happened\n"
        "    … 47 that fit …\n"
        "    e47       e47\n"
        "    e48       e48\n"
        "    e49       e49\n"
        "  - x\n"
        "    e50       e50\n"
        "    e51       e51\n"
        "    e52       e52\n"
        "    … 4 that fit …\n"
        "    e57       e57\n"
        "    e58       e58\n"
        "    e59       e59\n"
        + "".join(f"  +           e{number}\n" for number in range(60, 77))
        + "    … 20 that were not expected …\n"
        + "".join(f"  +           e{number}\n" for number in range(97, 100))
        + "(- did not happen here, + was not expected here)"
    )


def test_no_line_is_wider_than_a_terminal():
    """Where two long types do not fit beside each other, they stand in lines of their own; a longer one is cut."""
    long, longer = f"stage.{'a' * 50}", f"stage.{'b' * 60}"
    assert _told(_sink(long, longer, f"x.{'c' * 200}"), [f"{long}*", "stage.other"]) == (
        "The events are not those that were expected:\n"
        f"    {long}\n"
        "  - stage.other\n"
        f"  + {longer}\n"
        f"  + x.{'c' * 44}…{'c' * 49}\n"
        "(- did not happen here, + was not expected here)"
    )


def test_only_the_star_is_a_wildcard():
    """Brackets and question marks in a type are what they are."""
    sink = _sink("own[1]", "ready?")
    sink.assert_sequence(["own[1]", "ready?"])
    sink.assert_sequence(["own[*]", "*?"])
    assert "- own[12]" in _told(sink, ["own[12]", "ready?"])
    assert "- read??" in _told(sink, ["own[1]", "read??"])


def test_a_stage_without_events_is_told():
    """A misspelt stage would look like one that did not run."""
    told = _told(_sink("stage.reply.started", "stage.find.started"), ["*.started"], stage="replly")
    assert told.endswith("No event is of stage 'replly'. Did you mean 'reply'? There are events of: reply, find.")
    assert _told(_sink("tick"), ["*"], stage="reply").endswith("There are events of: no stage.")


@pytest.mark.parametrize("wrong", [None, {"a"}, (one for one in ["a"]), {"a": 1}])
def test_what_has_no_order_is_refused(wrong):
    """A set has none, and a generator could be read but once."""
    with pytest.raises(TypeError, match=r"a list of types and `\.\.\.`"):
        _sink("a").assert_sequence(wrong)


def test_attempts_of_a_stage_among_others():
    """Events of several stages between each other are compared for one, with its retries."""
    sink = _sink("stage.a.started", "stage.b.started", "stage.a.retrying", "stage.b.completed", "stage.a.completed")
    sink.assert_sequence(["*.started", "*.retrying", "*.completed"], stage="a")
    sink.assert_sequence([..., "stage.b.completed", ...])
    assert "- *.retrying" in _told(sink, ["*.started", "*.retrying", "*.retrying", "*.completed"], stage="a")
    assert compared(["x"], ()) == "    expected  happened\n  - x\n(- did not happen here, + was not expected here)"
