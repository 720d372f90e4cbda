"""What `--fix` writes: every layout of a declaration keeps what it had, and gets what it lacks."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow.lint import lint_files
from stageflow.lint.fixing import Fixed, fix

from lint.corpora import HEADER, Program, programs

STAGES = """
NAMES = ["a"]
NAME = "a"


class A:
    async def execute(self, ctx: StageContext):
        return {"x": 1}


@stage
async def handle():
    return {"x": 1}


class B:
    async def execute(self, ctx: StageContext):
        return {name: ctx.inputs.get_output(name) for name in (READ)}


"""

LAYOUTS = {
    "no options": ('with_stage("b", B)', 'with_stage("b", B, dependencies=("c", "d"))'),
    "a kind": ('with_stage("b", B, StageKind.WORK)', 'with_stage("b", B, StageKind.WORK, dependencies=("c", "d"))'),
    "a trailing comma": ('with_stage("b", B,)', 'with_stage("b", B, dependencies=("c", "d"),)'),
    "lines of their own": (
        'with_stage(\n    "b",  # name\n    B,  # runner\n)',
        'with_stage(\n    "b",  # name\n    B,  # runner\n    dependencies=("c", "d"),\n)',
    ),
    "no comma in the end": (
        'with_stage(\n    "b",\n    B  # runner\n)',
        'with_stage(\n    "b",\n    B,  # runner\n    dependencies=("c", "d")\n)',
    ),
    "a name": ('with_stage("b", B, dependencies="a")', 'with_stage("b", B, dependencies=("a", "c", "d"))'),
    "a name in single quotes": (
        "with_stage('b', B, dependencies='a')",
        "with_stage('b', B, dependencies=('a', \"c\", \"d\"))",
    ),
    "a constant name": ('with_stage("b", B, dependencies=NAME)', 'with_stage("b", B, dependencies=(NAME, "c", "d"))'),
    "a handle": ('with_stage("b", B, dependencies=handle)', 'with_stage("b", B, dependencies=(handle, "c", "d"))'),
    "a constant list": (
        'with_stage("b", B, dependencies=NAMES)',
        'with_stage("b", B, dependencies=(*NAMES, "c", "d"))',
    ),
    "an empty tuple": ('with_stage("b", B, dependencies=())', 'with_stage("b", B, dependencies=("c", "d"))'),
    "an empty list": ('with_stage("b", B, dependencies=[])', 'with_stage("b", B, dependencies=["c", "d"])'),
    "a tuple of one": ('with_stage("b", B, dependencies=("a",))', 'with_stage("b", B, dependencies=("a", "c", "d"))'),
    "a list": ('with_stage("b", B, dependencies=["a"])', 'with_stage("b", B, dependencies=["a", "c", "d"])'),
    "a set": ('with_stage("b", B, dependencies={"a"})', 'with_stage("b", B, dependencies={"a", "c", "d"})'),
    "a tuple over several lines": (
        'with_stage("b", B, dependencies=(\n    "a",  # why\n    handle,  # as well\n))',
        'with_stage("b", B, dependencies=(\n    "a",  # why\n    handle,  # as well\n    "c",\n    "d",\n))',
    ),
    "one over several lines": (
        'with_stage("b", B, dependencies=(\n    "a",  # why\n))',
        'with_stage("b", B, dependencies=(\n    "a",  # why\n    "c",\n    "d",\n))',
    ),
    "a list without a comma in the end": (
        'with_stage("b", B, dependencies=[\n    "a",\n    handle  # why\n])',
        'with_stage("b", B, dependencies=[\n    "a",\n    handle,  # why\n    "c",\n    "d"\n])',
    ),
}


def program(call: str, read: str = '"c", "d"') -> str:
    stages = "".join(f'pipeline = pipeline.with_stage("{name}", A)\n' for name in "acd")
    head = HEADER + STAGES.replace("READ", read)
    return f'{head}pipeline = Pipeline("p", [handle])\n{stages}pipeline = pipeline.{call}\n'


def fixed(folder: Path, text: str) -> tuple[str, Fixed]:
    path = folder / "program.py"
    path.write_bytes(text.encode())
    result = fix([path])
    return path.read_bytes().decode(), result


def comments(text: str) -> list[str]:
    return [
        each.string for each in tokenize.generate_tokens(io.StringIO(text).readline) if each.type == tokenize.COMMENT
    ]


def is_within(text: str, longer: str) -> bool:
    rest = iter(longer)
    return all(each in rest for each in text)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_dependency_is_written_in_the_layout_that_is_there(layout: str, tmp_path: Path) -> None:
    """Nothing else changes."""
    before, after = LAYOUTS[layout]
    text, result = fixed(tmp_path, program(before))
    assert program(after) == text
    assert {str(tmp_path / "program.py"): 2} == result.written
    assert [] == [each for each in result.left if each.rule == "undeclared-read"]


@given(
    call=st.sampled_from([before for before, _ in LAYOUTS.values()]),
    read=st.sampled_from(['"c",', '"d", "c"', '"c", "d", "a", "handle"']),
    newline=st.sampled_from(["\n", "\r\n"]),
    blanks=st.sampled_from(["", "  # tail é\n", "\n\n\n", "x = '\\u00e9ä'; "]),
)
def test_whatever_is_fixed_only_grows_and_needs_no_second_time(
    tmp_path_factory: pytest.TempPathFactory, call: str, read: str, newline: str, blanks: str
) -> None:
    """What was there is still there in its order; comments and line ends are the same; another fix finds nothing."""
    folder = tmp_path_factory.mktemp("fix")
    before = (program(call, read).replace("pipeline = Pipeline", blanks + "pipeline = Pipeline")).replace("\n", newline)
    after, result = fixed(folder, before)
    assert is_within(before, after)
    assert comments(before.replace("\r\n", "\n")) == comments(after.replace("\r\n", "\n"))
    assert (newline == "\r\n") is ("\r\n" in after)
    assert after.count("\n") == after.count(newline)
    assert not [each for each in result.left if each.rule == "undeclared-read"]
    assert {} == fix([folder / "program.py"]).written


FUNCTIONS = (
    HEADER
    + """

