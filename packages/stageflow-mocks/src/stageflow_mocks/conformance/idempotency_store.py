"""What an IdempotencyStore promises."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from stageflow import Pipeline, StageArtifact, StageOutput, stage
from stageflow.interceptors.idempotency import IdempotencyInterceptor
from stageflow.protocols import Claim, IdempotencyStore

from stageflow_mocks.conformance.suite import Conformance, ends_when_cancelled, not_told, promise, promised

_STATES = ("granted", "running", "done", "conflict")


class IdempotencyStoreConformance(Conformance[IdempotencyStore]):
    """Subclass it, and give `make`. A store with a lease is waited for that long, so give it a short one.

    Attributes:
        keeps: Whether the store remembers work, as opposed to one that grants every claim.
    """

    keeps: bool = True

    @promised
    async def test_it_fits_the_protocol(self, store: IdempotencyStore) -> None:
        """An interceptor takes it, and its lease is a number of seconds, or None."""
        IdempotencyInterceptor(store)
        lease: Any = store.lease_seconds
        promise(lease is None or lease > 0, f"`lease_seconds` is above 0, or None, not {lease!r}.")

    @promised
    async def test_a_free_key_is_granted(self, store: IdempotencyStore) -> None:
        """To the first who asks; any text is a key."""
        for key in ("k", "", "ü/世界 \u2028:'\"%", "k" * 500):
            await self._expect(store, "granted", key, owner="a")

    @promised
    async def test_a_claim_is_granted_once(self, store: IdempotencyStore) -> None:
        """Of many who ask at once one gets the key."""
        self._must_keep()
        claims = await asyncio.gather(*(store.claim("k", fingerprint="f", owner=f"o{n}") for n in range(50)))
        granted = sum(claim.state == "granted" for claim in claims)
        promise(granted == 1, f"Of 50 claims at once 1 is granted, not {granted}.")
        rest = {claim.state for claim in claims} - {"granted"}
        promise(rest == {"running"}, f"The others hear that somebody is at it, not {sorted(rest)}.")

    @promised
    async def test_what_was_done_is_told(self, store: IdempotencyStore) -> None:
        """Whoever claims the key afterwards gets the very output, as often as they ask."""
        self._must_keep()
        receipt = StageArtifact("conformance.receipt", {"number": 7})
        value = StageOutput.ok({"text": "ü", "items": [1, {"x": None}]}, version="2").publishing(receipt)
        await self._expect(store, "granted", "k", owner="a")
        promise(await store.complete("k", owner="a", value=value), "`complete` by its owner is True.")
        for owner in ("a", "b"):
            claim = await self._expect(store, "done", "k", owner=owner)
            told = f"What was kept is {value!r}, with version '2' and an artifact, and reads {_whole(claim.value)}."
            promise(claim.value == value, told)

    @promised
    async def test_other_parameters_are_a_conflict(self, store: IdempotencyStore) -> None:
        """While the work goes on, and when it is done."""
        self._must_keep()
        await self._expect(store, "granted", "k", owner="a")
        await self._expect(store, "conflict", "k", owner="b", fingerprint="other")
        await store.complete("k", owner="a", value=StageOutput.ok())
        await self._expect(store, "conflict", "k", owner="b", fingerprint="other")

    @promised
    async def test_only_its_owner_ends_a_claim(self, store: IdempotencyStore) -> None:
        """What anybody else says of it changes nothing."""
        self._must_keep()
        await self._expect(store, "granted", "k", owner="a")
        promise(not await store.renew("k", owner="b"), "`renew` by somebody else is False.")
        promise(not await store.complete("k", owner="b", value=StageOutput.ok(by="b")), "So is `complete`.")
        await store.release("k", owner="b")
        await self._expect(store, "running", "k", owner="c")
        promise(await store.renew("k", owner="a"), "`renew` by the owner is True.")
        await store.complete("k", owner="a", value=StageOutput.ok(by="a"))
        promise(not await store.renew("k", owner="a"), "A claim that has ended is not renewed.")
        promise(not await store.complete("k", owner="a", value=StageOutput.ok(by="a")), "Nor completed again.")
        await store.release("k", owner="a")
        claim = await self._expect(store, "done", "k", owner="c")
        promise(claim.value.data == {"by": "a"}, f"The owner's output is kept, not {claim.value!r}.")

    @promised
    async def test_a_released_key_is_free(self, store: IdempotencyStore) -> None:
        """For the same work, and for other work."""
        await self._expect(store, "granted", "k", owner="a")
        await store.release("k", owner="a")
        await self._expect(store, "granted", "k", owner="b", fingerprint="other")

    @promised
    async def test_keys_are_kept_apart(self, store: IdempotencyStore) -> None:
        """What becomes of one says nothing of another, however alike they look."""
        self._must_keep()
        for key in ("k", "K", "k ", "\u00e9", "e\u0301", f"{'x' * 300}1", f"{'x' * 300}2", "k%", "k_"):
            await self._expect(store, "granted", key, owner="a")
        for number in range(10):
            await self._expect(store, "granted", f"k{number}", owner="a")
        for number in range(0, 10, 2):
            await store.complete(f"k{number}", owner="a", value=StageOutput.ok(n=number))
        for number in range(10):
            claim = await self._expect(store, "running" if number % 2 else "done", f"k{number}", owner="b")
            promise(number % 2 or claim.value.data["n"] == number, "Each key has its own output.")

    @promised
    async def test_who_waits_is_told(self, store: IdempotencyStore) -> None:
        """`wait` returns when the work is done or given up, and at once for a key that nobody has."""
        await store.wait("nobody's")
        for end in ("complete", "release"):
            await self._expect(store, "granted", end, owner="a")
            waiting = [asyncio.ensure_future(_until_free(store, end)) for _ in range(5)]
            await asyncio.sleep(0)
            if end == "complete":
                await store.complete(end, owner="a", value=StageOutput.ok())
            else:
                await store.release(end, owner="a")
            states = sorted(await asyncio.gather(*waiting))
            if self.keeps:
                wanted = ["done"] * 5 if end == "complete" else ["done"] * 4 + ["granted"]
                promise(states == wanted, f"After `{end}` those that waited hear {wanted}, not {states}.")

    @promised
    async def test_a_cancelled_wait_ends(self, store: IdempotencyStore) -> None:
        """And the others still hear of the end."""
        await self._expect(store, "granted", "k", owner="a")
        await ends_when_cancelled(lambda: store.wait("k"))
        other = asyncio.ensure_future(_until_free(store, "k"))
        await asyncio.sleep(0)
        await store.complete("k", owner="a", value=StageOutput.ok())
        promise(await other == ("done" if self.keeps else "granted"), "A cancelled wait takes nothing from others.")

    @promised
    async def test_a_cancelled_call_ends(self, store: IdempotencyStore) -> None:
        """Whatever it had done by then, what the owner says next is done, and others are answered."""
        keys = [f"claimed {number}" for number in range(12)]
        asked = iter(keys)
        await ends_when_cancelled(lambda: store.claim(next(asked), fingerprint="f", owner="a"))
        for key in keys:
            await store.release(key, owner="a")
            claim = await store.claim(key, fingerprint="f", owner="b")
            if claim.state == "running" and store.lease_seconds is not None:  # a thread may have taken it since
                await self.pass_time(store.lease_seconds * 1.3)
                claim = await store.claim(key, fingerprint="f", owner="b")
            free = claim.state == "granted"
            promise(free, f"A key is free once its owner has released it, though its claim was cancelled: '{key}'.")
        for end in ("release", "complete"):
            await self._expect(store, "granted", end, owner="a")
            call = partial(
                getattr(store, end), end, owner="a", **({"value": StageOutput.ok()} if end[0] == "c" else {})
            )
            await ends_when_cancelled(call)
            await call()
            claim = await store.claim(end, fingerprint="f", owner="b")
            ended = claim.state == ("done" if self.keeps and end == "complete" else "granted")
            promise(ended, f"A key is free once its owner has released it, and done once it is completed: '{end}'.")

    @promised
    async def test_a_lease_that_is_not_renewed_ends(self, store: IdempotencyStore) -> None:
        """The key is free then, and who had it can do nothing to it any more."""
        lease = self._lease(store)
        await self._expect(store, "granted", "k", owner="a")
        await self.pass_time(lease * 1.3)
        await self._expect(store, "granted", "k", owner="b")
        promise(not await store.renew("k", owner="a"), "A lease that has ended is not renewed.")
        promise(not await store.complete("k", owner="a", value=StageOutput.ok(by="a")), "Nor is its work kept.")
        await store.release("k", owner="a")
        await self._expect(store, "running", "k", owner="c")

    @promised
    async def test_a_lease_that_is_renewed_goes_on(self, store: IdempotencyStore) -> None:
        """Each renewal begins it anew, and what is done is kept when it would have ended."""
        lease = self._lease(store)
        await self._expect(store, "granted", "k", owner="a")
        for _ in range(3):
            await self.pass_time(lease * 0.6)
            promise(await store.renew("k", owner="a"), "A lease is renewed by its owner.")
        await self._expect(store, "running", "k", owner="b")
        await store.complete("k", owner="a", value=StageOutput.ok())
        await self.pass_time(lease * 1.3)
        await self._expect(store, "done", "k", owner="b")

    @promised
    async def test_work_is_done_once(self, store: IdempotencyStore) -> None:
        """Behind an interceptor many runs at once do the work once, and all have its outcome."""
        self._must_keep()
        done: list[int] = []

        async def work() -> dict[str, int]:
            await asyncio.sleep(0)
            done.append(1)
            return {"number": len(done)}

        once = IdempotencyInterceptor(store, key=lambda _: "order-1")
        pipeline = Pipeline("conformance", [stage("work", work)], interceptors=(once,))
        results = await asyncio.gather(*(pipeline.run() for _ in range(10)))
        promise(len(done) == 1, f"The work was done {len(done)} times.")
        promise({one.data("work")["number"] for one in results} == {1}, "All runs have the one outcome.")

    async def _expect(
        self, store: IdempotencyStore, state: str, key: str, *, owner: str, fingerprint: str = "f"
    ) -> Claim:
        claim: Any = await store.claim(key, fingerprint=fingerprint, owner=owner)
        promise(isinstance(claim, Claim), f"`claim` returns a Claim, not {claim!r}.")
        promise(claim.state in _STATES, f"The state of a claim is one of {_STATES}, not {claim.state!r}.")
        state = state if self.keeps else "granted"
        promise(claim.state == state, f"A claim of '{key[:20]}' by '{owner}' is '{state}', not '{claim.state}'.")
        return claim

    def _must_keep(self) -> None:
        if not self.keeps:
            not_told("the store remembers nothing")

    def _lease(self, store: IdempotencyStore) -> float:
        self._must_keep()
        return not_told("claims last until they are ended") if store.lease_seconds is None else store.lease_seconds


def _whole(value: Any) -> str:
    if not isinstance(value, StageOutput):
        return repr(value)
    output = cast("StageOutput[Any]", value)
    return f"{output!r}, with version {output.version!r} and {len(output.artifacts)} artifacts"


async def _until_free(store: IdempotencyStore, key: str) -> str:
    """Wait for a key as an interceptor does; the first who gets it does the work."""
    owner = f"waits {id(asyncio.current_task())}"
    while True:
        claim = await store.claim(key, fingerprint="f", owner=owner)
        if claim.state != "running":
            break
        await store.wait(key)
    if claim.state == "granted":
        await store.complete(key, owner=owner, value=StageOutput.ok())
    return claim.state
