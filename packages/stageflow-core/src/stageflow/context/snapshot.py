"""What a run was asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from stageflow.context.conversation import Conversation
from stageflow.context.identity import RunIdentity
from stageflow.errors import ExtensionMismatchError, SerializationError, UnknownExtensionError
from stageflow.extensions.conversion import contract_under, extension_of, is_typed, plain_extension
from stageflow.extensions.registry import ExtensionRegistry, default_registry
from stageflow.frozen import EMPTY, SHAREABLE_TYPES, for_reader, freeze, freeze_mapping
from stageflow.providers import ROLES, Message, ToolCall
from stageflow.serialization import (
    as_object,
    check_json,
    expect,
    expect_fields,
    expect_list,
    expect_number,
    expect_version,
)
from stageflow.wording import type_name, with_article

SCHEMA_VERSION = 1

T = TypeVar("T")
D = TypeVar("D")

_NO_CONVERSATION = Conversation()

_REQUIRED: Any = object()


class ContextSnapshot:
    """What a run was asked: frozen all the way down, the same for every stage.

    Args:
        run_id: Who the run is; a new identity unless given.
        input_text: What a person typed or said.
        input: Any typed payload. One that is mutable is copied here, and again each time it is read.
        input_audio_duration_ms: Length of the audio that `input_text` was heard from, in milliseconds.
        topology: Name of the pipeline's layout, where an application chooses among several.
        execution_mode: The application's name for how it runs ("practice", "live").
        transport: Where the request came from ("websocket", "http", "terminal").
        conversation: The messages before `input_text`.
        enrichments: What is known beforehand, by name.
        extensions: The application's own data, by key. What is given for a key of the default ExtensionRegistry is
            made into its type here.
        metadata: Anything else; not interpreted.
        created_at: When the request arrived, with its time zone; kept in UTC. Now unless given.

    Raises:
        TypeError: A field is of another type.
        ValueError: `created_at` has no time zone.
        NotCopyableError: Data in it can be neither frozen nor copied.
        ExtensionMismatchError: An extension is not of the type that stands under its key.
    """

    # What most runs are not asked is not set, but read from here: a quarter of what a snapshot cost.
    input_text: str | None = None
    input_audio_duration_ms: float | None = None
    topology: str | None = None
    execution_mode: str | None = None
    transport: str | None = None
    conversation: Conversation = _NO_CONVERSATION
    created_at: datetime
    _run_id: RunIdentity | None = None
    _input: Any = None
    _enrichments: Mapping[str, Any] = EMPTY
    _extensions: Mapping[str, Any] = EMPTY
    _metadata: Mapping[str, Any] = EMPTY

    def __init__(
        self,
        *,
        run_id: RunIdentity | None = None,
        input_text: str | None = None,
        input: Any = None,
        input_audio_duration_ms: float | None = None,
        topology: str | None = None,
        execution_mode: str | None = None,
        transport: str | None = None,
        conversation: Conversation | None = None,
        enrichments: Mapping[str, Any] = EMPTY,
        extensions: Mapping[str, Any] = EMPTY,
        metadata: Mapping[str, Any] = EMPTY,
        created_at: datetime | None = None,
    ) -> None:
        put = object.__setattr__
        if run_id is not None:
            put(self, "_run_id", _of("run_id", run_id, RunIdentity))
        if input_text is not None:
            put(self, "input_text", _of("input_text", input_text, str))
        if input is not None:
            put(self, "_input", input if type(input) in SHAREABLE_TYPES else freeze(input, "input"))
        if input_audio_duration_ms is not None:
            put(self, "input_audio_duration_ms", _duration(input_audio_duration_ms))
        if not topology is execution_mode is transport is None:
            for name, text in (("topology", topology), ("execution_mode", execution_mode), ("transport", transport)):
                put(self, name, text if text is None else _of(name, text, str))
        if conversation is not None:
            put(self, "conversation", _of("conversation", conversation, Conversation))
        if not enrichments is extensions is metadata is EMPTY:
            put(self, "_enrichments", _frozen("enrichments", enrichments))
            put(self, "_extensions", _typed(_frozen("extensions", extensions)))
            put(self, "_metadata", _frozen("metadata", metadata))
        put(self, "created_at", datetime.now(UTC) if created_at is None else _in_utc(created_at))

    if not TYPE_CHECKING:  # else a type checker takes every misspelt name for a field

        def __getattr__(self, name: str) -> Any:
            __tracebackhide__ = True
            if name in RunIdentity.__slots__:
                told = f"A ContextSnapshot has no '{name}' of its own: write snapshot.run_id.{name}"
                raise AttributeError(told, name=name, obj=self)
            return object.__getattribute__(self, name)

    @property
    def run_id(self) -> RunIdentity:
        # Made when it is first asked for: a run that nobody watches would spend a tenth of its fixed cost on its id.
        identity = self._run_id
        if identity is None:
            identity = RunIdentity()
            object.__setattr__(self, "_run_id", identity)
        return identity

    @property
    def input(self) -> Any:
        return for_reader(self._input)

    @property
    def enrichments(self) -> Mapping[str, Any]:
        return for_reader(self._enrichments)

    @property
    def extensions(self) -> Mapping[str, Any]:
        return for_reader(self._extensions)

    @property
    def metadata(self) -> Mapping[str, Any]:
        return for_reader(self._metadata)

    @overload
    def get_extension(self, key: str, type: type[T]) -> T: ...
    @overload
    def get_extension(self, key: str, type: type[T], default: D) -> T | D: ...
    def get_extension(self, key: str, type: type[Any], default: Any = _REQUIRED) -> Any:
        """Return what stands under a key of `extensions`, as a value of the type: made of it, if that is a mapping.

        Args:
            key: The key.
            type: A TypedExtension, or another dataclass, a TypedDict, a pydantic or a msgspec class.
            default: What to return if there is nothing under the key.

        Raises:
            UnknownExtensionError: There is nothing under the key, and no default.
            ExtensionMismatchError: It is not of the type; `path` says where.
            InvalidExtensionTypeError: The type is none that an extension can have.
        """
        if key in self._extensions:
            return extension_of(key, for_reader(self._extensions[key]), type)
        contract_under(key, type)
        if default is _REQUIRED:
            raise UnknownExtensionError(key, of="the snapshot", known=[*self._extensions])
        return default

    def replace(self, **changes: Any) -> ContextSnapshot:
        """Return a snapshot that differs in the fields given, as `dataclasses.replace` does."""
        return ContextSnapshot(**{**self._fields(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return the snapshot as JSON-ready data; `from_dict` gives an equal one back.

        Raises:
            SerializationError: Something in it is not JSON, `input` included; `path` says what.
        """
        fields = self._fields()
        fields["run_id"] = asdict(self.run_id)
        fields["conversation"] = [_written_message(message) for message in self.conversation]
        fields["created_at"] = self.created_at.isoformat()
        fields["extensions"] = _written_extensions(self._extensions)
        data = {"schema_version": SCHEMA_VERSION, **fields}
        return {key: check_json(value, f"$.{key}") for key, value in data.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, extensions: ExtensionRegistry = default_registry) -> ContextSnapshot:
        """Read what `to_dict` wrote.

        Args:
            data: What was written.
            extensions: The types of the extensions. What stands under other keys stays a mapping, of which
                `get_extension` makes a value when it is asked for one.

        Raises:
            SchemaVersionError: A newer Stageflow wrote it.
            SerializationError: A field is missing, unknown or malformed; `path` says which.
        """
        fields = as_object(data, "$")
        expect_version(fields.pop("schema_version", None), SCHEMA_VERSION)
        expect_fields(fields, _READERS, "$")
        read_fields = {name: read(fields[name], f"$.{name}") for name, read in _READERS.items()}
        read_fields["extensions"] = _read_extensions(read_fields["extensions"], extensions)
        return cls(**read_fields)

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _READERS}

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"A ContextSnapshot is frozen; snapshot.replace({name}=...) returns another.")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"A ContextSnapshot is frozen; '{name}' cannot be deleted.")

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, ContextSnapshot) else NotImplemented

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        # By identity and length, since == of an input may do anything.
        shown = (
            f"{name}={value!r}"
            for name, value in self._fields().items()
            if value is not None and (name not in _OFTEN_EMPTY or len(value))
        )
        return f"ContextSnapshot({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._fields(),)


