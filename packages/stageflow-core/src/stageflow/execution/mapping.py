"""Mapped stages: one run of the stage for each item of what another one returned.

    deadline( map( item: all that is done with a stage that is not mapped ))

What is done with one item is what would be done with the stage: the same `invoke` starts it, with a `StageScope` that
knows the item in place of the run's scope. So attempts, time limits, interceptors and checks are the item's own. The
map is here: where the items come from, what comes of them all, and what happens when one of them ends the rest. The
tasks that run them are in `stageflow.execution.item_tasks`.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn, cast

from stageflow.core.context import RunScope
from stageflow.core.inputs import Stored
from stageflow.core.output import (
    ErrorInfo,
    StageArtifact,
    StageEvent,
    StageOutput,
    make_output,
    plain,
    versioned,
)
from stageflow.errors import MapItemError, MapSourceError, StageContractError, StageTimeoutError
from stageflow.events.secret_text import redacted_text
from stageflow.execution.announcing import announce_straggler, publish, report_late_end
from stageflow.execution.attempts import ManagedStage
from stageflow.execution.calling import bind
from stageflow.execution.item_tasks import ItemTasks
from stageflow.execution.plan import Form, Invoke, Management, MapOver, PlanNode
from stageflow.execution.progress import Progress
from stageflow.execution.time_limit import end_of_all
from stageflow.frozen import FrozenDict, GuardedDict, GuardedList, for_reader
from stageflow.wording import sketched, text_of, type_name

logger = logging.getLogger(__name__)

TEXTS = (str, bytes, bytearray, memoryview)
"""Sequences that are one thing."""


def mapped(invoke: Invoke, management: Management) -> Invoke:
    """Return what starts a stage once for each item.

    Args:
        invoke: What starts it for one.
        management: Of the whole stage.
    """
    over = management.map_over
    assert over is not None

    async def invoke_all(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Stored:
        stage = _MappedStage(scope, outputs, node, invoke, management, over)
        deadline = management.deadline
        if deadline is None:
            return await stage.run()
        try:
            return await ManagedStage(scope, outputs, node, management).limited("deadline", deadline, stage.run)
        except StageTimeoutError as error:
            error.completed = stage.completed
            raise

    return invoke_all


class _MappedStage:
    """One mapped stage of one run."""

    __slots__ = ("_invoke", "_management", "_node", "_outputs", "_over", "_scope", "completed")

    def __init__(
        self,
        scope: RunScope,
        outputs: Sequence[Stored],
        node: PlanNode,
        invoke: Invoke,
        management: Management,
        over: MapOver,
    ) -> None:
        self._scope = scope
        self._outputs = outputs
        self._node = node
        self._invoke = invoke
        self._management = management
        self._over = over
        self.completed: Mapping[int, Any] = FrozenDict()

    async def run(self) -> Stored:
        """Run every item, and return them all.

        Raises:
            MapSourceError: There are no items to be had.
            MapItemError: One of them failed.
        """
        scope, node = self._scope, self._node
        items = self._items()
        total = len(cast("Sequence[Any]", items)) if isinstance(items, Sequence) else None
        progress = None if scope.emitter is None else Progress(scope.emitter, node.name, total)
        tasks = ItemTasks(
            scope, self._outputs, _of_this_run(node), self._invoke, most=self._over.most, progress=progress
        )
        if total is None:
            tasks.run_from(items)
        else:
            tasks.run_over(iter(cast("Sequence[Any]", items)))
        stopped: asyncio.CancelledError | None = None
        try:
            await tasks.done
        except asyncio.CancelledError as error:
            stopped = error
        # What had come of the items by now stands, however the others end.
        scope.statistics.setdefault(node.index, {})["map"] = tasks.statistics()
        if tasks.is_complete:
            if progress is not None:
                progress.end(tasks.ended)
            return self._all(tasks)
        ending = None
        if stopped is None or not self._is_cut_off():
            ending = self._failure(tasks) or self._cancel(tasks)
        tasks.open, tasks.cancelling = False, True
        if stopped is not None:
            await _stop(tasks, node.name, *stopped.args)
        elif tasks.living():
            reason = f"another item of stage '{node.name}' has ended the map"
            self._leave_behind(await _stop(tasks, node.name, reason, grace_s=self._management.grace_s))
        if tasks.broken is not None:
            raise tasks.broken
        self.completed = tasks.partial()
        if ending is None:
            raise stopped or asyncio.CancelledError(scope.stopping)
        if isinstance(ending, StageOutput):
            return ending
        return self._fail(ending, tasks)

    def _items(self) -> Any:
        over = self._over
        if over.key is None:
            return self._scope.streams.stream(self._node.index, over.source)
        return source_of(self._node.name, self._outputs, over, over.key)

    def _all(self, tasks: ItemTasks) -> Stored:
        """Return the output of a map of which every item has ended."""
        version, published = self._management.version, tasks.published
        data: FrozenDict[str, Any]
        if tasks.shareable:
            data = FrozenDict({"items": tasks.results})
        else:
            data = GuardedDict({"items": GuardedList[Any](tasks.results)})
        if published:
            artifacts, events = _published(tasks)
            return make_output(
                data=data, version=version, artifacts=artifacts, events=events, shareable=tasks.shareable
            )
        if version is not None:
            return versioned(data, version)
        return data if tasks.shareable else plain(data)

    def _is_cut_off(self) -> bool:
        """Return whether its items are the chunks of a stream that broke."""
        streams = self._scope.streams
        return streams is not None and self._node.index in streams.cut

    def _is_to_end(self) -> bool:
        return self._scope.stopping is not None or self._is_cut_off()

    def _failure(self, tasks: ItemTasks) -> MapItemError | MapSourceError | None:
        """Return what the map fails with, if an item or the source has failed."""
        name, error = self._node.name, tasks.source_error
        if tasks.failures:
            index = min(tasks.failures)
            cause, detail = tasks.failures[index]
            failure: MapItemError | MapSourceError = MapItemError(
                name, index, detail, completed=tasks.partial(), without_values=_without_values(cause, detail)
            )
            failure.__cause__ = cause
        elif error is not None and not (isinstance(error, asyncio.CancelledError) and self._is_to_end()):
            failure = MapSourceError(
                name,
                self._over.stage,
                self._over.key,
                problem=f"raised {ErrorInfo.of(error)} after {tasks.started} items",
                hint="Mend what iterates over them.",
                completed=tasks.partial(),
            )
            failure.__cause__ = error
        else:
            return None
        return failure

    def _cancel(self, tasks: ItemTasks) -> StageOutput[Any] | None:
        """Return the output of the first item that cancelled the run, if one did."""
        return tasks.cancels[min(tasks.cancels)] if tasks.cancels else None

    def _fail(self, failure: MapItemError | MapSourceError, tasks: ItemTasks) -> NoReturn:
        emitter = self._scope.emitter
        if emitter is not None and tasks.published:
            artifacts, events = _published(tasks)
            publish(emitter, self._node.name, 1, make_output(artifacts=artifacts, events=events))
        raise failure

    def _leave_behind(self, left: tuple[asyncio.Task[None], ...]) -> None:
        name, scope = self._node.name, self._scope
        for task in left:
            task.add_done_callback(partial(report_late_end, name))
        if left:
            scope.left_behind.append(name)
            announce_straggler(scope.emitter, name, self._management.grace_s)


def source_of(stage: str, outputs: Sequence[Stored], over: MapOver, key: str) -> Any:
    """Return the items of a mapped stage: a Sequence, or an async iterable of its own.

    Raises:
        MapSourceError: There is neither.
    """
    stored: Any = outputs[over.source]
    data: Mapping[str, Any] = stored.data if isinstance(stored, StageOutput) else stored
    if key not in data:
        found = ", ".join(f"'{key}'" for key in data) or "none"
        raise MapSourceError(stage, over.stage, key, problem="is missing", hint=f"The keys that there are: {found}.")
    value: Any = data[key]
    kind: type[Any] = cast("Any", type(value))
    if issubclass(kind, (list, tuple, range)):
        return value  # each attempt copies its item
    streams = hasattr(kind, "__aiter__")
    if streams or (issubclass(kind, Sequence) and not issubclass(kind, TEXTS)):
        return for_reader(value)
    raise MapSourceError(
        stage,
        over.stage,
        key,
        problem=f"is {sketched(value, hidden=True)}",
        hint="Return a list, a tuple or another sequence there, or an object with `__aiter__`.",
    )


def _of_this_run(node: PlanNode) -> PlanNode:
    """Return the node with what this run calls for each item: of a class, the method of one instance for all."""
    if node.form is not Form.CLASS:
        return node
    own = copy.copy(node)
    own.target, own.form = bind(node), Form.METHOD
    return own


async def _stop(
    tasks: ItemTasks, stage: str, *reason: Any, grace_s: float | None = None
) -> tuple[asyncio.Task[None], ...]:
    """Cancel the tasks and wait for them; return those that did not stop within the grace period, if there is one."""
    living = tasks.living()
    for task in living:
        task.cancel(*reason)
    if living:
        try:
            await asyncio.wait(living, timeout=grace_s)
        except asyncio.CancelledError as again:
            if grace_s is None:
                for task in living:
                    task.cancel(*again.args)
            await end_of_all(living)  # the coordinator keeps the time
    for task in living:
        error = None if not task.done() or task.cancelled() else task.exception()
        if error is not None and not isinstance(error, (KeyboardInterrupt, SystemExit)):
            why = redacted_text(f"{type_name(error)}: {text_of(error)}")
            logger.warning("An item or the source of stage '%s' raised when it was cancelled: %s", stage, why)
    return tuple(task for task in living if not task.done())


def _published(tasks: ItemTasks) -> tuple[tuple[StageArtifact, ...], tuple[StageEvent, ...]]:
    """Return the artifacts and the events of all items, in the order of the items."""
    outputs = [tasks.published[index] for index in sorted(tasks.published)]
    return tuple(one for artifacts, _ in outputs for one in artifacts), tuple(
        one for _, events in outputs for one in events
    )


def _without_values(cause: BaseException, detail: str) -> str:
    return cause.without_values if isinstance(cause, StageContractError) else detail
