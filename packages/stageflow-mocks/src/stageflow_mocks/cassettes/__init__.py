"""Cassettes: what an httpx client was answered is recorded once, and replayed without a network or a key."""
