"""What all tests of the benchmarks share."""

import gc
from collections.abc import Iterator

import pytest

from benchmarks import handwritten


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages that wait do so for no time at all: they still suspend."""
    monkeypatch.setattr(handwritten, "SLEEP_S", 0)


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    """What thousands of other tests have left in memory is not looked at by each garbage collection meanwhile."""
    gc.freeze()
    yield
    gc.unfreeze()
