"""The guard on text, as a stage of a pipeline."""

import time
from collections.abc import Iterable
from typing import Any

import pytest
from stageflow import Pipeline, PipelineResults, StageContext, StageOutput, StageStatus
from stageflow_plus import GuardedText, GuardStage
from stageflow_plus.guard import normalised


async def _guarded(text: str | None, **options: Any) -> PipelineResults:
    return await Pipeline("p").with_stage("guard", GuardStage(**options)).start(input_text=text).outcome()


async def _refusal(text: str, denied: Iterable[str]) -> str | None:
    return (await _guarded(text, denied=denied))["guard"].reason


async def test_text_goes_through_unchanged() -> None:
    """What passes is the text itself, with its length."""
    results = await _guarded("  \uff28ello\u200b World ")
    assert results["guard"].value == GuardedText("  \uff28ello\u200b World ", 15)
    assert dict(results.data("guard")) == {"text": "  \uff28ello\u200b World ", "characters": 15}


async def test_refusal_ends_the_run_gracefully() -> None:
    """A refusal cancels the run with its reason, and nothing after the guard runs."""
    ran: list[str] = []

    async def after(ctx: StageContext) -> None:
        ran.append(ctx.stage_name)

    pipeline = (
        Pipeline("p")
        .with_stage("guard", GuardStage(denied=["secret"]))
        .with_stage("after", after, dependencies="guard")
    )
    results = await pipeline.start(input_text="a secret").outcome()
    assert results.status == "cancelled"
    assert results["guard"].status is StageStatus.CANCEL
    assert results["guard"].reason == "the text contains a denied term (number 1 of the list)"
    assert results["after"].status is StageStatus.SKIP
    assert ran == []


@pytest.mark.parametrize(("length", "status"), [(10, "completed"), (11, "cancelled")])
async def test_length(length: int, status: str) -> None:
    """The limit itself passes; one character more does not."""
    results = await _guarded("x" * length, max_characters=10)
    assert results.status == status


async def test_reason_of_a_text_that_is_too_long() -> None:
    """The reason has both numbers and nothing of the text."""
    results = await _guarded("x" * 100_000)
    assert results["guard"].reason == "the text has 100,000 characters, and 8,000 are allowed"


@pytest.mark.parametrize("text", ["", " ", "\n\t \u2003"])
async def test_empty_text(text: str) -> None:
    """Text without anything visible is refused."""
    assert (await _guarded(text))["guard"].reason == "the text is empty"


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("my password", "password"),
        ("PassWord!", "password"),
        ("\uff50assword", "password"),
        ("pass\u200bword", "password"),
        ("pass\u00adword", "password"),
        ("credit\n  card", "credit card"),
        ("credit\u00a0card", "credit card"),
        ("STRASSE", "straße"),
        ("Straße", "STRASSE"),
        ("cafe\u0301 noir", "café"),
        ("ﬁne", "fine"),
        ("(password)", "password"),
        ("pass.word", "pass.word"),
        ("C++ rules", "c++"),
        ("我的密码是", "密码"),
        ("รหัสผ่านของฉัน", "รหัสผ่าน"),
        ("İstanbul", "i\u0307stanbul"),
        ("asp.net", ".net"),
        ("stra\u00df\u0301e", "stras\u015be"),
    ],
)
async def test_denied(text: str, term: str) -> None:
    """A term is found whatever its case, width, composition and spacing, and where script has no spaces, anywhere."""
    assert await _refusal(text, [term]) == "the text contains a denied term (number 1 of the list)"


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("passwords", "password"),
        ("mypassword", "password"),
        ("password1", "password"),
        ("credit and card", "credit card"),
        ("creditcard", "credit card"),
        ("passXword", "pass.word"),
        ("classic", "ass"),
    ],
)
async def test_not_denied(text: str, term: str) -> None:
    """A term is a whole word, and its characters stand for themselves."""
    assert await _refusal(text, [term]) is None


async def test_reason_names_the_rule_and_not_the_term() -> None:
    """The reason says which term of the list it was, by number."""
    for text, number in (("it is beta", 3), ("密码", 1), ("alpha", 2)):
        reason = await _refusal(text, ["密码", "alpha", "beta"])
        assert reason == f"the text contains a denied term (number {number} of the list)"


async def test_no_text_fails_closed() -> None:
    """Where there is nothing to check, the guard fails the run."""
    results = await _guarded(None)
    assert results.status == "failed"
    assert "the run's input_text: it is NoneType" in str(results["guard"].error)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"text": 7}, "'text' of stage 'source': it is int, not text"),
        ({"texts": "x"}, "requires the key 'text' from 'source'"),
    ],
)
async def test_broken_source_fails_closed(data: dict[str, Any], message: str) -> None:
    """What is not text is never let through."""

    async def source(ctx: StageContext) -> StageOutput[Any]:
        return StageOutput.ok(data)

    pipeline = (
        Pipeline("p")
        .with_stage("source", source)
        .with_stage("guard", GuardStage(text_from="source"), dependencies="source")
    )
    results = await pipeline.start(input_text="harmless").outcome()
    assert results.status == "failed"
    assert message in str(results["guard"].error)


async def test_text_of_another_stage() -> None:
    """The guard reads the stage that it was told to read, not the run's input."""

    async def source(ctx: StageContext) -> StageOutput[Any]:
        return StageOutput.ok(text="clean")

    pipeline = (
        Pipeline("p")
        .with_stage("source", source)
        .with_stage("guard", GuardStage(text_from="source", denied=["dirty"]), dependencies="source")
    )
    assert (await pipeline.run(input_text="dirty")).data("guard")["text"] == "clean"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_characters": 0}, ValueError),
        ({"denied": [""]}, ValueError),
        ({"denied": ["\u200b"]}, ValueError),
        ({"denied": "password"}, TypeError),
    ],
)
def test_impossible_rules(options: dict[str, Any], error: type[Exception]) -> None:
    """Rules that could never strike, or always would, are refused when the guard is made."""
    with pytest.raises(error):
        GuardStage(**options)


def test_normalised_is_stable() -> None:
    """Normalising twice is normalising once, for every character and for each between two others."""
    everything = [chr(code) for code in range(32, 0x110000) if not 0xD800 <= code < 0xE000]
    for text in ("".join(everything), "a\u0301".join(everything), "ﬁne Straße İ \u200b Ω ｶﾞ"):
        assert normalised(normalised(text)) == normalised(text)


async def test_time_grows_with_the_text_only() -> None:
    """A hundred terms on a text that almost holds them take time in proportion to the text, not to its square."""

    async def seconds(words: int) -> float:
        denied = [f"password{number}" for number in range(100)]
        begun = time.process_time()
        await _guarded("passwor " * words, max_characters=1_000_000, denied=denied)
        return time.process_time() - begun

    await seconds(10)
    assert await seconds(40_000) < 40 * await seconds(4_000)
