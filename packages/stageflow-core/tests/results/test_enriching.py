"""The stage that asks an EnrichmentProvider."""

import types

import pytest
from stageflow import (
    EnrichmentProvider,
    EnrichStage,
    Pipeline,
    PipelineResults,
    RunIdentity,
    StageKind,
    StagePorts,
    StageStatus,
    stage,
)
from stageflow.errors import MissingPortError, ProtocolMismatchError
from stageflow.protocols import EnrichmentRequest, NoOpEnrichmentProvider
from stageflow.results import EnrichResult
from stageflow_mocks.simulation import simulated


class Known:
    """Knows one thing, and what it was asked."""

    def __init__(self, known):
        self.known = known
        self.asked = []

    async def enrich(self, request):
        """Say it."""
        self.asked.append(request)
        return self.known


@pytest.fixture
def ada():
    return Known({"name": "Ada", "tags": ["a", "b"]})


IDENTITY = RunIdentity(user_id="ada", org_id="acme", session_id="s-1")


@simulated
async def test_what_is_known_is_its_data(ada):
    """Under `enrichments`, and what was asked for under `source`."""
    pipeline = Pipeline("p", [stage("profile", EnrichStage(ada))])
    results = await pipeline.run(input_text="hello", run_id=IDENTITY)
    expected = {"enrichments": {"name": "Ada", "tags": ["a", "b"]}, "source": "profile"}
    assert expected == results.data("profile")
    (request,) = ada.asked
    assert ("profile", "ada", "acme", "s-1", "hello", {}) == (
        request.name,
        request.user_id,
        request.org_id,
        request.session_id,
        request.input_text,
        request.attributes,
    )
    ada.known["name"] = "Mary"
    assert expected == results.data("profile")


@simulated
async def test_it_says_what_it_wants_and_tells_more(ada):
    """By its options."""

    def attributes(ctx):
        return {"language": ctx.inputs.get_from("before", "language"), "stage": ctx.stage_name}

    @stage
    async def before():
        return {"language": "en"}

    asking = EnrichStage(ada, wants="crm", attributes=attributes)
    results = await Pipeline("p", [before, stage("profile", asking, dependencies=before)]).run()
    assert "crm" == results.data("profile")["source"]
    assert ("crm", {"language": "en", "stage": "profile"}) == (ada.asked[0].name, ada.asked[0].attributes)


@simulated
async def test_it_asks_the_port_unless_it_has_a_provider(ada):
    """Then it needs the port, and fails without it."""
    by_port = Pipeline("p", [stage("profile", EnrichStage)])
    assert {"enrichment": ("profile",)} == by_port.build().ports
    results = await by_port.run(ports=StagePorts(enrichment=ada))
    assert "Ada" == results.data("profile")["enrichments"]["name"]
    output = (await by_port.start().outcome())["profile"]
    assert MissingPortError is type(output.error.exception)
    wrong = (await by_port.start(ports=types.SimpleNamespace(enrichment=5)).outcome())["profile"]
    assert ProtocolMismatchError is type(wrong.error.exception)

    own = Pipeline("p", [stage("profile", EnrichStage(ada))])
    assert {} == own.build().ports
    assert "completed" == (await own.run(ports=StagePorts(enrichment=NoOpEnrichmentProvider()))).status
    assert 2 == len(ada.asked)


@simulated
async def test_it_is_skipped_if_nothing_is_known():
    """Nothing is not an empty mapping."""
    results = await Pipeline("p", [stage("s", EnrichStage(NoOpEnrichmentProvider()))]).run()
    assert (StageStatus.SKIP, "nothing is known") == (results["s"].status, results["s"].reason)
    results = await Pipeline("p", [stage("s", EnrichStage(Known({})))]).run()
    assert {"enrichments": {}, "source": "s"} == results.data("s")


@pytest.mark.parametrize("known", [types.MappingProxyType({"a": 1}), {"a": 1}])
@simulated
async def test_any_mapping_will_do(known):
    """It is copied."""
    results = await Pipeline("p", [stage("s", EnrichStage(Known(known)))]).run()
    assert {"a": 1} == results.data("s")["enrichments"]


