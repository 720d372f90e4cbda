"""What can be wrong of a stage that is mapped over the items of another one."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import is_dataclass
from types import NoneType
from typing import Any, cast, get_args, get_origin

from stageflow.contracts import is_typeddict
from stageflow.errors import ContractMismatchError, InvalidOptionError
from stageflow.execution.returning import returned_types
from stageflow.pipeline.compatibility import options
from stageflow.pipeline.spec import StageSpec
from stageflow.pipeline.streaming import streams_of
from stageflow.validation.hints import UnresolvedContract, bare, extra_keys, field_hints, type_text
from stageflow.wording import listed, nearest


def map_faults(spec: StageSpec[Any], joined: tuple[str, ...], read: Collection[str]) -> Iterator[InvalidOptionError]:
    """Yield what is wrong of a mapped stage, whatever its source returns.

    Args:
        spec: The stage.
        joined: The names of the dependencies that it joins.
        read: Those of which it says that it reads the streams.
    """
    if spec.map_over is None:
        return
    source, key = spec.map_over
    if spec.routes:
        hint = "Choose the route in a stage of its own, which reads the items of this one."
        yield InvalidOptionError("map_over", "is for a stage that has no routes=", stage=spec.name, hint=hint)
    if source in read:
        hint = "Map over the list in one stage, and read the stream in another one."
        if key is None:
            hint = "Each item is a chunk of it, as ctx.item: leave the stream out."
        problem = f"is for a stage that does not read the stream of '{source}' besides"
        yield InvalidOptionError("map_over", problem, stage=spec.name, hint=hint)
    if others := [name for name in read if name != source]:
        hint = "Each item would get some of the chunks. Read the stream in a stage before this one."
        problem = f"is for a stage that reads no other stream, such as that of '{others[0]}'"
        yield InvalidOptionError("map_over", problem, stage=spec.name, hint=hint)
    if source in joined:
        hint = "Join the others in a stage before this one."
        problem = f"names '{source}', which join='any' lets the stage do without"
        yield InvalidOptionError("map_over", problem, stage=spec.name, hint=hint)
    if streams_of(spec.runner):
        hint = "Return what it makes of one item."
        yield InvalidOptionError(
            "map_over", "is for a stage that returns, not an async generator", stage=spec.name, hint=hint
        )


def source_faults(spec: StageSpec[Any], source: StageSpec[Any], declared: Any) -> Iterator[InvalidOptionError]:
    """Yield what can be told to be wrong of the source of a mapped stage by the type that it declares.

    Args:
        spec: The mapped stage.
        source: The stage that the items come from.
        declared: What that declares to return, see `declared_output`.
    """
    if spec.map_over is None or (key := spec.map_over[1]) is None:
        return
    if source.map_over is not None:
        if key != "items":
            hint = f"It is mapped itself: map_over=('{source.name}', 'items')."
            yield InvalidOptionError(
                "map_over", f"names the key '{key}', which '{source.name}' does not return", stage=spec.name, hint=hint
            )
        return
    try:
        faults = [_fault(one, key) for one in returned_types(declared)]
    except UnresolvedContract:
        return  # a fault of its own, where the type is declared
    # One of several types that fits is enough, for nobody can tell which one is returned.
    if faults and all(fault is not None for fault in faults):
        problem, hint = cast("tuple[str, str]", faults[0])
        yield InvalidOptionError(
            "map_over", f"names the key '{key}' of '{source.name}', {problem}", stage=spec.name, hint=hint
        )


def reads_one_item(fault: ContractMismatchError) -> ContractMismatchError:
    """Return the fault of a parameter that reads a mapped stage, with what to do about it."""
    return ContractMismatchError(
        str(fault.stage),
        fault.parameter,
        fault.dependency,
        expected=fault.expected,
        found=fault.found,
        hint=f"'{fault.dependency}' is mapped: what it returns for each item is in the list `items` of its data. "
        f"Annotate '{fault.parameter}' with Mapping[str, Any].",
    )


def _fault(annotation: Any, key: str) -> tuple[str, str] | None:
    """Return what is wrong of a key in values of a type, and what to do about it; None if nothing certainly is."""
    if annotation is None or annotation is NoneType:
        return "which returns None", "Let it return a mapping with that key."
    kind: Any = get_origin(annotation) or annotation
    if not (is_typeddict(kind) or (isinstance(kind, type) and is_dataclass(kind))):
        return None
    hints = field_hints(kind, get_args(annotation), {})
    if key not in hints:
        if is_typeddict(kind) and extra_keys(kind) is not None:
            return None
        keys = sorted(hints)
        return f"which {type_text(annotation)} does not have", f"{nearest(key, keys)}Its keys: {listed(keys)}."
    held = bare(hints[key])
    if any(_may_hold_items(one) for one in options(held)):
        return None
    return f"which is annotated {type_text(held)}", "A stage is mapped over a sequence, or an object with `__aiter__`."


_NO_ITEMS = (NoneType, bool, int, float, complex, str, bytes, bytearray, memoryview, Mapping, AbstractSet, Generator)


def _may_hold_items(annotation: Any) -> bool:
    kind: Any = get_origin(annotation) or annotation
    if kind is Any or not isinstance(kind, type):
        return True
    return hasattr(kind, "__aiter__") or not (is_typeddict(kind) or issubclass(cast("type[Any]", kind), _NO_ITEMS))
