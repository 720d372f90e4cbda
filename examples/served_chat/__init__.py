"""A chat whose runs are watched from a browser: by WebSocket, or by server-sent events that can be resumed."""
