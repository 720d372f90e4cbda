"""Haystack: a component for each stage, with an input socket for each value that it reads."""

from typing import Any

from haystack import Pipeline, component

from benchmarks.graphs import PRIME, Graph
from benchmarks.measuring import Contender
from benchmarks.peers.measure import main


@component
class Add:
    """Adds up its inputs; its sockets are declared for each instance."""

    def __init__(self, reads: list[str]) -> None:
        component.set_input_types(self, **dict.fromkeys(reads, int))

    @component.output_types(value=int)
    def run(self, **values: int) -> dict[str, int]:
        """Run where there is no event loop."""
        return {"value": (sum(values.values()) + 1) % PRIME}

    @component.output_types(value=int)
    async def run_async(self, **values: int) -> dict[str, int]:
        """Run in the pipeline's event loop."""
        return {"value": (sum(values.values()) + 1) % PRIME}


def make(graph: Graph) -> Contender:
    """Connect the components; roots take the run's input by name."""
    names = graph.stage_names
    pipeline = Pipeline()
    for name, dependencies in zip(names, graph.dependencies, strict=True):
        pipeline.add_component(name, Add([names[each] for each in dependencies] or ["run_input"]))
    for name, dependencies in zip(names, graph.dependencies, strict=True):
        for each in dependencies:
            pipeline.connect(f"{names[each]}.value", f"{name}.{names[each]}")
    roots = [name for name, dependencies in zip(names, graph.dependencies, strict=True) if not dependencies]
    wanted = set(names)

    async def run(run_input: int) -> dict[str, Any]:
        data = {name: {"run_input": run_input} for name in roots}
        return await pipeline.run_async(data, include_outputs_from=wanted)

    return Contender("haystack", run, read=lambda outputs: [outputs[name]["value"] for name in names])


if __name__ == "__main__":
    main(make)
