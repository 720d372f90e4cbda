"""What a stage reads of the stages it depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_origin

from stageflow.contracts import is_typeddict
from stageflow.core.handle import StageRef, name_of
from stageflow.core.kinds import StageStatus
from stageflow.core.output import StageOutput, plain, reader_view
from stageflow.core.stream import Stream
from stageflow.errors import AmbiguousInputError, MissingInputError, StageReturnTypeError, UndeclaredDependencyError
from stageflow.frozen import FrozenDict
from stageflow.wording import listed, nearest, type_name, with_article

T = TypeVar("T")

Stored = FrozenDict[str, Any] | StageOutput[Any] | None
"""How a run keeps the outcome of a stage: the data alone where that says it all, None while there is none."""


class StageInputs:
    """The outputs of the declared dependencies of one stage; reading any other stage is an error, always.

    An optional dependency that ended other than OK reads as absent. What is read cannot be changed for anyone else: it
    is frozen, or a copy of this stage's own.
    """

    __slots__ = ("_copies", "_declared", "_outputs", "_stage")

    def __init__(self, outputs: Sequence[Stored], stage: str, declared: Mapping[str, int]) -> None:
        self._outputs = outputs
        self._stage = stage
        self._declared = declared
        self._copies: dict[str, StageOutput[Any]] | None = None

    @property
    def declared(self) -> tuple[str, ...]:
        """The names of the declared dependencies."""
        return tuple(self._declared)

    def get_from(self, stage: StageRef, key: str, default: Any = None) -> Any:
        """Return a key of a dependency's data, or the default if the key or the dependency is absent.

        Raises:
            UndeclaredDependencyError: The stage is not a declared dependency.
        """
        try:
            return self._outputs[self._declared[stage]][key]  # pyright: ignore[reportArgumentType, reportIndexIssue, reportOptionalSubscript, reportUnknownVariableType] - anything else takes the slow way
        except (KeyError, TypeError):
            output = self.get_output(stage)
        return default if output is None else output.data.get(key, default)

    def require_from(self, stage: StageRef, key: str) -> Any:
        """Return a key of a dependency's data.

        Raises:
            UndeclaredDependencyError: The stage is not a declared dependency.
            MissingInputError: Its data has no such key, or it is optional and absent.
        """
        try:
            return self._outputs[self._declared[stage]][key]  # pyright: ignore[reportArgumentType, reportIndexIssue, reportOptionalSubscript, reportUnknownVariableType] - anything else takes the slow way
        except (KeyError, TypeError):
            stored = self._stored(stage)
        output = self._output(stage, stored)
        if output is None or key not in output.data:
            raise self._missing(stage, key, stored)
        return output.data[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return a key that exactly one of the declared dependencies holds, or the default if none does.

        Raises:
            UndeclaredDependencyError: The stage declares no dependencies at all.
            AmbiguousInputError: More than one holds it.
        """
        if not self._declared:
            raise UndeclaredDependencyError(self._stage, None, key=key)
        holders = [name for name in self._declared if (found := self.get_output(name)) and key in found.data]
        if len(holders) > 1:
            raise AmbiguousInputError(self._stage, key, candidates=holders)
        return self.get_from(holders[0], key) if holders else default

    def has_output(self, stage: StageRef) -> bool:
        """Return whether a declared dependency ended OK; a required one always has."""
        stored = self._stored(stage)
        return type(stored) is FrozenDict or (stored is not None and _status(stored) is StageStatus.OK)

    def get_output(self, stage: StageRef) -> StageOutput[Any] | None:
        """Return a dependency's whole output, or None if it is optional and absent."""
        return self._output(stage, self._stored(stage))

    def value(self, stage: StageRef, type: type[T]) -> T:
        """Return a dependency's contract value.

        Raises:
            MissingInputError: The dependency is optional and absent.
            StageReturnTypeError: The value is of another type.
        """
        stored = self._stored(stage)
        output = self._output(stage, stored)
        if output is None:
            raise self._missing(stage, None, stored)
        value = output.value
        if not isinstance(value, _runtime_type(type)):
            returned = "a mapping" if isinstance(value, FrozenDict) else with_article(type_name(value))
            raise StageReturnTypeError(
                name_of(stage),
                f"{returned}, and stage '{self._stage}' reads it as {getattr(type, '__qualname__', type)}",
                hint="Read the type that the stage returns, or make it return that type.",
            )
        return value

    def stream(self, stage: StageRef) -> Stream[Any]:
        """Return the chunks of a stage that streams, as this one reads them; the same object each time.

        Raises:
            UndeclaredDependencyError: The stage is not among its `streams=`.
            MissingInputError: It is optional, and never started.
        """
        name = name_of(stage)
        declared = tuple(self._declared)
        problem = f"reads the stream of '{name}' without declaring it (declared: {listed(declared)})"
        if name in self._declared:
            problem = f"reads the stream of '{name}', and declares it as a dependency that it waits for"
        raise UndeclaredDependencyError(
            self._stage,
            name,
            declared=declared,
            problem=problem,
            hint=f'To read it chunk by chunk, give the stage streams=("{name}",).',
        )

    def _stored(self, stage: StageRef) -> Stored:
        name = name_of(stage)
        index = self._declared.get(name)
        if index is None:
            raise UndeclaredDependencyError(self._stage, name, declared=tuple(self._declared))
        return self._outputs[index]

    def _output(self, stage: StageRef, stored: Stored) -> StageOutput[Any] | None:
        if isinstance(stored, FrozenDict):
            return plain(stored)
        if stored is None or stored.status is not StageStatus.OK:
            return None
        # One copy for each reader: reading twice gives the same object, as it does for what is shared.
        if self._copies is None:
            self._copies = {}
        name = name_of(stage)
        if name not in self._copies:
            self._copies[name] = reader_view(stored)
        return self._copies[name]

    def _missing(self, stage: StageRef, key: str | None, stored: Stored) -> MissingInputError:
        output = self._output(stage, stored)
        absent = None if output is not None else _status(stored).name
        found = () if output is None else tuple(map(str, output.data))
        return MissingInputError(self._stage, name_of(stage), key, found=found, absent=absent)


