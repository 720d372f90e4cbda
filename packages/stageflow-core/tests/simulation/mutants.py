"""`make simulate-mutants`: bugs planted in a copy of the executor, each of which the simulation must find.

A mutant is an exact replacement of text. Text that is not there exactly once is an error, so that the list follows the
code.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

MOST_SEEDS = 10_000
HANGS_AFTER_S = 300.0
"""Seconds of real time after which a mutant counts as found because it hangs: one that judges all seeds takes less."""

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src" / "stageflow"


class Mutant(NamedTuple):
    """A planted bug: in words, and as a replacement in a file of core."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant("an orphaned sibling", "execution/run.py", "worker.cancel(self.scope.stopping)", "pass"),
    Mutant(
        "siblings cancelled and not awaited",
        "execution/run.py",
        "        while state.workers:\n            if self",
        "        for _ in (1,):\n            if self",
    ),
    Mutant(
        "a counter off by one", "execution/worker.py", "left = waiting[successor] - 1", "left = waiting[successor] - 2"
    ),
    Mutant(
        "a released stage forgotten",
        "execution/worker.py",
        "                        ready.append(successor)",
        "                        pass",
    ),
    Mutant(
        "a worker that keeps a changed context",
        "execution/worker.py",
        "            if retire:\n                if index >= 0:",
        "            if cancelling() > 0:\n                if index >= 0:",
    ),
    Mutant(
        "no guard behind a suspended stage",
        "execution/worker.py",
        "    run.loop.call_soon(_relieve, run, context=run.base)",
        "    pass",
    ),
    Mutant(
        "a worker that leaves work behind",
        "execution/worker.py",
        "        if not run.relief and not run.paused:\n            spawn(run)",
        "        pass",
    ),
    Mutant(
        "stages started while the run is stopping",
        "execution/worker.py",
        "while ready and not retire and not run.paused and scope.stopping is None:",
        "while ready and not retire and not run.paused:",
    ),
    Mutant(
        "a result lost on failure",
        "execution/state.py",
        "        self.outputs[index] = stored\n        if",
        "        if self.cancel_output is None or stored is self.cancel_output or index in self.origins:\n"
        "            self.outputs[index] = stored\n        if",
    ),
    Mutant("an optional dependent skipped", "execution/edges.py", "if source in node.optional or (", "if ("),
    Mutant("a stage run on nothing", "execution/edges.py", "    if source in node.optional or (", "    if True or ("),
    Mutant("every route taken", "execution/edges.py", "    if route == wanted:", "    if route:"),
    Mutant(
        "a join that nobody fulfils",
        "execution/edges.py",
        "if not node.joined or any(",
        "if True or any(",
    ),
    Mutant(
        "the origin of a skip lost",
        "execution/state.py",
        "self.origins[index] = self.origins.get(held.stage, self.plan.names[held.stage])",
        "self.origins[index] = self.plan.names[held.stage]",
    ),
    Mutant(
        "stages released out of order",
        "execution/state.py",
        "self.ready.extend(sorted(released))",
        "self.ready.extend(sorted(released)[::-1])",
    ),
    Mutant(
        "a failure that does not end the run",
        "execution/state.py",
        'if self.plan.on_failure == "fail_fast":',
        "if False:",
    ),
    Mutant(
        "a failure under cancellation that counts",
        "execution/state.py",
        "        if not self.cancelling:\n            self.failures",
        "        if True:\n            self.failures",
    ),
    Mutant("a failure forgotten", "execution/state.py", "self.failures.append(node.index)", "pass"),
    Mutant(
        "an uncritical failure that ends the run",
        "execution/state.py",
        "        if not node.critical:\n",
        "        if False:\n",
    ),
    Mutant(
        "a suspended stage that counts as settled",
        "execution/state.py",
        "            self.suspended.append(index)\n            return",
        "            self.suspended.append(index)",
    ),
    Mutant("what waits for a decision cancelled", "execution/state.py", "            self._let_wait()\n", ""),
    Mutant(
        "a stage forgotten at the end",
        "execution/state.py",
        "        for index in left:\n",
        "        for index in left[1:]:\n",
    ),
    Mutant(
        "a straggler not named",
        "execution/state.py",
        "                stragglers.append(self.plan.names[index])",
        "                pass",
    ),
    Mutant(
        "a second ending that overwrites the first",
        "execution/state.py",
        "        if self.ending is None:\n            self.ending =",
        "        if True:\n            self.ending =",
    ),
    Mutant(
        "a terminal event emitted twice",
        "execution/state.py",
        "            self.emit_ended(index, stored)\n\n",
        "            self.emit_ended(index, stored)\n            self.emit_ended(index, stored)\n\n",
    ),
    Mutant(
        "a sink error that escapes",
        "events/emitter.py",
        "                self._lose(event_type, error)\n",
        "                raise\n",
    ),
    Mutant(
        "a gap in the sequence",
        "events/emitter.py",
        "self.sequence = sequence = self.sequence + 1",
        "self.sequence = sequence = self.sequence + (2 if stage and status else 1)",
    ),
    Mutant(
        "one attempt too many",
        "execution/attempts.py",
        "if self._attempt >= policy.max_attempts or self._scope.stopping",
        "if self._attempt > policy.max_attempts or self._scope.stopping",
    ),
    Mutant(
        "an attempt of a run that has ended",
        "execution/attempts.py",
        "self._attempt >= policy.max_attempts or self._scope.stopping is not None or self._runs_on()",
        "self._attempt >= policy.max_attempts or self._runs_on()",
    ),
    Mutant(
        "attempts not counted",
        "execution/attempts.py",
        "        scope.attempts[node.index] = self._attempt",
        "        pass",
    ),
    Mutant(
        "no wait between attempts",
        "execution/attempts.py",
        "        await asyncio.sleep(delay_s)",
        "        await asyncio.sleep(0)",
    ),
    Mutant(
        "a time limit that cancels nothing",
        "execution/time_limit.py",
        '            task.cancel(f"it took longer than {seconds:g} s")',
        "            pass",
    ),
    Mutant("a late result that counts", "execution/time_limit.py", "            expired = True", "            pass"),
    Mutant(
        "an abandoned attempt",
        "execution/time_limit.py",
        "            task.cancel(*cancelled.args)\n        await",
        "            pass\n        await",
    ),
    Mutant(
        "the time of a run that never runs out",
        "execution/run.py",
        "return loop.call_at(earliest, self._expire)",
        "return loop.call_at(earliest + 1e6, self._expire)",
    ),
    Mutant(
        "the caller's cancellation swallowed",
        "execution/run.py",
        "        if self._interrupted is not None:\n            raise self._interrupted\n        return results",
        "        return results",
    ),
    Mutant(
        "a resumed run that runs all anew",
        "execution/run.py",
        "            state.outputs[index] = stored = returned(record.name, record.output)",
        "            stored = returned(record.name, record.output)",
    ),
    Mutant(
        "a chunk that wakes nobody",
        "core/stream.py",
        "            self._high_water = len(buffer)\n        if self._waiting:\n            self._wake()",
        "            self._high_water = len(buffer)",
    ),
    Mutant(
        "room that nobody is told of",
        "core/stream.py",
        "        self._received += 1\n        if self._room is not None:\n            self._make_room()",
        "        self._received += 1",
    ),
    Mutant(
        "a chunk more than there is room for",
        "core/stream.py",
        "if len(reader._buffer) < capacity:",
        "if len(reader._buffer) <= capacity:",
    ),
    Mutant(
        "the newest chunk dropped in place of the oldest",
        "core/stream.py",
        "        self._buffer.popleft()\n        self._buffer.append(chunk)",
        "        pass",
    ),
    Mutant(
        "a chunk counted as received that was not",
        "core/stream.py",
        "        if drop:\n",
        "        if drop:\n            self._received += len(self._buffer)\n",
    ),
    Mutant(
        "time spent blocked that is not counted",
        "core/stream.py",
        "            self._blocked_ns += source.clock() - self._full_since",
        "            pass",
    ),
    Mutant(
        "a reader that is not closed",
        "execution/streams.py",
        "        for stream in self._readers.get(index, {}).values():\n            stream.close()\n        source",
        "        source",
    ),
    Mutant(
        "a stage that streams to nobody and goes on",
        "execution/streams.py",
        '        task.cancel("nobody reads its stream any more")',
        "        pass",
    ),
    Mutant(
        "a broken stream that its readers wait for",
        "execution/streams.py",
        "            stream.end(partial(asyncio.CancelledError, why), drop=True, wake=closing or reader in self.cut)\n",
        "",
    ),
    Mutant(
        "a reader that is not cut off",
        "execution/state.py",
        "if streams is not None and status is not StageStatus.OK and (self.ending is None or self.cancelling):",
        "if False:",
    ),
    Mutant(
        "a reader that is cut off and ends OK",
        "execution/state.py",
        "        if node.index in streams.cut:",
        "        if False:",
    ),
    Mutant(
        "a stage tried again after its chunks were delivered",
        "execution/attempts.py",
        "return streams is None or not streams.has_delivered(self._node.index)",
        "return True",
    ),
    Mutant(
        "a group that does not wait for all of it",
        "pipeline/streaming.py",
        "                awaited[member] = tuple(source for source in outside if source not in flows[member].waits)",
        "                awaited[member] = ()",
    ),
    Mutant(
        "a permit lost with whoever is cancelled when it comes",
        "context/permits.py",
        "            waiter.granted = False\n            ledger.give(self._needs)",
        "            waiter.granted = False",
    ),
    Mutant(
        "a waiter that is gone and still waits",
        "context/permits.py",
        "        else:\n            ledger.leave(waiter)",
        "",
    ),
    Mutant(
        "a permit that comes back and serves nobody",
        "context/permits.py",
        "            self._pools[name].free += count\n        self._serve(needs)",
        "            self._pools[name].free += count",
    ),
    Mutant(
        "a permit kept while a stage waits for its next attempt",
        "execution/attempts.py",
        "                scope.permit = None\n                permit.release()",
        "                scope.permit = None\n                self._loop.call_later(0.125, permit.release)",
    ),
    Mutant(
        "a permit given back before the code has ended",
        "execution/attempts.py",
        "            if self._left is None:\n                scope.permit",
        "            if True:\n                scope.permit",
    ),
    Mutant(
        "priorities that starve the others",
        "context/permit_queue.py",
        "priority = top if self._passes < PATIENCE else next(iter(self._classes))",
        "priority = top",
    ),
    Mutant(
        "priorities that nobody looks at",
        "context/permit_queue.py",
        "priority = top if self._passes < PATIENCE else next(iter(self._classes))",
        "priority = next(iter(self._classes))",
    ),
    Mutant(
        "last come, first served",
        "context/permit_queue.py",
        "waiting.popitem(last=False)",
        "waiting.popitem(last=True)",
    ),
    Mutant(
        "a stage more than max_concurrency",
        "execution/worker.py",
        "min(count, run.room - len(run.workers))",
        "min(count, run.room + 1 - len(run.workers))",
    ),
    Mutant(
        "a group whose stages wait for places of their own",
        "execution/state.py",
        "            self.room += len(members) > 1",
        "            pass",
    ),
    Mutant(
        "a place that a group does not give back",
        "execution/state.py",
        "            self.room -= len(members) > 0",
        "            pass",
    ),
    Mutant(
        "a group that starts without one of its beginnings",
        "execution/worker.py",
        "    beside = run.take_roots_beside(index)",
        "    beside = list[int]()",
    ),
    Mutant(
        "results in the order in which items end",
        "execution/item_tasks.py",
        "                    put(index, result)",
        "                    put(self.ended, result)",
    ),
    Mutant(
        "an item more than map_concurrency",
        "execution/item_tasks.py",
        "self.spawn(min(self._growth, self._most - live))",
        "self.spawn(min(self._growth, self._most + 1 - live))",
    ),
    Mutant(
        "items that run on after another one has failed",
        "execution/mapping.py",
        "    living = tasks.living()\n    for task in living:\n        task.cancel(*reason)",
        "    living = tasks.living()",
    ),
    Mutant(
        "items that begin after another one has failed",
        "execution/item_tasks.py",
        "        self.open = False\n        self._of_items.ended =",
        "        self._of_items.ended =",
    ),
    Mutant(
        "items asked for before there is room",
        "execution/item_feed.py",
        "while not self._free() and len(self._takers.tasks) >= self._most:",
        "while not self._free() and len(self._takers.tasks) > self._most:",
    ),
    Mutant(
        "a source that is not closed",
        "execution/item_feed.py",
        "            if close:\n                await self._close(iterator)",
        "            pass",
    ),
    Mutant(
        "a child that is nobody's",
        "pipeline/children.py",
        "        parent=_parent_stage(scope, stage, key),\n",
        "        parent=None,\n",
    ),
    Mutant(
        "a child of another user",
        "pipeline/children.py",
        "of.session_id, of.user_id,",
        "of.session_id, None,",
    ),
    Mutant(
        "a permit that is not lent to a child",
        "pipeline/children.py",
        "        permit.lend()",
        "        permit._lent += 1",
    ),
    Mutant(
        "a permit that is not taken back after a child",
        "pipeline/children.py",
        "    if permit is not None:\n        await permit.regain()\n    return results",
        "    return results",
    ),
    Mutant(
        "children that outlive the stage that left them",
        "execution/run.py",
        '                task.cancel("its stage has ended")',
        "                pass",
    ),
    Mutant(
        "children that nobody waits for",
        "execution/run.py",
        "        if self.scope.children:\n            await self._end_children()",
        "        pass",
    ),
    Mutant(
        "a record that is lost and not counted",
        "execution/recording.py",
        "                self._lose(record, in_words(told.failure))",
        "                pass",
    ),
    Mutant(
        "a run that does not wait for its store",
        "execution/run.py",
        "            interrupted = await recorder.finish()\n",
        "            interrupted = None\n",
    ),
    Mutant(
        "a store that hangs and keeps the rest from being told",
        "execution/recording.py",
        'to="the store", timeout_s=CALL_TIMEOUT_S)',
        'to="the store", timeout_s=1e6)',
    ),
    Mutant(
        "a caller whose cancellation cuts its store off",
        "execution/recording.py",
        "                until = min(until, loop.time() + grace_s)",
        "                until = loop.time()",
    ),
    Mutant(
        "children that wait for the store themselves",
        "pipeline/children.py",
        "recorder=scope.recorder)",
        "recorder=None)",
    ),
    Mutant(
        "the last record first",
        "execution/recording.py",
        "        while self._queue:\n            record = self._queue.popleft()\n            if clock()",
        "        while self._queue:\n            record = self._queue.pop()\n            if clock()",
    ),
    Mutant(
        "a child one too deep",
        "pipeline/children.py",
        "above.depth >= MOST_DEEP",
        "above.depth > MOST_DEEP",
    ),
)


