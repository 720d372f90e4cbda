"""The hot loop: workers that run ready stages.

A worker is a task that runs stages inline, one after the other: the first stage that a completion releases runs next in
the same worker, the others join the ready queue. A stage that suspends takes its worker with it. So while stages are
ready, a callback stands guard in the next turn of the loop: if it still finds stages ready, their worker is suspended,
and it brings on others, twice as many each time. Work that never suspends thus costs one task a run, work that blocks
one task for each blocked stage, and what could run at once does.

There are never more workers than the run has room for (`max_concurrency`), so that no more stages run than that. Then
nobody stands guard: what is ready waits for a worker whose stage has ended.

Three things end a worker's run of stages early, so that sharing a task stays invisible:

- A stage that leaves its worker's context changed (a ContextVar set), or its task marked as cancelled, retires it:
  the next stage would see it. Every worker starts from a copy of the context that the run was started in.
- After HOLD_NS without a suspension the worker yields once to the event loop. Meanwhile the others retire or stand
  back, so that together they hold the loop no longer than that.
- When the run is stopping nothing new starts.

Tasks are made by `asyncio.Task` itself: an eager task factory would start a worker in the midst of its maker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from contextvars import copy_context
from operator import is_
from typing import cast

from stageflow.core.inputs import Stored
from stageflow.core.kinds import StageStatus
from stageflow.core.returning import stored_from
from stageflow.core.timer import HOLD_NS
from stageflow.execution.state import Cause, RunState
from stageflow.frozen import SHAREABLE_TYPES, FrozenDict


def spawn(run: RunState, count: int = 1) -> None:
    """Queue workers, as many as there is room for; they start in the next turn of the event loop."""
    count = min(count, run.room - len(run.workers))
    if count <= 0:
        return
    run.relief += count
    for _ in range(count):
        worker = work(run)
        # Into its `try`: a task that is cancelled before its first step never runs, and nobody would take its place.
        worker.send(None)
        run.workers[asyncio.Task(worker, loop=run.loop, name="stageflow worker", context=run.base.copy())] = None


def release_readers(run: RunState, index: int) -> None:
    """Start the stages that read the stream of one which starts now."""
    released = run.released_by_start(index)
    if run.scope.stopping is not None:
        return
    beside = run.take_roots_beside(index)
    for member in (index, *beside, *released):
        run.join_group(member)
    run.ready.extendleft(reversed((*beside, *released)))
    # With the first of a group workers for all of it, so that they start in one turn of the event loop.
    following = run.plan.nodes[index].following
    spawn(run, following + len(beside) if following else len(run.ready) - run.relief)


class _Queued:
    """Where a coroutine waits for the first step of the task that is to be made of it: it yields once."""

    def __await__(self) -> Generator[None, None, None]:
        # An iterator is all that `await` needs here, and costs a third of a generator.
        return cast("Generator[None, None, None]", iter((None,)))


QUEUED = _Queued()


async def work(run: RunState) -> None:
    """Run ready stages until there are none, or until the worker must retire."""
    try:
        try:
            await QUEUED
        finally:
            run.relief -= 1
        if not run.paused and len(run.workers) <= run.room:
            await _run_stages(run, _current_task(run))
    except asyncio.CancelledError:
        # Between two stages, where nothing is lost: by the coordinator, or by somebody who cancels every task there is.
        pass
    except GeneratorExit:  # the event loop was closed under the run
        raise
    except (KeyboardInterrupt, SystemExit):
        # It goes on through the event loop. Should that run again, the coordinator ends the run. It still finds this
        # worker and cancels it, from when on asyncio does not report its exception a second time.
        run.stop(Cause.OUTSIDE, "the event loop was interrupted")
        raise
    except BaseException as error:  # noqa: BLE001 - a defect of ours: the run must end, and show it
        run.broken = error
        run.stop(Cause.OUTSIDE, "the executor failed")
    _leave(run)


def _current_task(run: RunState) -> asyncio.Task[None]:
    task = asyncio.current_task(run.loop)
    assert task is not None
    return task


def _leave(run: RunState) -> None:
    run.workers.pop(_current_task(run), None)
    if run.ready and run.scope.stopping is None:
        if not run.relief and not run.paused:
            spawn(run)
    elif not run.workers:
        run.wake_coordinator()


def _stand_guard(run: RunState) -> None:
    if len(run.workers) >= run.room:
        return  # each takes what is ready once its stage has ended, and one that leaves sees to its successor
    run.relief += 1
    run.loop.call_soon(_relieve, run, context=run.base)


def _relieve(run: RunState) -> None:
    run.relief -= 1
    waiting = len(run.ready)
    if not waiting or run.paused or run.scope.stopping is not None:
        run.growth = 1
        return
    spawn(run, min(run.growth, waiting))
    if run.growth < waiting:
        run.growth *= 2


# One long function on purpose: a call for each step would cost as much as the steps do.
async def _run_stages(run: RunState, task: asyncio.Task[None]) -> None:  # noqa: C901, PLR0912, PLR0915 - see above
    plan, scope, ready, outputs, waiting = run.plan, run.scope, run.ready, run.outputs, run.waiting
    nodes, started, ended, base = plan.nodes, run.started, run.ended, run.base
    clock = scope.timer.clock
    emitter, cancelling, inherited = scope.emitter, task.cancelling, tuple(base.values())
    # Empty in most plans: then None, so that a look at them costs next to nothing.
    conditions, branching = plan.conditions or None, plan.branching or None
    retire = False
    now = clock()
    if now > run.hold_until:
        run.hold_until = now + HOLD_NS
    while ready and not retire and not run.paused and scope.stopping is None:
        index = ready.popleft()
        while index >= 0:
            if ready and not run.relief:
                _stand_guard(run)
            run.current = index
            if conditions is not None and index in conditions:
                held = run.held_back(index)
                if held is not None:
                    retire = cancelling() > 0  # a condition may do anything, too
                    now = await _settle(run, index, held, clock())
                    retire = retire or run.is_overstaffed()
                    break
            node = nodes[index]
            started[index] = now
            if emitter is not None:
                emitter.emit(node.started_event, stage=node.name, attempt=1)
            try:
                result = await node.invoke(scope, outputs, node)
            except (KeyboardInterrupt, SystemExit) as error:
                ended[index] = clock()
                run.settle(index, run.raised(index, error))
                raise
            except BaseException as error:  # whatever a stage raises is the outcome of that stage
                if isinstance(error, GeneratorExit) and asyncio.current_task(run.loop) is not task:
                    raise  # not the stage's own: the event loop was closed under the run
                result = run.raised(index, error)
            ended[index] = now = clock()
            try:
                context = copy_context()
                retire = context != base or cancelling() > 0
                if inherited and not retire:  # set to an equal value is still set: True for 1, a list of its own
                    retire = not all(map(is_, context.values(), inherited))
            except Exception:  # noqa: BLE001 - the value of some ContextVar cannot be compared: take it as changed
                retire = True

            if type(result) is dict:
                stored: Stored = FrozenDict(result)  # pyright: ignore[reportUnknownArgumentType]
                for value in stored.values():
                    if type(value) not in SHAREABLE_TYPES:
                        stored = stored_from(node.name, result)
                        break
            elif type(result) is FrozenDict:
                stored = result  # pyright: ignore[reportUnknownVariableType]
            else:
                stored = stored_from(node.name, result)

            if (
                scope.stopping is not None
                or (type(stored) is not FrozenDict and stored.status is not StageStatus.OK)  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
                or (branching is not None and index in branching)
            ):
                now = await _settle(run, index, stored, now)
                retire = retire or run.is_overstaffed()
                break

            outputs[index] = stored
            if emitter is not None:
                run.emit_ended(index, stored)
                if scope.stopping is not None:  # the sink cancelled the run
                    break
            finished, index = index, -1
            for successor in node.successors:
                left = waiting[successor] - 1
                waiting[successor] = left
                if not left:
                    if index < 0:
                        index = successor
                    else:
                        ready.append(successor)

            if retire:
                if index >= 0:
                    ready.appendleft(index)
                return
            if now > run.hold_until:
                if run.paused:
                    if index >= 0:
                        _queue_before_siblings(ready, index, node.successors)
                    return
                if run.current != finished:  # others ran meanwhile, so the stage was suspended
                    run.hold_until = now + HOLD_NS
                elif index >= 0 or ready:
                    if index >= 0:
                        _queue_before_siblings(ready, index, node.successors)
                    now = await _yield_to_loop(run)
                    break


def _queue_before_siblings(ready: deque[int], index: int, released: tuple[int, ...]) -> None:
    """Queue a stage behind what was ready before it, yet before those that became ready with it: they are the last."""
    place, siblings = len(ready), frozenset(released)
    while place and ready[place - 1] in siblings:
        place -= 1
    ready.insert(place, index)


async def _settle(run: RunState, index: int, stored: Stored, now: int) -> int:
    """Settle what is not plainly OK; yield if that has lasted too long, and return the time."""
    run.settle(index, stored)
    if now > run.hold_until and run.ready and not run.paused:
        if run.current != index:  # others ran meanwhile, so the stage was suspended
            run.hold_until = now + HOLD_NS
        else:
            return await _yield_to_loop(run)
    return now


async def _yield_to_loop(run: RunState) -> int:
    """Give the event loop one turn, while the other workers stand back."""
    run.paused = True
    try:
        await asyncio.sleep(0)
    finally:
        run.paused = False
    now = run.scope.timer.clock()
    run.hold_until = now + HOLD_NS
    return now
