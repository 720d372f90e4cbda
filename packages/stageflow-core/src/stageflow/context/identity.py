"""Who a run is and for whom it runs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from stageflow.value import Value


def uuid7() -> str:
    """Return a new UUID of version 7: 48 bits of milliseconds since the epoch, then random bits.

    Source: RFC 9562, section 5.7. `uuid.uuid7` of the standard library is there from Python 3.14 on.
    """
    random = int.from_bytes(os.urandom(10), "big")
    milliseconds = time.time_ns() // 1_000_000
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - a fifth cheaper than an f-string, for every run
        milliseconds >> 16,
        milliseconds & 0xFFFF,
        random >> 68 & 0xFFF,
        0x8000 | random >> 48 & 0x3FFF,
        random & 0xFFFF_FFFF_FFFF,
    )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RunIdentity(Value):
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
        if self.request_id is self.session_id is self.user_id is self.org_id is self.interaction_id is None:
            return  # as in most tests and benchmarks, and quicker than a look at each
        for name in _CALLERS_IDS:
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} of a RunIdentity is a string, not {value!r}.")


_CALLERS_IDS = ("request_id", "session_id", "user_id", "org_id", "interaction_id")
