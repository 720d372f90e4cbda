"""The wheels as a user gets them: built, their metadata read, and each installed alone in a clean environment."""

import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.page_project import Project, blocks_of

ROOT = Path(__file__).resolve().parent.parent
TESTING = ROOT / "docs" / "how-to" / "testing.md"
TESTS_OF_THE_PLUGIN = ROOT / "packages" / "stageflow-mocks" / "tests" / "pytest_plugin" / "test_simulation_marker.py"
IMPORT_NAMES = {
    "stageflow-core": "stageflow",
    "stageflow-plus": "stageflow_plus",
    "stageflow-mocks": "stageflow_mocks",
    "stageflow-observability": "stageflow_observability",
}
SIBLINGS = [name for name in IMPORT_NAMES if name != "stageflow-core"]


@dataclass(frozen=True)
class Wheel:
    """A built wheel: its file, the names of the files in it, and its metadata."""

    path: Path
    files: frozenset[str]
    metadata: Message

    @property
    def version(self) -> str:
        """The version that the metadata states."""
        return self.metadata["Version"]

    def required(self) -> list[Requirement]:
        """Return what is installed with the wheel when no extra is asked for."""
        return [requirement for requirement in self._requirements() if requirement.marker is None]

    def required_by(self, extra: str) -> list[Requirement]:
        """Return what `extra` adds."""
        return [r for r in self._requirements() if r.marker is not None and r.marker.evaluate({"extra": extra})]

    def _requirements(self) -> list[Requirement]:
        return [Requirement(line) for line in self.metadata.get_all("Requires-Dist", [])]


def run_uv(*arguments: str | Path) -> None:
    """Run the workspace's uv, and fail the test with all that it printed."""
    command = [sys.executable, ROOT / "tools" / "uv.py", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def read_wheel(path: Path) -> Wheel:
    with zipfile.ZipFile(path) as archive:
        files = frozenset(archive.namelist())
        (metadata,) = [name for name in files if name.endswith(".dist-info/METADATA")]
        return Wheel(path, files, message_from_bytes(archive.read(metadata)))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Wheel]:
    """Build all four once, each by way of its sdist, as a release does."""
    folder = tmp_path_factory.mktemp("dist")
    run_uv("build", "--all-packages", "--out-dir", folder, ROOT)
    built = [read_wheel(path) for path in folder.glob("*.whl")]
    return {wheel.metadata["Name"]: wheel for wheel in built}


def test_every_distribution_is_built(wheels: dict[str, Wheel]) -> None:
    """The four distributions of the workspace are the four that a release holds."""
    assert set(IMPORT_NAMES) == set(wheels)


def test_core_requires_nothing(wheels: dict[str, Wheel]) -> None:
    """Installing core brings no other distribution."""
    assert [] == [requirement.name for requirement in wheels["stageflow-core"].required()]


def test_core_offers_each_sibling_as_an_extra_of_its_own_version(wheels: dict[str, Wheel]) -> None:
    """`stageflow-core[plus]` installs the plus that was released with that core."""
    core = wheels["stageflow-core"]
    offered = {extra: [str(r).split(";")[0].strip() for r in core.required_by(extra)] for extra in extras(core)}
    siblings = {name.removeprefix("stageflow-"): [f"{name}=={core.version}"] for name in SIBLINGS}
    assert siblings == {extra: given for extra, given in offered.items() if extra in siblings}


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_sibling_requires_the_core_of_its_own_version_and_nothing_else(wheels: dict[str, Wheel], name: str) -> None:
    """A sibling's third parties are extras, and it never meets a core that it was not tested with."""
    core = wheels["stageflow-core"]
    assert [f"stageflow-core=={core.version}"] == [str(requirement) for requirement in wheels[name].required()]


def test_extras_name_what_they_are_for(wheels: dict[str, Wheel]) -> None:
    """Each extra brings the libraries that the README promises."""
    brought = {
        (name, extra): {requirement.name for requirement in wheels[name].required_by(extra)}
        for name in IMPORT_NAMES
        for extra in extras(wheels[name])
        if f"stageflow-{extra}" not in SIBLINGS
    }
    assert {
        ("stageflow-core", "cli-rich"): {"rich"},
        ("stageflow-core", "lint-fix"): {"libcst"},
        ("stageflow-core", "graph-svg"): {"fast-sugiyama"},
        ("stageflow-plus", "groq"): {"groq", "httpx"},
        ("stageflow-mocks", "auth"): {"joserfc"},
        ("stageflow-mocks", "cassettes"): {"httpx"},
        ("stageflow-mocks", "clock"): {"time-machine"},
        ("stageflow-mocks", "pytest"): {"pytest"},
        ("stageflow-mocks", "server"): {"python-multipart", "starlette", "uvicorn"},
    } == brought