def find(mutant: Mutant) -> tuple[str, float]:
    """Return what found a mutant, "" if nothing did, and how many seconds that took."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "stageflow"
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        file = copy / mutant.file
        text = file.read_text()
        if text.count(mutant.old) != 1:
            raise SystemExit(f"'{mutant.name}': its text is {text.count(mutant.old)} times in {mutant.file}, not once.")
        file.write_text(text.replace(mutant.old, mutant.new))
        command = [sys.executable, "-m", "simulation", "--until-found", "--seeds", str(MOST_SEEDS)]
        paths = os.pathsep.join((folder, str(TESTS)))
        try:
            ended = subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": paths},
                capture_output=True,
                text=True,
                timeout=HANGS_AFTER_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "it hangs", time.monotonic() - begun
    if ended.returncode not in (0, 1) or (ended.returncode == 1 and not ended.stdout.startswith("seed ")):
        raise SystemExit(f"'{mutant.name}': the simulation itself broke.\n{ended.stdout}{ended.stderr}")
    return ended.stdout.strip()[:100] if ended.returncode else "", time.monotonic() - begun


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate-mutants", description=__doc__)
    parser.add_argument("--only", help="mutants with this in their name")
    only = parser.parse_args().only
    mutants = [mutant for mutant in MUTANTS if only is None or only in mutant.name]
    survived = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, (found, seconds) in zip(mutants, pool.map(find, mutants), strict=True):
            survived += not found
            print(f"{mutant.name:45} {seconds:6.1f} s  {found or 'NOT FOUND'}", flush=True)
    print(f"{len(mutants) - survived} of {len(mutants)} found within {MOST_SEEDS} seeds")
    return bool(survived)


if __name__ == "__main__":
    sys.exit(main())
