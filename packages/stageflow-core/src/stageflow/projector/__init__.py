"""What a client of a run is sent: its events as messages, for a WebSocket or as server-sent events."""

from __future__ import annotations

from stageflow.projector.event_ids import position_after
from stageflow.projector.protocol import Message, MessageProjector, NoOpMessageProjector, message_of, projected
from stageflow.projector.server_sent_events import SSEMessageProjector, sse_comment, sse_frame
from stageflow.projector.websocket import WSMessageProjector

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
