"""Tasks that a test leaves behind: found, named with the line that made them, allowed, ignored."""

import pytest

pytest_plugins = "pytester"

RUNNERS = [
    pytest.param(["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"], id="asyncio-auto"),
    pytest.param(["-p", "no:asyncio", "-o", "anyio_mode=auto"], id="anyio-auto"),
]
OPTIONS = ["-p", "no:randomly", "-p", "no:hypothesispytest", "--strict-markers", "-W", "error"]

AUTO = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]

LEAKS = """
    import asyncio, pytest

    async def waits():
        await asyncio.sleep(60)

    def start():
        return asyncio.create_task(waits(), name="waiter")

    {marker}
    async def test_leaks():
        start()
        {rest}

    {marker}
    async def test_clean():
        task = start()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    @pytest.fixture
    def anyio_backend():
        return "asyncio"
"""


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(
    "marker", ["@pytest.mark.stageflow_tasks(left='fail')", "@pytest.mark.stageflow_tasks(allowed=['other*'])"]
)
def test_a_task_that_is_left_fails_its_test(pytester: pytest.Pytester, runner: list[str], marker: str) -> None:
    """The failure names the task, its coroutine, the line that made it and the line where it waits."""
    pytester.makepyfile(LEAKS.format(marker=marker, rest="await asyncio.sleep(0)"))
    result = pytester.runpytest(*OPTIONS, *runner)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*TaskLeakError: The test left an asyncio task behind:",
            "*  waiter (waits), made at *.py:7 in start, waits at *.py:4",
        ]
    )


@pytest.mark.parametrize("simulated", [True, False])
def test_the_configuration_decides_for_all(pytester: pytest.Pytester, simulated: bool) -> None:
    """`stageflow_tasks = fail` checks every async test, simulated ones as well, in which nothing else would tell."""
    marker = "@pytest.mark.stageflow_simulation(seeds=2)" if simulated else ""
    pytester.makepyfile(LEAKS.format(marker=marker, rest="await asyncio.sleep(0)"))
    assert {"passed": 2} == pytester.runpytest(*OPTIONS, *AUTO).parseoutcomes()
    result = pytester.runpytest(*OPTIONS, *AUTO, "-o", "stageflow_tasks=fail")
    result.assert_outcomes(passed=1, failed=1)
    assert simulated == ("This was under seed 0, number 1 of 2" in result.stdout.str())


@pytest.mark.parametrize("marker", ["left='ignore'", "allowed=['nobody', 'wait*']"])
def test_a_task_may_be_allowed_to_stay(pytester: pytest.Pytester, marker: str) -> None:
    """The marker allows some names, or all, against the configuration."""
    pytester.makepyfile(LEAKS.format(marker=f"@pytest.mark.stageflow_tasks({marker})", rest=""))
    result = pytester.runpytest(*OPTIONS, *AUTO, "-o", "stageflow_tasks=fail")
    result.assert_outcomes(passed=2)


def test_a_failure_of_the_test_itself_comes_first(pytester: pytest.Pytester) -> None:
    """What a failing test leaves behind follows from its failure, and does not hide it."""
    pytester.makepyfile(LEAKS.format(marker="", rest="assert not 'reached'"))
    result = pytester.runpytest(*OPTIONS, *AUTO, "-o", "stageflow_tasks=fail")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*assert not 'reached'*"])
    result.stdout.no_fnmatch_line("*TaskLeakError*")


def test_what_fixtures_started_is_not_the_tests(pytester: pytest.Pytester) -> None:
    """Tasks of a fixture, which are there before the test, may be there after it."""
    pytester.makepyfile("""
        import asyncio, pytest

        @pytest.fixture
        async def server():
            task = asyncio.create_task(asyncio.sleep(60))
            yield
            task.cancel()
            await asyncio.wait([task])

        async def test_it(server):
            await asyncio.sleep(0)
    """)
    result = pytester.runpytest(*OPTIONS, *AUTO, "-o", "stageflow_tasks=fail")
    result.assert_outcomes(passed=1)


def test_a_method_that_is_checked_keeps_its_instance(pytester: pytest.Pytester) -> None:
    """Fixtures of the class set up the very instance that the test sees."""
    pytester.makepyfile("""
        import asyncio, pytest

        class TestClass:
            @pytest.fixture(autouse=True)
            def _own(self):
                self.own = 1

            async def test_it(self):
                await asyncio.sleep(0)
                assert self.own == 1
    """)
    result = pytester.runpytest(*OPTIONS, *AUTO, "-o", "stageflow_tasks=fail")
    result.assert_outcomes(passed=1)


def test_a_task_factory_of_others_stays(pytester: pytest.Pytester) -> None:
    """The loop's own task factory makes the tasks while the check is on, and is the loop's again after it."""
    pytester.makepyfile("""
        import asyncio, pytest

        made = []

        def factory(loop, coroutine, **rest):
            made.append(coroutine.__qualname__)
            return asyncio.Task(coroutine, loop=loop, **rest)

        @pytest.fixture
        async def own_factory():
            asyncio.get_running_loop().set_task_factory(factory)
            yield
            assert asyncio.get_running_loop().get_task_factory() is factory

        async def nothing():
            pass

        async def test_it(own_factory):
            await asyncio.create_task(nothing())
            assert "nothing" in made
    """)
    result = pytester.runpytest(*OPTIONS, *AUTO, "-o", "stageflow_tasks=fail")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("left='maybe'", "is one of fail, ignore, not 'maybe'"),
        ("allowed='name'", "takes several names, not one: write ['name']"),
        ("'fail'", "stageflow_tasks() takes nothing without its name. It takes, by name: left, allowed."),
        ("forbidden=[]", "stageflow_tasks() takes no 'forbidden'. It takes: left, allowed."),
    ],
)
def test_a_marker_that_makes_no_sense_is_refused(pytester: pytest.Pytester, marker: str, told: str) -> None:
    """It is an error of collection that names the test."""
    pytester.makepyfile(LEAKS.format(marker=f"@pytest.mark.stageflow_tasks({marker})", rest=""))
    result = pytester.runpytest(*OPTIONS, *AUTO)
    result.assert_outcomes(errors=1)
    assert told in result.stdout.str()


def test_a_configuration_that_makes_no_sense_is_refused(pytester: pytest.Pytester) -> None:
    """An unknown value ends the session before a test runs."""
    result = pytester.runpytest(*OPTIONS, *AUTO, "-o", "stageflow_tasks=yes")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "stageflow_tasks is one of fail, ignore in the configuration, not 'yes'" in result.stderr.str()
