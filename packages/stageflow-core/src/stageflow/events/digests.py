"""The hash that stands in an event for what must not be in it."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any


def sha256_of(data: bytes | memoryview) -> str:
    """Return the SHA-256 of the data in hexadecimal."""
    return _hashlib().sha256(data, usedforsecurity=False).hexdigest()


@cache
def _hashlib() -> Any:
    # When first needed: few events hold bytes, and every program that imports stageflow would pay for it.
    return import_module("hashlib")
