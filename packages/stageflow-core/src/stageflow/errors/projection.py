"""What goes wrong on the way from a run to a client that watches it."""

from __future__ import annotations

from stageflow.errors.base import StageflowError
from stageflow.wording import shown


class InvalidEventIdError(StageflowError, ValueError):
    """A client wants to go on after an event that this run has not told anybody of.

    Attributes:
        event_id: What the client sent, as in the `Last-Event-ID` of a request.
        run_id: The run that it was sent to.
    """

    code = "invalid-event-id"

    def __init__(self, event_id: object, problem: str, *, run_id: str) -> None:
        super().__init__(
            f"Run {run_id} cannot go on after the event id {shown(event_id)}: {problem}.",
            hint="Refuse the request, or leave `after` out, to begin with the first message.",
        )
        self.event_id = event_id
        self.problem = problem
        self.run_id = run_id


class ProjectionError(StageflowError):
    """A MessageProjector, or the PipelineMetadata that it asks, raised or gave something that cannot be sent.

    Attributes:
        projector: The name of the class whose fault it is.
        event_type: What it was given, where that was an event.
    """

    code = "projection"

    def __init__(self, projector: str, problem: str, *, event_type: str | None = None, hint: str | None = None) -> None:
        given = f" for the event '{event_type}'" if event_type else ""
        super().__init__(f"{projector} {problem}{given}.", hint=hint)
        self.projector = projector
        self.event_type = event_type
