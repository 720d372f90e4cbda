"""What an interceptor is given to work with: checked when it is made, so that no stage finds out."""

from __future__ import annotations

from typing import Any

from stageflow.wording import shown


def check_port(interceptor: Any, name: str, value: object, protocol: type) -> None:
    """Raise a TypeError unless the value has the methods of the protocol."""
    if isinstance(value, type) or not isinstance(value, protocol):
        hint = f" Write {value.__name__}()." if isinstance(value, type) else ""
        raise TypeError(f"The {name} of {interceptor.name} is a {protocol.__name__}, not {shown(value)}.{hint}")
