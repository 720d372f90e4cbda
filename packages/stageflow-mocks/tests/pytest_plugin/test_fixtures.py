"""The fixtures whose names begin with `stageflow_`."""

import subprocess
import sys
from contextlib import asynccontextmanager

import pytest
from stageflow_mocks.pytest_plugin.serving import served

pytest_plugins = "pytester"

OPTIONS = [
    "-p",
    "no:randomly",
    "--strict-markers",
    "-W",
    "error",
    "-o",
    "asyncio_mode=auto",
    "-o",
    "asyncio_default_fixture_loop_scope=function",
]


def test_a_server_serves_tests_of_any_kind(pytester: pytest.Pytester) -> None:
    """An ordinary test and an async one ask the same kind of server; it can be told to fail, and says what came."""
    pytester.makepyfile("""
        import httpx, pytest
        from stageflow_mocks import RateLimited

        def asked(server):
            return {
                "url": f"{server.base_url}/openai/v1/chat/completions",
                "headers": {"authorization": "Bearer any"},
                "json": {"model": "m", "messages": [{"role": "user", "content": "My name is Ada."}]},
            }

        def test_ordinary(stageflow_groq_server):
            with httpx.Client(trust_env=False) as client:
                answer = client.post(**asked(stageflow_groq_server))
                assert "Ada" in answer.json()["choices"][0]["message"]["content"]
                stageflow_groq_server.fail_next(RateLimited(retry_after=3))
                assert client.post(**asked(stageflow_groq_server)).headers["retry-after"] == "3"
            assert len(stageflow_groq_server.requests) == 2

        async def test_async(stageflow_groq_server):
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.post(**asked(stageflow_groq_server))).status_code == 200
            (request,) = stageflow_groq_server.requests
            assert await request.wait_ended() == "completed"
    """)
    pytester.runpytest(*OPTIONS).assert_outcomes(passed=2)


def test_keys_are_served_to_tests_of_any_kind(pytester: pytest.Pytester) -> None:
    """The server of keys is the issuer of the tokens, each test has one of its own, made as its marker says."""
    pytester.makepyfile("""
        import asyncio, httpx, pytest

        @pytest.mark.stageflow_mock_auth_server(audience="chat")
        def test_ordinary(stageflow_mock_auth_server):
            server = stageflow_mock_auth_server
            with httpx.Client(trust_env=False) as client:
                keys = client.get(server.jwks_url).json()
            assert keys == server.jwks()
            assert server.token("valid").claims["aud"] == "chat"

        async def test_async(stageflow_mock_auth_server):
            arrives = asyncio.ensure_future(stageflow_mock_auth_server.wait_for_requests(1))
            async with httpx.AsyncClient(trust_env=False) as client:
                found = (await client.get(stageflow_mock_auth_server.discovery_url)).json()
            assert found["issuer"] == stageflow_mock_auth_server.issuer
            assert len(await arrives) == 1
    """)
    pytester.runpytest(*OPTIONS).assert_outcomes(passed=2)


def test_a_server_that_cannot_start_says_so() -> None:
    """What goes wrong in the thread of a server is raised in the test's, at its start and at its end."""

    @asynccontextmanager
    async def broken(when: str):
        if when == "start":
            raise OSError("no port")
        yield
        raise OSError("no end")

    with pytest.raises(OSError, match="no port"), served(broken("start")):
        pass
    with pytest.raises(OSError, match="no end"), served(broken("end")):
        pass


def test_mock_auth_is_new_for_each_test_and_seed(pytester: pytest.Pytester) -> None:
    """A token that one run revokes is not revoked in the next, and the test gets what the fixture made at first."""
    pytester.makepyfile("""
        import pytest

        @pytest.mark.stageflow_simulation(seeds=3)
        async def test_revokes(stageflow_mock_auth):
            assert not stageflow_mock_auth.revoked
            stageflow_mock_auth.token("revoked")
            assert stageflow_mock_auth.revoked

        def test_other(stageflow_mock_auth):
            assert not stageflow_mock_auth.revoked
    """)
    pytester.runpytest(*OPTIONS).assert_outcomes(passed=2)


