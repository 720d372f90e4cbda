"""The cassette of a test: a file beside it."""

from __future__ import annotations

from typing import Any

import pytest

from stageflow_mocks.cassettes.cassette import Cassette
from stageflow_mocks.pytest_plugin.items import command_for, file_of


class TapesOfTest:
    """The cassettes of one test: one, or one for each seed, of the same file."""

    def __init__(self, item: pytest.Item, options: dict[str, Any], *, is_recording: bool) -> None:
        self.path = file_of(item, "cassettes", ".json")
        self._options = options
        self._is_recording = is_recording
        self._how = command_for(item, "--stageflow-record")
        self._inserted: Cassette | None = None
        self._error: BaseException | None = None

    def insert(self) -> Cassette:
        """Return a cassette from its beginning, once the one before it has been asked for all that it holds."""
        self.check()
        self._inserted = Cassette(
            self.path,
            mode="record" if self._is_recording else "replay",
            how_to_record=self._how,
            **self._options,
        )
        self._inserted.load()
        return self._inserted

    def check(self) -> None:
        """Check the last cassette."""
        if self._inserted is not None:
            self._inserted.check()

    def tell(self, error: BaseException) -> None:
        """Add to the error of the test what the last cassette has refused."""
        self._error = error
        if self._inserted is not None:
            self._inserted.tell(error)

    @property
    def has_failed(self) -> bool:
        """Whether the test has, so that what was recorded may not be what was meant."""
        return self._error is not None

    def eject(self) -> bool:
        """Write what was recorded, and tell whether anything was."""
        return self._inserted is not None and self._inserted.save(self._error)
