"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Status = Literal["ok", "needs", "missing", "unset"]
"""In this order: it is there; it has to be given, and nobody could look whether it will be; it is not there, or does
not work; it is not there, and need not be."""

MARKS: Mapping[Status, str] = {"ok": "ok", "needs": "needs", "missing": "MISSING", "unset": "unset"}


class Check(NamedTuple):
    """One thing that was looked at. `remedy` says what to do, or is empty."""

    status: Status
    what: str
    remedy: str = ""
