"""An event loop that touches nothing outside the program."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, NoReturn

from stageflow_mocks.simulation.errors import OutsideWorldError

_THREAD = "A thread (run_in_executor, asyncio.to_thread, getaddrinfo)"


def _refuse(what: str) -> Any:
    def refused(*_: object, **__: object) -> NoReturn:
        raise OutsideWorldError(what)

    return refused


class NoOutsideWorld(asyncio.BaseEventLoop):
    """An event loop whose doors are shut: whatever asyncio would reach the outside by raises OutsideWorldError.

    With `threads_in_place`, what is to run in a thread is called at once instead, and takes no time of the loop's.
    """

    def __init__(self, *, threads_in_place: bool = False) -> None:
        super().__init__()
        self._home = threading.get_ident()
        self._threads_in_place = threads_in_place

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        # asyncio itself calls this in the loop's own thread.
        if threading.get_ident() != self._home:
            raise OutsideWorldError("Another thread (call_soon_threadsafe, run_coroutine_threadsafe)")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any = None, func: Any = None, *args: Any) -> asyncio.Future[Any]:
        if not self._threads_in_place:
            raise OutsideWorldError(_THREAD)
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits the thread gets it, as of a real one
            done.set_exception(error)
        return done

    getaddrinfo = getnameinfo = _refuse(_THREAD)
    add_signal_handler = remove_signal_handler = _refuse("A signal")
    add_reader = remove_reader = add_writer = remove_writer = _refuse("Waiting for a file descriptor")
    sock_recv = sock_recv_into = sock_recvfrom = sock_recvfrom_into = _refuse("A socket")
    sock_sendall = sock_sendto = sock_sendfile = sock_connect = sock_accept = _refuse("A socket")
    create_connection = create_unix_connection = connect_accepted_socket = _refuse("A connection")
    create_server = create_unix_server = _refuse("A server")
    create_datagram_endpoint = _refuse("A datagram endpoint")
    connect_read_pipe = connect_write_pipe = _refuse("A pipe")
    sendfile = start_tls = _refuse("A transport")
    subprocess_shell = subprocess_exec = _refuse("A process")
