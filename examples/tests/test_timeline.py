"""The lines that show when each stage ran."""

from typing import Any

import pytest
from stageflow import Pipeline, PipelineResults, StageContext, StageKind, StageOutput

from examples.terminal.timeline import Style, bar, timeline
from examples.terminal.writing import visible

PLAIN = Style(colour=False, unicode=True, width=80)


async def _ok(ctx: StageContext) -> None:
    return None


async def _refuses(ctx: StageContext) -> StageOutput[Any]:
    return StageOutput.cancel("not today")


async def _fails(ctx: StageContext) -> None:
    raise ValueError("broken")


def _results(data: dict[str, tuple[float, float]]) -> PipelineResults:
    """Results of a run whose stages started and took as given, in milliseconds."""
    pipeline = Pipeline("p")
    for name in data:
        pipeline = pipeline.with_stage(name, _ok)
    plain = pipeline.run_sync().to_dict()
    for name, (start, took) in data.items():
        plain["stages"][name] |= {"started_at": 1_000_000 + start / 1000, "duration_ms": took}
    return PipelineResults.from_dict(plain)


def test_bars_share_an_axis() -> None:
    """A bar begins where its stage began and ends where it ended, in proportion to the whole run."""
    results = _results({"first": (0, 34), "second": (34, 50), "third": (84, 20)})
    first, second, third, scale = timeline(results, PLAIN)
    assert [first.count("█"), second.count("█"), third.count("█")] == [17, 25, 10]
    assert first.index("█") + first.count("█") == second.index("█")
    assert second.index("█") + second.count("█") == third.index("█")
    assert scale.split() == ["0", "104.0", "ms"]
    assert scale.index("0") == first.index("█")
    assert len(scale) == third.rindex("█") + 1


@pytest.mark.parametrize(
    ("start_ms", "duration_ms", "expected"),
    [
        (0, 100, "##########"),
        (0, 0, "#         "),
        (100, 0, "         #"),
        (50, 1, "     #    "),
        (20, 30, "  ###     "),
        (99, 50, "         #"),
    ],
)
def test_bar(start_ms: float, duration_ms: float, expected: str) -> None:
    """A bar has at least one block and never leaves its field."""
    assert bar(start_ms, duration_ms, 100, 10, "#") == expected


def test_bar_of_a_run_that_took_no_time() -> None:
    """Without any time there is still something to see."""
    assert bar(0, 0, 0, 10, "#") == "#         "


@pytest.mark.parametrize("width", range(1, 200, 7))
def test_lines_fit(width: int) -> None:
    """No line with a bar fills the terminal's last column, and below that the bar goes."""
    results = _results({"input_guard": (0, 1), "reply": (1, 12_345.6)})
    lines = timeline(results, Style(colour=False, unicode=True, width=width))
    if any("█" in line for line in lines):
        assert max(map(len, lines)) == width - 1
    else:
        assert width < 45


async def test_statuses() -> None:
    """What refused, what failed, what was skipped because of it, and what was stopped, all say so."""
    pipeline = (
        Pipeline("p")
        .with_stage("fine", _ok, StageKind.WORK)
        .with_stage("guard", _refuses, StageKind.GUARD, dependencies="fine")
        .with_stage("after", _ok, dependencies="guard")
    )
    lines = timeline(await pipeline.start().outcome(), PLAIN)
    assert [line.split()[:2] for line in lines[:3]] == [["fine", "ok"], ["guard", "cancelled"], ["after", "skipped"]]
    assert lines[2].endswith("because of guard")
    lines = timeline(await Pipeline("p").with_stage("bad", _fails).start().outcome(), PLAIN)
    assert lines[0].split()[:2] == ["bad", "failed"]


def test_colour_and_ascii() -> None:
    """Colours and block characters are there only if the terminal can show them."""
    results = _results({"first": (0, 50)})
    coloured = timeline(results, Style(colour=True, unicode=True, width=80))
    ascii_only = timeline(results, Style(colour=False, unicode=False, width=80))
    assert "\x1b[32mok\x1b[0m" in coloured[0]
    assert "".join(ascii_only).isascii()
    assert "\x1b" not in "".join(ascii_only)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[2Jgone", "\ufffd[2Jgone"),
        ("over\rwritten\x07", "over\ufffdwritten\ufffd"),
        ("\x9b31mred", "\ufffd31mred"),
        ("Žluťoučký 🦄", "Žluťoučký 🦄"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    """Nothing that comes from a model or a pipe can command the terminal."""
    assert visible(text) == shown
