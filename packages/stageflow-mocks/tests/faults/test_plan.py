"""Fault plans: what is refused when they are made or loaded, and their JSON."""

import json
import math
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow import Pipeline, StageContext
from stageflow.errors import ProviderError
from stageflow_mocks.faults import DISTRIBUTIONS, ERRORS, FAULTS, OPERATIONS, FaultPlan, FaultPlanError, FaultRule
from stageflow_mocks.faults.striking import Striker
from stageflow_mocks.faults.targets import OPTIONS, targets_of


def plan_of(*faults, **fields):
    """Load a plan of these faults."""
    return FaultPlan.from_dict({"schema_version": 1, "seed": 7, "faults": [*faults], **fields})


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"fault": "latencey", "stage": "a"}, "faults[0].fault: there is no fault 'latencey'. Did you mean 'latency'?"),
        ({"fault": ["latency"], "stage": "a"}, "faults[0].fault: there is no fault ['latency']."),
        ({"stage": "a"}, "faults[0].fault: it is missing. There is: latency,"),
        ({"fault": "hang"}, "faults[0].stage: 'hang' needs a name or a pattern here, not None."),
        ({"fault": "hang", "stage": ""}, "faults[0].stage: 'hang' needs a name or a pattern here, not ''."),
        ({"fault": "hang", "stage": "a", "pipeline": 3}, "faults[0].pipeline: 'hang' needs a name"),
        ({"fault": "hang", "stage": "a", "event": "b"}, "faults[0].event: 'hang' goes by 'stage' or 'provider'."),
        ({"fault": "sink_drops", "stage": "a"}, "faults[0].stage: 'sink_drops' goes by 'event'."),
        ({"fault": "sink_drops"}, "faults[0].event: 'sink_drops' needs a name or a pattern here, not None."),
        ({"fault": "clock_skew", "provider": "a"}, "faults[0].provider: 'clock_skew' goes by 'stage' or 'event'."),
        ({"fault": "hang", "stage": "a", "provider": "b"}, "faults[0].provider: it stands beside 'stage'."),
        ({"fault": "sink_drops", "event": "a", "item": 1}, "faults[0].item: it goes with 'stage', and this rule is"),
        ({"fault": "hang", "provider": "a", "pipeline": "b"}, "faults[0].pipeline: it goes with 'stage', and"),
        ({"fault": "hang", "stage": "a", "operation": "b"}, "faults[0].operation: it goes with 'provider', and"),
        (
            {"fault": "hang", "provider": "a", "operation": "steam"},
            "faults[0].operation: no operation is called 'steam'.",
        ),
        ({"fault": "hang", "provider": "a", "operation": "steam"}, "Did you mean 'stream'?"),
        ({"fault": "hang", "provider": "a", "operation": 3}, "faults[0].operation: 'hang' needs a name or a pattern"),
        (
            {"fault": "truncated", "provider": "a", "operation": "claim"},
            "faults[0].fault: 'truncated' cannot be done to",
        ),
        ({"fault": "truncated", "provider": "a", "operation": "claim"}, "It can be done to: complete, transcribe,"),
        (
            {"fault": "truncated", "provider": "a", "operation": "stream", "keep": 0.5},
            "faults[0].keep: 'truncated' of 'stream' has no such option. There is: after_chunks.",
        ),
        (
            {"fault": "hang", "provider": "a", "operation": "comp*", "after_chunks": 1},
            "faults[0].after_chunks: 'hang' of 'comp*' has no such option. There is: nothing.",
        ),
        ({"fault": "hang", "stage": "a", "after_chunks": 1}, "faults[0].after_chunks: 'hang' has no such option."),
        ({"fault": "hang", "provider": "a", "after_chunks": -1}, "-1 is no whole number from 0 on."),
        ({"fault": "clock_skew", "stage": "a", "seconds": -2e9}, "it goes from -1e+09 to 1e+09."),
        ({"fault": "latency", "stage": "a", "seconds": 10**400}, "is no finite number."),
        ({"fault": "error", "stage": "a", "error": {}}, "faults[0].error: {} is no name of an error."),
        ({"fault": "hang", "stage": "a", "seconds": 1}, "faults[0].seconds: 'hang' has no such option."),
        ({"fault": "truncated", "stage": "a", "seconds": 1}, "There is: keep."),
        ({"fault": "hang", "stage": "a", "rat": 1}, "faults[0].rat: there is no such field. Did you mean 'rate'?"),
        ({"fault": "hang", "stage": "a", "rate": 1.1}, "faults[0].rate: 1.1 is out of range: it goes from 0 to 1."),
        ({"fault": "hang", "stage": "a", "rate": -0.1}, "faults[0].rate: -0.1 is out of range"),
        ({"fault": "hang", "stage": "a", "rate": math.nan}, "faults[0].rate: nan is no finite number."),
        ({"fault": "hang", "stage": "a", "rate": True}, "faults[0].rate: True is no finite number."),
        ({"fault": "hang", "stage": "a", "rate": "1"}, "faults[0].rate: '1' is no finite number."),
        ({"fault": "hang", "stage": "a", "rate": 1, "call": 1}, "faults[0].rate: it stands beside 'call'."),
        ({"fault": "hang", "stage": "a", "call": 0}, "faults[0].call: 0 is no whole number from 1 on."),
        ({"fault": "hang", "stage": "a", "call": 1.0}, "faults[0].call: 1.0 is no whole number from 1 on."),
        ({"fault": "hang", "stage": "a", "item": -1}, "faults[0].item: -1 is no whole number from 0 on."),
        ({"fault": "cancel", "stage": "a", "at_await": 0}, "faults[0].at_await: 0 is no whole number from 1 on."),
        ({"fault": "latency", "stage": "a", "seconds": math.inf}, "faults[0].seconds: inf is no finite number."),
        ({"fault": "latency", "stage": "a", "seconds": -1}, "faults[0].seconds: -1 is out of range"),
        ({"fault": "truncated", "stage": "a", "keep": 1}, "faults[0].keep: 1 is out of range: it goes from 0 to less"),
        ({"fault": "latency", "stage": "a", "distribution": "unifrom"}, "Did you mean 'uniform'?"),
        (
            {"fault": "error", "stage": "a", "error": "TimeOutError"},
            "faults[0].error: there is no error 'TimeOutError'.",
        ),
        ({"fault": "error", "stage": "a", "error": "provider-ratelimited"}, "Did you mean 'provider-rate-limited'?"),
        (
            {"fault": "error", "stage": "a", "error": "ValueError", "retry_after": 1},
            "faults[0].retry_after: 'ValueError'",
        ),
        ("hang", "faults[0]: 'hang' is no mapping."),
    ],
)
def test_a_fault_that_cannot_be_is_refused_when_the_plan_is_loaded(fault, message):
    """The message says where in the plan, what is there, and what is nearest."""
    with pytest.raises(FaultPlanError) as caught:
        plan_of(fault)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "$: [] is no mapping"),
        ({"faults": []}, "schema_version: None is not 1"),
        ({"schema_version": 2, "faults": []}, "schema_version: 2 is not 1, which is what this version reads"),
        ({"schema_version": True, "faults": []}, "schema_version: True is not 1"),
        ({"schema_version": 1, "faults": {}}, "faults: {} is no list"),
        ({"schema_version": 1, "fault": []}, "fault: there is no such field. Did you mean 'faults'?"),
        ({"schema_version": 1, "faults": [], "seed": "x"}, "seed: 'x' is no whole number"),
    ],
)
def test_what_is_no_plan_is_refused(data, message):
    """Of another version, say, or with a misspelt field."""
    with pytest.raises(FaultPlanError) as caught:
        FaultPlan.from_dict(data)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (3, r"\$: 3 is no mapping"),
        ({"schema_version": 1, "injected": 3}, "injected: 3 is no list"),
        ({"schema_version": 1, "injected": [3]}, r"injected\[0\]: 3 is no mapping"),
        (
            {"schema_version": 1, "injected": [{"fault": "hang", "stage": 3}]},
            r"injected\[0\].stage: 'hang' needs a name",
        ),
    ],
)
def test_what_is_no_record_is_not_replayed(record, problem):
    """The message says where in the record."""
    with pytest.raises(FaultPlanError, match=problem):
        FaultPlan.replay(record)


