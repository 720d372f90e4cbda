"""`stageflow run` as a process: signals, closed pipes, what does not stop, terminals."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import stageflow

SOURCE = Path(stageflow.__file__).parent.parent

SLOW = """
import asyncio
from pathlib import Path
from typing import Any
from stageflow import Pipeline, StageContext, stage

CLEANED = Path("cleaned").absolute()

@stage
async def waits(ctx: StageContext) -> dict[str, Any]:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        CLEANED.touch()
        print("cleaned up", flush=True)
    return {}

@stage
async def stubborn(ctx: StageContext) -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("not yet", flush=True)

@stage
async def quick(ctx: StageContext) -> dict[str, Any]:
    return {"n": 1}

@stage
async def ticks(ctx: StageContext) -> None:
    try:
        while True:
            ctx.emit_event("tick", {})
            await asyncio.sleep(0)
    finally:
        CLEANED.touch()

pipeline = Pipeline("slow", [waits])
endless = Pipeline("endless", [ticks])
hard = Pipeline("hard", [waits, stubborn])
behind = Pipeline("behind", [stubborn], cancel_grace=0.05)
fast = Pipeline("fast", [quick])

class Hanging:
    def check_health(self):
        import threading
        threading.Event().wait()

class Sick:
    async def check_health(self):
        await asyncio.Event().wait()
"""


@pytest.fixture
def started(tmp_path):
    """Start commands whose process is gone when the test has ended, and hand out their pipes."""
    (tmp_path / "slow.py").write_text(SLOW)
    running = []

    def start(*arguments, **options):
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [sys.executable, "-m", "stageflow", *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def wait_for(stream, text):
    """Read lines until there is one with this text, and return what came."""
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"it ended without {text!r}: {lines}")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_run_and_waits_for_it(started, number, code):
    """The stage has cleaned up, its end is told, and the exit code is that of the signal."""
    process = started("run", "slow:pipeline")
    wait_for(process.stderr, "started     waits")
    process.send_signal(number)
    out, err = process.communicate()
    assert (code, "") == (process.returncode, out)
    assert err.index("cleaned up") < err.index("cancelled   waits")
    assert "Cancelling the run; Ctrl-C again leaves at once." in err
    assert "cancelled   waits" in err
    assert "Traceback" not in err


def test_a_second_signal_does_not_wait(started):
    """A stage that does not stop cannot keep the user from leaving."""
    process = started("run", "slow:hard")
    wait_for(process.stderr, "started     stubborn")
    process.send_signal(signal.SIGINT)
    wait_for(process.stderr, "not yet")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert 130 == process.returncode
    assert "cancelled   stubborn" not in err
    assert "Traceback" not in err


def test_a_stage_that_is_left_behind_does_not_keep_the_process(started):
    """It is named, and the process ends."""
    process = started("run", "slow:behind")
    wait_for(process.stderr, "started     stubborn")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert 130 == process.returncode
    assert "left behind: stubborn" in err


def test_an_interrupted_run_is_told_in_json(started):
    """The last line is the results, as of any other run."""
    process = started("run", "slow:pipeline", "--json")
    wait_for(process.stdout, "stage.waits.started")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert 130 == process.returncode
    last = json.loads(out.splitlines()[-1])
    assert ("cancelled", "cancelled") == (last["results"]["status"], last["results"]["error"]["code"])


@pytest.mark.parametrize("arguments", [("--json",), ()])
def test_an_output_that_nobody_reads_ends_the_run_quietly(started, arguments):
    """As `| head` does: the code is that of SIGPIPE, and nothing is said."""
    reading, writing = os.pipe()
    process = started("run", "slow:fast", *arguments, stdout=writing)
    os.close(reading)
    os.close(writing)
    _, err = process.communicate()
    assert 141 == process.returncode
    assert "Broken" not in err
    assert "Traceback" not in err


def test_an_output_that_cannot_be_written_is_one_line(started):
    """A full disk is no defect of the command."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - of no use as a path
        process = started("graph", "slow:fast", stdout=full)
        _, err = process.communicate()
    assert (2, "stageflow: The output cannot be written: No space left on device.\n") == (process.returncode, err)


@pytest.mark.parametrize(("closed", "code"), [("<&-", 2), (">&-", 0), ("2>&-", 0)])
def test_a_process_may_be_started_without_a_stream(tmp_path, closed, code):
    """What would be read is said to be missing, and what would be written goes nowhere."""
    (tmp_path / "slow.py").write_text(SLOW)
    command = f'"{sys.executable}" -m stageflow run slow:fast --input - {closed}'
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, input="x", capture_output=True, text=True, check=False
    )
    assert code == done.returncode
    assert "Traceback" not in done.stderr
    assert ("stdin is closed" in done.stderr) == (code == 2)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_goes_away_cancels_the_run(started, tmp_path, stream):
    """A run that nobody watches any more would go on for ever."""
    process = started("run", "slow:endless", *(("--json",) if stream == "stdout" else ()))
    reader = getattr(process, stream)
    wait_for(reader, "tick")
    reader.close()
    assert 141 == process.wait()
    assert (tmp_path / "cleaned").exists()


