"""Scenarios and traces for a reader."""

from simulation.scenario import Act, Policy, Scenario, Script, name_of
from simulation.trace import Entry


def describe(scenario: Scenario) -> str:
    """Return a line for each stage, and what is out of the ordinary around them."""
    around = [scenario.entry + (f" of {scenario.limit:g} s" if scenario.entry == "run within a limit" else "")]
    around.append(f"grace {scenario.cancel_grace:g} s, sink {scenario.sink}")
    extras = {
        f"store {scenario.store}": scenario.store != "none",
        f"timeout {scenario.timeout} s": scenario.timeout is not None,
        "goes on after failures": scenario.goes_on,
        "events() is read": scenario.reads_events,
        f"{scenario.runs} runs at once": scenario.runs > 1,
        f"{scenario.resumes} decisions at a time": scenario.resumes > 0,
        f"patience {scenario.patience} s": scenario.patience is not None,
    }
    around += [told for told, holds in extras.items() if holds]
    if scenario.outside is not None:
        outside = scenario.outside
        around.append(f"{outside.kind} at {outside.occasion} {outside.at:g}, {outside.times}x")
    lines = [f"{len(scenario.stages)} stages; {'; '.join(around)}"]
    for index, script in enumerate(scenario.stages):
        lines.append(f"  {name_of(index):4} {_describe_stage(script)}")
    return "\n".join(lines)


def _describe_stage(script: Script) -> str:
    needs = [name_of(index) for index in script.required]
    needs += [f"{name_of(index)}?" for index in script.optional]
    needs += [f"{name_of(router)}={route}" for router, route in script.behind]
    acts = " | ".join(_describe_act(act) for act in script.acts)
    extras = {
        "any of them": script.join_any,
        f"when it says {script.when}": script.when is not None,
        script.form: script.form != "function",
        "router": script.is_router,
        "sets a variable": script.sets_variable,
        "publishes": script.publishes,
        "not critical": not script.critical,
        f"timeout {script.timeout} s": script.timeout is not None,
        f"deadline {script.deadline} s": script.deadline is not None,
        f"with a decision: {_describe_act(script.decided)}": any(act.ending == "suspend" for act in script.acts),
    }
    told = [told for told, holds in extras.items() if holds]
    if script.policy is not None:
        told.append(_describe_policy(script.policy))
    return f"after {', '.join(needs) or '-'}: {acts}" + (f"  ({'; '.join(told)})" if told else "")


def _describe_act(act: Act) -> str:
    waits = [wait.kind + (f" {wait.seconds:g}" if wait.seconds else "") for wait in act.waits]
    reaction = "" if act.when_cancelled == "leave" else f", {act.when_cancelled} when cancelled"
    return f"{', '.join([*waits, act.ending])}{reaction}"


def _describe_policy(policy: Policy) -> str:
    told = f"{policy.max_attempts} attempts, {policy.base_delay:g} to {policy.max_delay:g} s apart"
    return told + (" with jitter" if policy.jitter else "") + (", limits too" if policy.covers_limits else "")


def shown(trace: list[Entry]) -> str:
    """Return a trace, numbered by place; `!` marks what happened while the run was stopping."""
    several = any(entry.run for entry in trace)
    lines: list[str] = []
    for place, entry in enumerate(trace):
        who = "" if entry.stage is None else name_of(entry.stage)
        which = f"run {entry.run} " if several else ""
        mark = "!" if entry.stopping else " "
        lines.append(f"{place:4} {entry.time:9.3f} s {mark}{which}{who:4} {entry.what} {entry.detail}".rstrip())
    return "\n".join(lines)
