"""LangGraph: a node for each stage, and one channel of values to which each node adds its own.

A channel for each stage, which nodes name in their input schema, costs more in every workload, a chain most of all.
"""

import operator
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph

from benchmarks.graphs import PRIME, Graph
from benchmarks.measuring import Contender
from benchmarks.peers.measure import main


class State(TypedDict):
    """The values of all stages so far, and the run's input, by name."""

    values: Annotated[dict[str, int], operator.or_]


def make(graph: Graph) -> Contender:
    """Compile a state graph; a node with several dependencies waits for all of them."""
    names = graph.stage_names
    builder: Any = StateGraph(State)
    for name, dependencies in zip(names, graph.dependencies, strict=True):
        reads = [names[each] for each in dependencies]
        builder.add_node(name, node(reads or ["run_input"], name))
        if len(reads) > 1:
            builder.add_edge(reads, name)
        else:
            builder.add_edge(reads[0] if reads else START, name)
    compiled = builder.compile()
    config = {"recursion_limit": len(graph) + 10}
    return Contender(
        "langgraph",
        run=lambda run_input: compiled.ainvoke({"values": {"run_input": run_input}}, config),
        read=lambda final: [final["values"][name] for name in names],
    )


def node(reads: list[str], name: str) -> Any:
    """Make the function of one node."""

    async def add(state: State) -> State:
        values = state["values"]
        return {"values": {name: (sum([values[read] for read in reads]) + 1) % PRIME}}

    return add


if __name__ == "__main__":
    main(make)
