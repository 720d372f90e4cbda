"""One scenario in, what it violates out."""

from simulation.generator import scenario_of
from simulation.invariants import INVARIANTS
from simulation.replay import Replay
from simulation.scenario import Scenario
from simulation.world import Observation, observe


def violations_of(observation: Observation) -> list[str]:
    """Return what was seen that must not be, each with the name of the rule that it breaks."""
    found = []
    if observation.broken is not None:
        return [f"the_run_ends: {observation.broken}"]
    found += [f"asyncio_has_nothing_to_complain_about: {told}" for told in observation.complaints]
    if observation.remaining:
        found.append(f"no_task_stays_for_ever: {observation.remaining}")
    for run in observation.runs:
        replay = Replay(run)
        which = f" (run {run.number})" if len(observation.runs) > 1 else ""
        for invariant in INVARIANTS:
            found += [f"{invariant.__name__}{which}: {told}" for told in invariant(run, replay)]
    return found


def judge(scenario: Scenario) -> list[str]:
    """Run the scenario once and return what it violates."""
    return violations_of(observe(scenario))


def judge_seed(seed: int) -> list[str]:
    """Do the same with the scenario of a seed."""
    return judge(scenario_of(seed))
