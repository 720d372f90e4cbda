"""The wheels as a user gets them: built, their metadata read, and each installed alone in a clean environment."""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
IMPORT_NAMES = {
    "stageflow-core": "stageflow",
    "stageflow-plus": "stageflow_plus",
    "stageflow-mocks": "stageflow_mocks",
    "stageflow-observability": "stageflow_observability",
}
TESTS_OF_A_USER = """
import asyncio, pytest
from stageflow import Pipeline, stage
from stageflow.providers import LLMRequest, Message

@stage
async def slow():
    await asyncio.sleep(3600)
    return {"text": "done"}

@pytest.mark.stageflow_simulation(seeds=50)
async def test_pipeline_golden(stageflow_golden):
    results = await Pipeline("slow", [slow]).run()
    assert results.duration_ms == 3_600_000
    stageflow_golden(results.data(slow))

@pytest.mark.stageflow_llm("Hello.")
@pytest.mark.stageflow_simulation(seeds=2)
async def test_mock(stageflow_llm):
    assert (await stageflow_llm.complete(LLMRequest([Message("user", "Hi")]))).text == "Hello."

@pytest.mark.stageflow_tasks(left="fail")
@pytest.mark.stageflow_simulation(seeds=2)
async def test_leaks():
    asyncio.create_task(asyncio.sleep(1))

def test_plain():
    pass

def needs_server(stageflow_groq_server):
    pass
"""
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


def test_the_pytest_plugin_needs_core_and_mocks_alone(wheels: dict[str, Wheel], tmp_path: Path) -> None:
    """In an environment of core, mocks and pytest, without any other plugin, it simulates, checks and compares."""
    environment, mocks = tmp_path / "environment", wheels["stageflow-mocks"]
    run_uv("venv", "--quiet", environment)
    asked = [wheels["stageflow-core"].path, f"stageflow-mocks[pytest] @ {mocks.path.as_uri()}"]
    pinned = tmp_path / "pins"
    pinned.write_text(f"pytest=={version('pytest')}\npluggy=={version('pluggy')}\n")
    run_uv("pip", "install", "--quiet", "--python", environment, "--constraint", pinned, *asked)
    (tmp_path / "test_it.py").write_text(TESTS_OF_A_USER)

    def run_pytest(*arguments: str) -> str:
        command = [environment / "bin" / "python", "-I", "-m", "pytest", "-W", "error", "--strict-markers", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout

    told = run_pytest("--stageflow-update-golden")
    assert "1 failed, 3 passed" in told
    assert "made at" in told
    assert "pytest test_it.py::test_leaks --stageflow-seed=0" in told
    assert "2 passed" in run_pytest("-k", "golden or mock")
    assert 'pip install "stageflow-mocks[server]"' in run_pytest("--override-ini=python_functions=needs_*")


def extras(wheel: Wheel) -> list[str]:
    return wheel.metadata.get_all("Provides-Extra", [])