def test_a_plan_survives_json():
    """Every fault, with what it does unless told otherwise written out."""
    faults = [{"fault": name, target: "a*"} for name in FAULTS for target in targets_of(name)]
    faults += [
        {"fault": fault, "provider": "a", "operation": name}
        for name, kinds in OPERATIONS.items()
        for fault in FAULTS
        if any(fault in OPTIONS[kind] for kind in kinds)
    ]
    faults += [{"fault": "hang", "stage": "a", "rate": 0.5}, {"fault": "hang", "stage": "a", "call": 2, "item": 0}]
    plan = plan_of(*faults)
    again = FaultPlan.from_dict(json.loads(json.dumps(plan.to_dict(), allow_nan=False)))
    assert (again.seed, again.rules) == (plan.seed, plan.rules) == (7, plan.rules)
    assert {"fault": "latency", "stage": "a*", "seconds": 1.0, "distribution": "fixed"} == plan.to_dict()["faults"][0]


# What is nearly a rule: its fields and words, with any values.
WORDS = st.sampled_from((*FAULTS, *OPERATIONS, *DISTRIBUTIONS, *list(ERRORS)[:3], "*", "a", ""))
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from((0, 1, 0.5, 10**400, -(10**400))))
VALUES = st.one_of(st.none(), st.booleans(), WORDS, NUMBERS, st.lists(NUMBERS, max_size=1), st.just({}))
LIKELY = st.fixed_dictionaries(
    {"fault": st.sampled_from(FAULTS)},
    optional={
        "stage": st.just("a"),
        "event": st.just("a"),
        "provider": st.just("a"),
        **dict.fromkeys(("operation", "error", "distribution"), WORDS | VALUES),
        **dict.fromkeys(("call", "item", "at_await", "after_chunks"), NUMBERS),
        **dict.fromkeys(("rate", "keep", "seconds", "retry_after"), NUMBERS),
    },
)
ANY = st.dictionaries(st.sampled_from([field.name for field in fields(FaultRule)] + ["other"]), VALUES, max_size=5)
FIELDS = {"schema_version": st.sampled_from((1, 1, 1, 2, True)), "seed": NUMBERS}