def _written_message(message: Message) -> dict[str, Any]:
    """Return a message as JSON-ready data: what only messages about tools have stands in those alone."""
    data: dict[str, Any] = {"role": message.role, "content": message.content, "name": message.name}
    if message.tool_calls:
        data["tool_calls"] = [asdict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        data["tool_call_id"] = message.tool_call_id
    return data


def _restore(fields: dict[str, Any]) -> ContextSnapshot:
    return ContextSnapshot(**fields)


_OFTEN_EMPTY = ("conversation", "enrichments", "extensions", "metadata")


def _of(name: str, value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        example = f" {_EXAMPLES[kind]}" if kind in _EXAMPLES else ""
        raise TypeError(f"{name} of a snapshot is a {kind.__name__}, not {with_article(type_name(value))}.{example}")
    return value


_EXAMPLES: dict[type[Any], str] = {
    RunIdentity: "Make one: RunIdentity(session_id=...); its pipeline_run_id is new unless given.",
    Conversation: "Make one: Conversation().with_message('user', '...').",
}


def _frozen(name: str, value: Any) -> Mapping[str, Any]:
    return freeze_mapping(_of(name, value, Mapping), name)


def _typed(extensions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the extensions, those whose type is known as values of it."""
    kinds = {key: _kind_of(key, value) for key, value in extensions.items()}
    if all(kind is None for kind in kinds.values()):
        return extensions
    made = {
        key: value if kinds[key] is None else extension_of(key, value, kinds[key]) for key, value in extensions.items()
    }
    return freeze_mapping(made, "extensions")


def _kind_of(key: str, value: object) -> type[Any] | None:
    if key in default_registry:
        return default_registry.get(key)
    return type(value) if is_typed(value) else None


def _written_extensions(extensions: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: plain_extension(key, value, f"$.extensions.{key}", _kind_of(key, value))
        for key, value in extensions.items()
    }


def _duration(value: float | None) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"input_audio_duration_ms of a snapshot is a number, not {value!r}.")
    if not 0 <= value <= sys.float_info.max:
        raise ValueError(f"input_audio_duration_ms of a snapshot is 0 or more, not {value!r}.")
    return value


def _in_utc(moment: datetime) -> datetime:
    # Always in one zone: a moment in the hour that a clock change repeats equals nothing in another zone (PEP 495).
    if _of("created_at", moment, datetime).tzinfo is None:
        raise ValueError(f"created_at of a snapshot has a time zone; {moment!r} has none: datetime.now(UTC).")
    return moment.astimezone(UTC)


# --- reading ---------------------------------------------------------------------------------------------------


def _text(value: Any, path: str) -> str | None:
    return None if value is None else expect(value, str, path)


def _milliseconds(value: Any, path: str) -> float | None:
    if value is None:
        return None
    number = expect_number(value, path)
    if number < 0:
        raise SerializationError(path, f"expected 0 or more, found {number!r}.")
    return number


def _any(value: Any, path: str) -> Any:
    return check_json(value, path)


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
    return check_json(as_object(value, path), path)


def _read_extensions(data: Mapping[str, Any], registry: ExtensionRegistry) -> Mapping[str, Any]:
    return {key: _read_extension(key, value, registry) if key in registry else value for key, value in data.items()}


def _read_extension(key: str, value: Any, registry: ExtensionRegistry) -> Any:
    try:
        return extension_of(key, value, registry.get(key))
    except ExtensionMismatchError as error:
        problem = f"expected {error.expected}, found {error.found}."
        raise SerializationError(f"$.extensions.{key}{error.path[1:]}", problem, hint=error.hint) from error


def _identity(value: Any, path: str) -> RunIdentity:
    fields = as_object(value, path)
    run_id = expect(fields.pop("pipeline_run_id", None), str, f"{path}.pipeline_run_id")
    for name, part in fields.items():
        if name not in RunIdentity.__slots__:
            raise SerializationError(f"{path}.{name}", "is not a field of a run's identity.")
        _text(part, f"{path}.{name}")
    return RunIdentity(run_id, **fields)


def _conversation(value: Any, path: str) -> Conversation:
    messages: list[Message] = []
    for position, item in enumerate(expect_list(value, path)):
        where = f"{path}[{position}]"
        fields = as_object(item, where)
        role = expect(fields.pop("role", None), str, f"{where}.role")
        content = expect(fields.pop("content", None), str, f"{where}.content")
        name = _text(fields.pop("name", None), f"{where}.name")
        calls = _tool_calls(fields.pop("tool_calls", []), f"{where}.tool_calls")
        answers = _text(fields.pop("tool_call_id", None), f"{where}.tool_call_id")
        if fields:
            raise SerializationError(f"{where}.{next(iter(fields))}", "is not a field of a message.")
        given: Any = role  # which the constructor checks
        try:
            messages.append(Message(given, content, name, tool_calls=calls, tool_call_id=answers))
        except ValueError as error:
            raise SerializationError(where if role in ROLES else f"{where}.role", str(error)) from error
    return Conversation(tuple(messages))


def _tool_calls(value: Any, path: str) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    for position, item in enumerate(expect_list(value, path)):
        where = f"{path}[{position}]"
        fields = as_object(item, where)
        expect_fields(fields, ToolCall.__slots__, where)
        try:
            calls.append(ToolCall(**{name: expect(fields[name], str, f"{where}.{name}") for name in fields}))
        except ValueError as error:
            if isinstance(error, SerializationError):
                raise
            raise SerializationError(where, str(error)) from error
    return tuple(calls)


def _moment(value: Any, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(expect(value, str, path))
    except SerializationError:
        raise
    except ValueError as error:
        raise SerializationError(path, f"{value!r} is not a date and time in ISO 8601.") from error
    if moment.tzinfo is None:
        raise SerializationError(path, f"{value!r} has no time zone.")
    return moment


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "run_id": _identity,
    "input_text": _text,
    "input": _any,
    "input_audio_duration_ms": _milliseconds,
    "topology": _text,
    "execution_mode": _text,
    "transport": _text,
    "conversation": _conversation,
    "enrichments": _mapping,
    "extensions": _mapping,
    "metadata": _mapping,
    "created_at": _moment,
}
