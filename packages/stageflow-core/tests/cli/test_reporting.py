"""Events in a few words."""

import pytest
from stageflow import PipelineEvent
from stageflow.cli.run.reporting import details_of, duration, verb_of


def event(event_type, **fields):
    return PipelineEvent(
        event_id="r-1", event_type=event_type, timestamp=0.0, sequence=1, pipeline_run_id="r", **fields
    )


@pytest.mark.parametrize(
    ("made", "verb", "details"),
    [
        (event("pipeline.started"), "started", ""),
        (event("stage.a.started", stage="a"), "started", ""),
        (event("stage.a.started", stage="a", attempt=2), "started", ": attempt 2"),
        (event("stage.a.completed", stage="a", status="ok", duration_ms=1234.5), "completed", ": 1.23 s"),
        (
            event(
                "stage.a.retrying", stage="a", attempt=1, data={"error": {"message": "no", "type": "E"}, "delay_s": 2.0}
            ),
            "retrying",
            ": E: no, again in 2.00 s",
        ),
        (
            event("stage.a.failed", stage="a", data={"error": {"message": "a\nb", "type": "E"}, "critical": False}),
            "failed",
            ": E: a b, the run goes on",
        ),
        (event("stage.a.skipped", stage="a", data={"reason": "long", "origin": "b"}), "skipped", ": because of b"),
        (event("stage.a.skipped", stage="a", data={"reason": "not today"}), "skipped", ": not today"),
        (event("stage.a.cancelled", stage="a", data={"reason": "why", "origin": "b"}), "cancelled", ": why"),
        (event("stage.a.suspended", stage="a", data={"request": {"q": "é"}}), "suspended", ': {"q": "é"}'),
        (
            event("stage.a.artifact", stage="a", data={"type": "text", "payload": 1}),
            "artifact",
            ': {"type": "text", "payload": 1}',
        ),
        (event("memory.found", stage="a", data={"n": 1}), "event", ': memory.found, {"n": 1}'),
        (event("stage.b.started", stage="a"), "event", ": stage.b.started"),
    ],
)
def test_an_event_is_a_word_and_what_else_there_is_to_say(made, verb, details):
    """In one line, whatever stands in it."""
    assert (verb, details) == (verb_of(made)[0], details_of(made))


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [(0.4, "0 ms"), (999.0, "999 ms"), (1000.0, "1.00 s"), (59_990.0, "59.99 s"), (125_400.0, "2 min 5 s")],
)
def test_a_time_is_written_as_a_person_reads_it(milliseconds, expected):
    """With a unit that fits."""
    assert expected == duration(milliseconds)
