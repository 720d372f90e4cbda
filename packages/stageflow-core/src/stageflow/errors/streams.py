"""What goes wrong in streams and in mapped stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stageflow.errors.stage import StageError
from stageflow.wording import listed, nearest


class MapSourceError(StageError, TypeError):
    """What a stage is mapped over is no sequence of items, or raised when it was read.

    Attributes:
        source: The stage that should have given the items.
        key: The key in its data, or None if the items are the chunks that it streams.
        problem: What is wrong there.
        completed: The results of the items that had ended by then.
    """

    code = "map-source"

    def __init__(
        self,
        stage: str,
        source: str,
        key: str | None,
        *,
        problem: str,
        hint: str,
        completed: Mapping[int, Any] | None = None,
    ) -> None:
        what = f"the chunks of '{source}'" if key is None else f"the key '{key}' of '{source}'"
        super().__init__(f"Stage '{stage}' is mapped over {what}, which {problem}.", stage=stage, hint=hint)
        self.source = source
        self.key = key
        self.problem = problem
        self.completed: Mapping[int, Any] = {} if completed is None else completed


class MapItemError(StageError):
    """An item of a mapped stage failed; what fails the stage. `__cause__` is what the item failed with.

    Attributes:
        index: The place of the item; of several that failed at once, the first one's.
        completed: By place, the results of the items that had ended; None for those that were skipped.
        without_values: The message for events, without what a contract error found.
    """

    code = "map-item"

    def __init__(
        self, stage: str, index: int, detail: str, *, completed: Mapping[int, Any], without_values: str | None = None
    ) -> None:
        where = f"Item {index} of stage '{stage}' failed"
        super().__init__(
            f"{where}: {detail.removesuffix('.')}.",
            stage=stage,
            hint=f"What the others had returned by then ({len(completed)}) is in `completed`. To go on without an "
            "item, let the stage return StageOutput.skip(...) for it.",
        )
        self.index = index
        self.completed = completed
        self.without_values = f"{where}: {without_values or detail}"


class ItemSuspendedError(StageError):
    """An item of a mapped stage returned `StageOutput.suspend(...)`, which only a whole stage can."""

    code = "item-suspended"

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"Stage '{stage}' suspended for one of the items that it is mapped over.",
            stage=stage,
            hint="Ask in a stage of its own, which comes before or after, and asks for all items at once.",
        )


class NotMappedError(StageError):
    """A stage that runs once read `ctx.item`."""

    code = "not-mapped"

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"Stage '{stage}' read ctx.item, and is not mapped.",
            stage=stage,
            hint='To run it once for each item, say what over: map_over=("chunks", "items").',
        )


class NoStreamError(StageError):
    """A stream was asked of a stage that does not stream; `streaming` are those that do."""

    code = "no-stream"

    def __init__(self, stage: str, *, pipeline: str, streaming: Sequence[str]) -> None:
        hint = "A stage streams if it is an async generator: let it `yield` its chunks."
        if streaming:
            hint = f"{nearest(stage, streaming)}Those that stream: {listed(streaming)}."
        super().__init__(f"Stage '{stage}' of pipeline '{pipeline}' does not stream.", stage=stage, hint=hint)
        self.streaming = tuple(streaming)


class StreamBrokenError(StageError):
    """The stage whose chunks were being read did not end OK, so that what was read may not be the whole.

    `why` says how it ended; what it raised is the cause.
    """

    code = "stream-broken"

    def __init__(self, stage: str, why: str) -> None:
        super().__init__(
            f"The stream of stage '{stage}' broke: it {why}.",
            stage=stage,
            hint="What has been read is what it yielded before; catch this error to make do with that.",
        )
        self.why = why


class StreamFullError(StageError):
    """A stage that streams with `on_full="error"` yielded a chunk for which a reader had no room.

    Attributes:
        reader: The stage that reads, or `run.stream`.
        capacity: How many chunks wait for it.
    """

    code = "stream-full"

    def __init__(self, stage: str, reader: str, *, capacity: int) -> None:
        super().__init__(
            f"Stage '{stage}' yielded a chunk while {capacity} still wait for its reader '{reader}'.",
            stage=stage,
            hint="Let it wait, or drop chunks: StreamOptions(on_full='block'), 'drop_oldest' or 'drop_newest'; or "
            "raise capacity=.",
        )
        self.reader = reader
        self.capacity = capacity


class StreamSuspendedError(StageError):
    """A stage that streams or reads a stream asked for a decision: when that comes, the chunks are gone."""

    code = "stream-suspended"

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"Stage '{stage}' is joined to others by a stream, and asked for a decision.",
            stage=stage,
            hint="Let a stage of its own ask before the stream begins: its chunks would be gone when the run resumes.",
        )
