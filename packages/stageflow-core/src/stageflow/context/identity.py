"""Who a run is and for whom it runs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field


def uuid7() -> str:
    """Return a new UUID of version 7: 48 bits of milliseconds since the epoch, then random bits.

    Source: RFC 9562, section 5.7. `uuid.uuid7` of the standard library is there from Python 3.14 on.
    """
    random = int.from_bytes(os.urandom(10), "big")
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62
    text = f"{value | (random & 0x3FFF_FFFF_FFFF_FFFF):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """The ids that every event of a run carries.

    `pipeline_run_id` is new for each run unless given: a UUIDv7, so that ids sort by the time they were made. The
    others are the caller's own.
    """

    pipeline_run_id: str = field(default_factory=uuid7)
    request_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    org_id: str | None = None
    interaction_id: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.pipeline_run_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"pipeline_run_id of a RunIdentity is a string, not {self.pipeline_run_id!r}.")
        for name in _CALLERS_IDS:
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} of a RunIdentity is a string, not {value!r}.")


_CALLERS_IDS = ("request_id", "session_id", "user_id", "org_id", "interaction_id")
