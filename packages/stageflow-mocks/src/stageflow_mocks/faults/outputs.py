"""Outputs that are not what the stage returned: of another type, or cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from stageflow import StageOutput, StageStatus


def with_wrong_types(output: StageOutput[Any]) -> StageOutput[Any] | None:
    """Return the output as a mapping whose values are each of another type; None if there is nothing to change."""
    if output.status is not StageStatus.OK or not output.data:
        return None
    data = {key: len(value) if isinstance(value, str) else "of another type" for key, value in output.data.items()}
    return _like(output, data)


def cut(output: StageOutput[Any], keep: float) -> StageOutput[Any] | None:
    """Return the output with its texts and lists cut to this share; None if there is nothing to cut."""
    if output.status is not StageStatus.OK:
        return None
    changes = {key: value[: int(len(value) * keep)] for key, value in output.data.items() if _can_be_cut(value)}
    return _like(output, _replaced(output, changes)) if changes else None


def _can_be_cut(value: Any) -> bool:
    return isinstance(value, (str, bytes, list, tuple)) and len(cast("str", value)) > 0


def _replaced(output: StageOutput[Any], changes: Mapping[str, Any]) -> Any:
    """Return the value with other fields, as a value of its type if that can be made."""
    value: Any = output.value
    if isinstance(value, Mapping):
        return {**cast("Mapping[str, Any]", value), **changes}
    replace: Callable[..., Any] | None = getattr(value, "__replace__", None)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        replace = partial(dataclasses.replace, value)
    elif hasattr(value, "model_copy"):
        replace = partial(_copied, value)
    try:
        if replace is not None:
            return replace(**changes)
    except (TypeError, ValueError):  # its own class refuses what was cut
        pass
    return {**output.data, **changes}  # which the contract of the stage will refuse


def _copied(model: Any, **changes: Any) -> Any:
    return model.model_copy(update=changes)


def _like(output: StageOutput[Any], value: Any) -> StageOutput[Any]:
    return StageOutput.ok(value, version=output.version).publishing(*output.artifacts, *output.events)
