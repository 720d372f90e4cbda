"""What may be asked for, and the one clear line for what cannot be linted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from stageflow.errors import NoPipelineError, UnreadableSourceError
from stageflow.lint import lint
from stageflow.lint.building import Building
from stageflow.lint.modules import Modules

from lint.corpora import HEADER, programs, shown

READER = """
class A:
    async def execute(self, ctx: StageContext):
        return {"x": ctx.inputs.get_from("z", "x")}

"""
TWO = (
    HEADER + READER + 'one = Pipeline("one").with_stage("a", A)\ntwo = Pipeline("two").with_stage("b", A)\nodd = [1]\n'
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_are_searched_but_for_hidden_and_generated_ones(folder: Path) -> None:
    """In the order of their names."""
    for name in ("b/x.py", "a/deep/y.py", ".venv/z.py", "node_modules/z.py", "a/__pycache__/z.py", "a/text.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(TWO)
    assert ["a/deep/y.py"] * 2 + ["b/x.py"] * 2 == [each.place.path for each in lint(["."])]


def test_the_same_file_is_linted_once(folder: Path) -> None:
    """However often it is asked for."""
    (folder / "x.py").write_text(TWO)
    assert 2 == len(lint(["x.py", ".", Path("x.py")]))


def test_a_single_pipeline_is_found_without_importing_anything(folder: Path) -> None:
    """In the current folder, and only it is looked at."""
    (folder / "app").mkdir()
    (folder / "app/__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "app/chat.py").write_text(TWO + "raise RuntimeError('imported')\n")
    (found,) = lint(["app.chat:two"])
    assert ("two", "b", "z") == (found.pipeline, found.stage, found.about)
    assert "app" not in sys.modules
    assert [found] == lint(["app/chat.py:two"])  # as the other commands take it


def test_a_single_pipeline_is_found_along_the_path(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """As an import would find it."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "pipelines_elsewhere.py").write_text(TWO)
    monkeypatch.syspath_prepend(elsewhere)
    assert ["one"] == [each.pipeline for each in lint(["pipelines_elsewhere:one"])]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("x:thre", "x:thre is no pipeline: x.py defines no 'thre'. Pipelines: one, two."),
        ("x:on", "x:on is no pipeline: x.py defines no 'on'. Did you mean 'one'? Pipelines: one, two."),
        ("x:odd", "x:odd is no pipeline: 'odd' in x.py is no Pipeline. Pipelines: one, two."),
        ("x:A", "x:A is no pipeline: 'A' in x.py is no Pipeline. Pipelines: one, two."),
    ],
)
def test_an_attribute_that_is_no_pipeline_is_an_error(folder: Path, target: str, told: str) -> None:
    """Which says what there is."""
    (folder / "x.py").write_text(TWO)
    with pytest.raises(NoPipelineError) as raised:
        lint([target])
    assert told == str(raised.value)


