"""Thousands of random runs in random interleavings, each held against the rules of the design."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from simulation.composed.references import REFERENCES as COMPOSED_REFERENCES
from simulation.kinds import judge, observe, scenario_of, violations_of
from simulation.references import REFERENCES
from simulation.scenario import Outside

SCHEDULES = 8_000
BLOCK = 400


@pytest.mark.parametrize("first", range(0, SCHEDULES, BLOCK))
def test_random_runs_keep_the_rules(first):
    """Whatever their stages do, and in whatever order their tasks run."""
    for seed in range(first, first + BLOCK):
        found = judge(seed)
        assert [] == found, f'seed {seed}; to see it: make simulate ARGS="--seed {seed}"'


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_the_same_seed_gives_the_same_trace(first):
    """So that what was found once can be looked at."""
    for seed in range(first, first + 50):
        assert observe(scenario_of(seed)).trace == observe(scenario_of(seed)).trace, seed


DIGEST = """
import hashlib
from simulation.kinds import observe, scenario_of
print(hashlib.sha256(repr([observe(scenario_of(seed)).trace for seed in range(160)]).encode()).hexdigest())
"""


def test_the_same_seed_gives_the_same_trace_in_another_process():
    """Nothing depends on the hash of a name or on where an object lies in memory."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


ALL_REFERENCES = REFERENCES | COMPOSED_REFERENCES


@pytest.mark.parametrize("name", ALL_REFERENCES)
def test_a_cancel_at_every_step(name):
    """Between any two steps of the event loop: of the caller's task, or of the run if somebody holds it."""
    undisturbed = ALL_REFERENCES[name]
    kind = "cancel the caller" if undisturbed.entry == "run" else "cancel the run"
    seen = observe(undisturbed)
    assert [] == violations_of(seen)
    steps = seen.steps
    assert steps > 5
    for step in range(1, steps + 1):
        disturbed = replace(undisturbed, outside=Outside(kind, "step", step))
        assert [] == violations_of(observe(disturbed)), f"{kind} at step {step} of {steps}"
