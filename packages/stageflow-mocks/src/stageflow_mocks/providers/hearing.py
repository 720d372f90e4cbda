"""What is heard of a text by a certain time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from stageflow.providers import STTChunk, STTResponse, Word

from stageflow_mocks.wording import brief_repr, shown

_SENTENCE_END = re.compile(r"[.!?]\W*$")
_GOES_ON = frozenset(("dr.", "e.g.", "i.e.", "mr.", "mrs.", "ms.", "prof.", "st.", "vs."))


def ends_sentence(word: str) -> bool:
    """Return whether a sentence is over with this word: it ends with a stop that is not that of an abbreviation."""
    return _SENTENCE_END.search(word) is not None and word.strip().lower() not in _GOES_ON


@dataclass(frozen=True, slots=True, repr=False)
class Heard:
    """What a mock hears, for what a text alone cannot say.

    Args:
        text: What is said.
        words: When; made up if there are none. Joined by spaces they are the text.
        confidence: From 0 to 1; None if it does not say.
    """

    text: str
    words: tuple[Word, ...] = ()
    confidence: float | None = None

    def __post_init__(self) -> None:
        try:
            checked = STTResponse(self.text, words=self.words, confidence=self.confidence)
        except (TypeError, ValueError) as error:
            raise type(error)(str(error).replace("an STTResponse", "a Heard")) from None
        object.__setattr__(self, "words", checked.words)
        spoken = [word.text for word in self.words]
        if self.words and spoken != self.text.split():
            raise ValueError(f"words of a Heard are those of its text, {shown(self.text)}, and not {shown(spoken)}.")

    def __repr__(self) -> str:
        return brief_repr(self)


class Hearing:
    """One hearing of a text, from its beginning to its end.

    Args:
        heard: What there is to be heard.
        ms_per_word: How long a word is, if its times are not given.
    """

    def __init__(self, heard: Heard, ms_per_word: float) -> None:
        self._confidence = heard.confidence
        self._texts = cast("list[str]", re.findall(r"\s*\S+", heard.text))
        self._times = [(word.start_ms, word.end_ms) for word in heard.words] or [
            (place * ms_per_word, (place + 1) * ms_per_word) for place in range(len(self._texts))
        ]
        self._has_times = bool(heard.words)
        self._heard = 0
        self._final = 0

    def until(self, heard_ms: float) -> Iterator[STTChunk]:
        """Yield what is heard by a time: a guess with each further word, and each sentence when it is over."""
        while self._heard < len(self._texts) and self._times[self._heard][1] <= heard_ms:
            self._heard += 1
            yield self._chunk(is_final=ends_sentence(self._texts[self._heard - 1]))

    def rest(self, duration_ms: float | None) -> Iterator[STTChunk]:
        """Yield what is left at the end of the audio, sentence by sentence."""
        left = len(self._texts) - self._heard
        if duration_ms is not None and left and not self._has_times:
            begins = self._times[self._heard - 1][1] if self._heard else 0.0
            step = (duration_ms - begins) / left
            for number in range(left):
                self._times[self._heard + number] = (begins + number * step, begins + (number + 1) * step)
        for _ in range(left):
            self._heard += 1
            if ends_sentence(self._texts[self._heard - 1]):
                yield self._chunk(is_final=True)
        if self._final < self._heard or not self._texts:
            yield self._chunk(is_final=True)

    def _chunk(self, is_final: bool) -> STTChunk:
        places = range(self._final, self._heard)
        words = tuple(
            Word(self._texts[place].strip(), *self._times[place], confidence=self._confidence) for place in places
        )
        text = "".join(self._texts[place] for place in places)
        if is_final:
            self._final = self._heard
        return STTChunk(text, is_final=is_final, words=words, confidence=self._confidence)
