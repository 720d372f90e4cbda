"""What is done with one test: something is put around it, and it is run again."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import pytest


def command_for(item: pytest.Item, *options: str) -> str:
    """Return what to type, in the folder where pytest was started, to run this test alone with these options."""
    config = item.config
    inside = item.nodeid.partition("::")[2]
    where = os.path.relpath(item.path, config.invocation_params.dir)
    # Where pytest-randomly is at work, what the test draws from `random` follows from its seed.
    randomly = config.getoption("randomly_seed", default=None)
    if isinstance(randomly, int):
        options = (*options, f"--randomly-seed={randomly}")
    return shlex.join(["pytest", f"{where}::{inside}", *options])


def rewrapped(test: Any, around: Callable[[Any], Any]) -> Any:
    """Put something around a test function; a method stays one, of the same instance."""
    if isinstance(test, MethodType):
        return MethodType(around(test.__func__), test.__self__)
    return around(test)


def file_of(item: pytest.Item, folder: str, suffix: str) -> Path:
    """Return the file that a test has in this folder beside it: `<folder>/<test file>/<test><suffix>`."""
    inside = item.nodeid.partition("::")[2].replace("::", ".")
    return item.path.parent / folder / item.path.stem / f"{file_name(inside)}{suffix}"


def file_name(text: str) -> str:
    """Return a name that every file system takes; a digest keeps apart what would become the same."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:100]
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