def test_a_closed_pipe_does_not_keep_a_signal_from_ending_the_run(started, tmp_path):
    """The stage has cleaned up although nobody was told."""
    process = started("run", "slow:pipeline")
    wait_for(process.stderr, "started     waits")
    process.stderr.close()
    process.send_signal(signal.SIGINT)  # which is told on stderr
    assert 141 == process.wait()
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize("name", ["Hanging", "Sick"])
def test_a_check_that_hangs_is_left_alone(started, tmp_path, name):
    """The doctor says so, and ends, be the check async or not."""
    text = f"\nfrom types import SimpleNamespace\nports = SimpleNamespace(it={name}())\n"
    (tmp_path / "slow.py").write_text(SLOW + text)
    process = started("doctor", "slow:fast", "--ports", "slow:ports", "--timeout", "0.05")
    out, err = process.communicate()
    assert (1, "1 missing.\n") == (process.returncode, err)
    assert "MISSING  port 'it' is not well" in out
    assert "no answer within 0.05 s" in out


THREADS = """
import asyncio, sys, threading
from stageflow import Pipeline, StageContext, stage

def hang():
    print("hangs", flush=True)
    threading.Event().wait()

@stage
async def calls(ctx: StageContext) -> None:
    await asyncio.to_thread(hang)

@stage
async def leaves(ctx: StageContext) -> None:
    sys.exit(0)

class Hanging:
    def check_health(self):
        hang()

pipeline = Pipeline("calls", [calls])
late = Pipeline("late", [calls], timeout=0.05)
leaving = Pipeline("leaving", [leaves])
ports = Hanging()
"""


@pytest.mark.parametrize(
    ("name", "last", "signals"),
    [("pipeline", "calls: cancelled in ", [signal.SIGINT]), ("late", "stageflow: Pipeline 'late' took longer ", [])],
)
def test_a_thread_that_a_stage_has_left_behind_does_not_outlast_ctrl_c(started, tmp_path, name, last, signals):
    """The run has ended by then, be it cancelled or too late, and only the thread still goes on."""
    (tmp_path / "slow.py").write_text(THREADS)
    process = started("run", f"slow:{name}")
    wait_for(process.stderr, "hangs")
    for number in signals:
        process.send_signal(number)
    wait_for(process.stderr, last)
    process.send_signal(signal.SIGINT)
    assert 130 == process.wait(timeout=20)
    assert "" == process.stderr.read()


def test_ctrl_c_ends_a_doctor_whose_check_hangs(started, tmp_path):
    """It does not wait for the thread."""
    (tmp_path / "slow.py").write_text(THREADS)
    process = started("doctor", "slow:pipeline", "--ports", "slow:ports", "--timeout", "600")
    wait_for(process.stderr, "hangs")
    process.send_signal(signal.SIGINT)
    assert (130, "") == (process.wait(timeout=20), process.stderr.read())


def test_a_stage_that_ends_the_process_has_not_completed_the_run(started, tmp_path):
    """Whatever code it ends it with, the line says where."""
    (tmp_path / "slow.py").write_text(THREADS)
    process = started("run", "slow:leaving", "--progress", "off")
    out, err = process.communicate()
    place = f"({tmp_path / 'slow.py'}:15)"
    expected = f"stageflow: A stage of 'slow:leaving' ends the process (SystemExit: 0) {place}.\n"
    assert (1, "", expected) == (process.returncode, out, err)


def on_terminal(started, *arguments, **environment):
    """Run a command whose stderr is a terminal, and return its code and what came there."""
    master, slave = pty.openpty()
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        process = started(*arguments, stdout=subprocess.DEVNULL, stderr=slave)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    os.close(slave)
    text = b""
    try:
        while piece := os.read(master, 4096):
            text += piece
    except OSError:  # on Linux, the end of a terminal
        pass
    os.close(master)
    return process.wait(), text.decode()


def test_colours_are_for_terminals(started):
    """There are some on a terminal, none with NO_COLOR, and none on one that is dumb."""
    plain = ("run", "slow:fast", "--progress", "plain")
    assert "\x1b[32m" in on_terminal(started, *plain, TERM="xterm")[1]
    assert "\x1b[" not in on_terminal(started, *plain, TERM="xterm", NO_COLOR="1")[1]
    assert "\x1b[" not in on_terminal(started, *plain, TERM="dumb")[1]


def test_a_live_display_is_for_terminals(started):
    """It tells each stage that has ended, and gives the cursor back."""
    code, text = on_terminal(started, "run", "slow:fast", TERM="xterm", COLUMNS="80")
    assert 0 == code
    assert "completed" in text
    assert "fast: completed in " in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0


def test_lines_are_cut_to_a_terminal_unless_it_is_narrow(started, tmp_path):
    """On a narrow one a line that is cut says nothing."""
    long = "many words " * 20 + "end"
    stage = f"@stage\nasync def fails(ctx: StageContext) -> None:\n    raise OSError('{long}')\n"
    text = f"\n{stage}\nbad = Pipeline('bad', [fails])\n"
    (tmp_path / "slow.py").write_text(SLOW + text)
    plain = ("run", "slow:bad", "--progress", "plain")
    _, wide = on_terminal(started, *plain, TERM="xterm", NO_COLOR="1", COLUMNS="80")
    (line,) = (line for line in wide.splitlines() if "failed      fails" in line)
    assert (80, True) == (len(line), line.endswith("..."))
    _, narrow = on_terminal(started, *plain, TERM="xterm", NO_COLOR="1", COLUMNS="40")
    (line,) = (line for line in narrow.splitlines() if "failed      fails" in line)
    assert line.endswith(long)
    live = ("run", "slow:bad", "--progress", "rich")
    _, wide = on_terminal(started, *live, TERM="xterm", NO_COLOR="1", COLUMNS="80")
    assert "many w" in wide
    assert f"ms, OSError: {long}" not in wide
    _, narrow = on_terminal(started, *live, TERM="xterm", NO_COLOR="1", COLUMNS="40")
    assert f"ms, OSError: {long}\r\n" in narrow
