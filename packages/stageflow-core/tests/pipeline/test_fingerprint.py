"""What tells one plan from another: whether a suspended run may be resumed by it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from stageflow import (
    BaseInterceptor,
    Pipeline,
    RetryPolicy,
    StageContext,
    StageKind,
    StageSpec,
    TimeoutInterceptor,
    get_default_interceptors,
    stage,
)


async def answer(ctx: StageContext) -> None:
    """Answer."""


async def other(ctx: StageContext) -> None:
    """Answer otherwise."""


def when(inputs: Any, snapshot: Any) -> bool:
    """Say yes."""
    return True


OTHERS = [stage("a", answer), stage("b", answer), stage("way", answer, StageKind.ROUTE, routes=("x", "y"),
          terminal_routes=("x", "y"))]  # fmt: skip


def fingerprint(*specs: StageSpec[Any], **options: Any) -> dict[str, str]:
    """Return the fingerprint of the plan of these stages, which stands in the results of a suspended run."""
    return dict(Pipeline("p", [*OTHERS, *specs], **options).build()._plan.fingerprint())


def of(runner: Any = answer, kind: Any = None, **options: Any) -> dict[str, str]:
    """Return the fingerprint of a plan with one stage more."""
    return fingerprint(stage("s", runner, kind, **options))


POLICY = RetryPolicy(max_attempts=3, retry_on=(ValueError, KeyError))


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ({}, {"kind": StageKind.WORK}),
        ({}, {"dependencies": "a"}),
        ({}, {"optional": "a"}),
        ({"dependencies": "a"}, {"optional": "a"}),
        ({"dependencies": "a"}, {"dependencies": "b"}),
        ({"dependencies": "a"}, {"dependencies": ("a", "b")}),
        ({"dependencies": "a", "optional": "b"}, {"dependencies": "b", "optional": "a"}),
        ({}, {"when": when}),
        ({"dependencies": "a"}, {"dependencies": "a", "join": "any"}),
        ({"dependencies": "way"}, {"route": {"way": "x"}}),
        ({"route": {"way": "x"}}, {"route": {"way": "y"}}),
        ({"kind": StageKind.ROUTE}, {"kind": StageKind.ROUTE, "routes": "x", "terminal_routes": "x"}),
        (
            {"kind": StageKind.ROUTE, "routes": ("x", "y"), "terminal_routes": ("x", "y")},
            {"kind": StageKind.ROUTE, "routes": ("x", "z"), "terminal_routes": ("x", "z")},
        ),
        ({}, {"retry": RetryPolicy()}),
        ({"retry": POLICY}, {"retry": RetryPolicy(max_attempts=4, retry_on=POLICY.retry_on)}),
        ({"retry": POLICY}, {"retry": RetryPolicy(base_delay=9, retry_on=POLICY.retry_on)}),
        ({"retry": POLICY}, {"retry": RetryPolicy(max_delay=9, retry_on=POLICY.retry_on)}),
        ({"retry": POLICY}, {"retry": RetryPolicy(jitter=False, retry_on=POLICY.retry_on)}),
        ({"retry": POLICY}, {"retry": RetryPolicy(retry_on=ValueError)}),
        ({}, {"timeout": 5}),
        ({"timeout": 5}, {"timeout": 6}),
        ({"timeout": 5}, {"deadline": 5}),
        ({"deadline": 5}, {"deadline": 6}),
        ({}, {"critical": False}),
        ({}, {"version": "1"}),
        ({"version": "1"}, {"version": "2"}),
    ],
)
def test_a_stage_with_another_option_has_another_hash(one: dict[str, Any], another: dict[str, Any]) -> None:
    """And it alone."""
    first, second = of(**one), of(**another)
    assert ["s"] == [name for name in first if first[name] != second[name]]


@pytest.mark.parametrize(
    "options",
    [{"timeout": 5}, {"timeout": 6}, {"on_failure": "continue"}, {"cancel_grace": 1}],
    ids=str,
)
def test_the_options_of_the_pipeline_have_a_hash_of_their_own(options: dict[str, Any]) -> None:
    """No stage has changed."""
    first, second = fingerprint(), fingerprint(**options)
    assert [""] == [name for name in first if first[name] != second[name]]
    assert fingerprint(timeout=5) != fingerprint(timeout=6)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ({"dependencies": ("a", "b")}, {"dependencies": ["b", "a"]}),
        ({"optional": ("a", "b")}, {"optional": {"b", "a"}}),
        ({"dependencies": "a"}, {"dependencies": [stage("a", answer)]}),
        ({"route": {"way": "x"}}, {"route": {OTHERS[2]: "x"}, "dependencies": "way"}),
        ({"when": when}, {"when": lambda inputs, snapshot: False}),
        ({"runner": answer}, {"runner": other}),
        ({"kind": None}, {"kind": StageKind.TRANSFORM}),
        ({"retry": POLICY}, {"retry": RetryPolicy(retry_on=(KeyError, ValueError), random=lambda: 0.5)}),
        (
            {"kind": StageKind.ROUTE, "routes": ("x", "y"), "terminal_routes": ("x", "y")},
            {"kind": StageKind.ROUTE, "routes": {"y", "x"}, "terminal_routes": ["y", "x"]},
        ),
        ({}, {"critical": True, "join": "all", "version": None, "dependencies": ()}),
    ],
)
def test_what_means_the_same_has_the_same_hash(one: dict[str, Any], another: dict[str, Any]) -> None:
    """The order of names, their form, and what no plan can know: code."""
    assert of(**one) == of(**another)


def test_the_parameters_of_a_function_are_its_dependencies() -> None:
    """Whichever way they are declared."""

    async def reader(b: Any, ctx: StageContext, a: Any = None) -> None: ...

    async def reordered(ctx: StageContext, *, a: Any = None, b: Any) -> None: ...

    named = of(answer, dependencies="b", optional="a")
    assert named == of(reader) == of(reordered)


def test_the_order_of_the_stages_does_not_count() -> None:
    """Nor does the pipeline's name."""
    stages = [*OTHERS, stage("s", answer, dependencies=("a", "way"), optional="b")]
    forward, backward = Pipeline("p", stages), Pipeline("q", reversed(stages))
    assert forward.build()._plan.fingerprint() == backward.build()._plan.fingerprint()