def test_mocks_of_providers_are_made_as_their_markers_say(pytester: pytest.Pytester) -> None:
    """A marker gives the script, of a function or a module; each test and each seed begins it anew."""
    pytester.makepyfile("""
        import pytest
        from stageflow.providers import AudioFormat, LLMRequest, Message, STTRequest, TTSRequest

        pytestmark = pytest.mark.stageflow_llm(["One.", "Two."], latency=0.5)
        ASKED = LLMRequest([Message("user", "Hello?")])

        @pytest.mark.stageflow_simulation(seeds=3)
        async def test_module(stageflow_llm):
            assert (await stageflow_llm.complete(ASKED)).text == "One."
            assert (await stageflow_llm.complete(ASKED)).text == "Two."
            assert len(stageflow_llm.calls) == 2

        @pytest.mark.stageflow_llm("Mine.")
        async def test_function(stageflow_llm):
            assert (await stageflow_llm.complete(ASKED)).text == "Mine."

        @pytest.mark.stageflow_stt("Good morning.")
        async def test_voice(stageflow_stt, stageflow_tts):
            spoken = await stageflow_tts.synthesize(TTSRequest("Good morning."))
            heard = await stageflow_stt.transcribe(STTRequest(spoken.audio, format=spoken.format))
            assert heard.text == "Good morning."

        def test_deaf(stageflow_stt):
            pass
    """)
    pytester.makepyfile(
        test_unmarked="""
        from stageflow.providers import LLMRequest, Message

        async def test_echo(stageflow_llm):
            assert (await stageflow_llm.complete(LLMRequest([Message("user", "Hello?")]))).text == "Hello?"
    """
    )
    result = pytester.runpytest(*OPTIONS)
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["*Say what stageflow_stt hears*"])


def test_a_marker_that_cannot_be_what_its_fixture_is_made_from_is_named(pytester: pytest.Pytester) -> None:
    """The error names the marker and the test, and says what is wrong, not where in the plugin."""
    pytester.makepyfile("""
        import pytest

        @pytest.mark.stageflow_llm
        def test_nothing(stageflow_llm):
            pass

        @pytest.mark.stageflow_llm("x", latncy=2)
        def test_unknown(stageflow_llm):
            pass

        @pytest.mark.stageflow_llm("x", "y")
        def test_two(stageflow_llm):
            pass

        @pytest.mark.stageflow_llm("x", answers="y")
        def test_twice(stageflow_llm):
            pass

        @pytest.mark.stageflow_llm("x", latency=-1)
        def test_negative(stageflow_llm):
            pass

        @pytest.mark.stageflow_simulation
        async def test_real(stageflow_groq_server):
            pass
    """)
    result = pytester.runpytest(*OPTIONS)
    result.assert_outcomes(errors=6)
    named = "@pytest.mark.stageflow_llm(...) of test_a_marker_that_cannot_be_what_its_fixture_is_made_from_is_named.py"
    result.stdout.fnmatch_lines(
        [
            f"{named}::test_nothing: it lacks 'answers'. It takes: answers, name, *",
            f"{named}::test_unknown: it takes no 'latncy'. Did you mean 'latency'? It takes: *",
            f"{named}::test_two: it takes only answers without its name. It takes, by name: name, *",
            f"{named}::test_twice: it cannot be read: multiple values for argument 'answers'.",
            f"{named}::test_negative: latency of a MockLLM is *",
            "stageflow_groq_server is a real server, which simulated time cannot wait for*",
        ]
    )
    result.stdout.no_fnmatch_line("*_made_as_marked*")
    result.stdout.no_fnmatch_line("*During handling*")


