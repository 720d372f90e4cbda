"""Classes of events: what a queue may do with one when it is full, by the event's type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, cast, get_args

from stageflow.errors import InvalidOptionError
from stageflow.wording import listed, nearest, shown

OnFull = Literal["block", "drop_newest", "drop_oldest"]
"""What happens to an event for which there is no room; see `QueueingEventSink`."""

AUDIT_EVENTS = ("pipeline.completed", "*.failed", "*.cancelled", "*.suspended")
"""Patterns of the events that are never dropped: how runs end, and what goes wrong in them."""

_MOST_KNOWN = 4_096
_ARE_PATTERNS = "is made of patterns of event types, such as 'search.*'"


class EventClass(NamedTuple):
    """A set of event types.

    Attributes:
        pattern: What their names look like; `*` stands for any text, and nothing else is special.
        on_full: What happens to them when there is no room.
    """

    pattern: str
    on_full: OnFull

    def holds(self, event_type: str) -> bool:
        """Return whether the type is one of these."""
        return fits(self.pattern, event_type)


def fits(pattern: str, text: str) -> bool:
    """Return whether a text is what a pattern says; `*` in it stands for any text, and nothing else is special."""
    first, *others = pattern.split("*")
    if not others:
        return text == first
    *middle, last = others
    if not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:  # the leftmost place of each is as good as any
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return at <= end


class EventClasses:
    """Which class each event is in: the first whose pattern fits."""

    def __init__(self, classes: Iterable[EventClass]) -> None:
        self._classes = tuple(classes)
        self._known: dict[str, EventClass] = {}

    def of(self, event_type: str) -> EventClass:
        """Return the class of the type."""
        known = self._known.get(event_type)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:  # types with a number in them, one for each event
                self._known.clear()
            known = next(one for one in self._classes if one.holds(event_type))
            self._known[event_type] = known
        return known


def event_classes(owner: str, on_full: OnFull | Mapping[str, OnFull], audit: Iterable[str]) -> EventClasses:
    """Return the classes that the options of a queue describe.

    Args:
        owner: What errors call the queue.
        on_full: For all events, or by pattern; the first pattern that fits counts, and what none fits is "drop_newest".
        audit: Patterns of events that are never dropped, beside AUDIT_EVENTS.

    Raises:
        InvalidOptionError: A pattern is not text, or a policy is unknown.
    """
    policies: Mapping[Any, Any] = on_full if isinstance(on_full, Mapping) else {"*": on_full}
    if not isinstance(audit, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOptionError("audit", f"{_ARE_PATTERNS}, not {shown(audit)}", of=owner)
    patterns: list[Any] = [audit] if isinstance(audit, str) else list(audit)
    for name, pattern in [*(("audit", one) for one in patterns), *(("on_full", one) for one in policies)]:
        if not isinstance(pattern, str) or not pattern:
            raise InvalidOptionError(name, f"{_ARE_PATTERNS}, not {shown(pattern)}", of=owner)
    for policy in policies.values():
        _check_policy(owner, policy)
    never = [EventClass(pattern, "block") for pattern in (*AUDIT_EVENTS, *patterns)]
    chosen = [EventClass(pattern, cast("OnFull", policy)) for pattern, policy in policies.items()]
    return EventClasses([*never, *chosen, EventClass("*", "drop_newest")])


def _check_policy(owner: str, policy: object) -> None:
    choices = get_args(OnFull)
    if policy not in choices:
        hint = nearest(policy.replace("-", "_"), choices) if isinstance(policy, str) else None
        raise InvalidOptionError("on_full", f"is one of {listed(choices)}, not {shown(policy)}", of=owner, hint=hint)
