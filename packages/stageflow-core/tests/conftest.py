"""What the tests of core share."""

import pytest


class Recorder:
    """A sink that keeps every event in order."""

    def __init__(self):
        self.events = []

    async def emit(self, *, type, data):
        self.events.append(data)

    def try_emit(self, *, type, data):
        self.events.append(data)

    @property
    def types(self):
        return [event["event_type"] for event in self.events]

    def of(self, event_type):
        """Return the one event of this type."""
        (event,) = (event for event in self.events if event["event_type"] == event_type)
        return event


@pytest.fixture
def recorder():
    return Recorder()
