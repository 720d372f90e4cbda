"""A cassette: the exchanges of an httpx client with a service, in a file.

    async with Cassette("greeting.json") as cassette:
        client = httpx.AsyncClient(transport=cassette.transport())

It replays what the file holds, and never asks the network; with `mode="record"` it asks, and writes the file anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from stageflow_mocks.cassettes import tape
from stageflow_mocks.cassettes.errors import (
    CassetteCheckError,
    CassetteClosedError,
    CassetteFileError,
    CassetteRefusal,
    RecordingEndsError,
    RecordingInCIError,
    UnknownRequestError,
)
from stageflow_mocks.cassettes.matching import differences, weight
from stageflow_mocks.cassettes.secret_values import FindSecrets, Secrets
from stageflow_mocks.cassettes.takes import Asked, Take
from stageflow_mocks.cassettes.tape import Exchange, RecordedRequest
from stageflow_mocks.cassettes.wire import CassetteTransport, decoded, end_before_httpx

CassetteMode: TypeAlias = Literal["replay", "record"]

_MODES = ("replay", "record")


class Cassette:
    """The exchanges of httpx clients, recorded once and replayed from then on.

    It is entered by `with` or `async with`, which reads the file. Leaving writes it, or checks that everything on it
    was asked for. `async with` reads and writes in a thread; in simulated time, where there is none, enter it by
    `with` before the event loop runs.

    Args:
        path: The file.
        mode: "replay" never asks the network. "record" always does, and writes the file anew; where the environment
            variable CI is set it asks only this machine.
        pace: How fast answers come when they are replayed: 1 as recorded, 0.5 twice as fast, 0 without waiting. None is
            1 in simulated time, and 0 else.
        match_headers: Names of headers whose values count when requests are compared; no others do.
        varying: Names of fields of bodies, and of parameters, whose values do not count.
        secret_names: Names of headers, parameters and fields that are secret, beside those that say so.
        secret_values: Secrets, which are hidden wherever they are.
        find_secrets: Returns the secrets in a text.
        keep_audio: Whether the sound of answers is written into the file.
        how_to_record: What to type or write, as errors show it, where there is an easier way than `mode`.

    Raises:
        TypeError: Names are given as one text.
        ValueError: A mode that there is not, a negative pace, or a secret value of less than four characters.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        mode: CassetteMode = "replay",
        pace: float | None = None,
        match_headers: Collection[str] = (),
        varying: Collection[str] = (),
        secret_names: Collection[str] = (),
        secret_values: Collection[str] = (),
        find_secrets: FindSecrets | None = None,
        keep_audio: bool = False,
        how_to_record: str | None = None,
    ) -> None:
        if mode not in _MODES:
            raise ValueError(f"mode of a Cassette is one of {', '.join(_MODES)}, not {mode!r}.")
        if pace is not None and not 0 <= pace < float("inf"):
            raise ValueError(f"pace of a Cassette is a number from 0, not {pace!r}.")
        for name, given in (("match_headers", match_headers), ("varying", varying)):
            if isinstance(given, str):
                raise TypeError(f"{name} of a Cassette are several names, not one: write [{given!r}].")
        self.path = Path(path)
        self.mode: CassetteMode = mode
        self._pace = pace
        self._headers = frozenset(name.lower() for name in match_headers)
        self._varying = frozenset(varying)
        self._secrets = Secrets(secret_names, secret_values, find_secrets)
        self._keep_audio = keep_audio
        self._how_to_record = how_to_record or f"Cassette({str(self.path)!r}, mode='record')"
        self._hint = f"Record it anew: {self._how_to_record}"
        self._is_open = False
        self._exchanges: list[Exchange] = []
        # Places of the exchanges that nothing has asked for. `remove` is one step, also between threads.
        self._free: list[int] = []
        self._takes: list[Take] = []
        self._refused: list[CassetteRefusal] = []
        # Requests whose secrets are not known yet.
        self._unread: list[Asked] = []

    def transport(self, inner: Any = None) -> Any:
        """Return a transport for a Client or an AsyncClient of httpx, or of httpx2; each takes one of its own.

        Args:
            inner: The transport that is recorded, where it is not the library's own:
                `httpx.AsyncHTTPTransport(http2=True)`. It is of the same library as the client.
        """
        return CassetteTransport(self, inner)

    @property
    def unused(self) -> tuple[str, ...]:
        """The recorded exchanges that nothing has asked for yet, in words."""
        return tuple(self._described(number) for number in list(self._free))

    def load(self) -> None:
        """Get ready: to replay, read the file. `with` does it.

        Raises:
            CassetteFileError: There is none, or it is damaged.
        """
        if self._is_open:
            raise RuntimeError(f"The cassette is in use already: {self.path}")
        self._takes, self._refused = [], []
        self._exchanges = [] if self.is_recording else tape.read(self.path, self._text())
        self._free = list(range(len(self._exchanges)))
        self._is_open = True

    def _text(self) -> str:
        try:
            return self.path.read_text("utf-8-sig")  # editors may have put its mark before it
        except FileNotFoundError:
            hint = f"Record it: {self._how_to_record}"
            raise CassetteFileError(self.path, "", "there is no cassette yet", hint) from None
        except UnicodeDecodeError as error:
            raise CassetteFileError(self.path, "", f"it is no text ({error})", self._hint) from None
        except OSError as error:
            raise CassetteFileError(self.path, "", f"it cannot be read ({error})", self._hint) from error

    def save(self, error: BaseException | None = None) -> bool:
        """Write what was recorded, and tell whether that was done. `with` does it.

        It is not if something was refused; nor after an `error` of the test, if nothing was answered, as by a service
        that could not be reached, or if it was stopped by hand. After any other it is: what the service has answered is
        needed to mend the test.

        Raises:
            CassetteFileError: The file cannot be written; it is as it was.
        """
        self._is_open = False
        was_answered = any(take.status is not None for take in self._takes)
        is_of_no_use = isinstance(error, (KeyboardInterrupt, SystemExit)) or (error is not None and not was_answered)
        if not self.is_recording or self._refused or is_of_no_use:
            return False
        for take in self._takes:
            take.leave()  # who has not closed an answer by now has left it
            take.learn(self._secrets)
        exchanges = [take.exchange(self._secrets, self._headers, keep_audio=self._keep_audio) for take in self._takes]
        text = tape.written(exchanges)
        half_written = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            half_written.write_text(text, "utf-8", newline="\n")
            half_written.replace(self.path)
        except OSError as failed:
            with contextlib.suppress(OSError):
                half_written.unlink()
            problem = f"what was recorded cannot be written ({failed})"
            raise CassetteFileError(self.path, "", problem, "The file is as it was.") from failed
        return True

    def check(self) -> None:
        """Check that everything on the cassette was asked for, and that no refusal was caught. `with` does it.

        Raises:
            CassetteCheckError: Something was not.
        """
        if self._free or self._refused:
            raise CassetteCheckError(self.path, self.unused, self._refused, self._hint)

    def __enter__(self) -> Self:
        self.load()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.save(exc)
        self._left(exc)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.load)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.save, exc)
        self._left(exc)

    def _left(self, exc: BaseException | None) -> None:
        if exc is None:
            self.check()
        else:
            self.tell(exc)

    def tell(self, exc: BaseException) -> None:
        """Add to an error what the cassette has refused, where the error does not show it."""
        shown: set[int] = set()
        each: BaseException | None = exc
        while each is not None and id(each) not in shown:
            shown.add(id(each))
            each = each.__cause__ or each.__context__
        for refusal in self._refused:
            end_before_httpx(refusal)
            if id(refusal) not in shown:
                exc.add_note(str(refusal))

    # What the transport asks of it.

    @property
    def is_recording(self) -> bool:
        """Whether it asks the network."""
        return self.mode == "record"

    @property
    def pace(self) -> float | None:
        """How fast answers come when they are replayed."""
        return self._pace

    def claim(self, asked: Asked) -> Exchange:
        """Take the exchange that answers a request; it answers no other one.

        Raises:
            UnknownRequestError: There is none.
        """
        __tracebackhide__ = True
        self._check_open(asked)
        self._unread.append(asked)
        found = self._taken(asked.recorded(None, self._headers))
        if found is None:
            self._learn()
            # What cannot be compared as it is, like base64 of what holds a secret, may be the same when it is hidden.
            found = self._taken(asked.recorded(self._secrets, self._headers))
        if found is None:
            raise self._refuse(self._unknown(asked))
        return found

    def _learn(self, *asked: Asked) -> None:
        # Only now, since most tests ask what is recorded, and large requests take long to look through.
        self._unread.extend(asked)
        while self._unread:
            self._unread.pop().learn(self._secrets)

    def _taken(self, request: RecordedRequest) -> Exchange | None:
        for number in list(self._free):
            recorded = self._exchanges[number]
            if differences(recorded.request, request, self._varying, self._headers):
                continue
            try:
                self._free.remove(number)
            except ValueError:  # another thread was faster
                continue
            return recorded
        return None

    def _unknown(self, asked: Asked) -> UnknownRequestError:
        shown = asked.recorded(self._secrets, self._headers)
        free = set(self._free)
        found = [differences(each.request, shown, self._varying, self._headers) for each in self._exchanges]
        if not found:
            return UnknownRequestError(self.path, str(shown), None, (), self._hint)
        number = min(range(len(found)), key=lambda place: (*weight(found[place]), place not in free, place))
        nearest = self._described(number) + ("" if number in free else ", which was asked for already")
        return UnknownRequestError(self.path, str(shown), nearest, found[number], self._hint)

    def _described(self, number: int) -> str:
        return f"exchange {number + 1} of {len(self._exchanges)}, {self._exchanges[number].request}"

    def begin(self, asked: Asked, clock: Callable[[], float]) -> Take:
        """Begin to record an exchange.

        Raises:
            RecordingInCIError: It would ask another machine from within continuous integration.
        """
        __tracebackhide__ = True
        self._check_open(asked)
        if os.environ.get("CI", "").lower() not in ("", "0", "false") and not _is_here(asked.url):
            self._learn(asked)
            shown = asked.recorded(self._secrets, self._headers)
            raise self._refuse(RecordingInCIError(self.path, str(shown)))
        take = Take(asked, clock, decoded)
        self._takes.append(take)
        return take

    def drop(self, take: Take) -> None:
        """Forget an exchange that came to nothing."""
        self._takes.remove(take)

    def recording_ends(self, exchange: Exchange) -> CassetteRefusal:
        """Return the error for who reads an answer further than it was recorded."""
        return self._refuse(RecordingEndsError(self.path, str(exchange.request), self._hint))

    def _check_open(self, asked: Asked) -> None:
        if not self._is_open:
            self._learn(asked)
            raise self._refuse(CassetteClosedError(self.path, str(asked.recorded(self._secrets, self._headers))))

    def _refuse(self, refusal: CassetteRefusal) -> CassetteRefusal:
        self._refused.append(refusal)
        return refusal

    def __repr__(self) -> str:
        return f"<Cassette {str(self.path)!r}, {self.mode}>"


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
