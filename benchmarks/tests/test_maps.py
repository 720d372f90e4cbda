"""Maps give the right values by every contender."""

import asyncio

import pytest

from benchmarks.maps import Items, mapped, mapped_by_hand
from benchmarks.measuring import Load, interleave


@pytest.mark.parametrize("suspending", [False, True])
def test_every_item_is_mapped(suspending: bool) -> None:
    """Items come out in order by both contenders, run after run."""
    items = Items(50, suspending)
    asyncio.run(interleave([mapped(items), mapped_by_hand(items)], items, Load(2), rounds=1))


@pytest.mark.parametrize(
    ("values", "told"), [([3, 4], "2 values"), ([3, 5, 4], "item 1 came to 5"), ([0, 1, 2], "item 0 came to 0")]
)
def test_wrong_item_is_an_error(values: list[object], told: str) -> None:
    """Items out of order, lost, or of another run are told."""
    Items(3).check([3, 4, 5], 3)
    with pytest.raises(ValueError, match=told):
        Items(3).check(values, 3)
