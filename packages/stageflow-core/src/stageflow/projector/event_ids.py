"""From the id of the last event that a client has to the place where it goes on."""

from __future__ import annotations

import re

from stageflow.errors import InvalidEventIdError

_MOST_DIGITS = 18
_UNSAFE = re.compile(r"[^!-$&-~]")  # all but visible ASCII; and the percent sign, which begins what is written for it


def as_sent(event_id: str) -> str:
    """Return an event id in the form in which it comes back from a client that puts it into a header.

    An id that an application made may hold anything: a line break would end the field, a server reads the bytes of a
    header as Latin-1, and cuts spaces off its ends. Those that stageflow makes stay as they are.
    """
    return _UNSAFE.sub(_escaped, event_id)


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


def position_after(event_id: str, *, run_id: str, told: int) -> int:
    """Return how many events of a run the client has that names this one as its last.

    An id that the run has not given out is refused: to take it for the beginning would send everything again, and to
    wait until the run gets there would keep from the client what it never saw.

    Args:
        event_id: What the client sent: the `event_id` of an event, "{run_id}-{sequence}", as it is or `as_sent`. An
            empty one is that of a client which has none yet, as in the HTML standard's section 9.2.4.
        run_id: The run that it is sent to.
        told: How many events that run has had so far.

    Raises:
        InvalidEventIdError: It is no event id, or another run's, or that of an event that has not been.
    """
    if not isinstance(event_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidEventIdError(event_id, "an event id is a string", run_id=run_id)
    if not event_id:
        return 0
    run, dash, digits = event_id.rpartition("-")
    is_number = 0 < len(digits) <= _MOST_DIGITS and digits.isascii() and digits.isdigit() and digits[0] != "0"
    if not (dash and is_number):
        raise InvalidEventIdError(event_id, "an event id is the id of a run, a '-' and a number from 1", run_id=run_id)
    if run not in (run_id, as_sent(run_id)):
        raise InvalidEventIdError(event_id, "it is of another run", run_id=run_id)
    if int(digits) > told:
        raise InvalidEventIdError(event_id, f"the run has told of {told} events so far", run_id=run_id)
    return int(digits)
