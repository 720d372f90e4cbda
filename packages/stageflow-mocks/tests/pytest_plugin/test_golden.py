"""`stageflow_golden`: what is compared, what is shown, what is written and when."""

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
UPDATE = "--stageflow-update-golden"

TEST = """
    import asyncio, pytest

    async def test_reply(stageflow_golden):
        await asyncio.sleep(0)
        stageflow_golden({value})
"""


def test_an_output_that_was_written_is_compared_from_then_on(pytester: pytest.Pytester) -> None:
    """Without a file the test fails, with the option it is written, then it passes until the output changes."""
    pytester.makepyfile(test_it=TEST.format(value="{'text': 'Grüße', 'words': (1, 2)}"))
    golden = pytester.path / "golden" / "test_it" / "test_reply.json"

    missing = pytester.runpytest(*OPTIONS)
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(
        ["*There is no golden output yet: *", "*    pytest test_it.py::test_reply *update-golden"]
    )
    assert not golden.exists()

    written = pytester.runpytest(*OPTIONS, UPDATE)
    written.assert_outcomes(passed=1)
    written.stdout.fnmatch_lines(["*golden outputs written*", str(golden)])
    assert golden.read_text("utf-8") == '{\n  "text": "Grüße",\n  "words": [\n    1,\n    2\n  ]\n}\n'

    pytester.runpytest(*OPTIONS).assert_outcomes(passed=1)

    pytester.makepyfile(test_it=TEST.format(value="{'text': 'Grüße', 'words': (1, 3)}"))
    changed = pytester.runpytest(*OPTIONS)
    changed.assert_outcomes(failed=1)
    changed.stdout.fnmatch_lines(
        [
            "*Not the golden output: *",
            "*-    2",
            "*+    3",
            "*    pytest test_it.py::test_reply --stageflow-update-golden",
        ]
    )


def test_what_workers_of_xdist_write_is_listed(pytester: pytest.Pytester) -> None:
    """The files are listed once each, whichever process has written them."""
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_number(stageflow_golden, number):
            stageflow_golden(str(number))
    """
    )
    options = ["-p", "no:randomly", "-p", "no:cov", "-o", "asyncio_default_fixture_loop_scope=function"]
    result = pytester.runpytest_subprocess(*options, "-n", "2", UPDATE)
    result.assert_outcomes(passed=4)
    files = sorted((pytester.path / "golden" / "test_it").iterdir())
    listed = [line for line in result.outlines if line.endswith(".txt")]
    assert listed == [str(path) for path in files]
    assert len(files) == 4
    pytester.runpytest_subprocess(*options, "-n", "2").assert_outcomes(passed=4)


def test_a_command_that_is_shown_updates_the_file(pytester: pytest.Pytester) -> None:
    """The file is replaced, and nothing is written again that has not changed."""
    pytester.makepyfile(test_it=TEST.format(value="'one'"))
    pytester.runpytest(*OPTIONS, UPDATE)
    pytester.makepyfile(test_it=TEST.format(value="'two'"))
    pytester.runpytest(*OPTIONS, "test_it.py::test_reply", UPDATE).assert_outcomes(passed=1)
    assert "two\n" == (pytester.path / "golden" / "test_it" / "test_reply.txt").read_text()
    again = pytester.runpytest(*OPTIONS, UPDATE)
    again.assert_outcomes(passed=1)
    again.stdout.no_fnmatch_line("*golden outputs written*")


def test_a_json_file_may_be_laid_out_in_another_way(pytester: pytest.Pytester) -> None:
    """An editor that formats JSON changes nothing; another value does, a number of another kind too."""
    pytester.makepyfile(test_it=TEST.format(value="{'b': 1, 'a': [True]}"))
    pytester.runpytest(*OPTIONS, UPDATE)
    golden = pytester.path / "golden" / "test_it" / "test_reply.json"
    golden.write_text('{"b":1,"a":[true]}')
    pytester.runpytest(*OPTIONS).assert_outcomes(passed=1)
    golden.write_text('{"b":true,"a":[true]}')
    pytester.runpytest(*OPTIONS).assert_outcomes(failed=1)
    golden.write_text("not json")
    pytester.runpytest(*OPTIONS).assert_outcomes(failed=1)


def test_several_outputs_parameters_and_classes_have_files_of_their_own(pytester: pytest.Pytester) -> None:
    """No two outputs share a file, not even those whose names differ only in what a file's name cannot hold."""
    pytester.makepyfile(
        test_it="""
        import pytest

        def test_two(stageflow_golden):
            stageflow_golden("first", name="first")
            stageflow_golden({"n": 2}, name="second")

        class TestClass:
            @pytest.mark.parametrize("x", ["a/b", "a b"])
            def test_it(self, x, stageflow_golden):
                stageflow_golden(x)
    """
    )
    pytester.runpytest(*OPTIONS, UPDATE).assert_outcomes(passed=3)
    files = {path.name: path.read_text() for path in (pytester.path / "golden" / "test_it").iterdir()}
    assert sorted(files.values()) == ["a b\n", "a/b\n", "first\n", '{\n  "n": 2\n}\n']
    assert {"test_two.first.txt", "test_two.second.json"} < set(files)
    pytester.runpytest(*OPTIONS).assert_outcomes(passed=3)


