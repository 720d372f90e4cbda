"""An event sink that keeps what it is given, and says what ran where a test expected something else."""

from __future__ import annotations

from typing import Any, NamedTuple

from stageflow_mocks.harness.sequences import Expected, compared, fits
from stageflow_mocks.wording import nearest


class RecordedEvent(NamedTuple):
    """An event as a sink was given it: its type, and all of it as data: of a run, the fields of a PipelineEvent."""

    type: str
    data: dict[str, Any]

    @property
    def stage(self) -> str | None:
        """The stage that it is of; None for the run's own."""
        return self.data.get("stage")

    @property
    def run_id(self) -> str | None:
        """The `pipeline_run_id`."""
        return self.data.get("pipeline_run_id")


class RecordingEventSink:
    """Keeps every event in the order in which it came.

    Attributes:
        events: What has come.
    """

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []

    async def emit(self, *, type: str, data: dict[str, Any] | None) -> None:
        self.try_emit(type=type, data=data)

    def try_emit(self, *, type: str, data: dict[str, Any] | None) -> None:
        self.events.append(RecordedEvent(type, {} if data is None else data))

    @property
    def types(self) -> list[str]:
        """The types of the events, in order."""
        return [event.type for event in self.events]

    def of(self, stage: str) -> list[RecordedEvent]:
        """Return the events of one stage, in order."""
        return [event for event in self.events if event.stage == stage]

    def clear(self) -> None:
        """Forget what has come."""
        self.events.clear()

    def assert_sequence(self, expected: Expected, *, stage: str | None = None) -> None:
        """Check that these events came, in this order, and no others; `...` among them stands for any number of others.

        Args:
            expected: The types, in which `*` stands for any text: `["pipeline.*", ..., "stage.reply.completed", ...]`.
            stage: The events of which stage are meant; all unless given.

        Raises:
            AssertionError: Others came; the message shows both, side by side.
            TypeError: The types are not given as a list of strings and `...`.
        """
        __tracebackhide__ = True  # pytest shows the test, not this
        is_list = isinstance(expected, list | tuple)
        if not is_list or not all(isinstance(one, str) or one is ... for one in expected):
            raise TypeError(f"assert_sequence() takes a list of types and `...`, not {expected!r}.")
        happened = self.types if stage is None else [event.type for event in self.of(stage)]
        if fits(expected, happened):
            return
        if not self.events:
            raise AssertionError("No event has come. Was the sink given to the run, as event_sink=...?")
        whose = "" if stage is None else f" of stage '{stage}'"
        told = f"The events{whose} are not those that were expected:\n{compared(expected, happened)}"
        if stage is not None and not happened:
            told = f"{told}\n{self._stages_near(stage)}"
        raise AssertionError(told)

    def _stages_near(self, stage: str) -> str:
        stages = dict.fromkeys(event.stage for event in self.events if event.stage is not None)
        meant = nearest(stage, tuple(stages))
        return f"No event is of stage '{stage}'. {meant}There are events of: {', '.join(stages) or 'no stage'}."
