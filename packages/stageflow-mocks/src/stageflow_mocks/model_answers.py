"""What a fake of a language model answers with: tool calls, thoughts, and text that is cut into tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(r"\s*\S{1,8}|\s+")


@dataclass(frozen=True, slots=True)
class CallTool:
    """What a responder returns in place of text, alone or in a list: the model wants a tool called.

    `arguments` are written as JSON, or go out as they are if they are a string, which need not be JSON.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        name: Any = self.name
        if not isinstance(name, str) or not name:
            raise TypeError(f"name of a CallTool is a string that is not empty, not {name!r}.")
        arguments: Any = self.arguments
        if not isinstance(arguments, Mapping | str):
            raise TypeError(f"arguments of the CallTool '{name}' are a mapping, or a string, not {arguments!r}.")

    def written(self) -> str:
        """The arguments as the model writes them."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(dict(self.arguments), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Reasoned:
    """What a responder returns for a model that reasons: what it thinks first, and the answer that it comes to.

    How much of the thoughts is seen is for the request to say, and for the model.
    """

    reasoning: str
    answer: str | CallTool | Sequence[CallTool]

    def __post_init__(self) -> None:
        reasoning: Any = self.reasoning
        if not isinstance(reasoning, str) or not reasoning.strip():
            raise TypeError(f"reasoning of a Reasoned is a text that is not empty, not {reasoning!r}.")


def split_tokens(text: str) -> list[str]:
    """Cut a text into tokens of up to eight characters, with the white space before; joined, they are the text."""
    return _TOKEN.findall(text)