def test_what_varies_is_left_out_wherever_it_is(pytester: pytest.Pytester) -> None:
    """A value that differs each time is not compared; that it is there is."""
    pytester.makepyfile(
        test_it="""
        import time

        class Results:
            def to_dict(self):
                return {"at": time.time(), "stages": [{"duration_ms": time.perf_counter(), "name": "reply"}]}

        def test_it(stageflow_golden):
            stageflow_golden(Results(), varying=["at", "duration_ms"])
    """
    )
    pytester.runpytest(*OPTIONS, UPDATE).assert_outcomes(passed=1)
    written = json.loads((pytester.path / "golden" / "test_it" / "test_it.json").read_text())
    assert written == {"at": "<varies>", "stages": [{"duration_ms": "<varies>", "name": "reply"}]}
    pytester.runpytest(*OPTIONS).assert_outcomes(passed=1)


def test_every_seed_of_a_simulated_test_gives_the_same(pytester: pytest.Pytester) -> None:
    """An output that depends on the order of tasks is found when it is written, and nothing else is written over it."""
    pytester.makepyfile(
        test_it="""
        import asyncio, pytest

        @pytest.mark.stageflow_simulation(seeds=20)
        async def test_same(stageflow_golden):
            stageflow_golden("the same")

        @pytest.mark.stageflow_simulation(seeds=20)
        async def test_differs(stageflow_golden):
            stageflow_golden({"drawn": asyncio.get_running_loop().random.random()})
    """
    )
    result = pytester.runpytest(*OPTIONS, UPDATE)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*It differs from what this session has given*", "*under seed 1, number 2 of 20*"])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("{1, 2}", "this set is neither: Object of type set is not JSON serializable"),
        ("float('nan')", "this float is neither"),
        ("b'x'", "this bytes is neither"),
        ("{'a': 1}, varying=['b']", "names keys that are nowhere in the output: b"),
        ("{'started_at': 1}, varying=['startd_at']", "startd_at. Did you mean 'started_at'?"),
        ("{'a': 1}, varying='a'", "takes several keys, not one: write ['a']"),
        ("'text', varying=['a']", "is about the keys of JSON, and this is text"),
        ("'one'); stageflow_golden('two'", "called twice under one name"),
    ],
)
def test_what_cannot_be_compared_is_refused(pytester: pytest.Pytester, call: str, told: str) -> None:
    """It is refused when it is given, in an update too, and nothing is written for it."""
    pytester.makepyfile(test_it=TEST.format(value=call))
    result = pytester.runpytest(*OPTIONS, UPDATE)
    result.assert_outcomes(failed=1)
    assert told in result.stdout.str()
    assert "json/encoder.py" not in result.stdout.str()
