"""Pipelines of the shapes that applications have, undisturbed: where a run is cancelled at each of its steps."""

from dataclasses import replace

from simulation.scenario import Act, Policy, Scenario, Script, Wait

_WAITING = Act((Wait("turn"), Wait("sleep", 1.0)), when_cancelled="clean up")
_HOLDING = Act((Wait("sleep", 0.5), Wait("turn"), Wait("task", 1.0)))
_ASKING = Act((Wait("turn"),), ending="suspend")
_FAILING = Act((Wait("sleep", 0.5),), ending="raise transient")

_CHAIN = tuple(Script((index - 1,) if index else (), acts=(_WAITING,)) for index in range(5))
_FAN = (Script(acts=(_WAITING,)), *(Script((0,), acts=(_HOLDING,)) for _ in range(6)), Script(tuple(range(1, 7))))
_RETRIES = (
    Script(acts=(_FAILING, _FAILING, _WAITING), policy=Policy(3, 0.5), timeout=5.0),
    Script((0,), acts=(_WAITING,), deadline=10.0),
)
_ROUTES = (
    Script(acts=(Act((Wait("turn"),), ending="route a"),), is_router=True),
    Script(behind=((0, "a"),), acts=(_WAITING,)),
    Script(behind=((0, "b"),), acts=(_WAITING,)),
    Script((1, 2), join_any=True, acts=(_HOLDING,)),
)
_DECISIONS = (Script(acts=(_WAITING,)), Script((0,), acts=(_ASKING,), decided=_WAITING), Script((1,)), Script((0,)))

REFERENCES: dict[str, Scenario] = {
    "chain": Scenario(_CHAIN),
    "fan": Scenario(_FAN),
    "retries and limits": Scenario(_RETRIES),
    "routes and a join": Scenario(_ROUTES),
    "decisions": Scenario(_DECISIONS, resumes=1),
    "a slow store": Scenario(_CHAIN, store="is slow"),
    "a store that hangs": Scenario(_FAN, store="hangs"),
}
REFERENCES |= {
    f"{name}, started and watched": replace(scenario, entry="start and watch") for name, scenario in REFERENCES.items()
}
