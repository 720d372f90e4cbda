"""What a run leaves behind: reading it, and bringing it through JSON."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow import (
    ContextSnapshot,
    Pipeline,
    PipelineResults,
    RunIdentity,
    StageArtifact,
    StageContext,
    StageEvent,
    StageExecutionError,
    StageOutput,
    StageResult,
    StageStatus,
    stage,
)
from stageflow.core.output_json import output_to_dict
from stageflow.errors import SchemaVersionError, SerializationError, StageOutcomeError
from stageflow.execution.results import SCHEMA_VERSION, RunLog, Suspension


@dataclass
class Profile:
    name: str
    tags: list[str] = field(default_factory=list)


@stage
async def profile(ctx: StageContext) -> Profile:
    """Return a contract value."""
    return Profile("Ada")


@stage
async def memory(ctx: StageContext) -> StageOutput[Any]:
    """Skip."""
    return StageOutput.skip("nobody asked")


@stage
async def recall(memory: Any) -> dict[str, Any]:
    """Need what was skipped."""
    return {"memory": memory}


@stage
async def greeting(profile: Profile, memory: Any = None) -> dict[str, Any]:
    """Greet."""
    return {"text": f"Hello {profile.name}"}


@stage
async def failing(greeting: Any) -> None:
    """Fail."""
    raise LookupError("no such user")


SNAPSHOT = ContextSnapshot(run_id=RunIdentity("r"), input_text="hi").to_dict()
SUSPENSION = {"snapshot": SNAPSHOT, "plan": {"a": "fingerprint"}, "first_run_id": "r", "input_kinds": None}


def completed() -> PipelineResults:
    """Run a pipeline with a stage that skips and one that is skipped."""
    return Pipeline("chat", [profile, memory, recall, greeting]).run_sync()


def failed() -> PipelineResults:
    """Run a pipeline with a stage that fails."""
    with pytest.raises(StageExecutionError) as caught:
        Pipeline("chat", [profile, greeting, memory, failing]).run_sync()
    results = caught.value.results
    assert isinstance(results, PipelineResults)
    return results


# --- a mapping ---------------------------------------------------------------------------------------------------


def test_results_are_a_mapping_in_plan_order() -> None:
    """Every stage of the plan is there, whatever became of it."""
    results = completed()
    assert ["profile", "memory", "recall", "greeting"] == list(results) == list(results.keys())
    statuses = {name: output.status.name for name, output in results.items()}
    assert {"profile": "OK", "memory": "SKIP", "recall": "SKIP", "greeting": "OK"} == statuses
    assert (4, "completed", "chat") == (len(results), results.status, results.pipeline)


@pytest.mark.parametrize("ref", ["profile", profile], ids=["name", "handle"])
def test_a_stage_is_found_by_name_and_by_handle(ref: Any) -> None:
    """By every method."""
    results = completed()
    assert ref in results
    assert StageOutput.ok(Profile("Ada")) == results[ref] == results.get(ref)
    assert ({"name": "Ada", "tags": []}, Profile("Ada")) == (results.data(ref), results.value(ref))
    assert "profile" == results.record(ref).name


@pytest.mark.parametrize(("ref", "shown"), [("profle", "'profle'"), (profile.named("profle"), "'profle'"), (5, "5")])
def test_an_unknown_stage_is_a_key_error(ref: Any, shown: str) -> None:
    """With the nearest name and those that there are; `get` gives None, as any mapping's does."""
    results = completed()
    for read in (results.__getitem__, results.data, results.value, results.record):
        with pytest.raises(KeyError) as caught:
            read(ref)
        near = "" if ref == 5 else "Did you mean 'profile'? "
        assert (
            f"Pipeline 'chat' has no stage {shown}. {near}Stages: profile, memory, recall, greeting."
            == caught.value.args[0]
        )
    assert (None, False) == (results.get(ref), ref in results)


def test_the_class_of_a_runner_is_no_handle() -> None:
    """Its own name need not be that of the stage."""

    class Named:
        name = "profile"

    wrong: Any = Named
    with pytest.raises(KeyError):
        completed()[wrong]


def test_failed_and_skipped_are_named_in_plan_order() -> None:
    """As tuples."""
    assert ((), ("memory", "recall")) == (completed().failed(), completed().skipped())
    assert (("failing",), ("memory",)) == (failed().failed(), failed().skipped())


