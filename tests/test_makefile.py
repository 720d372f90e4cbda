"""The Makefile's own promises: its help is complete, and a Python that is too old is told so in one line."""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAKE = shutil.which("make") or "make"


def run_make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # The make that runs these tests hands its own options down and its level, at which it names each folder.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    return subprocess.run([MAKE, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_help_lists_every_target() -> None:
    """A newcomer who types `make` sees all that there is."""
    (phony,) = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    listed = re.findall(r"^  make (\S+) +\S", run_make().stdout, re.MULTILINE)
    assert set(phony.split()) == set(listed)


def test_an_old_python_is_named_with_the_way_out(tmp_path: Path) -> None:
    """Python 3.10 does not fail somewhere inside: one line says what is needed and how to name another one."""
    checkout = tmp_path / "checkout"
    (checkout / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "tools/uv.py"):
        shutil.copy(ROOT / name, checkout / name)
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.10.13" && exit 0\nexit 1\n', encoding="utf-8")
    old.chmod(0o755)
    done = run_make("test", f"PYTHON={old}", cwd=checkout)
    told = done.stderr.splitlines()[0]
    assert f"Stageflow needs Python 3.11 or newer, but {old} is Python 3.10.13." in told
    assert "make PYTHON=python3.12 test" in told
    assert (2, "") == (done.returncode, done.stdout)
