"""Hamilton's async driver: a function for each stage, whose parameters are the stages that it reads."""

from typing import Any

from hamilton import ad_hoc_utils, async_driver

from benchmarks.graphs import PRIME, Graph
from benchmarks.measuring import Contender
from benchmarks.peers.measure import main


def make(graph: Graph) -> Contender:
    """Generate the functions, since Hamilton reads a graph from their signatures, and builds a driver."""
    names = graph.stage_names
    namespace: dict[str, Any] = {}
    for name, dependencies in zip(names, graph.dependencies, strict=True):
        reads = [names[each] for each in dependencies] or ["run_input"]
        parameters = ", ".join(f"{read}: int" for read in reads)
        source = f"async def {name}({parameters}) -> int:\n    return (sum([{', '.join(reads)}]) + 1) % {PRIME}\n"
        exec(source, namespace)
    module = ad_hoc_utils.create_temporary_module(*[namespace[name] for name in names], module_name=graph.name)
    driver = async_driver.Builder().with_modules(module).build_without_init()
    wanted = list(names)

    async def run(run_input: int) -> dict[str, Any]:
        return await driver.raw_execute(wanted, inputs={"run_input": run_input})

    return Contender("hamilton", run, read=lambda values: [values[name] for name in names])


if __name__ == "__main__":
    main(make)
