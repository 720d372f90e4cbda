"""What a client of a run is sent: its events as messages, for a WebSocket or as server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stageflow.lazy_names import names_from

if TYPE_CHECKING:
    from stageflow.projector.event_ids import position_after
    from stageflow.projector.protocol import Message, MessageProjector, NoOpMessageProjector, message_of, projected
    from stageflow.projector.server_sent_events import SSEMessageProjector, sse_comment, sse_frame
    from stageflow.projector.websocket import WSMessageProjector
else:
    __getattr__, __dir__ = names_from(
        __name__,
        {
            "stageflow.projector.event_ids": ("position_after",),
            "stageflow.projector.protocol": (
                "Message",
                "MessageProjector",
                "NoOpMessageProjector",
                "message_of",
                "projected",
            ),
            "stageflow.projector.server_sent_events": ("SSEMessageProjector", "sse_comment", "sse_frame"),
            "stageflow.projector.websocket": ("WSMessageProjector",),
        },
    )

__all__ = [
    "Message",
    "MessageProjector",
    "NoOpMessageProjector",
    "SSEMessageProjector",
    "WSMessageProjector",
    "message_of",
    "position_after",
    "projected",
    "sse_comment",
    "sse_frame",
]
