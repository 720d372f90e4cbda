"""What a stage returns when it says more than a mapping can.

Most stages return a mapping that ends OK, so a `StageOutput` itself holds nothing but `data`: everything else is a
class attribute with the value that it has then. An object of one slot costs a fraction of a frozen dataclass. There are
subclasses, of which a user sees nothing: `PlainOutput` for those, one with a version, one with slots for all the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, NoReturn, Protocol, Self, TypeVar, cast, overload

from stageflow.contracts import contract_fields
from stageflow.core.kinds import StageStatus
from stageflow.errors import picklable
from stageflow.events.redaction import publishable
from stageflow.frozen import (
    EMPTY,
    FrozenDict,
    for_reader,
    freeze,
    freeze_mapping,
    is_shareable,
)
from stageflow.serialization import as_object, check_json
from stageflow.value import Value
from stageflow.wording import text_of, type_name, with_article

T = TypeVar("T", covariant=True)
V = TypeVar("V")


class _TypedDict(Protocol):
    """What a type checker knows a TypedDict by, which would else be any mapping."""

    __required_keys__: ClassVar[frozenset[str]]


K = TypeVar("K", bound=_TypedDict)


class StageArtifact(Value):
    """Something a stage made that a client wants to see as it is: published as the event `stage.{name}.artifact`.

    The payload may hold bytes, which stay in the results. The event has their size and their hash in their place.

    Raises:
        SerializationError: The payload holds what is neither JSON nor bytes.
    """

    __slots__ = ("payload", "type")

    type: str
    payload: Mapping[str, Any]

    def __init__(self, type: str, payload: Mapping[str, Any] = EMPTY) -> None:
        _expect_text("The type of a StageArtifact", type)
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "payload", _event_data(payload))


class StageEvent(Value):
    """An event of the stage's own, published under its own type when the stage ends.

    Bytes in the data are treated as in a `StageArtifact`.

    Raises:
        SerializationError: The data holds what is neither JSON nor bytes.
    """

    __slots__ = ("data", "type")

    type: str
    data: Mapping[str, Any]

    def __init__(self, type: str, data: Mapping[str, Any] = EMPTY) -> None:
        _expect_text("The type of a StageEvent", type)
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "data", _event_data(data))


def _event_data(data: Mapping[str, Any]) -> FrozenDict[str, Any]:
    return freeze_mapping(publishable(as_object(data, "$")))


class ErrorInfo(Value):
    """Why a stage failed, in a form that survives JSON.

    `type` is the qualified name of the exception's class, if there was one; `exception` is the exception itself, which
    is not compared and not there after a round trip through JSON.
    """

    __slots__ = ("code", "exception", "message", "type")

    uncompared = unshown = ("exception",)

    message: str
    type: str | None
    code: str | None
    exception: BaseException | None

    def __init__(
        self,
        message: str,
        type: str | None = None,
        code: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        object.__setattr__(self, "message", message)
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "exception", exception)

    def __str__(self) -> str:
        # An error of ours says what it is in its message. Told by the name, which is still there after JSON.
        ours = self.type is not None and self.type.startswith(("stageflow.", "stageflow_"))
        return ": ".join(part for part in (None if ours else self.type, self.message) if part)

    def __reduce__(self) -> tuple[Any, ...]:
        return ErrorInfo, (self.message, self.type, self.code, picklable(self.exception))

    @classmethod
    def of(cls, error: str | BaseException, code: str | None = None) -> ErrorInfo:
        """Describe an exception, or a failure that a stage put into words. It never raises what the exception does."""
        if isinstance(error, str):
            return cls(error, code=code)
        return cls(text_of(error), type_name(error), code or _code_of(error), error)


def _code_of(error: BaseException) -> str | None:
    try:
        code = getattr(error, "code", None)
    except Exception:  # noqa: BLE001 - as above, if `code` is a property
        return None
    return code if isinstance(code, str) else None


class StageOutput(Generic[T]):
    """What a stage returns and a run records: frozen, built by `ok`, `skip`, `cancel`, `fail`, `retry` and `suspend`.

    Attributes:
        status: How the stage ended.
        data: A frozen mapping; for a contract value (dataclass, pydantic, msgspec) its shallow field mapping.
        value: The contract value, or `data` where the stage returned a mapping.
        artifacts: See `StageArtifact`.
        events: See `StageEvent`.
        error: Why it failed, or None.
        reason: Why it was skipped, cancelled or suspended, or None.
        retry_after: For `retry`, the seconds to wait at least, or None.
        version: The version of the contract that the value has, as the stage gave it.
    """

    __slots__ = ("data",)

    data: Mapping[str, Any]
    status: StageStatus = StageStatus.OK
    artifacts: tuple[StageArtifact, ...] = ()
    events: tuple[StageEvent, ...] = ()
    error: ErrorInfo | None = None
    reason: str | None = None
    version: str | None = None
    retry_after: float | None = None

    def __init__(self) -> None:
        raise TypeError("A StageOutput is built by StageOutput.ok(), skip(), cancel(), fail(), retry() or suspend().")

    @property
    def value(self) -> T:
        return cast("T", self.data)

    @overload
    @staticmethod
    def ok(data: K, /, *, version: str | None = None) -> StageOutput[K]: ...
    @overload
    @staticmethod
    def ok(
        data: Mapping[str, Any] | None = None, /, *, version: str | None = None, **fields: Any
    ) -> StageOutput[Mapping[str, Any]]: ...
    @overload
    @staticmethod
    def ok(data: V, /, *, version: str | None = None) -> StageOutput[V]: ...
    @staticmethod
    def ok(data: Any = None, /, *, version: str | None = None, **fields: Any) -> StageOutput[Any]:
        """The stage did what it is for.

        Args:
            data: A mapping or a contract value.
            version: Version of the contract.
            fields: More data. `data={...}` means the first argument, so that nothing is ever nested by accident.

        Raises:
            TypeError: A key is given twice, or the data is neither a mapping nor a contract value.
        """
        if "data" in fields:
            named = fields.pop("data")
            data = named if data is None else _merged(_mapping("ok()", data), _mapping("ok(data=...)", named))
        if version is not None:
            _expect_text("The version of an output", version)
        if data is None or isinstance(data, Mapping):
            given = cast("Mapping[str, Any] | None", data)
            frozen = freeze_mapping(_merged(given, fields) if given and fields else given or fields, "data")
            return plain(frozen) if version is None else make_output(data=frozen, version=version)
        if fields:
            raise TypeError(f"ok() takes a {type(data).__qualname__} or fields, not both: {', '.join(fields)}")
        if contract_fields(data) is None:
            raise TypeError(f"ok() takes a mapping or a contract value, not {_described(data)}; say ok(value=...).")
        if isinstance(data, ToOutput) and data.refusal is not None:
            name = type(data).__qualname__
            raise ValueError(f"A {name} that refuses is not ok(): return it itself, or its to_stage_output().")
        return make_output(value=freeze(data, "data"), version=version)

    @staticmethod
    def skip(reason: str) -> StageOutput[Any]:
        """The stage has nothing to do; what requires it is skipped too, and the run goes on."""
        _expect_text("The reason for a skip", reason)
        return make_output(StageStatus.SKIP, reason=reason)

    @staticmethod
    def cancel(reason: str) -> StageOutput[Any]:
        """The run should end here, in good order: it raises PipelineCancelled with this reason."""
        _expect_text("The reason for a cancel", reason)
        return make_output(StageStatus.CANCEL, reason=reason)

    @staticmethod
    def fail(
        error: str | BaseException, *, data: Mapping[str, Any] | None = None, code: str | None = None
    ) -> StageOutput[Any]:
        """The stage could not do it, and trying again would not help: the run fails."""
        _expect_error("fail()", error)
        if code is not None:
            _expect_text("The code of a failure", code)
        frozen = EMPTY if data is None else freeze_mapping(_mapping("fail(data=...)", data), "data")
        return make_output(StageStatus.FAIL, data=frozen, error=ErrorInfo.of(error, code))

    @staticmethod
    def retry(error: str | BaseException, *, after: float | None = None) -> StageOutput[Any]:
        """The stage could not do it now, and should be tried again, as its RetryPolicy allows.

        Args:
            error: Why. It is what the stage fails with if there is no further attempt.
            after: Seconds to wait at least, as a service that limits its callers asks for.
        """
        _expect_error("retry()", error)
        wait: Any = after
        if after is not None and (not isinstance(wait, (int, float)) or isinstance(wait, bool)):
            raise TypeError(f"retry(after=...) is a number of seconds, not {wait!r}.")
        if after is not None and not 0 <= after <= sys.float_info.max:
            raise ValueError(f"retry(after=...) is a number of seconds, 0 or more, not {after!r}.")
        return make_output(StageStatus.RETRY, error=ErrorInfo.of(error), retry_after=after)

    @staticmethod
    def suspend(request: str | Mapping[str, Any]) -> StageOutput[Any]:
        """A human must decide before the stage can go on: the run ends suspended, to be resumed with the decision.

        Args:
            request: What is asked, as JSON-ready data, which `results[stage].data` then holds. A text stands there as
                `{"request": text}`.

        Raises:
            SerializationError: The request is not JSON-ready: it waits for as long as a human takes, so it is stored.
        """
        if not isinstance(request, (str, Mapping)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"suspend() takes a text or a mapping, not {_described(request)}.")
        data = {"request": request} if isinstance(request, str) else request
        frozen = freeze_mapping(check_json(as_object(data, "request"), "request"), "request")
        reason = request if isinstance(request, str) else "waits for a decision"
        return make_output(StageStatus.SUSPEND, data=frozen, reason=reason)

    def publishing(self, *items: StageArtifact | StageEvent) -> StageOutput[T]:
        """Return this output with artifacts and events to publish when the stage ends."""
        fields = output_fields(self)
        fields["artifacts"] += tuple(item for item in items if isinstance(item, StageArtifact))
        fields["events"] += tuple(item for item in items if isinstance(item, StageEvent))
        if len(fields["artifacts"]) + len(fields["events"]) != len(self.artifacts) + len(self.events) + len(items):
            raise TypeError("publishing() takes StageArtifact and StageEvent objects.")
        return make_output(**fields)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"A StageOutput is frozen: '{name}' cannot be set.")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"A StageOutput is frozen: '{name}' cannot be deleted.")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StageOutput):
            return NotImplemented
        return output_fields(self) == output_fields(cast("StageOutput[Any]", other))

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        shown = self.error or self.reason if self.status is not StageStatus.OK else self.value
        return f"StageOutput.{self.status.value}({shown!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (output_fields(self),)


class ToOutput:
    """A contract value that decides itself what output it is: what returns it ends as its `to_stage_output()` says.

    Attributes:
        refusal: Why the run must not go on, or None if it may.
    """

    __slots__ = ()

    @property
    def refusal(self) -> str | None:
        return None

    def to_stage_output(self) -> StageOutput[Self]:
        """Return the output that a stage ends with which returns this: `ok` with it, or a `cancel` if it refuses."""
        reason = self.refusal
        shareable = is_shareable(self)
        return make_output(
            StageStatus.OK if reason is None else StageStatus.CANCEL,
            value=self if shareable else freeze(self, "its result"),
            reason=reason,
            shareable=shareable,
        )


class _FullOutput(StageOutput[Any]):
    """A StageOutput with something beyond `data`."""

    __qualname__ = StageOutput.__qualname__  # what messages call it
    __slots__ = (
        "_data",
        "_shareable",
        "_value",
        "artifacts",
        "error",
        "events",
        "reason",
        "retry_after",
        "status",
        "version",
    )

    # Shadows the slot of the base: the fields of a contract value are only listed when somebody asks.
    @property
    def data(self) -> Mapping[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        if self._data is None:
            object.__setattr__(self, "_data", freeze_mapping(contract_fields(self._value) or EMPTY))
        return cast("Mapping[str, Any]", self._data)

    @property
    def value(self) -> Any:
        return self.data if self._value is None else self._value

    @property
    def shareable(self) -> bool:
        """Whether every reader may have this very object; found out once, for the first reader."""
        if self._shareable is None:
            shareable = is_shareable(self._data if self._value is None else self._value)
            object.__setattr__(self, "_shareable", shareable)
        return cast("bool", self._shareable)


class PlainOutput(StageOutput[Any]):
    """The output of a stage that ended OK with a frozen mapping, which `put_data` gives it right after."""

    __qualname__ = StageOutput.__qualname__
    __slots__ = ()

    # C's own: one in Python costs half as much again, and interceptors see one of these for each stage.
    __init__ = object.__init__


put_data: Callable[[PlainOutput, FrozenDict[str, Any]], None] = StageOutput.data.__set__  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


def plain(data: FrozenDict[str, Any]) -> StageOutput[Any]:
    """Return the output of a stage that ended OK with this frozen mapping."""
    output = PlainOutput()
    put_data(output, data)
    return output


class _VersionedOutput(PlainOutput):
    """The same, with a version."""

    __qualname__ = StageOutput.__qualname__
    __slots__ = ("version",)


def versioned(data: FrozenDict[str, Any], version: str) -> StageOutput[Any]:
    """Return the output of a stage that ended OK with this frozen mapping, of this version."""
    output = _VersionedOutput()
    put_data(output, data)
    object.__setattr__(output, "version", version)
    return output


def make_output(
    status: StageStatus = StageStatus.OK,
    *,
    data: FrozenDict[str, Any] | None = None,
    value: Any = None,
    artifacts: tuple[StageArtifact, ...] = (),
    events: tuple[StageEvent, ...] = (),
    error: ErrorInfo | None = None,
    reason: str | None = None,
    version: str | None = None,
    retry_after: float | None = None,
    shareable: bool | None = None,
) -> StageOutput[Any]:
    """Return an output of these parts; its data and value must be frozen already.

    `shareable` says whether every reader may have this very object, if that is known.
    """
    output = _FullOutput.__new__(_FullOutput)
    put = object.__setattr__
    put(output, "status", status)
    put(output, "_data", EMPTY if data is None and value is None else data)
    put(output, "_value", value)
    put(output, "_shareable", shareable)
    put(output, "artifacts", artifacts)
    put(output, "events", events)
    put(output, "error", error)
    put(output, "reason", reason)
    put(output, "version", version)
    put(output, "retry_after", retry_after)
    return output


def output_fields(output: StageOutput[Any]) -> dict[str, Any]:
    """Return the parts of an output, as `make_output` takes them."""
    contract = getattr(output, "_value", None)
    return {
        "status": output.status,
        "data": output.data if contract is None else None,
        "value": contract,
        "artifacts": output.artifacts,
        "events": output.events,
        "error": output.error,
        "reason": output.reason,
        "version": output.version,
        "retry_after": output.retry_after,
    }


def _restore(fields: dict[str, Any]) -> StageOutput[Any]:
    return make_output(**fields)


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    twice = first.keys() & second.keys()
    if twice:
        raise TypeError(f"ok() was given {', '.join(sorted(map(repr, twice)))} twice.")
    return {**first, **second}


def _mapping(where: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    raise TypeError(f"{where} takes a mapping, not {_described(value)}.")


def _expect_error(where: str, error: Any) -> None:
    if not isinstance(error, (str, BaseException)):
        raise TypeError(f"{where} takes a text or an exception (an instance), not {error!r}.")


def _expect_text(what: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} is a string, not {_described(value)}.")


def _described(value: object) -> str:
    return with_article(type_name(value))


def reader_view(output: StageOutput[Any]) -> StageOutput[Any]:
    """Return the output for one reader: itself if nothing in it can be changed, else with copies."""
    if output.shareable if isinstance(output, _FullOutput) else is_shareable(output.data):
        return output
    fields = output_fields(output)
    fields["data"], fields["value"] = for_reader(fields["data"]), for_reader(fields["value"])
    return make_output(**fields)
