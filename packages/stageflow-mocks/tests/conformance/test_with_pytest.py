"""The suites as a user runs them, in a folder of their own."""

import subprocess
import sys

TESTS = """
from stageflow import NoOpEventSink
from stageflow_mocks import InMemoryRunStore
from stageflow_mocks.conformance import EventSinkConformance, RunStoreConformance, TTSProviderConformance


class TestMyStore(RunStoreConformance):
    def make(self):
        return InMemoryRunStore()


class Silent(NoOpEventSink):
    async def emit(self, *, type, data):
        raise OSError("no disk")


class TestMySink(EventSinkConformance):
    keeps = False

    def make(self):
        return Silent()


class TestUnread(EventSinkConformance):
    def make(self):
        return NoOpEventSink()


class TestForgotten(TTSProviderConformance):
    pass


class TestReturnsNothing(RunStoreConformance):
    def make(self):
        InMemoryRunStore()


class TestAwaitsNothing(RunStoreConformance):
    async def make(self):
        InMemoryRunStore()


class TestYields(RunStoreConformance):
    async def make(self):
        yield InMemoryRunStore()


class TestHangs(RunStoreConformance):
    limit_s = 0.05

    async def make(self):
        import asyncio

        await asyncio.get_running_loop().create_future()
"""


def test_they_run_where_only_pytest_is(tmp_path):
    """They need no other plugin, collect what was subclassed alone, and say what is broken or forgotten."""
    (tmp_path / "test_mine.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-rfs", "-p", "no:cacheprovider", "-p", "no:asyncio", "--tb=short"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path)
    told = done.stdout
    assert "TestMyStore" not in told, told
    assert "test_emit_answers - OSError: no disk" in told
    assert "TestForgotten says with `make` what is to be tested." in told
    assert "AssertionError: What was asked was not answered within 0.05 s." in told
    for suite in ("TestReturnsNothing", "TestAwaitsNothing"):
        assert f"{suite}::test_it_fits_the_protocol - TypeE" in told
    made = "E   TypeError: What makes the implementation, as `make`,"
    assert told.count(f"{made} gave None: is its `return` missing") == 18
    assert told.count(f"{made} is a generator: make it an async one, and put @asynccontextmanager above it.") == 9
    assert "`received` does not tell what the sink has taken" in told
    assert "RunStoreConformance::" not in told
    for line in ("event_sink.py:", "test_mine.py:", "raise OSError"):
        assert line in told, line
    for line in ("base_events.py:", "runners.py:", "running.py:", "suite.py:"):
        assert line not in told, line


def test_without_pytest_they_say_what_to_install():
    """The mocks themselves are there without it."""
    code = (
        "import sys\nsys.modules['pytest'] = None\nimport stageflow_mocks\nstageflow_mocks.RecordingEventSink()\n"
        "try:\n    import stageflow_mocks.conformance\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "stageflow-mocks[pytest]"' in done.stdout
