"""Checks of what the requests and responses of providers are made of; the message names the field."""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, TypeVar, cast

from stageflow.wording import nearest, shown, type_name, with_article

T = TypeVar("T")


def check_text(of: str, field: str, value: Any, *, optional: bool = False, filled: bool = False) -> None:
    """Refuse what is not a string, or is an empty one where it has to be `filled`."""
    if value is None and optional:
        return
    if not isinstance(value, str):
        raise TypeError(f"{_the(of, field)} is a string{_or_none(optional)}, not {shown(value)}.")
    if filled and not value:
        raise ValueError(f"{_the(of, field)} is empty.")


def check_choice(of: str, field: str, value: Any, choices: Iterable[str], *, optional: bool = False) -> None:
    """Refuse what is none of the choices."""
    if value is None and optional:
        return
    if value not in (known := tuple(choices)):
        hint = nearest(value, known).strip() if isinstance(value, str) else ""
        raise ValueError(f"{_the(of, field)} is one of {', '.join(known)}, not {shown(value)}. {hint}".strip())


def check_number(
    of: str,
    field: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float = math.inf,
    optional: bool = False,
) -> None:
    """Refuse what is not a finite number of a range, which begins at `least` or just `above`."""
    if value is None and optional:
        return
    number = _number(of, field, value, (int, float), "a number", optional)
    is_finite = -math.inf < number < math.inf  # which also a NaN is not, and math.isfinite takes no large integer
    too_low = (least is not None and number < least) or (above is not None and number <= above)
    if not is_finite or too_low or number > most:
        raise ValueError(f"{_the(of, field)} is {_range(least, above, most)}, not {value!r}.")


def check_count(of: str, field: str, value: Any, *, least: int | None = 0, optional: bool = False) -> None:
    """Refuse what is not a whole number from `least` on, or any if that is None."""
    if value is None and optional:
        return
    number = _number(of, field, value, int, "a whole number", optional)
    if least is not None and number < least:
        raise ValueError(f"{_the(of, field)} is {least} or more, not {value!r}.")


def check_flag(of: str, field: str, value: Any) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise TypeError(f"{_the(of, field)} is True or False, not {shown(value)}.")


def check_instance(of: str, field: str, value: Any, kind: type[Any], *, optional: bool = False) -> None:
    """Refuse what is not of a type."""
    if not (isinstance(value, kind) or (value is None and optional)):
        raise TypeError(f"{_the(of, field)} is of type {kind.__name__}{_or_none(optional)}, not {shown(value)}.")


def tuple_of(of: str, field: str, values: Any, kind: type[T]) -> tuple[T, ...]:
    """Return values of one type as a tuple; one alone is refused, also a string, which would go letter by letter."""
    # The commonest first: each chunk of a stream comes by here, and an ABC takes long to ask.
    if type(values) is not tuple and (isinstance(values, (str, kind)) or not isinstance(values, Iterable)):
        raise TypeError(f"{_the(of, field)} is a tuple of {kind.__name__}, not {shown(values)}.")
    found: tuple[Any, ...] = tuple(values)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    for place, value in enumerate(found):
        if not isinstance(value, kind):
            raise TypeError(f"{_the(of, f'{field}[{place}]')} is of type {kind.__name__}, not {shown(value)}.")
    return found


def check_unique(of: str, field: str, values: Iterable[Any]) -> None:
    """Refuse what stands twice among the values."""
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{_the(of, field)} occurs only once; {value!r} occurs twice.")
        seen.add(value)


def own_bytes(of: str, field: str, value: Any) -> bytes:
    """Return the value as bytes: a bytearray or memoryview is copied, since it may change."""
    if isinstance(value, bytearray | memoryview):
        return bytes(value)  # pyright: ignore[reportUnknownArgumentType] - of whatever format the memoryview is
    if not isinstance(value, bytes):
        raise TypeError(f"{_the(of, field)} is bytes, not {with_article(type_name(value))}.")
    return value


def pieces_of(content: T | AsyncIterable[T]) -> AsyncIterator[T]:
    """Return what comes in pieces as it comes, and what is given as one as the only piece."""
    return aiter(cast("AsyncIterable[T]", content)) if isinstance(content, AsyncIterable) else _only(content)


async def _only(content: T) -> AsyncIterator[T]:
    yield content


def _number(of: str, field: str, value: Any, kind: Any, words: str, optional: bool) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{_the(of, field)} is {words}{_or_none(optional)}, not {shown(value)}.")
    return value


def _range(least: float | None, above: float | None, most: float) -> str:
    if most != math.inf:
        return f"a number from {least:g} to {most:g}" if least is not None else f"a number up to {most:g}"
    if above is not None:
        return f"a finite number above {above:g}"
    return "a finite number" if least is None else f"a finite number, {least:g} or more"


def _the(of: str, field: str) -> str:
    return f"{field} of {of}"


def _or_none(optional: bool) -> str:
    return " or None" if optional else ""