def test_a_marker_whose_fixture_nothing_asks_for_is_told(pytester: pytest.Pytester) -> None:
    """The warning names the marker; a fixture that another one asks for by name, or a test later, is none of it."""
    pytester.makepyfile("""
        import pytest

        @pytest.fixture
        def model(request):
            return request.getfixturevalue("stageflow_llm")

        @pytest.mark.stageflow_llm("One.")
        def test_idle(stageflow_events):
            pass

        @pytest.mark.stageflow_llm("One.")
        def test_taken(model):
            pass

        @pytest.mark.stageflow_llm("One.")
        def test_later(request):
            request.getfixturevalue("stageflow_llm")

        @pytest.mark.stageflow_llm("One.")
        class TestClass:
            def test_some_do_not_need_it(self):
                pass
    """)
    result = pytester.runpytest(*OPTIONS, "-W", "default")
    result.assert_outcomes(passed=4, warnings=1)
    told = "*PytestWarning: @pytest.mark.stageflow_llm of *::test_idle does nothing, since its fixture is not used: *"
    result.stdout.fnmatch_lines([told])
    pytester.runpytest(*OPTIONS).assert_outcomes(passed=3, failed=1)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("stageflow_simulaton", "There is no marker 'stageflow_simulaton'. Did you mean 'stageflow_simulation'? There"),
        ("stageflow_events", "The fixture stageflow_events is made from no arguments: leave out its marker."),
    ],
)
def test_a_marker_that_there_is_not_is_refused(pytester: pytest.Pytester, name: str, told: str) -> None:
    """Misspelt it would do nothing; one that the project has itself is let be."""
    pytester.makepyfile(f"""
        import pytest
        pytestmark = pytest.mark.{name}

        async def test_it():
            pass
    """)
    loose = [option for option in OPTIONS if option != "--strict-markers"]
    result = pytester.runpytest(*loose, "-W", "default")
    result.assert_outcomes(errors=1)
    assert told in result.stdout.str()
    pytester.runpytest(*OPTIONS, "-o", f"markers={name}(why): one of our own").assert_outcomes(passed=1)


def test_events_are_recorded_for_each_test_and_seed(pytester: pytest.Pytester) -> None:
    """The sink of a test holds the events of its own run, and under several seeds those of the seed."""
    pytester.makepyfile("""
        import pytest
        from stageflow import Pipeline, stage

        @stage
        async def hello():
            return {"text": "Hello."}

        @pytest.mark.stageflow_simulation(seeds=3)
        async def test_it(stageflow_events):
            await Pipeline("chat", [hello]).run(event_sink=stageflow_events)
            stageflow_events.assert_sequence(
                ["pipeline.created", "pipeline.started", "stage.hello.*", "stage.hello.completed", "pipeline.completed"]
            )
    """)
    pytester.runpytest(*OPTIONS).assert_outcomes(passed=1)


def test_a_fixture_that_would_carry_records_from_seed_to_seed_is_refused(pytester: pytest.Pytester) -> None:
    """Another fixture that holds on to a recording one cannot be made again; one that the test overrides is its own."""
    pytester.makepyfile("""
        import pytest

        @pytest.fixture
        def holder(stageflow_mock_auth):
            return [stageflow_mock_auth]

        @pytest.mark.stageflow_simulation(seeds=3)
        async def test_many(holder):
            pass

        @pytest.mark.stageflow_simulation(seed=3)
        async def test_one(holder):
            pass

        class TestOwn:
            @pytest.fixture
            def stageflow_mock_auth(self):
                return "own"

            @pytest.mark.stageflow_simulation(seeds=3)
            async def test_own(self, stageflow_mock_auth):
                assert stageflow_mock_auth == "own"
    """)
    result = pytester.runpytest(*OPTIONS)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*Fixture 'holder' holds on to 'stageflow_mock_auth'*"])


def test_a_session_that_uses_nothing_loads_nothing(pytester: pytest.Pytester) -> None:
    """The plugin loads neither Stageflow nor asyncio, nor anything of our own beside itself."""
    pytester.makepyfile("""
        import sys

        def test_it():
            loaded = {name for name in sys.modules if name.partition(".")[0] in ("stageflow", "stageflow_mocks")}
            assert loaded == {"stageflow_mocks", "stageflow_mocks.pytest_plugin"}
            assert "asyncio" not in sys.modules
    """)
    others = ["asyncio", "anyio", "randomly", "socket", "timeout", "cov", "hypothesispytest"]
    alone = [argument for name in others for argument in ("-p", f"no:{name}")]
    result = pytester.runpytest_subprocess("-W", "error", *alone)
    result.assert_outcomes(passed=1)


def test_without_pytest_the_module_says_what_to_install() -> None:
    """Who imports the plugin by hand, without the extra, is told the line to type."""
    code = "import sys; sys.modules['pytest'] = None; import stageflow_mocks.pytest_plugin"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "stageflow-mocks[pytest]"' in done.stderr
