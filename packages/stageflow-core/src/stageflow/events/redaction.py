"""What enters an event: data without secrets and without bytes (rule E5).

Whatever a stage or an error gives to an event goes through `redacted`, and nothing else is changed: the stage's output
and the results keep what they hold. Bytes become their size and their hash, what stands under a secret name becomes a
preview, and so does a secret that is known by its looks in any text (`stageflow.events.secret_text`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from stageflow.errors import SerializationError
from stageflow.events.digests import sha256_of
from stageflow.events.secret_text import hidden_text, redacted_sound, redacted_text
from stageflow.secret_names import LONGEST_NAME, NameKind, kind_of_name
from stageflow.serialization import check_json, joined_surrogates
from stageflow.wording import shown

DEEPEST = 100
"""Levels of containers that an event may have: less than what any reader's recursion stands."""

FEWEST_SAMPLES = 16
"""Numbers in a row that are sound, under a name that says so."""

Where = tuple[Any, str | int] | str
"""The way to a value: the way to what it stands in, and its place there. Put into words only for an error."""


def redacted(value: Any, path: str = "$") -> Any:
    """Return plain, JSON-ready data to publish: as `check_json` does, but without bytes and without secrets.

    Raises:
        SerializationError: `path` leads to what is neither JSON nor bytes.
    """
    try:
        return _redacted(value, path, DEEPEST)
    except RecursionError as error:  # of a caller that was deep in the stack already
        raise SerializationError(path, "is nested too deep, or contains itself.") from error


def without_secrets(data: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the data as `redacted` does; of a field that is neither JSON nor bytes, what is wrong with it."""
    try:
        return redacted(dict(data))
    except SerializationError:
        result: dict[str, Any] = {}
        for key, item in data.items():
            try:
                result |= redacted({key: item})
            except SerializationError as error:
                result[redacted_text(key if isinstance(key, str) else shown(key))] = {
                    "unpublishable": redacted_text(str(error))
                }
        return result


def publishable(value: Mapping[str, Any], path: str = "$") -> dict[str, Any]:
    """Return what `redacted` would take as it is: plain data, in which bytes are still bytes.

    Raises:
        SerializationError: As `redacted` does.
    """
    return check_json(dict(value), path, deepest=DEEPEST, keep=_kept_buffer)


def _redacted(value: Any, where: Where, deepest: int, *, sound: bool = False) -> Any:
    if type(value) is str:
        return _text(value, sound=sound)
    if value is None or isinstance(value, bool) or (type(value) is int and -_LARGE < value < _LARGE):
        return value
    if isinstance(value, (dict, list)):
        if not deepest:
            raise SerializationError(_path(where), "is nested too deep, or contains itself.")
        if isinstance(value, dict):
            return _object(cast("dict[Any, Any]", value), where, deepest - 1)
        return _array(cast("list[Any]", value), where, deepest - 1, sound=sound)
    if isinstance(value, str):
        return _text(str.__str__(value), sound=sound)
    return summary_of_buffer(value) or check_json(value, _path(where))


_LARGE = 1 << 64
"""Integers from here on are looked at by `check_json`: Python writes only so many digits."""


def _object(value: dict[Any, Any], where: Where, deepest: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    named = "value" in value and any(_is_secret_name(value.get(field)) for field in ("name", "key", "header"))
    for key, item in value.items():
        if not isinstance(key, str):
            check_json({key: None}, _path(where))  # it says what is wrong
        place, kind = _known_name(key) if len(key) <= LONGEST_NAME else (_text(key), kind_of_name(key))
        while place in result:  # two secrets of the same length
            place += "+"
        if named and key == "value":
            kind = "secret"
        if kind == "secret" or (kind == "secret text" and isinstance(item, str)):
            result[place] = _hidden(item, (where, key), deepest)
        else:
            result[place] = _redacted(item, (where, key), deepest, sound=kind == "audio")
    return result


@lru_cache(maxsize=2_048)
def _known_name(name: str) -> tuple[str, NameKind]:
    return _text(name), kind_of_name(name)


def _array(value: list[Any], where: Where, deepest: int, *, sound: bool) -> Any:
    if sound and len(value) >= FEWEST_SAMPLES and all(type(item) in {int, float} for item in value):
        return {"numbers": len(value), "sha256": sha256_of(repr(list(value)).encode())}
    return [
        [_text(item[0]), _hidden(item[1], ((where, index), 1), deepest)]
        if _is_secret_pair(item)
        else _redacted(item, (where, index), deepest, sound=sound)
        for index, item in enumerate(value)
    ]


def _is_secret_pair(item: Any) -> bool:
    """Return whether this is a secret header or parameter as a pair: `["x-api-key", "..."]`."""
    return isinstance(item, list) and len(cast("list[Any]", item)) == 2 and _is_secret_name(item[0])


def _is_secret_name(name: Any) -> bool:
    return isinstance(name, str) and " " not in name and kind_of_name(name) == "secret"


def _hidden(value: Any, where: Where, deepest: int) -> Any:
    """Return what stands for a value that its name calls secret; whether there is one is no secret."""
    if value is None or isinstance(value, bool) or value == "":
        return value
    if isinstance(value, str):
        return hidden_text(value)
    shown = _redacted(value, where, deepest)  # what is not JSON is refused here too
    if isinstance(value, (dict, list)):
        count = len(cast("list[Any]", value))
        return f"[redacted, {count} {'entry' if count == 1 else 'entries'}]" if count else shown
    return f"[redacted, {shown['bytes']} bytes]" if isinstance(shown, dict) else "[redacted, a number]"


def _text(text: str, *, sound: bool = False) -> str:
    if not text.isascii():
        text = joined_surrogates(text)  # an event is read as JSON, which has no way to keep them apart
    return redacted_sound(text) if sound else redacted_text(text)


def summary_of_buffer(value: Any) -> dict[str, Any] | None:
    """Return the size and the hash of bytes, an array of numbers and what else has a buffer; None of anything else."""
    try:
        with memoryview(value) as view:
            if not _is_data(view):
                return None
            return {"bytes": view.nbytes, "sha256": sha256_of(view if view.c_contiguous else view.tobytes())}
    except Exception:  # noqa: BLE001 - TypeError if it has none; a class of the user's may raise anything when asked
        return None


def _kept_buffer(value: Any) -> Any:
    """Return the buffer to keep in an output, or None; of a view the bytes, since whoever made it may release it."""
    try:
        with memoryview(value) as view:
            if not _is_data(view):
                return None
            return view.tobytes() if isinstance(value, memoryview) else value
    except Exception:  # noqa: BLE001 - as above
        return None


def _is_data(view: memoryview) -> bool:
    # A scalar of an array library is a number that is not JSON, and one of objects holds addresses.
    return view.ndim > 0 and "O" not in view.format


def _path(where: Where) -> str:
    steps: list[str] = []
    while not isinstance(where, str):
        where, step = where
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return where + "".join(reversed(steps))
