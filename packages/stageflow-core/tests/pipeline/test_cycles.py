"""Finding circles among stages."""

from __future__ import annotations

import random
from graphlib import CycleError, TopologicalSorter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow.pipeline.cycles import find_cycles


@pytest.mark.parametrize(
    ("successors", "expected"),
    [
        ({}, []),
        ({"a": ["b"], "b": []}, []),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, []),
        ({"a": ["a"]}, [["a"]]),
        ({"a": ["b"], "b": ["a"]}, [["a", "b"]]),
        ({"x": ["c"], "b": ["a"], "c": ["b"], "a": ["c"]}, [["b", "a", "c"]]),
        ({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}, [["a", "b"], ["c", "d"]]),
        ({"a": ["b"], "b": ["a", "c"], "c": ["d"], "d": ["c"]}, [["a", "b"], ["c", "d"]]),
        ({"a": ["b"], "b": ["c", "a"], "c": ["b"]}, [["b", "c"]]),
    ],
)
def test_cycles_are_found(successors: dict[str, list[str]], expected: list[list[str]]) -> None:
    """Each starts with the stage that was declared first, in the direction of the data."""
    assert expected == sorted(find_cycles(successors))


graphs = st.integers(1, 12).flatmap(
    lambda size: st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=30).map(
        lambda edges: {str(n): [str(b) for a, b in edges if a == n] for n in range(size)}
    )
)


@given(graphs)
def test_every_knot_gives_a_cycle(successors: dict[str, list[str]]) -> None:
    """The cycles are real, share no stage, and without their stages at least one knot less is left each."""
    cycles = find_cycles(successors)
    seen: set[str] = set()
    for cycle in cycles:
        for stage, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert after in successors[stage]
        assert not seen & set(cycle)
        seen |= set(cycle)
    knots = strongly_connected(successors)
    assert [True] * len(knots) == [bool(knot & seen) for knot in knots]
    try:
        TopologicalSorter({name: list(after) for name, after in successors.items()}).prepare()
    except CycleError:
        assert cycles
    else:
        assert [] == cycles


def strongly_connected(successors: dict[str, list[str]]) -> list[set[str]]:
    """Return the sets of stages that reach each other, by brute force."""
    reach: dict[str, set[str]] = {name: set(after) for name, after in successors.items()}
    for _ in successors:
        reach = {name: near.union(*map(reach.__getitem__, near)) for name, near in reach.items()}
    found = {frozenset(other for other in reach if name in reach[other] and other in reach[name]) for name in reach}
    return [set(knot) for knot in found if knot]


@pytest.mark.parametrize("shape", ["one ring", "pairs", "dense"])
def test_large_graphs_are_searched_without_recursion(shape: str) -> None:
    """A ring of 20,000 stages, 10,000 pairs, and 300 stages that all depend on each other."""
    if shape == "one ring":
        graph = {str(n): [str((n + 1) % 20_000)] for n in range(20_000)}
        assert [20_000] == [len(cycle) for cycle in find_cycles(graph)]
    elif shape == "pairs":
        graph = {str(n): [str(n ^ 1)] for n in range(20_000)}
        assert 10_000 == len(find_cycles(graph))
    else:
        order = list(range(300))
        random.Random(5).shuffle(order)
        graph = {str(n): [str(m) for m in order if m != n] for n in range(300)}
        assert find_cycles(graph)
