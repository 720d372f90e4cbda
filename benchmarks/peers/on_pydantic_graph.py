"""pydantic-graph: steps, broadcasts and joins. A join closes the fork before it, so only levels can be said in it."""

from itertools import pairwise
from typing import Any

from pydantic_graph import GraphBuilder, StepContext, reduce_list_append

from benchmarks.graphs import PRIME, Graph
from benchmarks.measuring import Contender
from benchmarks.peers.measure import NotExpressibleError, main


def make(graph: Graph) -> Contender:
    """Join each level of several stages before it is broadcast to the next."""
    levels = graph.levels
    for above, level in pairwise(levels):
        if any(graph.dependencies[index] != above for index in level):
            raise NotExpressibleError("a join closes one fork: a stage must read the whole level before it")
    builder: Any = GraphBuilder(
        name=graph.name, state_type=dict, input_type=int, output_type=int, auto_instrument=False
    )
    source = builder.start_node
    for depth, level in enumerate(levels):
        steps = [builder.step(body(index), node_id=graph.stage_names[index]) for index in level]
        builder.add(builder.edge_from(source).to(*steps))
        if len(steps) == 1:
            source = steps[0]
            continue
        source = builder.join(reduce_list_append, initial_factory=list, node_id=f"join_{depth}")
        builder.add(builder.edge_from(*steps).to(source))
    builder.add(builder.edge_from(source).to(builder.end_node))
    built = builder.build()

    async def run(run_input: int) -> dict[int, int]:
        values: dict[int, int] = {}
        await built.run(state=values, inputs=run_input)
        return values

    return Contender("pydantic-graph", run, read=lambda values: [values[index] for index in range(len(graph))])


def body(index: int) -> Any:
    """Make the function of one step; the values of all stages are kept in the graph's state."""

    async def add(ctx: StepContext[dict[int, int], Any, Any]) -> int:
        read = ctx.inputs
        value = ((read if isinstance(read, int) else sum(read)) + 1) % PRIME
        ctx.state[index] = value
        return value

    return add


if __name__ == "__main__":
    main(make)