def test_the_value_of_a_mapping_is_its_data() -> None:
    """One way to read either."""
    assert {"text": "Hello Ada"} == completed().value(greeting) == completed().data(greeting)


@pytest.mark.parametrize(
    ("make", "name", "text"),
    [
        (
            completed,
            "memory",
            "Stage 'memory' has no value: it ended SKIP: nobody asked. Ask results['memory'].status first.",
        ),
        (
            completed,
            "recall",
            (
                "Stage 'recall' has no value: it ended SKIP: required stage 'memory' was skipped: nobody asked (it "
                "began with 'memory'). Ask results['recall'].status first."
            ),
        ),
        (
            failed,
            "failing",
            (
                "Stage 'failing' has no value: it ended FAIL: LookupError: no such user. Ask results['failing'].status "
                "first."
            ),
        ),
    ],
)
def test_a_stage_that_did_not_end_ok_has_no_value(make: Any, name: str, text: str) -> None:
    """The error tells its status, why, and where that began."""
    results = make()
    for read in (results.data, results.value):
        with pytest.raises(StageOutcomeError) as caught:
            read(name)
        assert text == str(caught.value)


# --- records -----------------------------------------------------------------------------------------------------


def test_a_record_tells_of_one_stage() -> None:
    """Its times lie within those of the run; one that never ran has none."""
    results = completed()
    ran, never = results.record("profile"), results.record("recall")
    assert ("profile", StageStatus.OK, 1, None) == (ran.name, ran.status, ran.attempts, ran.origin)
    assert 0 < ran.duration_ms <= results.duration_ms
    assert isinstance(ran.started_at, float)
    assert ("recall", StageStatus.SKIP, 0, "memory") == (never.name, never.status, never.attempts, never.origin)
    assert (None, 0.0) == (never.started_at, never.duration_ms)


def test_records_come_in_plan_order() -> None:
    """One for each stage."""
    results = completed()
    assert tuple(results.record(name) for name in results) == results.records()


# --- as a value --------------------------------------------------------------------------------------------------


def test_the_repr_is_one_line() -> None:
    """Status, time, and how each stage ended."""
    results = completed()
    start, end = repr(results).split(" ms, ")
    assert start.startswith("<PipelineResults of 'chat': completed in ")
    assert "profile=OK, memory=SKIP, recall=SKIP, greeting=OK>" == end


def test_the_repr_of_many_stages_is_cut() -> None:
    """Twenty are shown."""
    many = Pipeline("p", [profile.named(f"s{number}") for number in range(21)]).run_sync()
    assert "s19=OK, ...>" == repr(many)[-12:]


def test_results_survive_pickling() -> None:
    """Values keep their types; the error stays behind, as it holds the results."""
    for results in (completed(), failed()):
        back = pickle.loads(pickle.dumps(results))
        assert results == back
        assert Profile("Ada") == back.value("profile")
        assert None is back.error


@pytest.mark.parametrize(
    "change",
    [
        {"pipeline": "other"},
        {"pipeline_run_id": "other"},
        {"status": "failed"},
        {"duration_ms": 5},
        {"stragglers": ["profile"]},
        {"events_lost": 1},
        {"resumed_from": "other"},
        {"suspension": SUSPENSION},
    ],
    ids=lambda change: next(iter(change)),
)
def test_results_that_differ_are_not_equal(change: dict[str, Any]) -> None:
    """Each field counts."""
    data = completed().to_dict()
    same = PipelineResults.from_dict(data)
    assert same == PipelineResults.from_dict(data)
    assert same != PipelineResults.from_dict({**data, **change})
    assert False is (same == data)


def test_results_with_another_record_are_not_equal() -> None:
    """Each stage counts."""
    data = completed().to_dict()
    other = json.loads(json.dumps(data))
    other["stages"]["profile"]["attempts"] = 2
    assert PipelineResults.from_dict(data) != PipelineResults.from_dict(other)


