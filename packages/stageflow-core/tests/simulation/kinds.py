"""The kinds of scenarios: which of them a seed has, and how it is made, judged and shown.

Of eight seeds in a row four are of plain stages, whose outcomes are predicted, and one each of streams, maps, children
and limits.
"""

from simulation import judging
from simulation.composed import judging as composed_judging
from simulation.composed.describing import describe as describe_composed
from simulation.composed.generator import composed_of
from simulation.composed.scenario import Composed
from simulation.composed.world import World
from simulation.composed.world import observe as observe_composed
from simulation.describing import describe as describe_plain
from simulation.generator import scenario_of as plain_scenario_of
from simulation.scenario import Scenario
from simulation.world import Observation
from simulation.world import observe as observe_plain

KINDS = ("plain", "streams", "plain", "maps", "plain", "children", "plain", "limits")


def kind_of(seed: int) -> str:
    """Return of which kind the scenario of a seed is."""
    return KINDS[seed % len(KINDS)]


def scenario_of(seed: int) -> Scenario | Composed:
    """Return the scenario of a seed."""
    kind = kind_of(seed)
    return plain_scenario_of(seed) if kind == "plain" else composed_of(kind, seed)


def observe(scenario: Scenario | Composed) -> Observation | World:
    """Run a scenario once."""
    return observe_plain(scenario) if isinstance(scenario, Scenario) else observe_composed(scenario)


def violations_of(seen: Observation | World) -> list[str]:
    """Return what was seen that must not be."""
    return judging.violations_of(seen) if isinstance(seen, Observation) else composed_judging.violations_of(seen)


def judge(seed: int) -> list[str]:
    """Run the scenario of a seed once and return what it violates."""
    return violations_of(observe(scenario_of(seed)))


def describe(scenario: Scenario | Composed) -> str:
    """Return a scenario for a reader."""
    return describe_plain(scenario) if isinstance(scenario, Scenario) else describe_composed(scenario)
