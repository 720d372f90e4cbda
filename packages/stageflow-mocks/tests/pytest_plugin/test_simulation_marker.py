"""`@pytest.mark.stageflow_simulation`: simulated time, seeds, how a failure is repeated."""

import shlex

import pytest

pytest_plugins = "pytester"

SCOPE = ["-o", "asyncio_default_fixture_loop_scope=function"]
# Whichever plugin runs async tests, and none.
RUNNERS = [
    pytest.param(["-p", "no:asyncio", "-p", "no:anyio"], id="none"),
    pytest.param(["-o", "asyncio_mode=auto", *SCOPE], id="asyncio-auto"),
    pytest.param(["-o", "asyncio_mode=strict", *SCOPE], id="asyncio-strict"),
    pytest.param(["-p", "no:asyncio", "-o", "anyio_mode=auto"], id="anyio-auto"),
]
NO_RANDOMLY = ["-p", "no:randomly", "-p", "no:hypothesispytest", "--strict-markers", "-W", "error"]
ALONE = [*NO_RANDOMLY, "-p", "no:asyncio", "-p", "no:anyio"]

RACE = """
    import asyncio, pytest

    @pytest.mark.stageflow_simulation(seeds=range(50))
    async def test_race():
        order = []
        async def note(name):
            await asyncio.sleep(1)
            order.append(name)
        await asyncio.gather(note("a"), note("b"))
        assert order == ["a", "b"]
"""


@pytest.mark.parametrize("runner", RUNNERS)
def test_an_async_test_runs_in_simulated_time(pytester: pytest.Pytester, runner: list[str]) -> None:
    """An hour is over at once, in functions and methods, with fixtures and parameters, whatever runs async tests."""
    pytester.makepyfile("""
        import asyncio, pytest

        @pytest.fixture
        def hours():
            return 2

        async def sleeps(hours):
            await asyncio.sleep(3600 * hours)
            assert asyncio.get_running_loop().time() == 3600 * hours

        @pytest.mark.stageflow_simulation
        async def test_function(hours):
            await sleeps(hours)

        @pytest.mark.parametrize("hours", [1, pytest.param(3)])
        @pytest.mark.stageflow_simulation(seeds=3)
        async def test_parameters(hours):
            await sleeps(hours)

        @pytest.mark.stageflow_simulation(seed=7)
        class TestClass:
            @pytest.fixture(autouse=True)
            def _own(self, hours):
                self.hours = hours

            async def test_method(self):
                await sleeps(self.hours)
    """)
    result = pytester.runpytest(*NO_RANDOMLY, *runner)
    result.assert_outcomes(passed=4)


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_a_test_marked_for_pytest_asyncio_too_is_simulated(pytester: pytest.Pytester, mode: str) -> None:
    """A module that is marked for pytest-asyncio as a whole may have simulated tests, and others in real time."""
    pytester.makepyfile("""
        import asyncio, pytest
        pytestmark = pytest.mark.asyncio

        @pytest.mark.stageflow_simulation
        async def test_simulated():
            assert type(asyncio.get_running_loop()).__name__ == "VirtualClockLoop"

        async def test_real():
            assert type(asyncio.get_running_loop()).__name__ != "VirtualClockLoop"
    """)
    pytester.runpytest(*NO_RANDOMLY, "-o", f"asyncio_mode={mode}", *SCOPE).assert_outcomes(passed=2)


def test_each_seed_runs_until_one_fails(pytester: pytest.Pytester) -> None:
    """`seeds=5` are the seeds 0 to 4; those after a failing one do not run."""
    pytester.makepyfile("""
        import asyncio, pytest
        seen = []

        @pytest.mark.stageflow_simulation(seeds=5)
        async def test_all():
            seen.append(asyncio.get_running_loop().random.random())

        def test_saw_five():
            assert len(set(seen)) == len(seen) == 5

        failing = []

        @pytest.mark.stageflow_simulation(seeds=[11, 12, 13])
        async def test_fails():
            failing.append(1)
            assert len(failing) < 2

        def test_saw_two():
            assert len(failing) == 2
    """)
    result = pytester.runpytest(*ALONE)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*This was under seed 12, number 2 of 3. To repeat it alone:*"])


