"""S4: who gets a permit before whom. That all of them come back, and are never too many, the world looks at itself."""

from simulation.scenario import name_of

PATIENCE = 8
"""How often in a row those who wait for permits may be passed over."""


class Wait:
    """The first attempt of a stage that names a limit: from where on it waited, and from where on it had its permit."""

    def __init__(self, run, stay, part, asked, asked_at):
        self.name = f"{name_of(stay.index)} of run {run.number}"
        self.limit, self.priority = part.limit, part.priority
        self.asked, self.asked_at = asked, asked_at
        self.got, self.got_at = stay.started, stay.started_at


def waits_of(world):
    """Return, by limit, everybody's wait for a permit, in the order in which the permits came."""
    waits = {}
    for run in world.runs_by_number:
        if run.plan is None:
            continue
        for place, event in run.events:
            index = None if event["stage"] is None else int(event["stage"].removeprefix("s"))
            if index is None or not event["event_type"].endswith(".started"):
                continue
            part, stays = run.plan.parts[index], run.stays_of(index)
            if part.limit is not None and stays and part.deadline is None and part.mapped is None:
                waits.setdefault(part.limit, []).append(Wait(run, stays[0], part, place, world.trace[place].time))
    return {limit: sorted(of_one, key=lambda wait: wait.got) for limit, of_one in waits.items()}


def _is_simple(world):
    """Return whether everybody waits for one permit at a time, and says so by an event."""
    return world.scenario.listens and not world.has_streams


def who_came_first_is_served_first(world):
    """Of those with the same priority whoever asked earlier has a permit no later."""
    if not _is_simple(world):
        return
    for waits in waits_of(world).values():
        latest = {}
        for wait in sorted(waits, key=lambda wait: wait.asked):
            before = latest.get(wait.priority)
            if before is not None and before.asked_at < wait.asked_at and before.got_at > wait.got_at:
                yield f"{before.name} asked before {wait.name}, and got a permit after it"
            if before is None or before.got_at < wait.got_at:
                latest[wait.priority] = wait


def none_is_passed_over_too_often(world):
    """While somebody of a priority waits, others are served so many times in a row at most."""
    if not _is_simple(world):
        return
    for limit, waits in waits_of(world).items():
        priorities = {wait.priority for wait in waits}
        # Those of the larger ones are served so often, then those of one other priority, which may not be this one.
        most = (PATIENCE + 1) * (len(priorities) - 1) + dict(world.scenario.capacities)[limit]
        for priority in priorities:
            passed = 0
            for wait in waits:
                own = [other for other in waits if other.priority == priority and other.asked < wait.asked]
                if wait.priority == priority or not any(other.got > wait.got for other in own):
                    passed = 0
                    continue
                passed += 1
                if passed > most:
                    yield f"those of priority {priority} were passed over {passed} times for '{limit}'"
                    break


def the_larger_priority_comes_first(world):
    """But for one in so many, nobody is served while one of a larger priority has waited for a while."""
    if not _is_simple(world):
        return
    for limit, waits in waits_of(world).items():
        passed = sum(
            any(o.priority > wait.priority and o.asked_at < wait.asked_at and o.got_at > wait.got_at for o in waits)
            for wait in waits
        )
        if passed > 1 + len(waits) / (PATIENCE + 1):
            yield f"{passed} of {len(waits)} got a permit of '{limit}' before somebody of a larger priority"


RULES = (who_came_first_is_served_first, none_is_passed_over_too_often, the_larger_priority_comes_first)
