"""Finding circles among stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def find_cycles(successors: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return cycles that share no stage, at least one for each knot of stages that depend on each other.

    A cycle starts with the stage that comes first in the mapping, and does not repeat it at its end. This is a
    depth-first search without recursion: linear in stages and edges, however many cycles there are.
    """
    order = {name: position for position, name in enumerate(successors)}
    cycles: list[list[str]] = []
    done: set[str] = set()
    path: list[str] = []
    depth: dict[str, int] = {}
    taken: list[int] = [0]  # how many stages of path[:i] are in a cycle that was found
    ahead: list[Iterator[str]] = []

    def enter(name: str) -> None:
        depth[name] = len(path)
        path.append(name)
        taken.append(taken[-1])
        ahead.append(iter(successors[name]))

    for root in successors:
        if root in done:
            continue
        enter(root)
        while path:
            name = next(ahead[-1], None)
            if name is None:
                ahead.pop()
                taken.pop()
                left = path.pop()
                del depth[left]
                done.add(left)
            elif name in depth:
                start = depth[name]
                if taken[-1] == taken[start]:
                    taken[start + 1 :] = [taken[start] + 1 + i for i in range(len(path) - start)]
                    cycle = path[start:]
                    first = cycle.index(min(cycle, key=order.__getitem__))
                    cycles.append(cycle[first:] + cycle[:first])
            elif name not in done:
                enter(name)
    return cycles