@pytest.mark.parametrize(
    ("known", "kind"), [([("a", 1)], "a list"), ("Ada", "a str"), (0, "an int"), (False, "a bool")]
)
@simulated
async def test_what_is_no_mapping_fails_the_stage(known, kind):
    """The message names the provider and what it returned."""
    results = await Pipeline("p", [stage("s", EnrichStage(Known(known)))]).start().outcome()
    error = results["s"].error.exception
    assert TypeError is type(error)
    assert str(error).startswith("The EnrichmentProvider ")
    assert str(error).endswith(f"test_enriching.Known returned {kind}: not a mapping, nor None.")


@simulated
async def test_attributes_are_a_mapping(ada):
    """Whatever else they are fails the stage before anybody is asked."""
    results = await Pipeline("p", [stage("s", EnrichStage(ada, attributes=lambda ctx: [1]))]).start().outcome()
    assert "The attributes of stage 's' are a mapping, not [1]." == str(results["s"].error.exception)
    assert [] == ada.asked


async def later(ctx):
    """Give attributes, but not at once."""
    return {}


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        (
            {"provider": 5},
            ProtocolMismatchError,
            "^The provider of an EnrichStage is not an Enrich",
        ),
        ({"provider": Known}, ProtocolMismatchError, r"It is the class: write Known\(\)\."),
        ({"wants": 5}, TypeError, r"What an EnrichStage wants is a text, not an int \(5\)"),
        ({"wants": ""}, ValueError, "What an EnrichStage wants is a text that says something, not "),
        ({"attributes": {"a": 1}}, TypeError, r"by a function that is not async, not \{'a': 1\}\. Write attributes=la"),
        ({"attributes": later}, TypeError, "by a function that is not async, not the function later."),
    ],
)
def test_arguments_are_checked_when_it_is_made(options, error, told):
    """No run finds out."""
    with pytest.raises(error, match=told):
        EnrichStage(**options)


@simulated
async def test_what_the_provider_raises_fails_the_stage():
    """It is tried again by the stage's own policy, like any other."""

    class Down:
        async def enrich(self, request):
            """Fail."""
            raise ConnectionError("down")

    results = await Pipeline("p", [stage("s", EnrichStage(Down()))]).start().outcome()
    assert "down" == str(results["s"].error.exception)


def test_it_is_an_enrich_stage():
    """It has a name and a kind, like any stage that is made to be reused."""
    spec = stage("profile", EnrichStage(NoOpEnrichmentProvider()))
    assert (StageKind.ENRICH, "enrich") == (spec.kind, EnrichStage.name)
    assert isinstance(NoOpEnrichmentProvider(), EnrichmentProvider)


@simulated
async def test_it_returns_the_typed_result_of_its_kind(ada):
    """So a stage behind it may take one, and it is one again where a run is resumed."""

    @stage
    async def greet(profile: EnrichResult):
        return {"name": profile.enrichments["name"], "source": profile.source}

    results = await Pipeline("p", [stage("profile", EnrichStage(ada)), greet]).run()
    assert {"name": "Ada", "source": "profile"} == results.data("greet")
    read = PipelineResults.from_dict(results.to_dict())
    assert EnrichResult({"name": "Ada", "tags": ["a", "b"]}, "profile") == EnrichResult.from_output(read["profile"])


@simulated
async def test_what_is_known_is_known_by_name():
    """As docs/reference/stage-kinds.md has it: other keys could not be written as JSON."""
    results = await Pipeline("p", [stage("profile", EnrichStage(Known({1: "Ada"})))]).start().outcome()
    assert "EnrichResult.enrichments has the key an int (1); its keys are texts." == str(
        results["profile"].error.exception
    )


def test_what_a_provider_is_asked_can_be_compared():
    """And shown, but for what the user says."""
    asked = EnrichmentRequest("profile", user_id="ada", input_text="my pin is 1234")
    assert EnrichmentRequest("profile", user_id="ada", input_text="my pin is 1234") == asked
    assert EnrichmentRequest("profile", user_id="eve", input_text="my pin is 1234") != asked
    assert "EnrichmentRequest(name='profile', user_id='ada', org_id=None, session_id=None)" == repr(asked)
