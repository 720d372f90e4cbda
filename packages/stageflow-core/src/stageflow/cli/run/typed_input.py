"""The typed input of a run, made of JSON that somebody wrote by hand: its fields, without a word on their types."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from stageflow.contracts import contract_of, unsubscripted
from stageflow.errors import CommandError
from stageflow.wording import text_of


def made_of(annotation: Any, data: Any) -> Any:
    """Return the value of a type: objects become dataclasses and their like, where the annotations say so.

    Everything else stays as it is, since the run checks its input, and says where it is not what it should be.

    Raises:
        CommandError: A class refuses its fields.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        fitting = [one for one in args if _is_of_fields(one)]
        return made_of(fitting[0], data) if len(fitting) == 1 else data
    if isinstance(data, list) and origin in (list, tuple) and args:
        items = [made_of(args[0], each) for each in cast("list[Any]", data)]
        return tuple(items) if origin is tuple else cast("Any", items)
    if isinstance(data, dict) and origin is dict and len(args) == 2:
        return {key: made_of(args[1], each) for key, each in cast("dict[str, Any]", data).items()}
    if isinstance(data, dict) and _is_of_fields(annotation):
        return _instance(unsubscripted(annotation), cast("dict[str, Any]", data))
    return cast("Any", data)


def _is_of_fields(annotation: Any) -> bool:
    kind = unsubscripted(annotation)
    return isinstance(kind, type) and contract_of(cast("type[Any]", kind)) is not None


def _instance(kind: Any, data: Mapping[str, Any]) -> Any:
    try:
        if hasattr(kind, "model_validate"):
            return kind.model_validate(dict(data))
        hints = get_type_hints(kind)
        return kind(**{name: made_of(hints.get(name, Any), each) for name, each in data.items()})
    except CommandError:
        raise
    except Exception as error:
        raise CommandError(f"--input-json: {kind.__qualname__} refuses its fields: {text_of(error)}") from error
