"""The service that knows the customers: in this process, and as unreliable as one behind a network."""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple, Protocol


class ServiceBusyError(Exception):
    """The service could not answer now; `retry_after` is the seconds that it asks to wait, if it does."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Customer(NamedTuple):
    """What the service knows."""

    segment: str
    lifetime_value: float


class CustomerService(Protocol):
    """What the pipeline needs of a service."""

    async def look_up(self, customer_id: int) -> Customer | None:
        """Return what is known of a customer, or None.

        Raises:
            ServiceBusyError: It should be asked again.
        """
        ...


class UnreliableService:
    """Answers after `latency` seconds; now and then it fails, and now and then it asks to wait.

    What it does depends on the seed and on how often it was asked for a customer, not on the order of the questions.
    """

    def __init__(self, *, latency: float, seed: int = 7, failing: float = 0.02, limiting: float = 0.01) -> None:
        self._latency = latency
        self._seed = seed
        self._failing = failing
        self._limiting = limiting
        self._asked: dict[int, int] = {}
        self.calls = 0
        self.running = 0
        self.most_at_once = 0

    async def look_up(self, customer_id: int) -> Customer | None:
        self.calls += 1
        self._asked[customer_id] = asked = self._asked.get(customer_id, 0) + 1
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            await asyncio.sleep(self._latency)
        finally:
            self.running -= 1
        chance = random.Random(f"{self._seed}/{customer_id}/{asked}").random()
        if chance < self._failing:
            raise ServiceBusyError("the connection was reset")
        if chance < self._failing + self._limiting:
            raise ServiceBusyError("too many requests", retry_after=4 * self._latency)
        return _customer(customer_id)


def _customer(customer_id: int) -> Customer | None:
    known = random.Random(customer_id)
    if known.random() < 0.05:
        return None
    return Customer(known.choice(("new", "regular", "gold")), round(known.uniform(10, 5_000), 2))