def test_the_command_that_is_shown_repeats_the_failure(pytester: pytest.Pytester) -> None:
    """What is printed below a failure runs that test under that seed and no other, and fails as it did."""
    pytester.makepyfile(RACE)
    first = pytester.runpytest(*ALONE)
    first.assert_outcomes(failed=1)
    shown = next(line for line in first.outlines if "--stageflow-seed=" in line)  # in CI the summary has it as well
    program, *arguments = shlex.split(shown.removeprefix("E"))
    assert program == "pytest"
    again = pytester.runpytest(*ALONE, *arguments)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["*assert *'b', 'a'*", "*This was under seed *. To repeat it alone:*"])
    assert not [line for line in again.outlines if "number" in line]


def test_the_command_names_the_test_from_where_pytest_was_started(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder below the root, and for a parameter with a space, the command can be pasted as it is."""
    pytester.makeini("[pytest]")
    folder = pytester.mkdir("below")
    (folder / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('x', ['a b'])\n"
        "@pytest.mark.stageflow_simulation(seed=3)\n"
        "async def test_it(x):\n    assert not x\n"
    )
    monkeypatch.chdir(folder)
    result = pytester.runpytest(*ALONE)
    result.stdout.fnmatch_lines(["*    pytest 'test_it.py::test_it[[]a b]' --stageflow-seed=3"])


def test_random_numbers_are_those_of_the_seed_alone(pytester: pytest.Pytester) -> None:
    """Where pytest-randomly seeds `random`, its seed is in the command, and each seed of ours sees the same numbers."""
    pytester.makepyfile("""
        import asyncio, random, pytest
        drawn = []

        @pytest.mark.stageflow_simulation(seeds=3)
        async def test_draws():
            drawn.append(random.random())
            assert len(drawn) < 3 or len(set(drawn)) > 1, "all the same"
    """)
    result = pytester.runpytest("-p", "no:asyncio", "--randomly-seed=5")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*all the same*", "*pytest *::test_draws --stageflow-seed=2 --randomly-seed=5"])


def test_one_seed_may_be_chosen_for_all(pytester: pytest.Pytester) -> None:
    """`--stageflow-seed` takes the place of the seeds in every marker."""
    pytester.makepyfile("""
        import asyncio, random, pytest
        runs = []

        @pytest.mark.stageflow_simulation(seeds=100)
        async def test_many():
            runs.append(asyncio.get_running_loop().random.random())

        @pytest.mark.stageflow_simulation
        async def test_none():
            runs.append(asyncio.get_running_loop().random.random())

        def test_ran():
            assert runs == [random.Random(42).random()] * 2
    """)
    pytester.runpytest(*ALONE, "--stageflow-seed=42").assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("seeds=0", "no seeds, so the test would never run"),
        ("seeds=[]", "no seeds, so the test would never run"),
        ("seeds=['x']", "A seed of stageflow_simulation() is an integer, not 'x'"),
        ("seed=1, seeds=2", "takes seed= or seeds=, not both"),
        ("max_steps=0", "max_steps of stageflow_simulation() is at least 1, not 0"),
        ("100", "stageflow_simulation() takes nothing without its name. It takes, by name: seeds, seed, "),
        ("steps=1", "stageflow_simulation() takes no 'steps'. Did you mean 'max_steps'? It takes: seeds, seed, "),
    ],
)
def test_a_marker_that_makes_no_sense_is_refused(pytester: pytest.Pytester, marker: str, told: str) -> None:
    """It is an error of collection, which names the test, whether or not the test would have run."""
    pytester.makepyfile(f"""
        import pytest
        @pytest.mark.stageflow_simulation({marker})
        async def test_it():
            pass
    """)
    result = pytester.runpytest(*ALONE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*::test_it: *{told}*"])


def test_a_test_that_is_not_async_is_refused(pytester: pytest.Pytester) -> None:
    """The marker has nothing to run in simulated time in an ordinary function, and says so."""
    pytester.makepyfile("""
        import pytest
        @pytest.mark.stageflow_simulation
        def test_it():
            pass
    """)
    result = pytester.runpytest(*ALONE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*::test_it: stageflow_simulation is for `async def` tests*"])


def test_max_steps_ends_a_livelock(pytester: pytest.Pytester) -> None:
    """The marker's `max_steps` is that of the simulation."""
    pytester.makepyfile("""
        import asyncio, pytest
        @pytest.mark.stageflow_simulation(max_steps=50)
        async def test_it():
            while True:
                await asyncio.sleep(0)
    """)
    result = pytester.runpytest(*ALONE)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*TooManyStepsError: After 50 steps*"])


def test_a_test_may_skip_itself_and_fail_as_expected(pytester: pytest.Pytester) -> None:
    """`pytest.skip()` and `xfail` mean what they mean elsewhere."""
    pytester.makepyfile("""
        import pytest
        @pytest.mark.stageflow_simulation(seeds=3)
        async def test_skipped():
            pytest.skip("not here")
        @pytest.mark.xfail(strict=True)
        @pytest.mark.stageflow_simulation(seeds=3)
        async def test_wrong():
            assert False
    """)
    pytester.runpytest(*ALONE).assert_outcomes(skipped=1, xfailed=1)


def test_a_failure_shows_the_test_and_not_the_event_loop(pytester: pytest.Pytester) -> None:
    """What a reader sees begins with the test; of what happens outside of it, with what happened."""
    pytester.makepyfile("""
        import asyncio, pytest
        from stageflow import Pipeline, StageContext, StagePorts, stage
        from stageflow.providers import AudioFormat, LLMRequest, Message, STTRequest, ToolCall, TTSRequest
        from stageflow_mocks import MockLLM, MockTool, RateLimited

        @stage
        async def reply(ctx: StageContext):
            await ctx.ports.llm.complete(LLMRequest([Message("user", "Hello?")]))

        @pytest.mark.stageflow_simulation
        async def test_stalls():
            await asyncio.Event().wait()

        @pytest.mark.stageflow_tasks(left="fail")
        @pytest.mark.stageflow_simulation
        async def test_leaks():
            asyncio.create_task(asyncio.sleep(1))

        @pytest.mark.stageflow_simulation
        async def test_fails(stageflow_llm):
            stageflow_llm.fail_next(RateLimited())
            await Pipeline("chat", [reply]).run(ports=StagePorts(llm=stageflow_llm))

        @pytest.mark.stageflow_simulation
        async def test_unscripted():
            await MockLLM({"x": "y"}).complete(LLMRequest([Message("user", "Hello?")]))

        @pytest.mark.stageflow_simulation
        async def test_used_up():
            llm = MockLLM(["y"])
            for _ in range(2):
                await llm.complete(LLMRequest([Message("user", "Hello?")]))

        @pytest.mark.stageflow_simulation
        async def test_tool():
            await MockTool("x", answers=["y"]).call(ToolCall("1", "x", '{"a": 1}'))

        @pytest.mark.stageflow_simulation
        @pytest.mark.stageflow_stt("Hello.")
        async def test_stt(stageflow_stt):
            stageflow_stt.fail_next(RateLimited())
            await stageflow_stt.transcribe(STTRequest(b"", format=AudioFormat("pcm_s16le", 8000)))

        @pytest.mark.stageflow_simulation
        async def test_tts(stageflow_tts):
            stageflow_tts.fail_next(RateLimited())
            await stageflow_tts.synthesize(TTSRequest("Hello."))

        @pytest.mark.stageflow_simulation
        async def test_events(stageflow_events):
            stageflow_events.assert_sequence(["x"])
    """)
    result = pytester.runpytest(*ALONE, "--tb=short")
    result.assert_outcomes(failed=9)
    result.stdout.fnmatch_lines(
        [
            "*StalledError: *Still waiting: * at test_a_failure*.py:12 in test_stalls.",
            "*made at test_a_failure*.py:17 in test_leaks*",
            "*ProviderRateLimited: *",
        ]
    )
    for inside in ("asyncio", "stageflow_mocks"):
        result.stdout.no_fnmatch_line(f"*{inside}*.py:*: in *")