class StreamingInputs(StageInputs):
    """The inputs of a stage that reads streams, each of them from the first chunk on."""

    __slots__ = ("_streams",)

    def __init__(
        self,
        outputs: Sequence[Stored],
        stage: str,
        declared: Mapping[str, int],
        streams: Mapping[str, Stream[Any] | None],
    ) -> None:
        super().__init__(outputs, stage, declared)
        self._streams = streams

    def stream(self, stage: StageRef) -> Stream[Any]:
        name = name_of(stage)
        if name not in self._streams and name not in self._declared:
            streams = tuple(self._streams)
            raise UndeclaredDependencyError(
                self._stage,
                name,
                declared=(*self._declared, *streams),
                problem=f"reads the stream of '{name}' without declaring it (its streams: {listed(streams)})",
                hint=nearest(name, streams)
                or f'To read it chunk by chunk, give the stage streams=("{name}",), beside those that it has.',
            )
        if name not in self._streams:
            return super().stream(stage)
        stream = self._streams[name]
        if stream is None:
            raise MissingInputError(self._stage, name, None, found=(), absent="not started")
        return stream

    def _stored(self, stage: StageRef) -> Stored:
        name = name_of(stage)
        if name not in self._streams:
            return super()._stored(stage)
        raise UndeclaredDependencyError(
            self._stage,
            name,
            declared=tuple(self._declared),
            problem=f"read what '{name}' returned, and declares it as a stream",
            hint=f"Read its chunks with ctx.inputs.stream('{name}'); what it returned in the end is for a stage that "
            "depends on it.",
        )


def _status(stored: Stored) -> StageStatus:
    return cast("StageOutput[Any]", stored).status


def _runtime_type(wanted: Any) -> Any:
    """Return what `isinstance` can ask for: a TypedDict is a mapping at run time, and dict[str, int] a dict."""
    if is_typeddict(wanted):
        return Mapping
    origin = get_origin(wanted)
    return wanted if origin in (None, Union, UnionType) else origin
