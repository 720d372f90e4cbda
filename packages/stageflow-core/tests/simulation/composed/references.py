"""Pipelines with streams, maps and children, of the shapes that applications have, undisturbed."""

from dataclasses import replace

from simulation.composed.scenario import Chunks, Composed, Mapped, Part, Plan, Reading
from simulation.scenario import Policy

_TURN = Plan(
    (
        Part(waits=(1.0,), when_cancelled="clean up"),
        Part(needs=(0,), chunks=Chunks(6, capacity=2, pace=(0.0, 0.25)), when_cancelled="clean up", limit="model"),
        Part(reads=(Reading(1),), chunks=Chunks(1, capacity=1), limit="voice"),
        Part(reads=(Reading(1, pace=(0.5,)), Reading(2, pace=(0.0,))), when_cancelled="clean up"),
        Part(needs=(1,)),
    )
)
_ENRICHING = Plan(
    (
        Part(items=6, items_are="async"),
        Part(
            mapped=Mapped(0, 3, faults=((1, 1, "raise transient"), (4, 1, "retry"), (5, 1, "skip"))),
            waits=(0.25, 0.0),
            policy=Policy(3, 0.5),
            limit="model",
        ),
        Part(mapped=Mapped(1, 2), waits=(0.0,), when_cancelled="clean up"),
    )
)
_LEAF = Plan((Part(waits=(0.25,), limit="model"), Part(needs=(0,), waits=(0.0,), when_cancelled="clean up")))
_AGENTS = Plan(
    (
        Part(children=(_LEAF, _LEAF), children_run="in a group", limit="model"),
        Part(
            needs=(0,),
            children=(Plan((Part(children=(_LEAF,), when_cancelled="clean up"),)),),
            when_cancelled="clean up",
            when_child_fails="go on",
        ),
    )
)
_CAPACITIES = (("model", 1), ("voice", 1))

REFERENCES: dict[str, Composed] = {
    "a turn of a voice": Composed(
        _TURN, entry="start", listeners=(Reading(2, pace=(0.25,)),), capacities=_CAPACITIES, patience=None
    ),
    "a map over a map": Composed(_ENRICHING, capacities=_CAPACITIES),
    "agents that call agents": Composed(_AGENTS, capacities=_CAPACITIES),
}
REFERENCES |= {f"{name}, twice at once": replace(one, starts=(0.0, 0.25)) for name, one in REFERENCES.items()}
