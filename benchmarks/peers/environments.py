"""One virtual environment for each peer, made from its pinned requirements the first time it is asked for."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / "benchmarks" / ".envs"
REQUIREMENTS = Path(__file__).parent / "requirements"

QUIET = {"HAMILTON_TELEMETRY_ENABLED": "false", "HAYSTACK_TELEMETRY_ENABLED": "False", "LANGSMITH_TRACING": "false"}
"""Peers that report home or trace by default must neither be slowed by it nor do it from a benchmark."""


class UnavailableError(Exception):
    """Say why a peer cannot be measured here."""


@dataclass(frozen=True)
class Peer:
    """A framework that we compare ourselves with."""

    name: str
    module: str
    variables: Mapping[str, str] = field(default_factory=lambda: dict(QUIET))

    @property
    def requirements(self) -> Path:
        """Point at the pinned requirements."""
        return REQUIREMENTS / f"{self.name}.txt"

    @property
    def environment(self) -> Path:
        """Point at the environment, which git ignores."""
        return ENVIRONMENTS / self.name

    @property
    def python(self) -> Path:
        """Point at the environment's interpreter."""
        return self.environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


PEERS = (
    Peer("langgraph", "benchmarks.peers.on_langgraph"),
    Peer("hamilton", "benchmarks.peers.on_hamilton"),
    Peer("haystack", "benchmarks.peers.on_haystack"),
    Peer("pydantic-graph", "benchmarks.peers.on_pydantic_graph"),
    Peer("dask", "benchmarks.peers.on_dask"),
)


def fingerprint(peer: Peer) -> str:
    """Change when an environment must be made anew."""
    return hashlib.sha256(peer.requirements.read_bytes() + sys.version.encode()).hexdigest()


def is_ready(peer: Peer) -> bool:
    """Tell whether the environment holds what the requirements ask for now."""
    stamp = peer.environment / "requirements.sha256"
    return peer.python.exists() and stamp.exists() and stamp.read_text() == fingerprint(peer)


def prepare(peer: Peer) -> None:
    """Make the environment unless it is ready; raises UnavailableError with the installer's last words."""
    if is_ready(peer):
        return
    shutil.rmtree(peer.environment, ignore_errors=True)
    for command in installation(peer):
        run(command, timeout_s=600)
    (peer.environment / "requirements.sha256").write_text(fingerprint(peer))


def installation(peer: Peer) -> Sequence[Sequence[str]]:
    """Give the commands that make an environment: by uv where there is one, else by venv and pip."""
    environment, python, requirements = str(peer.environment), str(peer.python), str(peer.requirements)
    uv = find_uv()
    if uv is None:
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements]
        return [[sys.executable, "-m", "venv", environment], pip]
    venv = [uv, "venv", "--quiet", "--python", sys.executable, environment]
    return [venv, [uv, "pip", "install", "--quiet", "--python", python, "-r", requirements]]


def find_uv() -> str | None:
    """Look for uv on the path, then beside this interpreter, then among the project's own tools."""
    places = [os.environ.get("PATH", ""), str(Path(sys.executable).parent), str(ROOT / ".tools" / "bin")]
    return shutil.which("uv", path=os.pathsep.join(places))


def run(command: Sequence[str], *, timeout_s: float, variables: Mapping[str, str] | None = None) -> str:
    """Run a command from the repository's root and gives what it prints."""
    environment = {**os.environ, **(variables or {})}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{Path(command[0]).name} took longer than {timeout_s:g} s") from None
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UnavailableError(words[-1])
    return done.stdout
