"""The arguments that models write for tools."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from stageflow.errors import ToolArgumentsError
from stageflow.providers import ToolCall
from stageflow.tool_calls import arguments_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"city": "Bø", "days": [1]}', {"city": "Bø", "days": [1]}), ("{}", {}), ("", {}), (" \n", {})],
)
def test_arguments_are_read(text: str, expected: Any) -> None:
    """An object is read; no text at all, as some models write it, is no arguments."""
    assert expected == arguments_of(ToolCall("a", "weather", text))


@pytest.mark.parametrize(
    ("text", "why", "position"),
    [
        ('{"city": secret}', "are not JSON (Expecting value) at character 9", 9),
        ('{"city": "secret"', "are not JSON (Expecting ',' delimiter) at character 17", 17),
        ('{"days": NaN}', "are not JSON (NaN is no number in JSON)", None),
        ('["secret"]', "are an array, not an object", None),
        ('"secret"', "are a string, not an object", None),
        ("5", "are a number, not an object", None),
        ("true", "are a boolean, not an object", None),
        ("null", "are null, not an object", None),
        ("[" * 100_000, "are not JSON", None),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_is_no_object_is_told(text: str, why: str, position: int | None) -> None:
    """The error says where, and does not repeat what the model wrote; nor does its cause."""
    with pytest.raises(ToolArgumentsError) as caught:
        arguments_of(ToolCall("call_1", "weather", text))
    error = caught.value
    assert str(error).startswith(f"The arguments of the call 'call_1' of tool 'weather' {why}")
    assert ("weather", "call_1", position) == (error.tool, error.call_id, error.position)
    assert "secret" not in str(error)
    assert error.__cause__ is None
    assert isinstance(error, ValueError)
    assert str(error) == str(pickle.loads(pickle.dumps(error)))
