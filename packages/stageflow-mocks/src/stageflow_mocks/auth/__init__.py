"""Really signed tokens, good ones and ones that are each bad in one way, and the server of their keys."""