def through_json(data):
    """Write it and read it; what JSON does not have is refused, as another program would."""
    return json.loads(json.dumps(data, allow_nan=False))


@settings(max_examples=400)
@given(st.fixed_dictionaries({}, optional={**FIELDS, "faults": st.one_of(VALUES, st.lists(LIKELY | ANY, max_size=3))}))
def test_any_json_is_a_plan_that_survives_json_or_is_refused_with_its_path(data):
    """Nothing else is raised, whatever is in it."""
    try:
        plan = FaultPlan.from_dict(data)
    except FaultPlanError as refused:
        root = refused.path.partition("[")[0]
        assert root in ("$", "schema_version", "seed", "faults")
        return
    again = FaultPlan.from_dict(through_json(plan.to_dict()))
    assert (plan.seed, plan.rules) == (again.seed, again.rules)


@settings(max_examples=200)
@given(LIKELY, st.integers(0, 5), st.sampled_from(("stage", "event", "answer", "stream", "step")))
def test_what_struck_is_written_down_as_a_rule_for_its_place_alone(rule, seed, kind):
    """Whatever the rule: its entry loads, strikes there again, for as long, and nowhere else."""
    try:
        plan = FaultPlan(FaultRule.from_dict(rule), seed=seed)
    except FaultPlanError:
        return
    operation = next((name for name, kinds in OPERATIONS.items() if kind in kinds), None)
    owner, name = ("a", operation) if operation else ("p[", "a")
    striker = Striker(plan, "a test")
    times = [[strike.seconds for strike in striker.strikes(kind, owner, name)] for _ in range(4)]
    again = Striker(FaultPlan.replay(through_json(striker.record.to_dict())), "a test")
    assert times == [[strike.seconds for strike in again.strikes(kind, owner, name)] for _ in range(4)]
    assert striker.record.to_dict() == again.record.to_dict()
    assert [] == again.strikes(kind, "other", "other")


def test_a_rule_strikes_what_its_field_says_and_nothing_else_of_that_name():
    """A stage, a provider and an event may be called the same."""
    plan = FaultPlan(
        FaultRule(fault="hang", stage="a"),
        FaultRule(fault="hang", provider="a"),
        FaultRule(fault="clock_skew", event="a"),
        FaultRule(fault="clock_skew", stage="a", pipeline="a"),
    )
    striker = Striker(plan, "a test")
    for kind, owner, name, numbers in (
        ("stage", "a", "a", [0, 3]),
        ("answer", "a", "a", [1]),
        ("stream", "a", "stream", [1]),
        ("event", "", "a", [2]),
        ("stage", "b", "a", [0]),
        ("answer", "b", "a", []),
    ):
        found = [strike.rule for strike in striker.strikes(kind, owner, name)]
        assert [plan.rules[number] for number in numbers] == found


