"""One scenario in, what it violates out."""

from simulation.caller import Run
from simulation.invariants import INVARIANTS
from simulation.replay import Replay
from simulation.scenario import Scenario
from simulation.world import Observation, observe


def violations_of(observation: Observation) -> list[str]:
    """Return what was seen that must not be, each with the name of the rule that it breaks."""
    if observation.broken is not None:
        return [f"the_run_ends: {observation.broken}"]
    found = [f"asyncio_has_nothing_to_complain_about: {told}" for told in observation.complaints]
    if observation.remaining:
        found.append(f"no_task_stays_for_ever: {observation.remaining}")
    for run in observation.runs:
        try:
            found += _violations_of_run(run)
        except Exception as error:  # noqa: BLE001 - a trace that cannot be followed breaks some rule
            found.append(f"the_trace_can_be_followed: {error!r}")
    return found


def _violations_of_run(run: Run) -> list[str]:
    replay = Replay(run)
    which = f" (run {run.number})" if run.number else ""
    return [f"{invariant.__name__}: {told}{which}" for invariant in INVARIANTS for told in invariant(run, replay)]


def judge(scenario: Scenario) -> list[str]:
    """Run the scenario once and return what it violates."""
    return violations_of(observe(scenario))
