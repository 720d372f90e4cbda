"""The pytest plugin: simulated time, a check for tasks that are left behind, golden outputs, fixtures.

pytest loads it in every session of an environment that has stageflow-mocks, before coverage is measured and whether or
not a test uses it. So this module imports pytest alone; what a marker, an option or a fixture needs is loaded when one
is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from importlib import import_module
from typing import Any, cast

import stageflow_mocks

try:
    import pytest
except ImportError as error:
    raise ImportError(
        'The pytest plugin of Stageflow needs pytest: pip install "stageflow-mocks[pytest]"', name=error.name
    ) from error

SIMULATION = "stageflow_simulation"
TASKS = "stageflow_tasks"

_MARKERS = {
    SIMULATION: "(seeds=1000): run this async test under a virtual clock, once for each seed with its tasks "
    "in another order; or seed=7, or neither for asyncio's own order; max_steps= bounds each run.",
    TASKS: '(left="fail"): fail this async test if asyncio tasks that it made are still there at its end; "ignore" '
    'lets them be, allowed=["name*"] those of these names.',
    "stageflow_cassette": "(...): the fixture of this name is a Cassette with these options.",
    "stageflow_llm": "(answers, ...): the fixture of this name is a MockLLM made from these arguments.",
    "stageflow_stt": "(answers, ...): the fixture of this name is a MockSTT made from these arguments.",
    "stageflow_tts": "(...): the fixture of this name is a MockTTS made from these arguments.",
    "stageflow_groq_server": "(...): the fixture of this name is a GroqServer made from these arguments.",
    "stageflow_mock_auth": "(...): the fixture of this name is a MockAuth made from these arguments.",
    "stageflow_mock_auth_server": "(...): the fixture of this name is a MockAuthServer made from these arguments.",
}
_OF_FIXTURES = frozenset(_MARKERS) - {SIMULATION, TASKS}
_LEFT = ("fail", "ignore")

# The cassettes that a test has used, once there are any.
_CASSETTES: pytest.StashKey[Any] = pytest.StashKey()

# The files that a test has written: for each the headline in the summary, and its name.
_WRITTEN: pytest.StashKey[list[tuple[str, str]]] = pytest.StashKey()

# The fixtures of a test that were made as their markers say.
_MADE: pytest.StashKey[set[str]] = pytest.StashKey()

# The golden files of a session, once a test has asked for one.
_GOLDEN_FILES: pytest.StashKey[Any] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the plugin understands to the command line and the configuration."""
    group = parser.getgroup("stageflow")
    group.addoption(
        "--stageflow-seed",
        type=int,
        metavar="N",
        help=f"run the tests that are marked {SIMULATION} under this seed alone, to repeat a failure",
    )
    group.addoption(
        "--stageflow-update-golden",
        action="store_true",
        help="write what tests give to stageflow_golden as the golden outputs, where they differ",
    )
    group.addoption(
        "--stageflow-record",
        action="store_true",
        help="let tests with stageflow_cassette ask the real services, and write their cassettes anew",
    )
    parser.addini(
        "stageflow_tasks",
        'what to do about an async test that leaves asyncio tasks behind: "fail" it, or "ignore" them',
        default="ignore",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known, and check what was configured."""
    for marker, meaning in _MARKERS.items():
        config.addinivalue_line("markers", marker + meaning)
    left = config.getini("stageflow_tasks")
    if left not in _LEFT:
        raise pytest.UsageError(f"stageflow_tasks is one of {', '.join(_LEFT)} in the configuration, not {left!r}.")
    config.pluginmanager.register(_WrittenFiles(), "stageflow-written-files")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem() -> Generator[None, object, object]:
    """Put what a marker asks for around its test, before a plugin that runs async tests sees it."""
    made = yield
    for item in _listed(made):
        if isinstance(item, pytest.Function):
            _surround(item)
    return made


def _listed(made: Any) -> list[Any]:
    return cast("list[Any]", made) if isinstance(made, list) else [made]


class _WrittenFiles:
    """Tells which files the tests have written: by their reports, which is all that comes from a worker of xdist."""

    def __init__(self) -> None:
        self._written: set[tuple[str, str]] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._written.update((headline, path) for headline, path in getattr(report, "stageflow_written", ()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for headline in sorted({headline for headline, _ in self._written}):
            terminalreporter.section(headline)
            for path in sorted(path for of, path in self._written if of == headline):
                terminalreporter.write_line(path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the report of a test tell which files it has written."""
    report = yield
    if call.when == "teardown" and _WRITTEN in item.stash:
        setattr(report, "stageflow_written", item.stash[_WRITTEN])  # noqa: B010 - pytest keeps what is added
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that has passed, and has not asked for all that its cassette holds."""
    __tracebackhide__ = True
    _tell_of_idle_markers(item)
    tapes: Any = None
    try:
        yield
    except BaseException as error:
        tapes = item.stash.get(_CASSETTES, None)
        if tapes is not None:
            tapes.tell(error)
        raise
    tapes = item.stash.get(_CASSETTES, None)
    if tapes is not None:
        tapes.check()


def _tell_of_idle_markers(item: pytest.Item) -> None:
    """Warn of a marker that a test has itself, where nothing has asked for its fixture."""
    for marker in item.own_markers:
        name = marker.name
        if name not in _OF_FIXTURES or name in item.stash.get(_MADE, ()):
            continue
        # A test that takes `request` may ask for it later.
        if isinstance(item, pytest.Function) and "request" not in inspect.signature(item.obj).parameters:
            told = f"@pytest.mark.{name} of {item.nodeid} does nothing, since its fixture is not used:"
            item.warn(pytest.PytestWarning(f"{told} take '{name}' as a parameter, or leave out the marker."))


def _surround(item: pytest.Function) -> None:
    for name in {marker.name for marker in item.iter_markers() if marker.name.startswith("stageflow_")}:
        problem = None if name in _MARKERS else _loaded("markers").unknown(name, _MARKERS, item.config)
        if problem is not None:
            raise pytest.Collector.CollectError(f"{item.nodeid}: {problem}")
    simulation = item.get_closest_marker(SIMULATION)
    is_async = inspect.iscoroutinefunction(item.obj)
    if simulation is not None and not is_async:
        raise pytest.Collector.CollectError(
            f"{item.nodeid}: {SIMULATION} is for `async def` tests, and this is none. If its whole file or class is "
            "marked, mark those that are async one by one. If it is one below another decorator, such as @given of "
            "hypothesis, use @simulated(...) of stageflow_mocks.simulation there."
        )
    if not is_async:
        return
    try:
        allowed = _tasks_allowed(item)
        if allowed is not None:
            _loaded("leaks").forbid_leaks(item, allowed)
        if simulation is not None:
            _loaded("simulating").simulate(item, simulation, _renewals)
    except (TypeError, ValueError) as error:
        raise pytest.Collector.CollectError(f"{item.nodeid}: {error}") from None


def _tasks_allowed(item: pytest.Function) -> tuple[str, ...] | None:
    """Return the names of tasks that the test may leave behind, or None if it may leave any."""
    marker = item.get_closest_marker(TASKS)
    if marker is not None and (problem := _loaded("markers").misuse(marker, _read_tasks_marker)):
        raise TypeError(f"{TASKS}() {problem}")
    left, allowed = _read_tasks_marker(*marker.args, **marker.kwargs) if marker is not None else (None, ())
    if left is None:
        left = "fail" if allowed else item.config.getini("stageflow_tasks")
    return allowed if left == "fail" else None


def _read_tasks_marker(*, left: str | None = None, allowed: Any = ()) -> tuple[str | None, tuple[str, ...]]:
    if left is not None and left not in _LEFT:
        raise ValueError(f"{TASKS}(left=...) is one of {', '.join(_LEFT)}, not {left!r}.")
    if isinstance(allowed, str):
        raise TypeError(f"{TASKS}(allowed=...) takes several names, not one: write [{allowed!r}].")
    return left, tuple(allowed)


def _loaded(module: str) -> Any:
    return import_module(f".{module}", __name__)


# What a fixture of ours gave to a test, by the fixture's name, and how another one is made for the next seed.
_RENEWALS = pytest.StashKey[dict[str, tuple[Any, Callable[[], Any]]]]()


def _renewals(item: pytest.Item) -> dict[str, tuple[Any, Callable[[], Any]]]:
    return item.stash.setdefault(_RENEWALS, {})


def _renewable(request: pytest.FixtureRequest, make: Callable[[], Any]) -> Any:
    assert request.fixturename is not None
    value = make()
    _renewals(request.node)[request.fixturename] = (value, make)
    return value


@pytest.fixture
def stageflow_golden(request: pytest.FixtureRequest) -> Iterator[stageflow_mocks.Golden]:
    """Compare what a test gives with a file beside it: `stageflow_golden(results.data(reply))`."""
    golden = _loaded("golden")
    stash = request.config.stash
    if _GOLDEN_FILES not in stash:
        stash[_GOLDEN_FILES] = golden.GoldenFiles(is_updating=request.config.getoption("--stageflow-update-golden"))
    outputs = golden.OutputsOfTest(request.node, stash[_GOLDEN_FILES])
    yield _renewable(request, lambda: golden.Golden(outputs))
    outputs.write()
    for path in outputs.changed:
        _note_written(request, "golden outputs written", str(path))


@pytest.fixture
def stageflow_cassette(request: pytest.FixtureRequest) -> Iterator[stageflow_mocks.Cassette]:
    """A Cassette, which replays what a file beside the test holds; needs the extra `cassettes`."""
    marker = request.node.get_closest_marker("stageflow_cassette")
    options: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    if marker is not None and (marker.args or {"path", "mode", "how_to_record"} & set(options)):
        pytest.fail(
            "The marker stageflow_cassette takes no file, since each test has its own, and no mode, which is "
            "--stageflow-record.",
            pytrace=False,
        )
    is_recording = bool(request.config.getoption("--stageflow-record"))
    tapes = _loaded("recording").TapesOfTest(request.node, options, is_recording=is_recording)
    request.node.stash[_CASSETTES] = tapes
    request.node.stash.setdefault(_MADE, set()).add("stageflow_cassette")
    yield _renewable(request, tapes.insert)
    if tapes.eject():
        _note_written(request, "cassettes recorded", f"{tapes.path}{' (its test failed)' if tapes.has_failed else ''}")


@pytest.fixture
def stageflow_groq_server(request: pytest.FixtureRequest) -> Iterator[stageflow_mocks.GroqServer]:
    """A GroqServer that runs in a thread of its own, so that tests of any kind can ask it; needs the extra `server`."""
    yield from _served(request, stageflow_mocks.GroqServer)


@pytest.fixture
def stageflow_mock_auth_server(request: pytest.FixtureRequest) -> Iterator[stageflow_mocks.MockAuthServer]:
    """A MockAuthServer that runs in a thread of its own: a MockAuth whose keys are fetched over HTTP.

    It needs the extras `auth` and `server`.
    """
    yield from _served(request, stageflow_mocks.MockAuthServer)


def _served(request: pytest.FixtureRequest, kind: Callable[..., Any]) -> Iterator[Any]:
    if request.node.get_closest_marker(SIMULATION) is not None:
        why = f"{request.fixturename} is a real server, which simulated time cannot wait for"
        pytest.fail(f"{why}: leave out {SIMULATION} here.", pytrace=False)
    server = _made_as_marked(request, kind)
    with _loaded("serving").served(server):
        yield server


@pytest.fixture
def stageflow_mock_auth(request: pytest.FixtureRequest) -> stageflow_mocks.MockAuth:
    """A MockAuth with keys of its own; needs the extra `auth`."""
    return _renewable(request, lambda: _made_as_marked(request, stageflow_mocks.MockAuth))


@pytest.fixture
def stageflow_llm(request: pytest.FixtureRequest) -> stageflow_mocks.MockLLM:
    """A MockLLM that answers what the marker `stageflow_llm` says, and repeats what it is asked without one."""
    return _renewable(request, lambda: _made_as_marked(request, stageflow_mocks.MockLLM, stageflow_mocks.echo))


@pytest.fixture
def stageflow_stt(request: pytest.FixtureRequest) -> stageflow_mocks.MockSTT:
    """A MockSTT that hears what the marker `stageflow_stt` says."""
    if request.node.get_closest_marker("stageflow_stt") is None:
        pytest.fail('Say what stageflow_stt hears: @pytest.mark.stageflow_stt("Good morning.")', pytrace=False)
    return _renewable(request, lambda: _made_as_marked(request, stageflow_mocks.MockSTT))


@pytest.fixture
def stageflow_tts(request: pytest.FixtureRequest) -> stageflow_mocks.MockTTS:
    """A MockTTS, made from what the marker `stageflow_tts` says."""
    return _renewable(request, lambda: _made_as_marked(request, stageflow_mocks.MockTTS))


@pytest.fixture
def stageflow_events(request: pytest.FixtureRequest) -> stageflow_mocks.RecordingEventSink:
    """A RecordingEventSink to give to a run: `event_sink=stageflow_events`."""
    return _renewable(request, stageflow_mocks.RecordingEventSink)


def _made_as_marked(request: pytest.FixtureRequest, make: Callable[..., Any], *otherwise: Any) -> Any:
    """Make what a fixture gives, from the arguments of the marker of the same name, or from others if there is none."""
    name = request.fixturename
    assert name is not None
    request.node.stash.setdefault(_MADE, set()).add(name)
    marker = request.node.get_closest_marker(name)
    if marker is None:
        return make(*otherwise)
    misuse: str | None = _loaded("markers").misuse(marker, make)
    problem = misuse and f"it {misuse}"
    if problem is None:
        try:
            return make(*marker.args, **marker.kwargs)
        except (TypeError, ValueError) as error:
            problem = str(error)
    pytest.fail(f"@pytest.mark.{name}(...) of {request.node.nodeid}: {problem}", pytrace=False)


def _note_written(request: pytest.FixtureRequest, headline: str, path: str) -> None:
    request.node.stash.setdefault(_WRITTEN, []).append((headline, path))
