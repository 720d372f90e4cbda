"""Typed results: what they take, and how they become outputs and are read from them."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow import StageEvent, StageKind, StageOutput, StageStatus
from stageflow.core.output_json import output_from_dict, output_to_dict
from stageflow.core.returning import returned
from stageflow.errors import ResultMismatchError, StageReturnTypeError
from stageflow.providers import ToolCall, Usage
from stageflow.results import (
    AgentResult,
    EnrichResult,
    GuardResult,
    RouteResult,
    TransformResult,
    TypedResult,
    WorkResult,
)

CALL = ToolCall("call-1", "search", '{"q": "tea"}')
RESULTS: list[Any] = [
    TransformResult(),
    TransformResult("", {"words": ["a", "b"]}, "stt"),
    EnrichResult({}),
    EnrichResult({"plan": {"name": "pro"}}, "billing"),
    RouteResult("billing"),
    RouteResult("billing", 0.75, "said invoice", {"support": 0.25}),
    RouteResult("billing", 1, alternatives={"support": 0}),
    GuardResult(True),
    GuardResult(True, "a text without ***", findings=("a name",)),
    GuardResult(False, reason="abuse", findings=("a", "b")),
    WorkResult(True, "charged 12 EUR", "pay-7", details={"cents": 1200}),
    WorkResult(False, reason="charged already"),
    AgentResult("hello", "m-1", "groq", "stop"),
    AgentResult("", "m-1", "groq", "tool_calls", (CALL,), Usage(3, 4, 1), 5, 12.5, "req-1"),
]


def through_json(output: StageOutput[Any]) -> StageOutput[Any]:
    """Return the output as another process reads it."""
    return output_from_dict(json.loads(json.dumps(output_to_dict(output))))


@pytest.mark.parametrize("result", RESULTS, ids=repr)
def test_it_is_a_value(result: Any) -> None:
    """It equals its copies, pickled or not, and cannot be changed."""
    assert [result] * 3 == [pickle.loads(pickle.dumps(result)), copy.deepcopy(result), replace(result)]
    with pytest.raises(AttributeError):
        result.source = "elsewhere"


@pytest.mark.parametrize("result", RESULTS, ids=repr)
def test_from_output_gives_back_what_to_stage_output_was_given(result: Any) -> None:
    """In this process and in another one."""
    output = result.to_stage_output()
    assert [result] * 2 == [type(result).from_output(output), type(result).from_output(through_json(output))]


@pytest.mark.parametrize("result", RESULTS, ids=repr)
def test_returned_directly_it_is_the_same_output(result: Any) -> None:
    """The executor asks the result itself, so that there is one way in which it ends a stage."""
    direct, made = returned("a", result), result.to_stage_output()
    assert direct == made
    assert direct.data == made.data


@pytest.mark.parametrize("result", [one for one in RESULTS if one.refusal is None], ids=repr)
def test_it_is_read_from_a_plain_mapping_too(result: Any) -> None:
    """Tuples may be lists, and what is nested mappings, as plain JSON has it."""
    plain = output_to_dict(result.to_stage_output())["data"]
    assert result == type(result).from_output(StageOutput.ok(plain))


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        (StageKind.TRANSFORM, TransformResult),
        (StageKind.ENRICH, EnrichResult),
        (StageKind.ROUTE, RouteResult),
        (StageKind.GUARD, GuardResult),
        (StageKind.WORK, WorkResult),
        (StageKind.AGENT, AgentResult),
    ],
)
def test_each_kind_has_one(kind: StageKind, cls: type[TypedResult]) -> None:
    """A result says for which kind of stage it is."""
    assert kind is cls.kind


def test_the_data_are_the_fields() -> None:
    """Whoever reads by key finds what the reference page says."""
    assert {
        "route": "billing",
        "confidence": 0.5,
        "reason": None,
        "alternatives": {"support": 0.25},
    } == RouteResult("billing", 0.5, alternatives={"support": 0.25}).to_stage_output().data


def test_what_has_not_passed_cancels() -> None:
    """Its reason is that of the cancel, and nothing of it is lost."""
    output = GuardResult(False, reason="abuse", findings=("insult",)).to_stage_output()
    assert (StageStatus.CANCEL, "abuse") == (output.status, output.reason)
    assert ("insult",) == output.data["findings"]


def test_a_refusal_keeps_what_is_published_with_it() -> None:
    """An event beside it makes it no less a refusal."""
    refused = GuardResult(False, reason="abuse")
    output = refused.to_stage_output().publishing(StageEvent("guard.refused"))
    assert (StageStatus.CANCEL, refused) == (output.status, GuardResult.from_output(output))


def test_a_refusal_is_never_ok() -> None:
    """What would let it through by a slip of the pen raises."""
    with pytest.raises(ValueError, match=r"A GuardResult that refuses is not ok\(\): return it itself"):
        StageOutput.ok(GuardResult(False, reason="abuse"))


def test_ok_takes_what_does_not_refuse() -> None:
    """With a version, say."""
    output = StageOutput.ok(RouteResult("billing"), version="2")
    assert ("2", RouteResult("billing")) == (output.version, RouteResult.from_output(output))


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (lambda: RouteResult(""), ValueError, "RouteResult.route is a text that says something, not ''"),
        (lambda: RouteResult(" "), ValueError, "RouteResult.route is"),
        (lambda: RouteResult(None), TypeError, "RouteResult.route is a text, not None"),
        (lambda: RouteResult("a", float("nan")), ValueError, "RouteResult.confidence is a number from 0 to 1"),
        (lambda: RouteResult("a", float("inf")), ValueError, "RouteResult.confidence is"),
        (lambda: RouteResult("a", -0.1), ValueError, "RouteResult.confidence is"),
        (lambda: RouteResult("a", 1.1), ValueError, r"RouteResult.confidence is a number .*, not a float \(1.1\)"),
        (lambda: RouteResult("a", True), TypeError, "RouteResult.confidence is"),
        (lambda: RouteResult("a", "0.5"), TypeError, "RouteResult.confidence is"),
        (lambda: RouteResult("a", reason=3), TypeError, "RouteResult.reason is a text"),
        (lambda: RouteResult("a", alternatives=["b"]), TypeError, "RouteResult.alternatives is a mapping"),
        (lambda: RouteResult("a", alternatives={"b": float("nan")}), ValueError, r"alternatives\['b'\] is a number"),
        (lambda: RouteResult("a", alternatives={"b": 2}), ValueError, r"alternatives\['b'\] is a number"),
        (lambda: RouteResult("a", alternatives={"b": True}), TypeError, r"alternatives\['b'\] is a number"),
        (lambda: RouteResult("a", alternatives={"": 0.1}), ValueError, "A route in RouteResult.alternatives is"),
        (lambda: RouteResult("a", alternatives={1: 0.1}), TypeError, r"alternatives has the key an int \(1\)"),
        (lambda: GuardResult(False), TypeError, "GuardResult.reason of what has not passed is a text, not None"),
        (lambda: GuardResult(False, reason=""), ValueError, "GuardResult.reason of what has not passed"),
        (lambda: GuardResult(1), TypeError, r"GuardResult.passed is True or False, not an int \(1\)"),
        (lambda: GuardResult(True, text=3), TypeError, "GuardResult.text"),
        (lambda: GuardResult(True, findings="abuse"), TypeError, "GuardResult.findings is a tuple of str"),
        (lambda: GuardResult(True, findings=("a", 2)), TypeError, r"GuardResult.findings\[1\] is an int \(2\)"),
        (lambda: WorkResult("yes"), TypeError, "WorkResult.performed is True or False"),
        (lambda: WorkResult(False), TypeError, "WorkResult.reason of what was not performed is a text"),
        (lambda: WorkResult(True, reference=7), TypeError, "WorkResult.reference is a text"),
        (lambda: WorkResult(True, effect=""), ValueError, "WorkResult.effect"),
        (lambda: WorkResult(True, details=[1]), TypeError, "WorkResult.details is a mapping"),
        (lambda: EnrichResult(None), TypeError, "EnrichResult.enrichments is a mapping, not None"),
        (lambda: EnrichResult({1: 2}), TypeError, "EnrichResult.enrichments has the key"),
        (lambda: EnrichResult({}, source=1), TypeError, "EnrichResult.source is a text"),
        (lambda: TransformResult(text=b"x"), TypeError, "TransformResult.text is a text"),
        (lambda: TransformResult(fields="x"), TypeError, "TransformResult.fields is a mapping"),
        (lambda: TransformResult(source=""), ValueError, "TransformResult.source"),
        (lambda: AgentResult(None, "m", "p", "stop"), TypeError, "AgentResult.text is a text"),
        (lambda: AgentResult("", "", "p", "stop"), ValueError, "AgentResult.model"),
        (lambda: AgentResult("", "m", None, "stop"), TypeError, "AgentResult.provider"),
        (lambda: AgentResult("", "m", "p", "done"), ValueError, "AgentResult.finish_reason is one of stop, length"),
        (lambda: AgentResult("", "m", "p", "stop", ({"id": "1"},)), TypeError, r"tool_calls\[0\] is a mapping"),
        (lambda: AgentResult("", "m", "p", "stop", usage={"prompt": 1}), TypeError, "AgentResult.usage is a Usage"),
        (lambda: AgentResult("", "m", "p", "stop", chunks=-1), ValueError, "AgentResult.chunks is 0 or more"),
        (lambda: AgentResult("", "m", "p", "stop", chunks=True), TypeError, "AgentResult.chunks is a whole number"),
        (lambda: AgentResult("", "m", "p", "stop", first_text_ms=float("nan")), ValueError, "first_text_ms is"),
        (lambda: AgentResult("", "m", "p", "stop", first_text_ms=-1), ValueError, "first_text_ms is"),
        (lambda: AgentResult("", "m", "p", "stop", first_text_ms="1"), TypeError, "first_text_ms is"),
        (lambda: AgentResult("", "m", "p", "stop", request_id=1), TypeError, "AgentResult.request_id"),
    ],
)
def test_what_a_field_cannot_be_is_refused_by_its_name(make: Any, kind: type[Exception], says: str) -> None:
    """The stage that made it fails, and its author reads which field it was."""
    with pytest.raises(kind, match=says) as caught:
        make()
    assert kind is type(caught.value)


@pytest.mark.parametrize(
    ("cls", "output", "path", "expected", "found"),
    [
        (RouteResult, StageOutput.ok(), "$.route", "str", "missing"),
        (RouteResult, StageOutput.ok(route=3), "$.route", "str", "an int (3)"),
        (RouteResult, StageOutput.ok(route="a", confidance=1), "$.confidance", "no such key", "an int (1)"),
        (RouteResult, StageOutput.ok(route="a", alternatives={"b": "x"}), "$.alternatives.b", "float", "a str ('x')"),
        (RouteResult, StageOutput.ok(GuardResult(True)), "$.route", "str", "missing"),
        (RouteResult, StageOutput.skip("no need"), "$", "an output that ended OK", "one that ended SKIP (no need)"),
        (
            RouteResult,
            StageOutput.fail("broken", data={"route": "a"}),
            "$",
            "an output that ended OK",
            "one that ended FAIL (broken)",
        ),
        (RouteResult, StageOutput.cancel("stop"), "$", "an output that ended OK", "one that ended CANCEL (stop)"),
        (GuardResult, StageOutput.cancel("stop"), "$", "an output that ended OK", "one that ended CANCEL (stop)"),
        (
            GuardResult,
            StageOutput.ok(passed=False, reason="abuse"),
            "$",
            "one that lets the run go on, as the stage ended OK",
            "a refusal",
        ),
        (
            AgentResult,
            StageOutput.ok(text="", model="m", provider="p", finish_reason="stop", tool_calls=[{"id": "1"}]),
            "$.tool_calls[0].name",
            "str",
            "missing",
        ),
        (
            AgentResult,
            StageOutput.ok(text="", model="m", provider="p", finish_reason="ended"),
            "$.finish_reason",
            "'stop' or 'length' or 'tool_calls' or 'content_filter'",
            "a str ('ended')",
        ),
    ],
)
def test_an_output_of_another_shape_is_refused(
    cls: type[TypedResult], output: StageOutput[Any], path: str, expected: str, found: str
) -> None:
    """The error says for which kind of stage, where, what should be there and what is."""
    with pytest.raises(ResultMismatchError) as caught:
        cls.from_output(output)
    error = caught.value
    assert (cls.__name__, cls.kind.name) == (error.result, error.kind)
    assert (path, expected, found) == (error.path, error.expected, error.found)


def test_a_key_that_is_misspelt_is_told() -> None:
    """The nearest one comes with the error."""
    with pytest.raises(ResultMismatchError, match="Did you mean 'confidence'"):
        RouteResult.from_output(StageOutput.ok(route="a", confidance=1))


def test_what_the_result_refuses_is_refused_here_too() -> None:
    """A mapping passes the checks of the constructor, or it is no result."""
    with pytest.raises(ResultMismatchError, match="confidence is a number from 0 to 1"):
        RouteResult.from_output(StageOutput.ok(route="a", confidence=7))


def test_json_that_was_changed_by_hand_is_refused() -> None:
    """What was written with its type is checked again as well."""
    data = output_to_dict(RouteResult("a", 0.5).to_stage_output())
    data["data"]["confidence"] = 7
    with pytest.raises(ResultMismatchError, match="confidence is a number from 0 to 1"):
        RouteResult.from_output(output_from_dict(data))


def test_a_refusal_whose_json_says_that_it_passed_is_refused() -> None:
    """Status and data must agree."""
    data = output_to_dict(GuardResult(False, reason="abuse").to_stage_output())
    data["data"]["passed"] = True
    with pytest.raises(ResultMismatchError) as caught:
        GuardResult.from_output(output_from_dict(data))
    assert "a refusal, as the stage ended CANCEL" == caught.value.expected


def test_only_an_output_is_read() -> None:
    """Data must come with how the stage ended."""
    with pytest.raises(TypeError, match=r"RouteResult.from_output\(\) takes a StageOutput, not a mapping"):
        RouteResult.from_output({"route": "a"})  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Verdict:
    route: str
    confidence: float | None = None


def test_another_contract_value_with_the_fields_will_do() -> None:
    """Whatever its class: it is the fields that count."""
    output = StageOutput.ok(Verdict("billing", 0.5))
    assert [RouteResult("billing", 0.5)] * 2 == [
        RouteResult.from_output(output),
        RouteResult.from_output(through_json(output)),
    ]


@dataclass(frozen=True)
class Rate(TypedResult):
    kind: ClassVar[StageKind] = StageKind.GUARD

    per_minute: int

    @property
    def refusal(self) -> str | None:
        return "too fast" if self.per_minute > 10 else None


def test_an_application_may_have_results_of_its_own() -> None:
    """A dataclass that derives from TypedResult decides for itself what refuses."""
    outputs = [returned("a", Rate(5)), returned("a", Rate(50))]
    assert [StageStatus.OK, StageStatus.CANCEL] == [output.status for output in outputs]
    assert [Rate(5), Rate(50)] == [Rate.from_output(output) for output in outputs]


def test_what_is_mutable_in_a_result_is_frozen() -> None:
    """Whoever made it cannot change it behind the back of those that read it."""
    known = {"plan": ["pro"]}
    result = EnrichResult(known)
    known["plan"].append("team")
    assert {"plan": ["pro"]} == result.enrichments
    with pytest.raises(TypeError, match="frozen"):
        result.enrichments["plan"].append("team")


@dataclass
class Notes(TypedResult):
    kind: ClassVar[StageKind] = StageKind.WORK

    lines: list[str]


def test_a_result_that_can_be_changed_is_copied() -> None:
    """What the stage does with it afterwards reaches nobody."""
    notes = Notes(["a"])
    output = notes.to_stage_output()
    notes.lines.append("b")
    assert Notes(["a"]) == output.value


def test_a_result_without_fields_is_none() -> None:
    """A class that lost its decorator holds nothing that could be recorded."""

    class Bare(TypedResult):
        kind = StageKind.WORK

    with pytest.raises(StageReturnTypeError):
        returned("a", Bare())


def test_what_is_in_a_result_comes_back_typed() -> None:
    """A date under a name stays a date, since the output says so beside the data."""
    result = EnrichResult({"since": date(2026, 3, 1)})
    assert result == EnrichResult.from_output(through_json(result.to_stage_output()))


NAMES = st.text(min_size=1, max_size=5).filter(str.strip)
SHARES = st.floats(0, 1)


@given(NAMES, st.none() | SHARES, st.none() | NAMES, st.dictionaries(NAMES, SHARES, max_size=3))
def test_any_route_comes_back_from_json(
    route: str, confidence: float | None, reason: str | None, alternatives: dict[str, float]
) -> None:
    """The numbers exactly."""
    result = RouteResult(route, confidence, reason, alternatives)
    assert result == RouteResult.from_output(through_json(result.to_stage_output()))


@given(st.booleans(), st.none() | st.text(max_size=5), NAMES, st.lists(NAMES, max_size=3))
def test_any_verdict_comes_back_from_json(passed: bool, text: str | None, reason: str, findings: list[str]) -> None:
    """A refusal as a refusal, and never as anything else."""
    result = GuardResult(passed, text, reason, tuple(findings))
    output = through_json(result.to_stage_output())
    assert result == GuardResult.from_output(output)
    assert passed is (output.status is StageStatus.OK)
