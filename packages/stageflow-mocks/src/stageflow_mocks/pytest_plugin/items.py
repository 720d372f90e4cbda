"""What is done with one test: something is put around it, and it is run again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
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
