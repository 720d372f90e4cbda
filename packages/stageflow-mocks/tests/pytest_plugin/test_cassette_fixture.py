"""`stageflow_cassette`: where its file is, when it is written, what fails a test."""

import json

import pytest

pytest_plugins = "pytester"

OPTIONS = [
    "-p",
    "no:randomly",
    "-W",
    "error",
    "-o",
    "asyncio_mode=auto",
    "-o",
    "asyncio_default_fixture_loop_scope=function",
]
RECORD = "--stageflow-record"

SERVICE = """
    import asyncio, httpx, pytest

    class Service(httpx.AsyncBaseTransport, httpx.BaseTransport):
        asked = 0

        async def handle_async_request(self, request):
            await asyncio.sleep(0.001)
            return self.handle_request(request)

        def handle_request(self, request):
            Service.asked += 1
            return httpx.Response(200, json={"said": Service.asked, "to": request.headers.get("x-name")})

    @pytest.fixture
    def client(stageflow_cassette):
        with httpx.Client(transport=stageflow_cassette.transport(Service())) as client:
            yield client

    def ask(client, path="", **headers):
        return client.get("http://127.0.0.1:9/" + path, headers=headers).json()["said"]
"""


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


def test_it_is_recorded_by_the_option_and_replayed_without(pytester: pytest.Pytester) -> None:
    """Without a file there is an error with the command; the option writes it; then the service is not asked."""
    pytester.makepyfile(
        test_it=SERVICE
        + """
    def test_ask(client):
        assert ask(client) == 1

    class TestClass:
        @pytest.mark.parametrize("path", ["a/b", "c"])
        def test_ask(self, client, path):
            ask(client, path)
    """
    )
    folder = pytester.path / "cassettes" / "test_it"
    missing = pytester.runpytest(*OPTIONS)
    missing.assert_outcomes(errors=3)
    missing.stdout.fnmatch_lines(["*there is no cassette yet. Record it: pytest test_it.py::test_ask *-record"])
    assert not folder.exists()

    written = pytester.runpytest(*OPTIONS, RECORD)
    written.assert_outcomes(passed=3)
    written.stdout.fnmatch_lines(["*cassettes recorded*", str(folder / "*")])
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 3
    assert names[2] == "test_ask.json"
    assert names[1].startswith("TestClass.test_ask_c")

    replayed = pytester.runpytest(*OPTIONS)
    replayed.assert_outcomes(passed=3)
    replayed.stdout.no_fnmatch_line("*cassettes recorded*")


def test_a_request_that_is_not_on_it_fails_the_test(pytester: pytest.Pytester) -> None:
    """With what is different, and with the command that records this test anew."""
    source = "\n    def test_ask(client):\n        ask(client, '{}')\n"
    pytester.makepyfile(test_it=SERVICE + source.format("one"))
    pytester.runpytest(*OPTIONS, RECORD).assert_outcomes(passed=1)
    pytester.makepyfile(test_it=SERVICE + source.format("two"))
    result = pytester.runpytest(*OPTIONS)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*url: recorded 'http://127.0.0.1:9/one', asked 'http://127.0.0.1:9/two'",
            "*Record it anew: pytest test_it.py::test_ask --stageflow-record",
        ]
    )


@pytest.mark.parametrize("style", ["auto", "long", "short"])
def test_the_output_of_pytest_shows_no_key(pytester: pytest.Pytester, style: str) -> None:
    """Neither the message nor the frames of the client, whose arguments pytest shows."""
    source = """
    def test_ask(client):
        key = "-".join(["zb3kt9", "of", "a", "team"])
        client.get(f"http://127.0.0.1:9/{{key}}?key={{key}}{more}", headers={{"authorization": f"Bearer {{key}}"}})
    """
    pytester.makepyfile(test_it=SERVICE + source.format(more=""))
    pytester.runpytest(*OPTIONS, RECORD).assert_outcomes(passed=1)
    pytester.makepyfile(test_it=SERVICE + source.format(more="&page=2"))
    result = pytester.runpytest(*OPTIONS, f"--tb={style}")
    result.assert_outcomes(failed=1)
    told = result.stdout.str()
    assert "asked:   GET http://127.0.0.1:9/<redacted>?key=<redacted>&page=2" in told
    assert "zb3kt9-of-a-team" not in told
    assert "client.get(f" in told


def test_what_is_never_asked_fails_a_test_that_passes(pytester: pytest.Pytester) -> None:
    """It fails, rather than its teardown; what failed by itself is not checked, but told what something has caught."""
    source = """
    @pytest.mark.parametrize("which", ["unused", "failed", "caught", "skipped"])
    def test_ask(client, which):
        ask(client)
        {asks}
        if which == "caught":
            try:
                ask(client, "other")
            except BaseException:
                pass
        if which == "failed":
            assert not "failed by itself"
        if which == "skipped":
            pytest.skip("not here")
    """
    pytester.makepyfile(test_it=SERVICE + source.format(asks="ask(client, 'other')"))
    pytester.runpytest(*OPTIONS, RECORD).assert_outcomes(passed=2, failed=1, skipped=1)
    pytester.makepyfile(test_it=SERVICE + source.format(asks=""))
    result = pytester.runpytest(*OPTIONS)
    result.assert_outcomes(failed=3, skipped=1)
    told = result.stdout.str()
    assert "exchange 3 of 3" in told  # of `caught`, which records its three
    assert "exchange 2 of 2, GET http://127.0.0.1:9/other" in told
    assert told.count("CassetteCheckError: ") >= 2
    assert "failed by itself" in told