def test_an_attribute_that_only_running_could_tell_is_an_error(folder: Path) -> None:
    """It is not taken for a pipeline without faults."""
    (folder / "x.py").write_text("import json\nmade = json.loads('1')\n")
    with pytest.raises(NoPipelineError, match=r"what it is cannot be told from x\.py without running it"):
        lint(["x:made"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"def (:\n", "x.py:1: does not parse: invalid syntax."),
        (b"x = 1\n  y = 2\n", "x.py:2: does not parse: unexpected indent."),
        (b"\x00\x01\x02", "x.py: is no text that Python can read."),
        (b"\xff\xfe\x00x", "x.py: is no text that Python can read."),
        (b"# coding: nonsense\n", "x.py: is no text that Python can read."),
        (b"x = '" + "é".encode("latin-1") + b"'\n", "x.py: is no text that Python can read."),
        (b"x = " + b"-" * 20_000 + b"1\n", "nested too deeply"),
        (b"x = " + b"not " * 600 + b"1\n", "x.py: is nested too deeply to be followed."),
        (b"x = " + b"(" * 3_000 + b")" * 3_000, "does not parse"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(folder: Path, content: bytes, told: str) -> None:
    """Of one line, with the file and, where it is known, the line."""
    (folder / "x.py").write_bytes(content)
    with pytest.raises(UnreadableSourceError) as raised:
        lint(["x.py"])
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "x.py" == raised.value.path


@pytest.mark.parametrize("target", ["nowhere.py", "no/folder", "nowhere:pipeline", "x y:pipeline", ":pipeline", ""])
def test_what_is_not_there_is_an_error(folder: Path, target: str) -> None:
    """A path or a module; an empty one is not the current folder."""
    with pytest.raises(UnreadableSourceError, match=r"there is no such file or folder|no such module|'': is no path"):
        lint([target])


def test_a_file_that_cannot_be_opened_is_an_error(folder: Path) -> None:
    """A dangling link, for one."""
    (folder / "x.py").symlink_to(folder / "gone.py")
    with pytest.raises(UnreadableSourceError, match=r"x\.py"):
        lint(["."])


def test_an_imported_module_that_does_not_parse_is_as_good_as_not_there(folder: Path) -> None:
    """It was not asked for."""
    (folder / "broken.py").write_text("def (:\n")
    (folder / "x.py").write_text(TWO.replace("class A", "from broken import thing\n\nclass A"))
    assert 2 == len(lint(["x.py"]))


def test_modules_that_import_each_other_are_followed(folder: Path) -> None:
    """A long chain of imports, and a circle, need no recursion."""
    for number in range(300):
        after = (number + 1) % 300
        (folder / f"m{number}.py").write_text(f"from m{after} import X{after}\nX{number} = 'z'\nY = X{after}\n")
    (folder / "x.py").write_text("from m0 import X0\n" + TWO.replace('"z"', "X0"))
    assert ["z", "z"] == [each.about for each in lint(["x.py"])]


def test_names_are_found_in_the_packages_around(folder: Path) -> None:
    """With and without `__init__.py`, absolutely and relatively."""
    (folder / "pyproject.toml").write_text("")
    (folder / "app/stages").mkdir(parents=True)
    (folder / "app/names.py").write_text("Z = 'z'\n")
    (folder / "app/stages/chat.py").write_text("from app.names import Z\n" + TWO.replace('"z"', "Z"))
    assert ["z", "z"] == [each.about for each in lint(["app/stages/chat.py"])]
    (folder / "app/__init__.py").write_text("")
    (folder / "app/stages/__init__.py").write_text("from ..names import *\n")
    (folder / "app/stages/chat.py").write_text("from . import Z\n" + TWO.replace('"z"', "Z"))
    assert ["z", "z"] == [each.about for each in lint(["app/stages"])]


def test_a_lint_leaves_nothing_to_the_next_one(tmp_path: Path) -> None:
    """Programs of the same file name, one after the other, have their own findings."""
    for program in programs()[:30]:
        assert program.expected() == shown(lint([str(path) for path in program.written(tmp_path)]))


def grown(lines: int) -> str:
    """A pipeline that is built by one call on the other."""
    steps = "".join(f'    .with_stage("s{n}", A, dependencies="s{n - 1}")\n' for n in range(1, lines))
    return HEADER + READER.replace('"z"', '"s0"') + f'pipeline = (\n    Pipeline("p").with_stage("s0", A)\n{steps})\n'


def test_a_thousand_builder_calls_in_one_expression_are_followed(folder: Path) -> None:
    """Receivers are followed without recursion."""
    (folder / "x.py").write_text(grown(1000))
    found = lint(["x.py"])
    assert 998 == len([each for each in found if each.rule == "undeclared-read"])


def test_calls_that_multiply_are_not_followed_for_ever(folder: Path) -> None:
    """Twenty functions, each of which calls the one before ten times, and loops in loops in loops."""
    functions = "".join(f"def f{n}(ctx, x):\n" + f"    f{n - 1}(ctx, x + 'a')\n" * 10 for n in range(1, 20))
    loops = "def g(p: Pipeline):\n"
    for depth in range(3):
        loops += f"{'    ' * (depth + 1)}for x{depth} in N:\n"
    loops += "                p = p.with_stage(x0 + x1 + x2, A)\n"
    source = f"{HEADER}N = {[str(n) for n in range(60)]}\ndef f0(ctx, x):\n    ctx.inputs.get_from(x, 'x')\n{functions}"
    reader = READER.replace("return", "f19(ctx, '')\n        return")
    (folder / "x.py").write_text(f'{source}{reader}{loops}p = Pipeline("p").with_stage("a", A)\n')
    assert ["z", "z"] == [each.about for each in lint(["x.py"])]


def test_loops_make_no_more_than_the_source_is_long(folder: Path) -> None:
    """Of 216,000 stages some are followed."""
    loops = "p = Pipeline('p')\n" + "".join(f"{'    ' * depth}for x{depth} in N:\n" for depth in range(3))
    source = (
        f"{HEADER}{READER}N = {[str(n) for n in range(60)]}\n{loops}            p = p.with_stage(x0 + x1 + x2, A)\n"
    )
    (folder / "x.py").write_text(source)
    modules = Modules()
    building = Building(modules)
    building.evaluator.run_module(modules.ask_for(Path("x.py")))
    assert 1_000 < len(building.stages) < 10_000


LIBRARY = (
    HEADER
    + """
class Reads:
    def __init__(self, source):
        self._source = source

    async def execute(self, ctx: StageContext):
        ctx.inputs.get_output("a").data.get("of_others")
        return {"x": ctx.inputs.get_from(self._source, "x")}


@stage
async def alone(a: dict[str, Any], missing: dict[str, Any]):
    return {"x": [a, missing]}
"""
)
USER = (
    HEADER
    + """
from library import Reads, alone

class A:
    async def execute(self, ctx: StageContext):
        return {"x": 1}

pipeline = (
    Pipeline("p", [alone])
    .with_stage("a", A)
    .with_stage("b", Reads("z"), dependencies="a")
    .with_stage("z", A)
)
"""
)


def test_what_is_wrong_with_a_stage_of_a_library_is_told_of_where_it_is_used(folder: Path) -> None:
    """Whoever uses it can mend that; what it reads for others is no fault."""
    (folder / "library.py").write_text(LIBRARY)
    (folder / "user.py").write_text(USER)
    lines = USER.splitlines()
    found = lint(["user.py"])
    assert ["user.py"] * 2 == [each.place.path for each in found]
    told = [(each.rule, lines[each.place.line - 1].strip()) for each in found]
    assert ("unknown-stage", 'Pipeline("p", [alone])') == told[0]
    assert ("undeclared-read", '.with_stage("b", Reads("z"), dependencies="a")') == told[1]
    for each, line in zip(found, ("missing:", "self._source"), strict=True):
        place = next(number for number, text in enumerate(LIBRARY.splitlines(), 1) if line in text and "=" not in text)
        assert each.message.endswith(f"library.py, line {place}.")
