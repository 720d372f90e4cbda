"""Relays give the right values by every contender, and their first chunk is timed as told."""

import asyncio
from collections.abc import Mapping

import pytest

from benchmarks.measuring import Load, interleave
from benchmarks.streams import Relay, Relaying, first_chunks, relayed, relayed_by_hand


@pytest.mark.parametrize("wait_s", [None, 0])
def test_every_token_is_relayed(wait_s: float | None) -> None:
    """More tokens than the buffers hold arrive by both contenders, and the first one before the end of the run."""
    relay = Relay.of(100, wait_s)
    for contender in (relayed(relay), relayed_by_hand(relay)):
        first_ns = asyncio.run(first_chunks(contender, relay, Load(3), 0))
        assert 0 < first_ns


@pytest.mark.parametrize("values", [[2, "TOKEN 2"], [3, "token 2"], [3, "TOKEN 1"]])
def test_lost_or_wrong_token_is_an_error(values: list[object]) -> None:
    """A relay that is fast because it loses tokens is no figure."""
    relay = Relay.of(3)
    relay.check([3, "TOKEN 2"], 0)
    with pytest.raises(ValueError, match="a relay of 3, input 0"):
        relay.check(values, 0)


def test_first_chunks_add_up_what_the_last_stage_saw() -> None:
    """The time that counts is that of the third stage, from before each run, not the end of it."""
    relay = Relay.of(1)
    seen: list[int] = []

    async def run(run_input: int) -> int:
        seen.append(run_input)
        return run_input

    def counted(run_input: int) -> Mapping[str, object]:
        return {"count": 1, "last": "TOKEN 0", "first_ns": 1000 * run_input}

    relaying = Relaying.of("fake", relay.clock, run, counted)
    samples = asyncio.run(interleave([relaying], relay, Load(2), 1, at_zero(relaying)))
    assert seen == [0, 1, 2, 3]
    assert samples == {"fake": [5000]}


def at_zero(relaying: Relaying):
    """Take samples as `first_chunks` does, with every run started when the clock was at 0."""

    async def run(run_input: int) -> tuple[int, object]:
        _, outcome = await relaying.run(run_input)
        return 0, outcome

    started_at_zero = Relaying(relaying.name, run, relaying.read, relaying.seen)

    async def take(_contender, work, load, first_input):
        return await first_chunks(started_at_zero, work, load, first_input)

    return take


def test_first_chunks_of_a_run_that_lost_the_rest_are_an_error() -> None:
    """A run is checked to its end, although its time is taken before."""
    relaying = relayed(Relay.of(3))
    with pytest.raises(ValueError, match="a relay of 4"):
        asyncio.run(first_chunks(relaying, Relay.of(4), Load(1), 0))
