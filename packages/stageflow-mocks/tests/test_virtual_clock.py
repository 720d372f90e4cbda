"""The event loop in simulated time."""

import asyncio
import contextlib
import socket
import sys
import time

import pytest
from stageflow import Pipeline, stage
from stageflow_mocks.simulation import OutsideWorldError, StalledError, VirtualClockLoop, run, simulated


def test_a_day_passes_at_once():
    """A sleep of a day costs no real time, and the clock shows the day."""

    async def scenario():
        await asyncio.sleep(86_400 * 3)
        return asyncio.get_running_loop().time()

    began = time.perf_counter()
    assert run(scenario()) == 86_400 * 3
    assert time.perf_counter() - began < 60


def test_timers_fire_in_the_order_of_their_times():
    """What sleeps less wakes first, whatever the order in which the sleeps began."""

    async def scenario():
        loop, woken = asyncio.get_running_loop(), []

        async def sleeper(seconds):
            await asyncio.sleep(seconds)
            woken.append((seconds, loop.time()))

        await asyncio.gather(*(sleeper(seconds) for seconds in (3, 0.25, 2, 1)))
        return woken

    assert run(scenario()) == [(0.25, 0.25), (1, 1.0), (2, 2.0), (3, 3.0)]


def test_what_is_ready_costs_no_time():
    """A task that only yields leaves the clock where it is, even while a timer is set."""

    async def scenario():
        loop = asyncio.get_running_loop()
        timer = asyncio.create_task(asyncio.sleep(1))
        for _ in range(1000):
            await asyncio.sleep(0)
        now = loop.time()
        await timer
        return now, loop.time()

    assert run(scenario()) == (0.0, 1.0)


def test_timeouts_are_timers_too():
    """asyncio.timeout ends a longer sleep at its limit."""

    async def scenario():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(50)
        return asyncio.get_running_loop().time()

    assert run(scenario()) == 5.0


def test_a_deadlock_is_an_error_that_names_who_waits():
    """Waiting for what can never come raises, and the error names the tasks."""

    async def scenario():
        asyncio.current_task().set_name("waits in vain")
        await asyncio.Event().wait()

    with pytest.raises(StalledError, match=r"at 0 s.*waits in vain") as caught:
        run(scenario())
    assert caught.value.waiting == ["waits in vain"]


def test_left_over_tasks_are_cancelled():
    """A task that is still there at the end is cancelled and may clean up."""
    ended = []

    async def left_over():
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(asyncio.get_running_loop().time())

    async def scenario():
        task = asyncio.create_task(left_over())
        await asyncio.sleep(1)
        return task

    assert run(scenario()).cancelled()
    assert ended == [1.0]


def test_exceptions_come_through():
    """What the coroutine raises is what run raises."""

    async def scenario():
        await asyncio.sleep(1)
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is"):
        run(scenario())


@contextlib.contextmanager
def _socket():
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        yield one


async def _read(loop, sock):
    loop.add_reader(sock, print)


async def _write(loop, sock):
    loop.add_writer(sock, print)


@pytest.mark.parametrize(
    "ask",
    [
        _read,
        _write,
        lambda loop, sock: loop.sock_recv(sock, 1),
        lambda loop, sock: loop.sock_sendall(sock, b"x"),
        lambda loop, sock: loop.sock_connect(sock, "nowhere"),
        lambda loop, sock: loop.sock_accept(sock),
        lambda loop, sock: asyncio.open_connection("127.0.0.1", 1),
        lambda loop, sock: asyncio.start_server(print, "127.0.0.1", 0),
        lambda loop, sock: loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)),
        lambda loop, sock: asyncio.to_thread(print),
        lambda loop, sock: loop.getaddrinfo("localhost", 80),
        lambda loop, sock: asyncio.create_subprocess_exec(sys.executable),
        lambda loop, sock: asyncio.create_subprocess_shell("true"),
    ],
)
def test_the_outside_world_is_refused(ask):
    """Asking for a descriptor, socket, server, thread or process raises instead of waiting for it."""

    async def scenario():
        with _socket() as sock, pytest.raises(OutsideWorldError, match="outside world"):
            await ask(asyncio.get_running_loop(), sock)

    run(scenario())


def test_two_runs_have_a_clock_each():
    """Every loop starts at zero."""

    async def scenario():
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(1)
        return began

    assert (run(scenario()), run(scenario())) == (0.0, 0.0)


def test_it_is_an_event_loop_to_be_used_by_hand():
    """The loop works without run, as any event loop does."""
    loop = VirtualClockLoop()
    try:
        assert loop.run_until_complete(asyncio.sleep(2, "done")) == "done"
        assert loop.time() == 2.0
    finally:
        loop.close()


@simulated
async def test_an_async_test_can_be_simulated(tmp_path):
    """A decorated test takes fixtures as ever, and has a virtual clock."""
    assert tmp_path.name
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == 3600


@simulated
async def test_a_run_has_simulated_durations():
    """What a pipeline's stages took is what they slept, to the nanosecond, on the busiest machine."""

    async def sleep():
        await asyncio.sleep(3600)

    results = await Pipeline("slow", [stage(sleep), stage("other", sleep)]).run()
    assert (results.duration_ms, results.record("other").duration_ms) == (3_600_000.0, 3_600_000.0)