def test_in_simulated_time_it_is_replayed_for_each_seed(pytester: pytest.Pytester) -> None:
    """It is recorded once, in real time, and begins anew for each seed with its times; each has to ask for all."""
    source = """
    runs = []

    @pytest.mark.stageflow_simulation(seeds=5)
    async def test_ask(stageflow_cassette):
        runs.append(1)
        async with httpx.AsyncClient(transport=stageflow_cassette.transport(Service())) as client:
            await client.get("http://127.0.0.1:9/")
            if {asks}:
                await client.get("http://127.0.0.1:9/")
            print("at", asyncio.get_running_loop().time())

    def test_after():
        assert len(runs) == {runs}
    """
    pytester.makepyfile(test_it=SERVICE + source.format(asks=True, runs=1))
    pytester.runpytest(*OPTIONS, RECORD).assert_outcomes(passed=2)
    file = pytester.path / "cassettes" / "test_it" / "test_ask.json"
    tape = json.loads(file.read_text())
    tape["exchanges"][0]["response"]["after"] = 40.0
    tape["exchanges"][1]["response"]["after"] = 2.0
    file.write_text(json.dumps(tape))

    pytester.makepyfile(test_it=SERVICE + source.format(asks=True, runs=5))
    replayed = pytester.runpytest(*OPTIONS, "-s")
    replayed.assert_outcomes(passed=2)
    assert replayed.stdout.str().count("at 42.0") == 5

    pytester.makepyfile(test_it=SERVICE + source.format(asks="len(runs) != 3", runs=3))
    result = pytester.runpytest(*OPTIONS)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*exchange 2 of 2, GET http://127.0.0.1:9/"])


def test_the_marker_gives_options(pytester: pytest.Pytester) -> None:
    """Those of Cassette, but for the file and the mode."""
    source = """
    @pytest.mark.stageflow_cassette(match_headers=["x-name"])
    def test_ask(client):
        ask(client, **{{"x-name": "{name}"}})

    @pytest.mark.stageflow_cassette("file.json")
    def test_file(stageflow_cassette):
        pass

    @pytest.mark.stageflow_cassette(mode="record")
    def test_mode(stageflow_cassette):
        pass
    """
    pytester.makepyfile(test_it=SERVICE + source.format(name="Ada"))
    pytester.runpytest(*OPTIONS, RECORD).assert_outcomes(passed=1, errors=2)
    pytester.makepyfile(test_it=SERVICE + source.format(name="Bob"))
    result = pytester.runpytest(*OPTIONS)
    result.assert_outcomes(failed=1, errors=2)
    result.stdout.fnmatch_lines(["*takes no file, since each test*", "*headers.x-name: recorded 'Ada', asked 'Bob'"])


def test_a_recording_that_fails_says_so_and_keeps_the_answers(pytester: pytest.Pytester) -> None:
    """They are needed to mend the test; what was refused, and what never asked, leaves the file."""
    pytester.makepyfile(
        test_it=SERVICE
        + """
    def test_ask(client):
        ask(client)
        assert not "wrong"

    def test_nothing(client):
        assert not "wrong"
    """
    )
    result = pytester.runpytest(*OPTIONS, RECORD)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*cassettes recorded*", "*/test_ask.json (its test failed)"])
    assert [path.name for path in (pytester.path / "cassettes" / "test_it").iterdir()] == ["test_ask.json"]


def test_a_service_that_is_down_leaves_the_cassette_as_it_was(pytester: pytest.Pytester) -> None:
    """A test that fails because nothing was answered writes nothing; one that passes meant that, and is recorded."""
    source = """
    def test_ask(client):
        {}
    """
    pytester.makepyfile(test_it=SERVICE + source.format("ask(client)"))
    pytester.runpytest(*OPTIONS, RECORD).assert_outcomes(passed=1)
    file = pytester.path / "cassettes" / "test_it" / "test_ask.json"
    good = file.read_text("utf-8")

    down = SERVICE.replace("Service.asked += 1", "raise httpx.ConnectError('nobody is there')")
    pytester.makepyfile(test_it=down + source.format("ask(client)"))
    result = pytester.runpytest(*OPTIONS, RECORD)
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*cassettes recorded*")
    assert file.read_text("utf-8") == good

    pytester.makepyfile(test_it=down + source.format("pytest.raises(httpx.ConnectError, ask, client)"))
    pytester.runpytest(*OPTIONS, RECORD).assert_outcomes(passed=1)
    assert "nobody is there" in file.read_text("utf-8")


def test_nothing_is_recorded_within_ci(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option that was left in the configuration asks no service there."""
    monkeypatch.setenv("CI", "true")
    pytester.makeini(f"[pytest]\naddopts = {RECORD}")
    pytester.makepyfile(
        test_it=SERVICE
        + """
    def test_ask(client):
        client.get("https://api.example.com/")
    """
    )
    result = pytester.runpytest(*OPTIONS)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*RecordingInCIError: A cassette is to be recorded while*CI is set*"])
    assert not (pytester.path / "cassettes").exists()


def test_the_extra_is_asked_for_where_it_is_used(pytester: pytest.Pytester) -> None:
    """Without httpx other tests run, and this fixture says which line to type."""
    pytester.makeconftest("import sys; sys.modules['httpx'] = None")
    pytester.makepyfile("""
        def test_other(stageflow_golden):
            pass

        def test_ask(stageflow_cassette):
            pass
    """)
    result = pytester.runpytest_subprocess(*OPTIONS)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(['*Cassettes need httpx: pip install "stageflow-mocks?cassettes?"*'])