def test_it_has_a_short_checksum_for_each_stage() -> None:
    """And one for the pipeline: it stands in stored results."""
    found = of()
    assert {"", "a", "b", "way", "s"} == set(found)
    assert {8} == {len(value) for value in found.values()}


PROGRAM = """
from stageflow import *
async def answer(ctx: StageContext): ...
names = {"a", "b", "c", "d", "e"}
pipeline = Pipeline("p", [
    *(stage(name, answer) for name in sorted(names)),
    stage("way", answer, StageKind.ROUTE, routes=names, terminal_routes=names),
    stage("s", answer, dependencies=names, retry=RetryPolicy(retry_on={ValueError, KeyError, OSError, LookupError})),
    stage("t", answer, optional=names, when=lambda *_: True),
], timeout=5)
print(sorted(pipeline.build()._plan.fingerprint().items()))
"""


def test_it_is_the_same_in_every_process() -> None:
    """Although sets have another order in each."""
    printed = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert 1 == len(printed)


class Watcher(BaseInterceptor):
    """Changes nothing."""

    only_watches = True


def test_interceptors_that_only_watch_do_not_count() -> None:
    """A release that adds a log line does not lose the runs that wait for somebody."""
    plain = fingerprint()
    assert plain == fingerprint(interceptors=(*get_default_interceptors(), Watcher()))
    assert plain != fingerprint(interceptors=(Watcher(), TimeoutInterceptor(3)))
