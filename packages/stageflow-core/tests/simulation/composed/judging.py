"""One composed scenario in, what it violates out."""

from simulation.composed.account import Account
from simulation.composed.rules import RULES, SHARED
from simulation.composed.scenario import Composed
from simulation.composed.world import World, observe


def violations_of(world: World) -> list[str]:
    """Return what was seen that must not be, each with the name of the rule that it breaks."""
    if world.broken is not None:
        return [f"the_run_ends: {world.broken}"]
    found = [f"asyncio_has_nothing_to_complain_about: {told}" for told in world.complaints]
    if world.remaining:
        found.append(f"no_task_stays_for_ever: {world.remaining}")
    found += [f"permits_are_shared_as_they_should: {told}" for told in dict.fromkeys(world.misuse)]
    found += [f"{rule.__name__}: {told}" for rule in SHARED for told in rule(world)]
    for run in world.runs_by_number:
        if run.plan is None:
            continue  # it was stopped before any of its stages began, and its caller got nothing of it
        account = Account(world, run)
        which = f" (run {run.number})" if run.number else ""
        found += [f"{rule.__name__}: {told}{which}" for rule in RULES for told in rule(account)]
    return found


def judge(scenario: Composed) -> list[str]:
    """Run the scenario once and return what it violates."""
    return violations_of(observe(scenario))
