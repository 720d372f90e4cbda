"""How the events of a run become what a client is sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from stageflow.errors import ProjectionError
from stageflow.events.event import PipelineEvent
from stageflow.wording import type_name, with_article

Message = str | bytes | Mapping[str, Any]
"""What can be sent: text, bytes, or something to make JSON of."""

M = TypeVar("M", bound=Message)
AnyMessage = TypeVar("AnyMessage", bound=Message, covariant=True)


@runtime_checkable
class MessageProjector(Protocol[AnyMessage]):
    """Says what a client is sent of each event of a run.

    It is given every event, from the first to the last, and has no memory of its own: what it makes of an event does
    not depend on those before, so that one projector serves any number of clients, and each may begin in the middle.
    """

    def project(self, event: PipelineEvent) -> AnyMessage | None:
        """Return the message for an event, or None for one that is not for the client."""
        ...


class NoOpMessageProjector:
    """Sends nothing: for clients that may not see what a run does."""

    def project(self, event: PipelineEvent) -> None:
        return None


async def projected(events: AsyncIterator[PipelineEvent], projector: MessageProjector[M]) -> AsyncGenerator[M]:
    """Yield the message of each event that has one, in order. `run.messages(...)` is this for a run that goes on.

    Raises:
        ProjectionError: The projector raised, or returned what is no message; `__cause__` is what it raised.
    """
    try:
        async for event in events:
            message = message_of(projector, event)
            if message is not None:
                yield message
    finally:
        if isinstance(events, AsyncGenerator):
            await cast("AsyncGenerator[PipelineEvent]", events).aclose()


def message_of(projector: MessageProjector[M], event: PipelineEvent) -> M | None:
    """Return what a projector makes of an event.

    Raises:
        ProjectionError: It raised, or returned what is no message.
    """
    name = type_name(projector)
    try:
        message = projector.project(event)
    except ProjectionError:
        raise
    except Exception as error:
        problem = f"raised {type_name(error)}"
        raise ProjectionError(name, problem, event_type=event.event_type) from error
    if message is not None and not isinstance(message, (str, bytes, Mapping)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ProjectionError(
            name,
            f"returned {with_article(type_name(message))}",
            event_type=event.event_type,
            hint="A message is text, bytes or a mapping; None sends nothing.",
        )
    return message
