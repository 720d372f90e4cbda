"""What an event loop in simulated time refuses."""

import asyncio
import concurrent.futures
import contextlib
import signal
import socket
import sys
import threading

import pytest
from stageflow_mocks.simulation import OutsideWorldError, run


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


async def _signal(loop, sock):
    loop.add_signal_handler(signal.SIGUSR1, print)


@pytest.mark.parametrize(
    "ask",
    [
        _read,
        _write,
        _signal,
        lambda loop, sock: loop.sock_recv(sock, 1),
        lambda loop, sock: loop.sock_recvfrom(sock, 1),
        lambda loop, sock: loop.sock_sendall(sock, b"x"),
        lambda loop, sock: loop.sock_connect(sock, "nowhere"),
        lambda loop, sock: loop.sock_accept(sock),
        lambda loop, sock: asyncio.open_connection("127.0.0.1", 1),
        lambda loop, sock: asyncio.open_connection(sock=sock),
        lambda loop, sock: asyncio.open_unix_connection("/nowhere"),
        lambda loop, sock: asyncio.start_server(print, "127.0.0.1", 0),
        lambda loop, sock: asyncio.start_unix_server(print, "/nowhere"),
        lambda loop, sock: loop.connect_accepted_socket(asyncio.Protocol, sock),
        lambda loop, sock: loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)),
        lambda loop, sock: loop.connect_read_pipe(asyncio.Protocol, sock),
        lambda loop, sock: asyncio.to_thread(print),
        lambda loop, sock: loop.getaddrinfo("localhost", 80),
        lambda loop, sock: loop.getnameinfo(("127.0.0.1", 80)),
        lambda loop, sock: asyncio.create_subprocess_exec(sys.executable),
        lambda loop, sock: asyncio.create_subprocess_shell("true"),
    ],
)
def test_the_outside_world_is_refused(ask):
    """Asking for a descriptor, signal, socket, server, thread or process raises instead of waiting for it."""

    async def scenario():
        with _socket() as sock, pytest.raises(OutsideWorldError, match="outside world"):
            await ask(asyncio.get_running_loop(), sock)

    run(scenario())


# What an event loop does by itself, without the outside.
INSIDE = {
    *("call_at", "call_exception_handler", "call_later", "call_soon", "call_soon_threadsafe", "close", "create_future"),
    *("create_task", "default_exception_handler", "get_debug", "get_exception_handler", "get_task_factory"),
    *("is_closed", "is_running", "run_forever", "run_until_complete", "set_debug", "set_default_executor"),
    *("set_exception_handler", "set_task_factory", "shutdown_asyncgens", "shutdown_default_executor", "stop", "time"),
}


def test_no_door_is_left_open():
    """Whatever else an event loop can do is refused, so a method that a newer Python adds is noticed here."""

    async def scenario():
        loop, refused = asyncio.get_running_loop(), set()
        doors = {name for name in vars(asyncio.AbstractEventLoop) if not name.startswith("_")} - INSIDE
        for name in doors:
            with pytest.raises(OutsideWorldError):
                await getattr(loop, name)()
            refused.add(name)
        return refused

    assert len(run(scenario())) >= 29


def test_another_thread_is_refused():
    """A thread that would hand something to the loop is told so, there, and the loop does not get it."""

    async def never():
        raise AssertionError("it was run")

    async def scenario():
        loop, raised = asyncio.get_running_loop(), []

        def outside():
            coroutine = never()
            for hand_over in (
                lambda: loop.call_soon_threadsafe(raised.append, "called"),
                lambda: asyncio.run_coroutine_threadsafe(coroutine, loop),
            ):
                try:
                    hand_over()
                except OutsideWorldError as error:
                    raised.append(error.what)
            coroutine.close()

        thread = threading.Thread(target=outside)
        thread.start()
        thread.join()
        await asyncio.sleep(1)
        return raised

    assert run(scenario()) == ["Another thread (call_soon_threadsafe, run_coroutine_threadsafe)"] * 2


def test_an_executor_of_ones_own_is_refused_too():
    """run_in_executor is a thread whichever pool it names."""

    async def scenario():
        with concurrent.futures.ThreadPoolExecutor() as pool, pytest.raises(OutsideWorldError, match="A thread"):
            await asyncio.get_running_loop().run_in_executor(pool, print)

    run(scenario())


def test_the_loops_own_thread_may_use_the_threadsafe_call():
    """Asyncio itself does, and so does code that does not know where it runs."""

    async def scenario():
        loop, called = asyncio.get_running_loop(), []
        loop.call_soon_threadsafe(called.append, 1)
        loop.set_debug(True)
        await asyncio.sleep(0)
        return called

    assert run(scenario()) == [1]


async def test_threads_may_run_in_place() -> None:
    """Where that is asked for, what is to run in a thread is called at once, with its result, error and context."""

    def work(text: str) -> tuple[str, bool]:
        return text, threading.current_thread() is here

    def broken() -> None:
        raise LookupError("in a thread")

    async def main() -> float:
        assert ("done", True) == await asyncio.to_thread(work, "done")
        with pytest.raises(LookupError, match="in a thread"):
            await asyncio.to_thread(broken)
        with pytest.raises(OutsideWorldError):
            await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        return asyncio.get_running_loop().time()

    def simulated_run() -> float:
        nonlocal here
        here = threading.current_thread()
        return run(main(), threads_in_place=True)

    here = threading.current_thread()
    assert await asyncio.to_thread(simulated_run) == 0.0
    with pytest.raises(OutsideWorldError):
        await asyncio.to_thread(lambda: run(main()))
