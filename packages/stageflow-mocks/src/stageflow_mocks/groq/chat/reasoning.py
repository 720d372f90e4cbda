"""Models that think before they answer: what a request may say of that, and what it sees of the thoughts.

Sources: the page on reasoning at console.groq.com/docs; answers and streams recorded in 2026 (`message.reasoning`;
`delta.reasoning` with the channel of gpt-oss; the tags of a raw answer; where tokens are counted); refusals recorded in
public issues. The wordings about a format that a model does not have, and about raw thoughts beside tools or JSON, are
made after that of `reasoning_effort`. That gpt-oss takes `parsed` and `hidden` was measured by users: the page says
that it takes none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from stageflow_mocks.groq.models import Model
from stageflow_mocks.groq.wire import JsonObject, Refusal, unsupported_property

Shown: TypeAlias = Literal["parsed", "raw", "hidden"]
"""Where thoughts are: in a field of their own, in the answer between tags, nowhere."""

_PROPERTIES = ("reasoning_effort", "reasoning_format", "include_reasoning")


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What becomes of the thoughts of a model.

    Attributes:
        is_possible: Whether the model reasons at all.
        is_wanted: Whether it is to reason.
        shown: Where its thoughts are.
        channel: What its deltas call them.
    """

    is_possible: bool = False
    is_wanted: bool = False
    shown: Shown = "hidden"
    channel: str | None = None


def malformed_reasoning(given: JsonObject, model: Model) -> Refusal | None:
    """Say what is wrong with what a request says of reasoning; None if nothing is."""
    asked = [name for name in _PROPERTIES if name in given]
    if not asked:
        return None
    if model.reasoner is None:
        return unsupported_property(asked[0])
    if "include_reasoning" in given and "reasoning_format" in given:
        return Refusal(400, "cannot specify both `include_reasoning` and `reasoning_format`")
    for name, allowed in (
        ("reasoning_effort", model.reasoner.efforts),
        ("reasoning_format", model.reasoner.formats),
    ):
        if given.get(name, allowed[0]) not in allowed:
            return Refusal(400, f"`{name}` must be one of {_listed(allowed)}")
    if given.get("reasoning_format") == "raw" and _is_structured(given):
        return Refusal(
            400, f"`reasoning_format` must be one of {_listed(('parsed', 'hidden'))} with tools or JSON mode"
        )
    return None


def asked_reasoning(given: JsonObject, model: Model) -> Reasoning:
    """Read a request that is well-formed."""
    if model.reasoner is None:
        return Reasoning()
    shown = given.get("reasoning_format", model.reasoner.formats[0])
    if "include_reasoning" in given:
        shown = "parsed" if given["include_reasoning"] else "hidden"
    elif shown == "raw" and _is_structured(given):
        shown = "parsed"
    is_wanted = given.get("reasoning_effort") != "none"
    return Reasoning(True, is_wanted, cast("Shown", shown), model.reasoner.channel)


def _is_structured(given: JsonObject) -> bool:
    return bool(given.get("tools")) or given.get("response_format", {}).get("type", "text") != "text"


def _listed(values: tuple[str, ...]) -> str:
    *before, last = (f"`{value}`" for value in values)
    return f"{', '.join(before)}{',' if len(before) > 1 else ''} or {last}"
