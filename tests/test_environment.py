"""What the tests themselves rely on: pinned versions, no network, and warnings that fail."""

import socket
import tomllib
import warnings
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from pytest_socket import SocketConnectBlockedError

ROOT = Path(__file__).resolve().parent.parent


def test_every_installed_version_is_pinned() -> None:
    """What the tests run with is what `constraint-dependencies` says, so that they run with the same elsewhere."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    folders = [str(path) for path in (ROOT / ".venv").glob("lib/python*/site-packages")]
    installed = {
        f"{canonicalize_name(distribution.name)}=={distribution.version}"
        for distribution in distributions(path=folders)
        if not distribution.name.startswith("stageflow-")
    }
    assert installed
    assert set() == installed - set(settings["constraint-dependencies"])


def test_a_connection_beyond_the_loopback_is_refused() -> None:
    """A test that reaches for the network fails, even on a machine that has one."""
    # 192.0.2.0/24 is set aside for documentation (RFC 5737): nothing answers there.
    with pytest.raises(SocketConnectBlockedError):
        socket.create_connection(("192.0.2.1", 80), timeout=0.01)


def test_a_warning_is_an_error() -> None:
    """A deprecation of what we use is seen the day it appears."""
    with pytest.raises(DeprecationWarning):
        warnings.warn("old", DeprecationWarning, stacklevel=1)
