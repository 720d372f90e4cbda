"""The tasks that run the items of a mapped stage.

There are at most as many as items may run at once, and each runs one item after the other, inline, so that what is kept
follows the concurrency and not the number of items, but for the list of results. Of a sequence each task takes the next
item when it is free for it. The first task is alone until an item suspends: a callback then stands guard in the next
turn of the loop, as it does for the workers of a run, and brings on others, twice as many each time. Of a source that
is async, `stageflow.execution.item_feed` gives a task its items.

As with workers, sharing a task stays invisible: a task whose context an item has changed, or that an item has marked as
cancelled, makes room for another one; and the tasks together hold the event loop for HOLD_NS at most.

The tasks write down what becomes of the items; the map itself, `stageflow.execution.mapping`, waits, cancels and
judges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextvars import copy_context
from operator import is_
from typing import Any, cast

from stageflow.core.context import MapScope, RunScope, StageScope
from stageflow.core.inputs import Stored
from stageflow.core.kinds import StageStatus
from stageflow.core.output import ErrorInfo, StageArtifact, StageEvent, StageOutput
from stageflow.core.returning import returned
from stageflow.core.timer import HOLD_NS
from stageflow.errors import ItemSuspendedError
from stageflow.execution.attempts import failed_for_good, missing_policy
from stageflow.execution.item_feed import ItemFeed
from stageflow.execution.plan import Invoke, PlanNode
from stageflow.execution.progress import Progress
from stageflow.execution.worker import QUEUED
from stageflow.frozen import FrozenDict, FrozenList, is_shareable
from stageflow.interceptors.outcome import RetryRequested, exception_of


class Pending:
    """Stands among the results for an item that has not ended OK."""


PENDING = Pending()
_END = object()


class ItemTasks:
    """The tasks of one mapped stage of one run, and what its items have ended as.

    Attributes:
        results: By item, its value or its data, None if it was skipped, PENDING while it has not ended.
        shareable: Whether every reader may have the results themselves.
        published: By item, the artifacts and events that it returned.
        failures: By item, the error of those that failed before the others were cancelled, and the error in words.
        cancels: By item, the output of those that cancelled the run.
        source_error: What the source raised.
        broken: An error of the map itself.
        started, ended, skipped, retries, high_water: Counts of items, and how many ran at once at most.
        exhausted: Whether every item has been started.
        open: Whether items may start.
        cancelling: Whether the tasks have been told to stop: what they end as from then on does not count.
        tasks: Those that run items. The one that pulls them, of a source that is async, is `pump`.
        done: Set when there is nothing left to run, or something that ends the map.
    """

    __slots__ = (
        "_base",
        "_current",
        "_feed",
        "_growth",
        "_guarded",
        "_invoke",
        "_iterator",
        "_loop",
        "_most",
        "_node",
        "_of_items",
        "_outputs",
        "_paused",
        "_progress",
        "_put",
        "_until_ns",
        "broken",
        "cancelling",
        "cancels",
        "done",
        "ended",
        "exhausted",
        "failures",
        "high_water",
        "open",
        "published",
        "pump",
        "results",
        "retries",
        "scope",
        "shareable",
        "skipped",
        "source_error",
        "started",
        "tasks",
    )

    def __init__(
        self,
        scope: RunScope,
        outputs: Sequence[Stored],
        node: PlanNode,
        invoke: Invoke,
        *,
        most: int,
        progress: Progress | None,
    ) -> None:
        self.scope = scope
        self._of_items = MapScope(scope)
        self._outputs = outputs
        self._node = node
        self._invoke = invoke
        self._most = most
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._base = copy_context()
        self._iterator: Iterator[Any] | None = None
        self._feed: ItemFeed | None = None
        # When to bring on others, and when to stand back: see the worker, whose ways these are.
        self._growth = 1
        self._guarded = False
        self._paused = False
        self._current = -1
        self._until_ns = scope.timer.clock() + HOLD_NS
        self.results: FrozenList[Any] = FrozenList()  # from the beginning: to copy a million of them takes long
        self._put: Callable[[int, Any], None] = list[Any].__setitem__.__get__(self.results)
        self.shareable = True
        self.published: dict[int, tuple[tuple[StageArtifact, ...], tuple[StageEvent, ...]]] = {}
        self.failures: dict[int, tuple[BaseException, str]] = {}
        self.cancels: dict[int, StageOutput[Any]] = {}
        self.source_error: BaseException | None = None
        self.broken: BaseException | None = None
        self.started = self.ended = self.skipped = self.retries = self.high_water = 0
        self.exhausted = False
        self.open = True
        self.cancelling = False
        self.tasks: dict[asyncio.Task[None], None] = {}
        self.pump: asyncio.Task[None] | None = None
        self.done: asyncio.Future[None] = self._loop.create_future()

    def run_over(self, items: Iterator[Any]) -> None:
        """Begin with the items of a sequence."""
        self._iterator = items
        self.spawn()

    def run_from(self, items: Any) -> None:
        """Begin with the items of an async iterable."""
        self._feed = ItemFeed(self, items, most=self._most, stage=self._node.name)
        self.pump = self._start(self._feed.run(), f"stageflow items of {self._node.name}")

    def spawn(self, count: int = 1) -> None:
        """Start tasks in the next turn of the event loop."""
        for _ in range(count):
            self.tasks[self._start(self._work(), f"stageflow item of {self._node.name}")] = None

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        # Into its `try`, and by asyncio.Task itself, as the workers of a run are and for the same reasons.
        work.send(None)
        return asyncio.Task(work, loop=self._loop, name=name, context=self._base.copy())

    def living(self) -> tuple[asyncio.Task[None], ...]:
        """Return the tasks that have not ended, and those that a KeyboardInterrupt has ended."""
        return (*self.tasks,) if self.pump is None else (*self.tasks, self.pump)

    def place(self) -> int:
        """Make a place for an item that is to start, and return it."""
        index = self.started
        self.started = index + 1
        list[Any].append(self.results, PENDING)
        return index

    def end(self) -> None:
        """Let no further item start, and let the map look at what has become of the others."""
        self.open = False
        self._of_items.ended = f"another item of stage '{self._node.name}' has ended the map"
        if not self.done.done():
            self.done.set_result(None)

    def look(self) -> None:
        """See to it that what is left of the items is run, or that the map is told that nothing is."""
        feed = self._feed
        if feed is not None:
            self.exhausted = feed.exhausted and feed.over and not feed.waiting
            feed.tell()
        if not self.open or self.exhausted or self.scope.stopping is not None:
            if not self.tasks and not self.done.done():
                self.done.set_result(None)
        elif feed is None or len(feed.waiting) > len(self.tasks):
            self.spawn()

    def fail_source(self, error: BaseException) -> None:
        """Note that the source raised."""
        self.source_error = error
        self.end()

    @property
    def is_complete(self) -> bool:
        """Whether every item has ended, and none in a way that ends the map."""
        return self.exhausted and self.ended == self.started and self.open

    def partial(self) -> FrozenDict[int, Any]:
        """Return the results of the items that have ended OK or were skipped."""
        return FrozenDict((index, one) for index, one in enumerate(self.results) if one is not PENDING)

    def statistics(self) -> dict[str, int]:
        """Return the counts, as the record of the stage has them."""
        return {
            "items": self.started,
            "ok": self.ended - self.skipped - len(self.failures) - len(self.cancels),
            "skipped": self.skipped,
            "failed": len(self.failures),
            "cancelled": self.started - self.ended + len(self.cancels),
            "attempts": self.started + self.retries,
            "high_water": self.high_water,
        }

    async def _work(self) -> None:
        try:
            await QUEUED
            await self._run_items(cast("asyncio.Task[None]", asyncio.current_task(self._loop)))
        except GeneratorExit:  # the event loop was closed under the run
            raise
        except asyncio.CancelledError:  # between two items, where nothing is lost, or by the map
            pass
        except (KeyboardInterrupt, SystemExit):  # it stays among the tasks: the map looks at its exception
            raise
        except BaseException as error:
            if self.cancelling:
                self._leave()
                raise
            self.broken = error  # a defect of ours
            self.end()
        self._leave()

    def _leave(self) -> None:
        self.tasks.pop(cast("asyncio.Task[None]", asyncio.current_task(self._loop)), None)
        self.look()

    def _stand_guard(self) -> None:
        self._guarded = True
        self._loop.call_soon(self._relieve, context=self._base)

    def _relieve(self) -> None:
        self._guarded = False
        if not self.open or self.exhausted or self.scope.stopping is not None:
            return
        live = len(self.tasks)
        if self.started - self.ended < live:
            self._growth = 1
            return
        self.spawn(min(self._growth, self._most - live))
        self._growth *= 2

    # One long function on purpose: a call for each step would cost as much as the steps do.
    async def _run_items(self, task: asyncio.Task[None]) -> None:  # noqa: C901, PLR0912, PLR0915 - see above
        scope, outputs, node, invoke, tasks, most = (
            self.scope, self._outputs, self._node, self._invoke, self.tasks, self._most
        )  # fmt: skip
        iterator, feed, results, progress = self._iterator, self._feed, self.results, self._progress
        of_items = self._of_items
        base, clock, cancelling = self._base, scope.timer.clock, task.cancelling
        inherited = tuple(base.values())
        append, put = list[Any].append.__get__(results), self._put
        while self.open and scope.stopping is None:
            if feed is not None:
                handed = await feed.take()
                if handed is None:
                    return
                if not self.open or scope.stopping is not None:  # since it was handed over
                    return
                index, item = handed
                running = self.started - self.ended
            else:
                item: Any = self._next(cast("Iterator[Any]", iterator))
                if item is _END:
                    return
                index = self.started
                self.started = index + 1
                append(PENDING)
                running = index + 1 - self.ended
                if running == len(tasks) < most and not self._guarded:
                    self._stand_guard()
            if running > self.high_water:  # noqa: PLR1730 - a call
                self.high_water = running
            self._current = index
            own = StageScope(of_items, index, item)
            try:
                result: Any = await invoke(own, outputs, node)
                if type(result) is not FrozenDict:
                    result = returned(node.name, result)
                if type(result) is FrozenDict:  # pyright: ignore[reportUnknownArgumentType]
                    put(index, result)
                else:
                    self._settle(index, cast("StageOutput[Any]", result))
            except (KeyboardInterrupt, SystemExit) as error:
                self.ended += 1
                self._fail(index, error)  # it goes on through the event loop
                raise
            except BaseException as error:  # whatever an item raises is the outcome of that item
                if isinstance(error, GeneratorExit) and asyncio.current_task(self._loop) is not task:
                    raise  # not the stage's own: the event loop was closed under the run
                if not self._raised(index, error):
                    raise
            self.ended += 1
            if own.attempts:
                self.retries += own.attempts[node.index] - 1
            if progress is not None and self.open:
                progress.reached(self.ended)
            try:
                context = copy_context()
                retire = context != base or cancelling() > 0
                if inherited and not retire:  # set to an equal value is still set: True for 1, a list of its own
                    retire = not all(map(is_, context.values(), inherited))
            except Exception:  # noqa: BLE001 - the value of some ContextVar cannot be compared: take it as changed
                retire = True
            if retire:
                return
            now = clock()
            if now > self._until_ns:
                if self._paused or self._current == index:
                    await self._let_others_run()
                else:  # others ran meanwhile, so the item was suspended
                    self._until_ns = now + HOLD_NS

    def _next(self, iterator: Iterator[Any]) -> Any:
        try:
            item = next(iterator, _END)
        except Exception as error:  # noqa: BLE001 - the sequence may be of any class
            self.fail_source(error)
            return _END
        self.exhausted = item is _END
        return item

    async def _let_others_run(self) -> None:
        """Give the event loop one turn, while the other tasks stand back."""
        self._paused = True
        try:
            await asyncio.sleep(0)
        finally:
            self._paused = False
        self._until_ns = self.scope.timer.clock() + HOLD_NS

    def _settle(self, index: int, output: StageOutput[Any]) -> None:
        """Write down how an item ended that is not plainly OK."""
        if self.cancelling:
            return
        node = self._node
        if output.artifacts or output.events:
            self.published[index] = (output.artifacts, output.events)
        if output.status is StageStatus.RETRY:
            output = failed_for_good(node.name, output, may_retry=False)
        status = output.status
        if status is StageStatus.OK:
            value: Any = output.value
            self._put(index, value)
            self.shareable = self.shareable and is_shareable(value)
        elif status is StageStatus.SKIP:
            self._put(index, None)
            self.skipped += 1
        elif status is StageStatus.CANCEL:
            self.cancels[index] = output
            self.end()
        elif status is StageStatus.SUSPEND:
            self._fail(index, ItemSuspendedError(node.name))
        else:
            self._fail(index, exception_of(node.name, output), str(output.error))

    def _raised(self, index: int, error: BaseException) -> bool:
        """Write down that an item raised; return whether that counts, since nobody had told it to stop."""
        if self.cancelling or (isinstance(error, asyncio.CancelledError) and self._of_items.stopping is not None):
            return False
        if isinstance(error, RetryRequested):  # by an interceptor, of a stage that has no policy
            error = missing_policy(self._node.name, ErrorInfo.of(error.error))
        self._fail(index, error)
        return True

    def _fail(self, index: int, error: BaseException, detail: str | None = None) -> None:
        self.failures[index] = (error, str(ErrorInfo.of(error)) if detail is None else detail)
        self.end()
