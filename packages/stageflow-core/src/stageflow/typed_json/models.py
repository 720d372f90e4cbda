"""Pydantic values write and read themselves, since they know types that nobody else does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from stageflow.contracts import ContractMismatch
from stageflow.errors import SerializationError
from stageflow.wording import text_of, type_name


def dumped(value: Any, path: str) -> tuple[dict[str, Any], bool]:
    """Return the value as a JSON object, and whether that is less than the value.

    A model may leave fields out of what it writes, or hide a secret.

    Raises:
        SerializationError: It cannot be written.
    """
    try:
        data = value.model_dump(mode="json", round_trip=True, by_alias=False, warnings=False)
    except Exception as error:
        raise SerializationError(
            path,
            f"{type_name(value)} cannot be written: {text_of(error).rstrip('.')}.",
            hint="Its model_dump(mode='json') raised that. For bytes, set ser_json_bytes and val_json_bytes: 'base64'.",
        ) from error
    if _is_root(value):
        data = {"root": data}
    if not isinstance(data, dict):
        raise SerializationError(path, f"{type_name(value)} is written as {type_name(data)}, not as an object.")
    fields = cast("dict[str, Any]", data)
    try:
        return fields, not load_model(type(value), fields) == value  # noqa: SIM201 - `!=` may be another method
    except Exception:  # noqa: BLE001 - == of the user's class may raise anything: then nobody can tell
        return fields, True


def load_model(kind: Any, data: Mapping[str, Any]) -> Any:
    """Return the value that was written.

    Raises:
        ContractMismatch: The model refuses the data.
    """
    aliases = any(getattr(field, "validation_alias", None) is not None for field in kind.model_fields.values())
    by_name = {"by_name": True} if aliases else {}  # an argument that pydantic knows since 2.11
    try:
        return kind.model_validate(data["root"] if _is_root(kind) else data, strict=False, **by_name)
    except Exception as error:
        name = kind.__qualname__
        raise ContractMismatch(name, found=f"what {name} refuses", hint=_said(error)) from error


def _said(error: Exception) -> str:
    """Return what a model has against its data, without the data."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return text_of(error)
    faults = cast("list[Any]", errors())
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)


def _is_root(model: Any) -> bool:
    return getattr(model, "__pydantic_root_model__", False) is True
