"""Where a client goes on that names the last event that it has."""

import pytest
from stageflow.errors import InvalidEventIdError
from stageflow.projector import position_after

RUN = "01a1f998-6258-7e88-9a45-b193154e5f6f"


@pytest.mark.parametrize("sequence", [1, 2, 11])
def test_an_id_of_the_run_is_the_place_after_that_event(sequence):
    """The sequence number is how many events the client has."""
    assert position_after(f"{RUN}-{sequence}", run_id=RUN, told=11) == sequence


@pytest.mark.parametrize(
    "text",
    ["7", "-7", "run"]
    + [f"{RUN}-{tail}" for tail in ("", "0", "07", "x", "1 ", "-1", "\u0663", "\u00b2", "9" * 5_000)],
)
def test_what_is_no_event_id_is_refused(text):
    """A garbled id is neither the beginning nor the end."""
    with pytest.raises(InvalidEventIdError, match="cannot go on after the event id"):
        position_after(text, run_id=RUN, told=11)


def test_an_empty_id_is_that_of_a_client_that_has_none():
    """Some clients send the header all the same."""
    assert 0 == position_after("", run_id=RUN, told=11)


def test_what_is_no_string_is_refused():
    """As a number of an event would be."""
    with pytest.raises(InvalidEventIdError, match="3: an event id is a string"):
        position_after(3, run_id=RUN, told=11)


def test_an_id_of_another_run_is_refused():
    """Its sequence number says nothing of this run."""
    with pytest.raises(InvalidEventIdError, match="it is of another run") as caught:
        position_after("another-3", run_id=RUN, told=11)
    assert (caught.value.event_id, caught.value.run_id) == ("another-3", RUN)


def test_an_id_that_begins_with_that_of_the_run_is_of_another_run():
    """`r1-2-3` is the third event of run `r1-2`."""
    with pytest.raises(InvalidEventIdError, match="it is of another run"):
        position_after("r1-2-3", run_id="r1", told=11)
    assert position_after("r1-2-3", run_id="r1-2", told=11) == 3


def test_an_event_that_has_not_been_is_refused():
    """To wait until the run gets there would keep from the client what it never saw."""
    with pytest.raises(InvalidEventIdError, match="the run has told of 11 events so far"):
        position_after(f"{RUN}-12", run_id=RUN, told=11)
