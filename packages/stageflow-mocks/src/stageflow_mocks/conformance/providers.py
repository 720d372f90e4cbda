"""What the suites of providers of models share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, NamedTuple, TypeVar

from stageflow.errors import ProviderError
from stageflow.providers import closing_stream

from stageflow_mocks.conformance.suite import Conformance, ends_when_cancelled, not_told, opened, promise, promised

P = TypeVar("P")
R = TypeVar("R")
C = TypeVar("C")


class Failing(NamedTuple):
    """A way to fail: what makes a provider whose calls fail so, and the class of what they then have to raise."""

    make: Callable[[], Any | Awaitable[Any] | AbstractAsyncContextManager[Any]]
    error: type[ProviderError]


class ProviderConformance(Conformance[P], Generic[P, R, C]):
    """What each provider promises; `R` is what it answers, `C` the pieces of that.

    Attributes:
        repeats: Whether the same request gets the same answer.
    """

    repeats: bool = True

    def failing(self) -> Mapping[str, Failing]:
        """Return the ways in which the provider can be made to fail, by a name for each."""
        return {}

    def open_calls(self, provider: P) -> int | None:
        """Return how many calls are under way, connections say; None if that cannot be known."""
        return None

    def said(self, number: int) -> str | None:
        """Return what a request says in words, which no error repeats; None if it says nothing in words."""
        return None

    def check_port(self, provider: P) -> None:
        """Give the provider to a run's ports, which check it."""
        raise NotImplementedError

    def call(self, provider: P, number: int) -> Awaitable[R]:
        """Ask for a whole answer; another number may ask for something else."""
        raise NotImplementedError

    def stream(self, provider: P, number: int) -> AsyncIterator[C]:
        """Ask for the same in pieces."""
        raise NotImplementedError

    def check_answer(self, answer: R) -> None:
        """Check a whole answer by itself."""
        raise NotImplementedError

    def check_chunk(self, chunk: C) -> None:
        """Check one piece by itself."""
        raise NotImplementedError

    def gist(self, answer: R) -> Any:
        """Return what is the same in two answers to one request."""
        raise NotImplementedError

    def whole(self, provider: P, chunks: list[C]) -> Any:
        """Return the `gist` of what the pieces make, or raise what is wrong of them."""
        raise NotImplementedError

    @promised
    async def test_it_fits_the_protocol(self, provider: P) -> None:
        """It can be a port, and says what it is called."""
        self.check_port(provider)
        name: Any = getattr(provider, "name", None)
        promise(isinstance(name, str) and name.strip(), f"`name` is what errors and logs call it, not {name!r}.")

    @promised
    async def test_it_answers(self, provider: P) -> None:
        """A request gets a whole answer."""
        self.check_answer(await self.call(provider, 0))

    @promised
    async def test_it_streams(self, provider: P) -> None:
        """The pieces make a whole answer: the same as without streaming, if answers repeat themselves."""
        chunks = [chunk async for chunk in self.stream(provider, 0)]
        promise(chunks, "A stream has at least one chunk.")
        for chunk in chunks:
            self.check_chunk(chunk)
        whole = self.whole(provider, chunks)
        if self.repeats:
            answer = self.gist(await self.call(provider, 0))
            promise(whole == answer, f"The pieces make {_brief(whole)}, and the whole answer is {_brief(answer)}.")

    @promised
    async def test_answers_do_not_mix(self, provider: P) -> None:
        """Of many calls at once, whole and streamed, each gets its own answer."""
        if not self.repeats:
            not_told("answers do not repeat themselves")
        alone = [self.gist(await self.call(provider, number)) for number in range(5)]

        async def streamed(number: int) -> Any:
            return self.whole(provider, [chunk async for chunk in self.stream(provider, number)])

        async def called(number: int) -> Any:
            return self.gist(await self.call(provider, number))

        numbers = [number % 5 for number in range(10)]
        together = await asyncio.gather(*map(called, numbers), *map(streamed, numbers))
        for number, answer in zip(numbers * 2, together, strict=True):
            told = f"Asked with others, the answer is {_brief(answer)}; alone it is {_brief(alone[number])}."
            promise(answer == alone[number], told)

    @promised
    async def test_a_stream_that_is_left_is_closed(self, provider: P) -> None:
        """Whoever stops reading closes it, if it can be closed: the call ends then, and the next one is answered."""
        for chunks_read in (0, 1):
            stream: Any = self.stream(provider, 0)
            async with closing_stream(stream):
                for _ in range(chunks_read):
                    await anext(stream)
            left = [chunk async for chunk in stream] if hasattr(stream, "aclose") else []
            promise(not left, f"A stream that was closed has ended; it went on with {len(left)} chunks.")
        self._none_open(provider)
        self.check_answer(await self.call(provider, 0))

    @promised
    async def test_a_cancelled_call_ends(self, provider: P) -> None:
        """Whole or streamed it stops, is under way no longer, and the next one is answered."""

        async def read() -> None:
            async with closing_stream(self.stream(provider, 0)) as chunks:
                async for _ in chunks:
                    await asyncio.sleep(0)

        await ends_when_cancelled(lambda: self.call(provider, 0))
        await ends_when_cancelled(read)
        self._none_open(provider)
        self.check_answer(await self.call(provider, 0))

    @promised
    async def test_failures_are_classified(self, provider: P) -> None:
        """Each way to fail is a ProviderError of its class, whole or streamed, with its name and not what was said."""
        ways = self.failing() or not_told("`failing` tells no way to fail")
        for way, (make, expected) in ways.items():
            for method in ("call", "stream"):
                async with opened(make()) as broken:  # once: a provider that tries again by itself is found
                    error = await self._failure(broken, method)
                    told = f"'{way}' raises {expected.__name__} from its {method}, not {error!r}."
                    promise(isinstance(error, expected), told)
                    named = isinstance(error, ProviderError) and error.provider == broken.name
                    promise(named, f"'{way}' names the provider '{broken.name}'.")
                    said = self.said(0)
                    secret = not said or said not in str(error)
                    promise(secret, f"Keys and what was said stays out of the text of errors; '{way}' has it: {error}")

    async def _failure(self, provider: P, method: str) -> BaseException | None:
        try:
            if method == "call":
                await self.call(provider, 0)
            else:
                self.whole(provider, [chunk async for chunk in self.stream(provider, 0)])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is judged
            return error
        return None

    def _none_open(self, provider: P) -> None:
        count = self.open_calls(provider)
        promise(not count, f"Nothing is under way any more; {count} calls are.")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
