"""Enums, and the types of the standard library whose values are written as text."""

from __future__ import annotations

import binascii
import enum
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from typing import Any


@lru_cache(maxsize=1024)
def _has_plain_values(kind: type[enum.Enum]) -> bool:
    return all(type(member.value) in (int, str) for member in kind)


def enum_data(member: enum.Enum) -> Any:
    """Return what JSON has for a member: its value, or its name if the enum has values that are not JSON."""
    return member.value if _has_plain_values(type(member)) else member.name


def enum_member(kind: type[enum.Enum], data: Any) -> enum.Enum:
    """Return the member that was written; raises ValueError or KeyError if there is none."""
    return kind(data) if _has_plain_values(kind) else kind[data]


def text_type_name(kind: type[Any]) -> str:
    """Return the name by which `TEXTS` knows the type, if it does; it may be defined in a private submodule."""
    root = kind.__module__.partition(".")[0]
    return kind.__qualname__ if root == "builtins" else f"{root}.{kind.__qualname__}"


def _write_timedelta(value: timedelta) -> str:
    sign, value = ("-", -value) if value < timedelta() else ("", value)
    return f"{sign}PT{value.days * 86_400 + value.seconds}.{value.microseconds:06}S"


def _read_timedelta(_kind: object, text: str) -> timedelta:
    sign, _, number = text.removesuffix("S").partition("PT")
    seconds, _, microseconds = number.partition(".")
    value = timedelta(seconds=int(seconds), microseconds=int(microseconds)) * (-1 if sign else 1)
    if _write_timedelta(value) != text:
        raise ValueError(f"{text!r} is no duration as it is written here")
    return value


def _write_bytes(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _read_bytes(kind: Callable[[bytes], Any], text: str) -> Any:
    return kind(binascii.a2b_base64(text, strict_mode=True))


def _isoformat(value: Any) -> str:
    return value.isoformat()


def _from_isoformat(kind: Any, text: str) -> Any:
    return kind.fromisoformat(text)


def _called(kind: Callable[[str], Any], text: str) -> Any:
    return kind(text)


def _nothing(_value: object) -> None:
    return None


def _the_one(kind: type[Any], _data: object) -> Any:
    return import_module(kind.__module__).UNSET


_ISO = (_isoformat, _from_isoformat)
_STR = (str, _called)
_BASE64 = (_write_bytes, _read_bytes)

# By name, so that none of these modules need be imported. A time zone is written as its offset.
TEXTS: dict[str, tuple[Callable[[Any], str | None], Callable[[Any, Any], Any]]] = {
    "bytearray": _BASE64,  # RFC 4648
    "bytes": _BASE64,
    "datetime.date": _ISO,  # ISO 8601, as is the duration
    "datetime.datetime": _ISO,
    "datetime.time": _ISO,
    "datetime.timedelta": (_write_timedelta, _read_timedelta),
    "decimal.Decimal": _STR,
    "fractions.Fraction": _STR,
    "ipaddress.IPv4Address": _STR,
    "ipaddress.IPv6Address": _STR,
    "msgspec.UnsetType": (_nothing, _the_one),  # a field that was not given
    "pathlib.PosixPath": _STR,
    "pathlib.PurePosixPath": _STR,
    "pathlib.PureWindowsPath": _STR,
    "pathlib.WindowsPath": _STR,
    "uuid.UUID": _STR,
    "zoneinfo.ZoneInfo": _STR,
}
"""How a value is written, and how it is made again of its type and its text."""


def read_text(name: str, data: Any) -> Any:
    """Return the value of a type in `TEXTS`; what is raised for a text that is none of its values is the type's own."""
    module, _, kind = name.rpartition(".")
    return TEXTS[name][1](getattr(import_module(module or "builtins"), kind), data)
