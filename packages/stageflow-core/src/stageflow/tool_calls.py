"""What a model wants a tool to be called with.

A module of its own, since it reads JSON, the import of which not every program is to pay for.
"""

from __future__ import annotations

import json
from typing import Any, cast

from stageflow.errors import ToolArgumentsError
from stageflow.providers import ToolCall
from stageflow.wording import with_article


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """Return the arguments of a tool call, which the model wrote as the text of a JSON object.

    No text at all stands for no arguments. Whether they fit the parameters of the tool is for the tool to check.

    Raises:
        ToolArgumentsError: They are no JSON object: the model made a mistake, and may be told so.
    """
    if not call.arguments.strip():
        return {}
    try:
        arguments: object = json.loads(call.arguments, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        place = error.pos if isinstance(error, json.JSONDecodeError) else None
        # Not from the error: it repeats the text, which may hold what the user said.
        raise ToolArgumentsError(call.name, call.id, f"are not JSON ({why})", position=place) from None
    if not isinstance(arguments, dict):
        kind = "null" if arguments is None else with_article(_KINDS[type(arguments)])
        raise ToolArgumentsError(call.name, call.id, f"are {kind}, not an object")
    return cast("dict[str, Any]", arguments)


_KINDS: dict[type, str] = {list: "array", str: "string", int: "number", float: "number", bool: "boolean"}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")