def test_results_have_no_hash() -> None:
    """Their data may be unhashable."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(completed())


# --- JSON --------------------------------------------------------------------------------------------------------

texts = st.text()
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | finite | texts
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=6)
objects = st.dictionaries(texts, json_values, max_size=3)
outputs = (
    objects.map(StageOutput.ok)
    | texts.map(StageOutput.skip)
    | texts.map(StageOutput.cancel)
    | st.builds(
        lambda text, data, code: StageOutput.fail(text, data=data, code=code), texts, objects, st.none() | texts
    )
    | st.builds(lambda text: StageOutput.fail(LookupError(text)), texts)
    | st.builds(
        lambda text, data: StageOutput.ok().publishing(StageArtifact(text, data), StageEvent(text)), texts, objects
    )
)
snapshots = st.builds(
    lambda identity, text, given: ContextSnapshot(run_id=RunIdentity(identity), input_text=text, input=given),
    texts.filter(bool),
    st.none() | texts,
    json_values,
)
records = st.builds(StageResult, texts, outputs, st.integers(0), st.none() | finite, finite, origin=st.none() | texts)
runs = st.builds(
    lambda log, **fields: PipelineResults(RunLog.of(log), **fields),
    st.lists(records, max_size=4, unique_by=lambda record: record.name),
    pipeline=texts,
    asked=texts,
    status=st.sampled_from(["completed", "failed", "cancelled", "suspended"]),
    duration_ms=finite,
    stragglers=st.lists(texts, max_size=2).map(tuple),
    events_lost=st.integers(0),
    resumed_from=st.none() | texts,
    suspension=st.none()
    | st.builds(Suspension, snapshots, plan=st.dictionaries(texts, texts), first_run_id=texts, input_kinds=st.none()),
)


@given(runs)
def test_json_gives_equal_results_back(results: PipelineResults) -> None:
    """Through json.dumps and json.loads, everything is exactly what it was, in the same order."""
    data = results.to_dict()
    back = PipelineResults.from_dict(json.loads(json.dumps(data)))
    assert results == back
    assert list(results) == list(back)
    assert data == back.to_dict()


def test_results_of_a_run_come_back_equal() -> None:
    """If no value is a contract's, which comes back as its mapping."""
    results = Pipeline("p", [memory, recall]).run_sync()
    assert results == PipelineResults.from_dict(json.loads(json.dumps(results.to_dict())))
    back = PipelineResults.from_dict(completed().to_dict())
    assert {"name": "Ada", "tags": []} == back.value("profile") == back.data("profile")


def test_a_failure_comes_back_with_its_text() -> None:
    """Without the exception itself."""
    back = PipelineResults.from_dict(failed().to_dict())
    assert failed()["failing"] == back["failing"]
    assert (("failing",), "failed") == (back.failed(), back.status)
    assert back["failing"].error is not None
    assert None is back["failing"].error.exception


def test_writing_names_the_stage_and_the_path_of_what_is_not_json() -> None:
    """The error leads to it from the results."""

    async def raw(ctx: StageContext) -> dict[str, Any]:
        return {"audio": [b"abc"]}

    results = Pipeline().with_stage("raw", raw).run_sync()
    with pytest.raises(SerializationError) as caught:
        results.to_dict()
    assert "$.stages.raw.output.data.audio[0]: a bytes is not JSON." == caught.value.message


def test_newer_results_are_refused() -> None:
    """Reading half of what a newer Stageflow wrote would lose the other half."""
    with pytest.raises(SchemaVersionError):
        PipelineResults.from_dict({**completed().to_dict(), "schema_version": SCHEMA_VERSION + 1})


OUTPUT = output_to_dict(StageOutput.ok())
RECORD = {
    "output": OUTPUT,
    "attempts": 1,
    "started_at": 1.0,
    "duration_ms": 2.0,
    "origin": None,
    "statistics": {},
}
GOOD = {
    "schema_version": SCHEMA_VERSION,
    "pipeline": "p",
    "pipeline_run_id": "r",
    "status": "completed",
    "duration_ms": 1.0,
    "stragglers": [],
    "events_lost": 0,
    "records_lost": 0,
    "resumed_from": None,
    "suspension": None,
    "stages": {"a": RECORD},
}


