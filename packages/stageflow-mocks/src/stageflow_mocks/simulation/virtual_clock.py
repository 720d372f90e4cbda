"""An event loop whose clock jumps to the next timer instead of waiting for it.

`asyncio.sleep(3600)`, a timeout, a grace period: all of them end at once, in the order in which they would have ended,
and `loop.time()` says what a real clock would have said. Code that is ready costs no time at all. So a test of what
happens after five seconds takes microseconds and gives the same result on a busy machine.

A clock that jumps cannot wait for anything real, so the loop has no sockets, pipes, signals or threads: asking for one
raises. When nothing is ready and no timer is set nothing can ever happen again, which a real loop would wait out for
ever: here it raises StalledError, and a deadlock becomes a failed test.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


_ORIGIN_NS = 1_000_000_000
"""The first reading of `perf_counter_ns`: like a real one it means nothing, and is not zero."""


class StalledError(RuntimeError):
    """Nothing is ready and no timer is set: whoever still waits would wait for ever."""

    def __init__(self, now: float, waiting: list[str]) -> None:
        super().__init__(
            f"Nothing can happen any more at {now:g} s: no task is ready and no timer is set. "
            f"Still waiting: {', '.join(waiting) or 'no task at all'}."
        )
        self.now = now
        self.waiting = waiting


class OutsideWorldError(RuntimeError):
    """Code under a virtual clock asked for something real: a socket, a pipe, a thread, a signal."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} needs the outside world, which a clock that jumps cannot wait for. "
            "Use a fake in its place, or an ordinary event loop."
        )
        self.what = what


class _Clock:
    """The selector of the loop: where asyncio would wait for the outside world, time jumps."""

    def __init__(self, loop: VirtualClockLoop) -> None:
        self._loop = loop
        self.now = 0.0

    def select(self, timeout: float | None) -> tuple[()]:
        if timeout is None:
            raise StalledError(self.now, sorted(task.get_name() for task in asyncio.all_tasks(self._loop)))
        self.now += timeout
        return ()


class VirtualClockLoop(asyncio.BaseEventLoop):
    """An event loop in simulated time, which starts at 0.0 s."""

    def __init__(self) -> None:
        super().__init__()
        # BaseEventLoop leaves the waiting to `_selector.select(timeout)`, and the rest of these to its subclasses.
        self._selector = self._clock = _Clock(self)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self._clock.now

    def perf_counter_ns(self) -> int:
        """Return the simulated time in nanoseconds, from an origin of its own: what a run takes its durations from."""
        return _ORIGIN_NS + round(self._clock.now * 1e9)

    def _process_events(self, event_list: object) -> None:
        """There are never any."""

    def _write_to_self(self) -> None:
        """The loop never sleeps, so nobody needs to wake it."""

    def run_in_executor(self, executor: object, func: object, *args: object) -> NoReturn:
        raise OutsideWorldError("A thread (run_in_executor, asyncio.to_thread, getaddrinfo)")

    def add_reader(self, fd: object, callback: object, *args: object) -> NoReturn:
        raise OutsideWorldError("Waiting until a file descriptor can be read")

    def add_writer(self, fd: object, callback: object, *args: object) -> NoReturn:
        raise OutsideWorldError("Waiting until a file descriptor can be written")

    async def sock_recv(self, sock: object, nbytes: int) -> NoReturn:
        raise OutsideWorldError("A socket")

    async def sock_sendall(self, sock: object, data: object) -> NoReturn:
        raise OutsideWorldError("A socket")

    async def sock_connect(self, sock: object, address: object) -> NoReturn:
        raise OutsideWorldError("A socket")

    async def sock_accept(self, sock: object) -> NoReturn:
        raise OutsideWorldError("A socket")

    async def create_connection(self, *args: object, **kwargs: object) -> NoReturn:
        raise OutsideWorldError("A connection")

    async def create_server(self, *args: object, **kwargs: object) -> NoReturn:
        raise OutsideWorldError("A server")

    async def create_datagram_endpoint(self, *args: object, **kwargs: object) -> NoReturn:
        raise OutsideWorldError("A datagram endpoint")

    async def subprocess_shell(self, *args: object, **kwargs: object) -> NoReturn:
        raise OutsideWorldError("A process")

    async def subprocess_exec(self, *args: object, **kwargs: object) -> NoReturn:
        raise OutsideWorldError("A process")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine in simulated time and return its result, as `asyncio.run` does in real time.

    Tasks that are left over are cancelled at its end, as there.

    Raises:
        StalledError: What is awaited can never come.
        OutsideWorldError: Something real was asked for.
    """
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(coroutine)


def simulated(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async test one that runs in simulated time; see `run`."""

    @functools.wraps(function)
    def in_simulated_time(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(function(*args, **kwargs))

    return in_simulated_time
