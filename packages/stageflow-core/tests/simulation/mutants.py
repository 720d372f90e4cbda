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
        "        self.outputs[index] = stored\n        emitter",
        "        if self.cancel_output is None or stored is self.cancel_output or index in self.origins:\n"
        "            self.outputs[index] = stored\n        emitter",
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
        "return self._attempt < policy.max_attempts",
        "return self._attempt <= policy.max_attempts",
    ),
    Mutant(
        "an attempt of a run that has ended",
        "execution/attempts.py",
        " and self._scope.stopping is None and not running",
        " and not running",
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
        "self.plan.timeout, self._expire, self.plan.timeout",
        "1e6, self._expire, self.plan.timeout",
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
        "            state.outputs[index] = returned(record.name, record.output)",
        "            pass",
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
