"""The sink that says what ran."""

import pytest
from stageflow import Pipeline, stage
from stageflow_mocks import RecordingEventSink


def _sink(*types: str) -> RecordingEventSink:
    sink = RecordingEventSink()
    for type in types:
        sink.try_emit(type=type, data=None)
    return sink


@stage
async def look() -> dict[str, str]:
    return {"sky": "blue"}


@stage
async def say(look: dict[str, str]) -> dict[str, str]:
    return {"text": f"The sky is {look['sky']}."}


async def test_it_keeps_the_events_of_a_run():
    """Each with its type, stage and run, in order; those of one stage can be had alone."""
    sink = RecordingEventSink()
    results = await Pipeline("p", [look, say]).run(event_sink=sink)
    assert [event.type for event in sink.of("say")] == ["stage.say.started", "stage.say.completed"]
    assert {event.run_id for event in sink.events} == {results.pipeline_run_id}
    sink.assert_sequence(
        ["pipeline.created", "pipeline.started", "stage.look.*", ..., "stage.say.*", ..., "*.completed"]
    )
    sink.assert_sequence(["*.started", "*.completed"], stage="look")
    sink.clear()
    sink.assert_sequence([])


@pytest.mark.parametrize(
    ("expected", "happened"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", ..., "d"], ["a", "b", "c", "d"]),
        (["a", ..., "d"], ["a", "d"]),
        ([...], []),
        ([..., ...], ["a"]),
        ([..., "a"], ["a", "b", "a"]),
        (["*.started", ...], ["pipeline.started", "x"]),
        ([..., "b", ..., "b"], ["b", "a", "b"]),
    ],
)
def test_what_fits_passes(expected, happened):
    """`...` is any number of events, and `*` any text."""
    _sink(*happened).assert_sequence(expected)


@pytest.mark.parametrize(
    ("expected", "happened"),
    [
        (["a"], ["b"]),
        (["a"], []),
        ([], ["a"]),
        (["a", "b"], ["b", "a"]),
        (["a"], ["a", "a"]),
        (["a", ...], ["b", "a"]),
        ([..., "a"], ["a", "b"]),
        (["A"], ["a"]),
        ([..., "b", ..., "b"], ["a", "b"]),
    ],
)
def test_what_does_not_fit_fails(expected, happened):
    """Order, number and spelling count."""
    with pytest.raises(AssertionError):
        _sink(*happened).assert_sequence(expected)


def test_the_message_shows_both_side_by_side():
    """What is the same stands in one line, so that the eye finds what is not."""
    sink = _sink("pipeline.started", "stage.a.started", "stage.a.failed", "x", "pipeline.failed")
    with pytest.raises(AssertionError) as failed:
        sink.assert_sequence(["pipeline.started", "stage.a.started", "stage.a.completed", ..., "pipeline.*"])
    assert str(failed.value) == (
        "The events are not those that were expected:\n"
        "    expected           happened\n"
        "    pipeline.started   pipeline.started\n"
        "    stage.a.started    stage.a.started\n"
        "  - stage.a.completed\n"
        "    ...                stage.a.failed\n"
        "    ...                x\n"
        "    pipeline.*         pipeline.failed\n"
        "(- did not happen here, + was not expected here)"
    )
    with pytest.raises(AssertionError, match=r"events of stage 's' are(.|\n)*\+ +s\.started") as failed:
        RecordingEventSink.assert_sequence(_of_stage("s", "s.started"), [], stage="s")


def _of_stage(stage: str, type: str) -> RecordingEventSink:
    sink = RecordingEventSink()
    sink.try_emit(type=type, data={"stage": stage})
    return sink


@pytest.mark.parametrize("wrong", ["pipeline.started", [None], [1]])
def test_a_wrong_expectation_is_refused(wrong):
    """A text would be taken for the list of its letters."""
    with pytest.raises(TypeError, match="list of types"):
        _sink().assert_sequence(wrong)


def test_a_sink_that_was_given_to_no_run_asks_whether_it_was():
    """Nothing at all has come: most likely the run did not know of it."""
    with pytest.raises(
        AssertionError, match=r"^No event has come\. Was the sink given to the run, as event_sink=\.\.\.\?$"
    ):
        _sink().assert_sequence(["pipeline.created", ...])