def test_a_record_names_a_provider_exactly():
    """One that is called like a pattern, too."""
    striker = Striker(FaultPlan(FaultRule(fault="hang", provider="llm*")), "a test")
    assert 1 == len(striker.strikes("answer", "llm[1]*", "complete"))
    again = Striker(FaultPlan.replay(striker.record.to_dict()), "a test")
    assert [] == again.strikes("answer", "llm1", "complete")
    assert 1 == len(again.strikes("answer", "llm[1]*", "complete"))


def test_a_delay_that_is_drawn_can_be_written_down_and_done():
    """However long the one that is asked for: JSON has no infinity, and a clock not every year."""
    endless = FaultRule(fault="latency", stage="a", seconds=1.7e308, distribution="exponential")
    far = FaultRule(fault="clock_skew", stage="a", seconds=-1e9, distribution="exponential")
    striker = Striker(FaultPlan(endless, far), "a test")
    drawn = [[strike.seconds for strike in striker.strikes("stage", "p", "a")] for _ in range(20)]
    assert {-1e9} < {skew for _, skew in drawn}
    assert all(-1e9 <= skew <= 0 for _, skew in drawn)
    FaultPlan.replay(through_json(striker.record.to_dict()))


def test_errors_of_an_application_have_names_in_a_table():
    """A plan that names one is loaded with the table, and not without."""

    class QuotaError(Exception):
        pass

    data = {"schema_version": 1, "faults": [{"fault": "error", "stage": "a", "error": "quota"}]}
    assert FaultPlan.from_dict(data, errors={"quota": QuotaError}).errors["quota"] is QuotaError
    with pytest.raises(FaultPlanError, match="there is no error 'quota'"):
        FaultPlan.from_dict(data)


def test_an_error_that_could_not_be_raised_is_refused():
    """A class that wants more than a message, something that is no exception, and one that would end the program."""

    class NeedsMore(Exception):
        def __init__(self, a, b):
            super().__init__(a, b)

    for kind, problem in ((NeedsMore, "cannot be made"), (int, "no class of exc"), (SystemExit, "no class of exc")):
        with pytest.raises(FaultPlanError, match=problem):
            FaultPlan(errors={"mine": kind})


def test_every_error_of_providers_is_known_by_its_code():
    """Those that core has, whichever they will be."""
    for kind in (ProviderError, *ProviderError.__subclasses__()):
        assert ERRORS[kind.code] is kind


def test_a_rule_about_no_stage_of_a_pipeline_is_refused():
    """The message has the nearest name."""

    async def reply(ctx: StageContext):
        return {}

    chat = Pipeline("chat").with_stage("reply", reply).with_stage("remember", reply)
    FaultPlan(FaultRule(fault="hang", stage="re*")).check(chat)
    with pytest.raises(FaultPlanError) as caught:
        FaultPlan(FaultRule(fault="hang", stage="re*"), FaultRule(fault="hang", stage="repyl")).check(chat)
    assert (
        "Fault plan, faults[1].stage: no stage is called 'repyl'. Did you mean 'reply'? There is: remember, reply."
        == str(caught.value)
    )
    with pytest.raises(FaultPlanError, match="no stage of a pipeline 'chta' is called 'reply'"):
        FaultPlan(FaultRule(fault="hang", stage="reply", pipeline="chta")).check(chat)


def test_what_is_nearly_a_rule_or_a_name_is_told_how_to_write_it():
    """A list of rules, and the class of an error that has a name."""
    rule = FaultRule(fault="hang", stage="reply")
    with pytest.raises(
        FaultPlanError, match=r"faults\[0\]: this list is no FaultRule\. Give rules one by one: FaultPlan\("
    ):
        FaultPlan([rule])
    with pytest.raises(FaultPlanError, match=r"is no name of an error\. Write 'ConnectionError'\."):
        FaultRule(fault="error", stage="reply", error=ConnectionError)
    with pytest.raises(FaultPlanError, match=r"is no name of an error\. Write 'provider-rate-limited'\."):
        FaultRule(fault="error", stage="reply", error=ERRORS["provider-rate-limited"])
    with pytest.raises(FaultPlanError, match=r"is no name of an error\.$"):
        FaultRule(fault="error", stage="reply", error=ZeroDivisionError)
