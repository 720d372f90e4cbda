"""A stage that finds out what is known, by asking an EnrichmentProvider."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from stageflow.conformance import conforming
from stageflow.core.context import StageContext
from stageflow.core.kinds import StageKind
from stageflow.core.output import StageOutput
from stageflow.protocols import EnrichmentProvider, EnrichmentRequest
from stageflow.results.content import EnrichResult
from stageflow.results.fields import text
from stageflow.wording import shown, type_name, with_article

Asked = Callable[[StageContext], Mapping[str, Any]]


class EnrichStage:
    """Asks an EnrichmentProvider, for the user and the text of the run.

    It ends OK with an EnrichResult, `{"enrichments": what is known, "source": what was asked for}`, and is skipped if
    nothing is known.

    Args:
        provider: Whom to ask; the port `enrichment` of the run unless given.
        wants: What to ask for, the `name` of the request; the name of the stage unless given.
        attributes: Gives what else the provider is told.

    Raises:
        ProtocolMismatchError: `provider` does not fit its protocol.
        TypeError, ValueError: One of the others cannot be what it is.
    """

    name = "enrich"
    kind = StageKind.ENRICH
    ports: tuple[str, ...] = ("enrichment",)

    def __init__(
        self,
        provider: EnrichmentProvider | None = None,
        *,
        wants: str | None = None,
        attributes: Asked | None = None,
    ) -> None:
        if provider is not None:
            conforming(provider, EnrichmentProvider, "The provider of an EnrichStage")
        if wants is not None:
            text("What an EnrichStage wants", wants)
        if attributes is not None and (not callable(attributes) or inspect.iscoroutinefunction(attributes)):
            raise TypeError(
                f"The attributes of an EnrichStage are given by a function that is not async, not {shown(attributes)}. "
                "Write attributes=lambda ctx: {...}."
            )
        if provider is not None:
            self.ports = ()
        self._provider = provider
        self._wants = wants
        self._attributes = attributes

    async def execute(self, ctx: StageContext) -> StageOutput[EnrichResult]:
        """Ask, once."""
        provider = cast("EnrichmentProvider", ctx.ports.enrichment) if self._provider is None else self._provider
        request = self._request(ctx)
        found: Any = await provider.enrich(request)
        if found is None:
            return StageOutput.skip("nothing is known")
        if not isinstance(found, Mapping):
            what = with_article(type_name(found))
            raise TypeError(f"The EnrichmentProvider {type_name(provider)} returned {what}: not a mapping, nor None.")
        return StageOutput.ok(EnrichResult(cast("Mapping[str, Any]", found), source=request.name))

    def _request(self, ctx: StageContext) -> EnrichmentRequest:
        identity = ctx.snapshot.run_id
        attributes: Any = None if self._attributes is None else self._attributes(ctx)
        if attributes is not None and not isinstance(attributes, Mapping):
            raise TypeError(f"The attributes of stage '{ctx.stage_name}' are a mapping, not {shown(attributes)}.")
        return EnrichmentRequest(
            ctx.stage_name if self._wants is None else self._wants,
            user_id=identity.user_id,
            org_id=identity.org_id,
            session_id=identity.session_id,
            input_text=ctx.snapshot.input_text,
            attributes=cast("Mapping[str, Any] | None", attributes),
        )
