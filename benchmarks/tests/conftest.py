"""What all tests of the benchmarks share."""

import pytest

from benchmarks import handwritten


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages that wait do so for no time at all: they still suspend."""
    monkeypatch.setattr(handwritten, "SLEEP_S", 0)
