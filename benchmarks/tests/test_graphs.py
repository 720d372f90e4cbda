"""The graphs have the shapes they are named for, and a wrong value is told."""

import pytest

from benchmarks import graphs
from benchmarks.graphs import PRIME, Graph

ALL = (
    graphs.chain(5),
    graphs.fan(4),
    graphs.fan(4, sink=False),
    graphs.ladder(8),
    graphs.layers(3, 4),
    graphs.random_dag(40),
    graphs.agent_pipeline(),
)


@pytest.mark.parametrize("graph", ALL, ids=lambda graph: graph.name)
def test_stages_read_only_earlier_ones(graph: Graph) -> None:
    """The order of the stages is an order to run them in."""
    assert all(each < index for index, reads in enumerate(graph.dependencies) for each in reads)


@pytest.mark.parametrize(
    ("graph", "widths"),
    [
        (graphs.chain(3), [1, 1, 1]),
        (graphs.fan(4), [1, 4, 1]),
        (graphs.fan(4, sink=False), [1, 4]),
        (graphs.ladder(6), [2, 2, 2]),
        (graphs.layers(3, 4), [4, 4, 4]),
        (graphs.agent_pipeline(), [1, 3, 2, 1, 1, 2]),
    ],
    ids=lambda value: value.name if isinstance(value, Graph) else "",
)
def test_levels_have_the_shape(graph: Graph, widths: list[int]) -> None:
    """Each graph is as wide and as deep as its name says."""
    assert [len(level) for level in graph.levels] == widths


def test_expected_values_of_a_small_fan() -> None:
    """Each stage adds one to the sum of what it reads; a root reads the input."""
    assert graphs.fan(2).expected(4) == [5, 6, 6, 13]


def test_expected_values_stay_below_the_prime() -> None:
    """Deep and wide graphs do not grow big integers."""
    assert max(graphs.layers(30, 10).expected(PRIME - 1)) < PRIME


def test_random_graph_is_the_same_each_time() -> None:
    """The random graph is seeded."""
    assert graphs.random_dag(50) == graphs.random_dag(50)
    assert graphs.random_dag(50) != graphs.random_dag(50, seed=1)


def test_successors_mirror_dependencies() -> None:
    """Every edge is found from both of its ends."""
    graph = graphs.random_dag(40)
    forward = {(source, target) for source, targets in enumerate(graph.successors) for target in targets}
    assert forward == {(source, target) for target, sources in enumerate(graph.dependencies) for source in sources}


def test_check_names_the_wrong_stage() -> None:
    """A value left over from a run with another input is told, with the stage and what was expected."""
    graph = graphs.chain(3)
    graph.check(graph.expected(7), 7)
    with pytest.raises(ValueError, match="stage_0 came to 8, expected 9"):
        graph.check(graph.expected(7), 8)


def test_check_counts_the_values() -> None:
    """A stage without a value is told."""
    with pytest.raises(ValueError, match="2 values for 3 stages"):
        graphs.chain(3).check([1, 2], 0)
