"""A guard on text: how long it may be, and which terms may not occur in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from stageflow import StageContext, StageKind, StageOutput

# Scripts that put no space between words: there, a term is found anywhere, not only between word boundaries.
_UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


@dataclass(frozen=True, slots=True)
class GuardedText:
    """Text that passed a guard, exactly as it came in."""

    text: str
    characters: int


class GuardStage:
    """Lets a text through, or ends the run with the reason: a refusal is a graceful end, not a failure.

    The reason says which rule was broken and never repeats the text or the term. Terms are compared after Unicode
    normalisation (NFKC) and case folding, without invisible format characters, as whole words; `term` with spaces
    matches any white space. What is let through is not changed. A guard that cannot do its work (there is no text, or
    it is not text) fails the run: it never lets anything through that it did not check.

    Args:
        text_from: The stage whose `text` is checked, which the guard then depends on; the run's input by default.
        max_characters: The longest text that passes.
        denied: Terms that may not occur.
    """

    name = "guard"
    kind = StageKind.GUARD

    def __init__(
        self, *, text_from: str | None = None, max_characters: int = 8_000, denied: Iterable[str] = ()
    ) -> None:
        if max_characters < 1:
            raise ValueError(f"max_characters is 1 or more, not {max_characters}.")
        self._text_from = text_from
        self._max_characters = max_characters
        self._denied = _DenyList(denied)

    async def execute(self, ctx: StageContext) -> StageOutput[GuardedText]:
        """Check the text; it is the value that goes on."""
        text: object = ctx.snapshot.input_text
        if self._text_from is not None:
            text = ctx.inputs.require_from(self._text_from, "text")
        if not isinstance(text, str):
            source = "the run's input_text" if self._text_from is None else f"'text' of stage '{self._text_from}'"
            return StageOutput.fail(f"The guard cannot check {source}: it is {type(text).__name__}, not text.")
        refusal = self._refusal(text)
        return StageOutput.ok(GuardedText(text, len(text))) if refusal is None else StageOutput.cancel(refusal)

    def _refusal(self, text: str) -> str | None:
        if len(text) > self._max_characters:
            return f"the text has {len(text):,} characters, and {self._max_characters:,} are allowed"
        if not text.strip():
            return "the text is empty"
        if (number := self._denied.first_match(text)) is not None:
            return f"the text contains a denied term (number {number} of the list)"
        return None


def normalised(text: str) -> str:
    """Return the form in which texts and terms are compared.

    Without characters of category Cf first, since a zero-width space inside a word changes nothing that a reader sees;
    then NFKC before and after case folding, because folding can undo it (Unicode standard, D145).
    """
    visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())


class _DenyList:
    """Finds denied terms. Those that begin at a word boundary share its check, which most positions fail at once."""

    def __init__(self, terms: Iterable[str]) -> None:
        if isinstance(terms, str):
            raise TypeError("denied is an iterable of terms, not one string: write denied=('term',).")
        at_boundary: list[tuple[int, str]] = []
        anywhere: list[tuple[int, str]] = []
        for number, term in enumerate(terms, 1):
            words = normalised(term).split()
            if not words:
                raise ValueError(f"A denied term has to hold something visible, not {term!r}.")
            body = r"\s+".join(re.escape(word) for word in words)
            end = r"(?!\w)" if _is_bounded(words[-1][-1]) else ""
            (at_boundary if _is_bounded(words[0][0]) else anywhere).append((number, f"({body}{end})"))
        patterns = [pattern for _, pattern in anywhere]
        if at_boundary:
            patterns.insert(0, rf"(?<!\w)(?:{'|'.join(pattern for _, pattern in at_boundary)})")
        self._numbers = [number for number, _ in (*at_boundary, *anywhere)]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def first_match(self, text: str) -> int | None:
        """Return the number of the term that stands first in the text, counted from 1, or None."""
        if self._pattern is None or (found := self._pattern.search(normalised(text))) is None:
            return None
        assert found.lastindex is not None, "each term is a group"
        return self._numbers[found.lastindex - 1]


def _is_bounded(edge: str) -> bool:
    """Return whether a term with this character at its edge ends there only where a word does."""
    is_word = edge.isalnum() or edge == "_"
    return is_word and not unicodedata.name(edge, "").startswith(_UNSPACED_SCRIPTS)
