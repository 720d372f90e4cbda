"""What a mock is told to answer: always the same, in order, by what is asked, or as a function says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Generic, TypeVar, cast

from stageflow_mocks.provider_faults import Pace
from stageflow_mocks.providers.calls import LiveCall
from stageflow_mocks.providers.errors import UnscriptedCallError
from stageflow_mocks.providers.faults import FAULTS, MockFault, spoils
from stageflow_mocks.wording import check_takes, listed, shown

__tracebackhide__ = True  # pytest shows who asked, and not how it is answered

A = TypeVar("A")

_CLOSE = 0.6


class Script(Generic[A]):
    """The answers of a mock.

    An answer that a fault keeps from being given whole is not used up: whoever asks again gets it then.

    Args:
        mock: The name of the mock.
        given: One answer for every call; a list of one for each; a mapping to answers; or a function that returns one,
            and may be async.
        read: Returns what is given as an answer, or raises a TypeError that says what it should be. It takes what is
            given, and what the message is to call it.
        check: Raises if a fault stands among the answers that this kind of mock cannot have.
        asked_with: What a function is called with, in words; None if it is not looked at whether it can be.
    """

    def __init__(
        self,
        mock: str,
        given: Any,
        *,
        read: Callable[[Any, str], A],
        check: Callable[[str, Any], None],
        asked_with: str | None = None,
    ) -> None:
        self._mock = mock
        self._read = read
        self._check = check
        self._used = 0
        self.function: Callable[..., Any] | None = None
        self.always: A | MockFault | None = None
        self.in_order: tuple[A | MockFault, ...] | None = None
        self.by: Mapping[Any, A | MockFault] | None = None
        if isinstance(given, Mapping):
            answers = cast("Mapping[Any, Any]", given)
            self.by = {key: self.item(answer, f"The answer to {shown(key)}") for key, answer in answers.items()}
        elif isinstance(given, list | tuple):
            items = enumerate(cast("Sequence[Any]", given))
            self.in_order = tuple(self.item(answer, f"answers[{place}]") for place, answer in items)
        elif callable(given) and not isinstance(given, type):
            if asked_with:
                check_takes("A function that answers", given, asked_with)
            self.function = given
        else:
            self.always = self.item(given, "answers")
        if self.in_order == () or self.by == {}:
            raise ValueError("answers holds at least one answer.")

    def item(self, given: Any, what: str) -> A | MockFault:
        """Return what is given as an answer or a fault."""
        if isinstance(given, FAULTS):
            self._check(what, given)
            if isinstance(given, Pace):
                raise TypeError(f"{what} is a Pace, which is none: give it by fail_next, or in faults.")
            return cast("MockFault", given)
        return self._read(given, what)

    @property
    def left(self) -> int | None:
        """How many answers are still to be given, of those in order; None if there is no order."""
        return None if self.in_order is None else len(self.in_order) - self._used

    def next(self, call: LiveCall, asked: str) -> A | None:
        """Return the next answer of a script without keys or a function; None if the call's fault needs none.

        A fault in the script becomes that of the call. If it comes within the answer, it is the next one's.
        """
        if self.in_order is None:
            return self.of(call, cast("A | MockFault", self.always))
        items = self.in_order
        if not spoils(call.fault) and self._used < len(items) and isinstance(items[self._used], FAULTS):
            call.fault = cast("MockFault", items[self._used])
            self._used += 1
        if spoils(call.fault):
            return next((cast("A", item) for item in items[self._used :] if not isinstance(item, FAULTS)), None)
        if self._used == len(items):
            were = "its answer is" if len(items) == 1 else f"all of its {len(items)} answers are"
            raise self.unscripted(
                call, asked, listed([shown(item) for item in items]), f"has no answer: {were} used up."
            )
        self._used += 1
        return cast("A", items[self._used - 1])

    async def from_function(self, call: LiveCall, /, *given: Any, **named: Any) -> A | None:
        """Return what the function answers."""
        assert self.function is not None
        if call.strikes_first:
            return None
        found = self.function(*given, **named)
        if inspect.isawaitable(found):
            found = await found
        return self.of(call, self.item(found, f"What {shown(self.function)} returns"))

    def of(self, call: LiveCall, item: A | MockFault) -> A | None:
        """Return an answer; of a fault in its place None, and it becomes that of the call."""
        if not isinstance(item, FAULTS):
            return cast("A", item)
        if not spoils(call.fault):
            call.fault = cast("MockFault", item)
        return None

    def unscripted(self, call: LiveCall, asked: str, scripted: str, why: str) -> UnscriptedCallError:
        """Return the error of a call for which there is no answer."""
        return UnscriptedCallError(self._mock, call.record.number, asked, scripted, why)


def nearest_pattern(text: str, patterns: Sequence[str]) -> str:
    """Return " The nearest is 'x'." for the pattern that is most like the text or one of its words, or nothing."""
    words = [text, *text.split()]

    def likeness(pattern: str) -> float:
        return max((SequenceMatcher(None, pattern.lower(), word.lower()).ratio() for word in words), default=0.0)

    best = max(patterns, key=likeness)
    return f" The nearest is {best!r}." if likeness(best) >= _CLOSE else ""