@stage
async def a():
    return {"x": 1}


DECORATOR
async def b(ctx: StageContext):
    return {"x": ctx.inputs.get_from("a", "x")}


pipeline = Pipeline("p", [a, b])
"""
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("@stage", '@stage(dependencies="a")'),
        ("@stage  # why", '@stage(dependencies="a")  # why'),
        ("@stage()", '@stage(dependencies="a")'),
        ('@stage(name="b")', '@stage(name="b", dependencies="a")'),
        ("@stage(\n    critical=False,  # why\n)", '@stage(\n    critical=False,  # why\n    dependencies="a",\n)'),
    ],
)
def test_decorators_get_options(before: str, after: str, tmp_path: Path) -> None:
    """With parentheses or without."""
    text, result = fixed(tmp_path, FUNCTIONS.replace("DECORATOR", before))
    assert FUNCTIONS.replace("DECORATOR", after) == text
    assert () == result.left


FIXABLE = [each for each in programs() if any(rule == "undeclared-read" for _, _, rule in each.expected())]


@pytest.mark.parametrize("program", FIXABLE, ids=repr)
def test_programs_of_the_corpus_are_mended(program: Program, tmp_path: Path) -> None:
    """What is left says why; what was there is still there; what is written compiles."""
    paths = program.written(tmp_path)
    result = fix(paths)
    assert all(result.why[each] for each in result.left if each.rule == "undeclared-read")
    assert not [each for each in result.left if each.declaration is not None]
    for path, before in zip(paths, program.files.values(), strict=True):
        after = path.read_text(encoding="utf-8")
        compile(after, str(path), "exec")
        assert is_within(before, after)
        assert comments(before) == comments(after)
    assert {} == fix(paths).written


def test_several_files_and_stages_are_mended_at_once(tmp_path: Path) -> None:
    """Each file is written once, whichever of them the read stands in."""
    (tmp_path / "one.py").write_text(program('with_stage("b", B).with_stage("b2", B, dependencies="a")'))
    (tmp_path / "two.py").write_text(program('with_stage("b", B)'))
    result = fix([tmp_path])
    assert {str(tmp_path / "one.py"): 4, str(tmp_path / "two.py"): 2} == result.written
    assert 'with_stage("b", B, dependencies=("c", "d")).with_stage("b2", B, dependencies=("a", "c", "d"))' in (
        (tmp_path / "one.py").read_text()
    )


def test_no_fix_closes_a_cycle(tmp_path: Path) -> None:
    """Of two stages that read each other one is mended, and the other left to a person."""
    body = "    async def execute(self, ctx):\n        return {'x': ctx.inputs.get_from('{1}', 'x')}\n\n"
    reader = "class {0}:\n" + body.replace("{'x'", "{{'x'").replace(")}\n", ")}}\n")
    chain = 'Pipeline("p").with_stage("a", A).with_stage("b", B)'
    text, result = fixed(tmp_path, f"{HEADER}{reader.format('A', 'b')}{reader.format('B', 'a')}pipeline = {chain}\n")
    assert 'with_stage("a", A, dependencies="b").with_stage("b", B)' in text
    assert ["'a' waits for 'b': that would be a cycle"] == list(result.why.values())


def test_a_call_that_makes_several_stages_is_left(tmp_path: Path) -> None:
    """What one of them lacks is not declared for all."""
    table = 'pipeline = Pipeline("p").with_stage("a", A)\nfor name, runner in (("b", B), ("c", A), ("d", A)):\n'
    text = HEADER + STAGES.replace("READ", '"a",') + table + "    pipeline = pipeline.with_stage(name, runner)\n"
    after, result = fixed(tmp_path, text)
    assert text == after
    assert ["the same call makes other stages, too"] == list(result.why.values())


def test_other_files_are_not_written(tmp_path: Path) -> None:
    """A stage that is declared in a file which was not asked for is left, and that is said."""
    (tmp_path / "stages.py").write_text(FUNCTIONS.replace("DECORATOR", "@stage"))
    (tmp_path / "main.py").write_text(
        "from stageflow import Pipeline\nfrom stages import a, b\np = Pipeline('q', [a, b])\n"
    )
    result = fix([tmp_path / "main.py"])
    assert {} == result.written
    assert "which was not asked for" in next(iter(result.why.values()))


def test_a_fixed_program_finds_its_dependencies_when_it_runs(tmp_path: Path) -> None:
    """It builds, and the read that raised gives the value."""
    fixed(tmp_path, FUNCTIONS.replace("DECORATOR", "@stage") + "print(pipeline.run_sync().data('b')['x'])\n")
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, check=True)
    assert "1\n" == done.stdout


def test_without_libcst_the_error_gives_the_line_to_install_it(tmp_path: Path) -> None:
    """It names the extra."""
    (tmp_path / "libcst.py").write_text("raise ImportError('no libcst')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import stageflow.lint.fixing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'stageflow-core[lint-fix]'" in done.stderr


def test_layouts_are_wrong_before_they_are_fixed(tmp_path: Path) -> None:
    """Each of them lacks two dependencies."""
    for number, (before, _) in enumerate(LAYOUTS.values()):
        path = tmp_path / f"p{number}.py"
        path.write_text(program(before))
        rules = [each.rule for each in lint_files([path])]
        assert ["undeclared-read"] * 2 == list(itertools.islice((r for r in rules if r == "undeclared-read"), 3))