def test_the_layout_is_a_contract() -> None:
    """What these tests change is what is written."""
    assert GOOD.keys() == completed().to_dict().keys()
    assert GOOD == PipelineResults.from_dict(GOOD).to_dict()
    assert 1 == SCHEMA_VERSION


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"schema_version": "1"}, "$.schema_version", "expected int, found str."),
        ({"status": "done"}, "$.status", "'done' is not the status of a run."),
        ({"status": None}, "$.status", "expected str, found NoneType."),
        ({"pipeline": 5}, "$.pipeline", "expected str, found int."),
        ({"pipeline_run_id": 5}, "$.pipeline_run_id", "expected str, found int."),
        ({"duration_ms": "5"}, "$.duration_ms", "expected int or float, found str."),
        ({"duration_ms": float("nan")}, "$.duration_ms", "nan is not a JSON number."),
        ({"stragglers": "a"}, "$.stragglers", "expected list, found str."),
        ({"stragglers": ["a", 5]}, "$.stragglers[1]", "expected str, found int."),
        ({"events_lost": True}, "$.events_lost", "expected int, found bool."),
        ({"resumed_from": 5}, "$.resumed_from", "expected str, found int."),
        ({"suspension": 5}, "$.suspension", "expected an object, found int."),
        ({"suspension": {**SUSPENSION, "plan": 5}}, "$.suspension.plan", "expected an object, found int."),
        (
            {"suspension": {**SUSPENSION, "first_run_id": None}},
            "$.suspension.first_run_id",
            "expected str, found NoneType.",
        ),
        ({"suspension": {**SUSPENSION, "snapshot": []}}, "$.suspension.snapshot", "expected an object, found list."),
        (
            {"suspension": {**SUSPENSION, "snapshot": {**SNAPSHOT, "input_text": 5}}},
            "$.suspension.snapshot.input_text",
            "expected str, found int.",
        ),
        ({"suspension": {**SUSPENSION, "extra": 5}}, "$.suspension.extra", "is not a field that is known here."),
        ({"stages": []}, "$.stages", "expected an object, found list."),
        ({"stages": {"a": 5}}, "$.stages.a", "expected an object, found int."),
        ({"stages": {"a": {**RECORD, "output": 5}}}, "$.stages.a.output", "expected an object, found int."),
        (
            {"stages": {"a": {**RECORD, "output": {**OUTPUT, "status": "x"}}}},
            "$.stages.a.output.status",
            "'x' is not how a stage can end.",
        ),
        ({"stages": {"a": {**RECORD, "attempts": 1.5}}}, "$.stages.a.attempts", "expected int, found float."),
        (
            {"stages": {"a": {**RECORD, "started_at": "x"}}},
            "$.stages.a.started_at",
            "expected int or float, found str.",
        ),
        (
            {"stages": {"a": {**RECORD, "duration_ms": float("inf")}}},
            "$.stages.a.duration_ms",
            "inf is not a JSON number.",
        ),
        ({"stages": {"a": {**RECORD, "origin": 5}}}, "$.stages.a.origin", "expected str, found int."),
        ({"stages": {"a": {**RECORD, "extra": 5}}}, "$.stages.a.extra", "is not a field that is known here."),
        ({"extra": 5}, "$.extra", "is not a field that is known here."),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("$") else "",
)
def test_reading_names_the_path_of_what_is_malformed(change: dict[str, Any], path: str, text: str) -> None:
    """Each field is checked, and the error leads to it."""
    with pytest.raises(SerializationError) as caught:
        PipelineResults.from_dict({**GOOD, **change})
    assert (path, text) == (caught.value.path, caught.value.problem)


def test_what_was_written_before_there_were_run_stores_is_read() -> None:
    """A suspended run waits for a long time: no record of it was lost."""
    read = PipelineResults.from_dict({key: value for key, value in GOOD.items() if key != "records_lost"})
    assert 0 == read.records_lost
    assert 3 == PipelineResults.from_dict({**GOOD, "records_lost": 3}).records_lost


@pytest.mark.parametrize("name", [name for name in GOOD if name != "records_lost"])
def test_a_missing_field_is_named(name: str) -> None:
    """No default is made up when something is read."""
    with pytest.raises(SerializationError) as caught:
        PipelineResults.from_dict({key: value for key, value in GOOD.items() if key != name})
    assert f"$.{name}" == caught.value.path


@pytest.mark.parametrize("name", RECORD)
def test_a_missing_field_of_a_record_is_named(name: str) -> None:
    """As for the run itself."""
    record = {key: value for key, value in RECORD.items() if key != name}
    with pytest.raises(SerializationError) as caught:
        PipelineResults.from_dict({**GOOD, "stages": {"a": record}})
    assert f"$.stages.a.{name}" == caught.value.path