@pytest.mark.parametrize(("name", "package"), IMPORT_NAMES.items())
def test_a_wheel_is_typed_licensed_and_for_our_floor(wheels: dict[str, Wheel], name: str, package: str) -> None:
    """A wheel carries the marker for type checkers and the licence, and nothing outside its own package."""
    wheel = wheels[name]
    assert f"{package}/py.typed" in wheel.files
    assert any(file.endswith("/licenses/LICENSE") for file in wheel.files)
    assert {package, f"{wheel.path.name.split('-')[0]}-{wheel.version}.dist-info"} == {
        file.split("/")[0] for file in wheel.files
    }
    assert ("MIT", ">=3.11") == (wheel.metadata["License-Expression"], wheel.metadata["Requires-Python"])


@pytest.mark.parametrize(("name", "package"), IMPORT_NAMES.items())
def test_a_wheel_imports_alone(wheels: dict[str, Wheel], tmp_path: Path, name: str, package: str) -> None:
    """In an environment that holds it and what it requires, every wheel imports, silently and without any extra."""
    environment = tmp_path / "environment"
    run_uv("venv", "--quiet", environment)
    # Both wheels are given as files, so that no index is ever asked for a distribution of our name.
    files = {wheels[name].path, wheels["stageflow-core"].path}
    run_uv("pip", "install", "--quiet", "--python", environment, *sorted(files))
    python = environment / "bin" / "python"
    done = subprocess.run(
        [python, "-I", "-W", "error", "-c", f"import {package}; print({package}.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == done.stderr
    assert Path(done.stdout.strip()).is_relative_to(environment)


def test_the_command_of_core_needs_no_extra(wheels: dict[str, Wheel], tmp_path: Path) -> None:
    """In an environment that holds core alone, it begins a project, runs it, and says what a picture needs."""
    environment = tmp_path / "environment"
    run_uv("venv", "--quiet", environment)
    run_uv("pip", "install", "--quiet", "--python", environment, wheels["stageflow-core"].path)

    def stageflow(*arguments: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        command = [environment / "bin" / "stageflow", *arguments]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)

    assert f"stageflow {wheels['stageflow-core'].version}\n" == stageflow("--version").stdout
    assert 0 == stageflow("new", "hello").returncode
    source = tmp_path / "hello" / "src"
    assert (
        "3 words, 3 different ones"
        in stageflow("run", "hello.pipeline:pipeline", "--input", "a b c", cwd=source).stdout
    )
    assert "No findings.\n" == stageflow("lint", ".", cwd=source).stdout
    drawn = stageflow("graph", "hello.pipeline:pipeline", "--format", "svg", cwd=source)
    assert (2, True) == (drawn.returncode, 'pip install "stageflow-core[graph-svg]"' in drawn.stderr)


@pytest.fixture(scope="module")
def newcomers(wheels: dict[str, Wheel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds what docs/how-to/testing.md says first: core, mocks and pytest."""
    environment = tmp_path_factory.mktemp("newcomer") / "environment"
    run_uv("venv", "--quiet", environment)
    asked = re.findall(r"stageflow-mocks(\[.*\])", blocks_of(TESTING.read_text("utf-8"))[0].text)
    # All wheels are given as files, so that no index is ever asked for a distribution of our name.
    mocks = [f"stageflow-mocks{extras} @ {wheels['stageflow-mocks'].path.as_uri()}" for extras in asked]
    pinned = environment.parent / "pins"
    pinned.write_text(f"pytest=={version('pytest')}\npluggy=={version('pluggy')}\n")
    core = wheels["stageflow-core"].path
    run_uv("pip", "install", "--quiet", "--python", environment, "--constraint", pinned, core, *mocks)
    return environment / "bin"


def test_a_newcomer_comes_to_what_the_page_says(newcomers: Path, tmp_path: Path) -> None:
    """The blocks of docs/how-to/testing.md, up to where more is installed, do in that environment what they say."""
    project = Project(tmp_path, newcomers, is_shown_alone=True)
    begin, *rest = blocks_of(TESTING.read_text("utf-8"))
    assert begin.is_preparing
    played = list(takewhile(lambda block: not block.is_preparing, rest))
    for block in played:
        project.play(block)
    assert {"chat.py", "test_chat.py", "test_counting.py"} < {path.name for path in tmp_path.iterdir()}


def test_the_pytest_plugin_passes_its_tests_with_core_and_mocks_alone(newcomers: Path, tmp_path: Path) -> None:
    """Some that run pytest within pytest do so there, too; a fixture that lacks its libraries says what to install."""
    shutil.copy(TESTS_OF_THE_PLUGIN, tmp_path)
    (tmp_path / "test_it.py").write_text("def test_extra(stageflow_groq_server):\n    pass\n")
    chosen = "none or each_seed or command_that_is_shown or one_seed_may or extra"
    command = [newcomers / "python", "-I", "-m", "pytest", "-q", "-W", "error", "--strict-markers", "-k", chosen]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert re.search(r"^4 passed, \d+ deselected, 1 error", told, re.MULTILINE), told
    assert 'pip install "stageflow-mocks[server]"' in told


def extras(wheel: Wheel) -> list[str]:
    return wheel.metadata.get_all("Provides-Extra", [])
