"""Sentences out of a text that arrives in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator

# An end is only known to be one by the space after it: "3.14" has none.
_END = re.compile(r"[.!?…。]+[\"'\u201d\u2019)\]]*\s+|\n+")


class SentenceSplitter:
    """Collects pieces of text, and gives back each sentence once it is complete."""

    def __init__(self, *, max_characters: int = 200) -> None:
        self._max_characters = max_characters
        self._text = ""

    def feed(self, piece: str) -> Iterator[str]:
        """Take a piece; yield the sentences that it completes, in parts where one is too long to wait for."""
        self._text += piece
        while True:
            if found := _END.search(self._text):
                end = found.end()
            elif len(self._text) > self._max_characters:
                end = self._text.rfind(" ", 0, self._max_characters) + 1 or self._max_characters
            else:
                return
            yield from self._take(end)

    def rest(self) -> Iterator[str]:
        """Yield what is left when no other piece comes, if that is anything."""
        yield from self._take(len(self._text))

    def _take(self, end: int) -> Iterator[str]:
        sentence, self._text = " ".join(self._text[:end].split()), self._text[end:]
        if sentence:
            yield sentence
