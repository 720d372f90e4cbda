"""What stages return that make something: content, knowledge, effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from stageflow.core.kinds import StageKind
from stageflow.frozen import EMPTY
from stageflow.results.base import TypedResult
from stageflow.results.fields import flag, mapping, text, text_or_none
from stageflow.value import Value


class TransformResult(Value, TypedResult):
    """What a TRANSFORM stage made.

    Attributes:
        text: The text that it made, if it made one; it may be empty.
        fields: What else it made, by name.
        source: What it made it of: the name of a stage, an address, a path.
    """

    __slots__ = ("fields", "source", "text")

    kind: ClassVar[StageKind] = StageKind.TRANSFORM

    text: str | None
    fields: Mapping[str, Any]
    source: str | None

    def __init__(self, text: str | None = None, fields: Mapping[str, Any] = EMPTY, source: str | None = None) -> None:
        object.__setattr__(self, "text", text_or_none("TransformResult.text", text, empty=True))
        object.__setattr__(self, "fields", mapping("TransformResult.fields", fields))
        object.__setattr__(self, "source", text_or_none("TransformResult.source", source))


class EnrichResult(Value, TypedResult):
    """What an ENRICH stage found out.

    Attributes:
        enrichments: What is known, by name; empty if nothing is.
        source: Where it comes from: a service, a table.
    """

    __slots__ = ("enrichments", "source")

    kind: ClassVar[StageKind] = StageKind.ENRICH

    enrichments: Mapping[str, Any]
    source: str | None

    def __init__(self, enrichments: Mapping[str, Any], source: str | None = None) -> None:
        object.__setattr__(self, "enrichments", mapping("EnrichResult.enrichments", enrichments))
        object.__setattr__(self, "source", text_or_none("EnrichResult.source", source))


class WorkResult(Value, TypedResult):
    """What a WORK stage did to the world. Nothing to do, since it is done already, is no failure, but has a reason.

    Attributes:
        performed: Whether it did it, in this run.
        effect: What it did: "charged 12 EUR".
        reference: The id of what it did, where that was done: of a payment, a message, a row.
        reason: Why it did nothing; given if it has not performed.
        details: What else there is to say, by name.
    """

    __slots__ = ("details", "effect", "performed", "reason", "reference")

    kind: ClassVar[StageKind] = StageKind.WORK

    performed: bool
    effect: str | None
    reference: str | None
    reason: str | None
    details: Mapping[str, Any]

    def __init__(
        self,
        performed: bool,
        effect: str | None = None,
        reference: str | None = None,
        reason: str | None = None,
        details: Mapping[str, Any] = EMPTY,
    ) -> None:
        if not flag("WorkResult.performed", performed):
            reason = text("WorkResult.reason of what was not performed", reason)
        object.__setattr__(self, "performed", performed)
        object.__setattr__(self, "effect", text_or_none("WorkResult.effect", effect))
        object.__setattr__(self, "reference", text_or_none("WorkResult.reference", reference))
        object.__setattr__(self, "reason", text_or_none("WorkResult.reason", reason))
        object.__setattr__(self, "details", mapping("WorkResult.details", details))
