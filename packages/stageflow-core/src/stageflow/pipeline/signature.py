"""What the parameters of a function stage ask for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import FunctionType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from stageflow.context.pipeline_context import PipelineContext
from stageflow.context.snapshot import ContextSnapshot
from stageflow.core.context import StageContext
from stageflow.core.output import StageOutput
from stageflow.core.stream import Stream
from stageflow.execution.plan import Reads
from stageflow.pipeline.spec import From


class ParameterRead(NamedTuple):
    """What one parameter asks for. `stage` is empty for the context and the run's input."""

    parameter: str
    reads: Reads
    stage: str = ""
    optional: bool = False
    default: Any = None
    keyword_only: bool = False
    annotation: Any = inspect.Parameter.empty


class UnreadableSignature(Exception):
    """The parameters of a function cannot be understood; the message says why, the hint what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def read_signature(function: Callable[..., Any], names: Mapping[str, Any] | None = None) -> tuple[ParameterRead, ...]:
    """Return what each parameter of a function stage asks for, in order.

    Args:
        function: The function.
        names: What its annotations may mention beside the names of its module; they may be strings.

    Raises:
        UnreadableSignature: A parameter is `*args` or `**kwargs`, or an annotation cannot be resolved.
    """
    return read_function(function, names)[0]


def read_function(
    function: Callable[..., Any], names: Mapping[str, Any] | None = None
) -> tuple[tuple[ParameterRead, ...], Any]:
    """Return what `read_signature` does, and the annotation of what the function returns; Any if it has none."""
    hints = _hints(function, names)
    parameters = inspect.signature(function).parameters.values()
    reads = tuple(_read(parameter, hints.get(parameter.name, inspect.Parameter.empty)) for parameter in parameters)
    return reads, hints.get("return", Any)


def read_return(function: Callable[..., Any], names: Mapping[str, Any] | None = None) -> Any:
    """Return the annotation of what a function returns, or Any if it has none.

    Raises:
        UnreadableSignature: It cannot be resolved.
    """
    inner: Any = inspect.unwrap(getattr(function, "__func__", function))
    if not isinstance(inner, FunctionType):
        return Any

    def alone() -> None:
        """Stand for the function, since its parameters may be annotated with what only a type checker sees."""

    try:
        said = inner.__annotations__.get("return", Any)
        if said is Any or isinstance(said, type):
            return said
        alone.__annotations__ = {"return": said}
        around = {**(names or {}), **_closure(function)}
        return get_type_hints(alone, globalns=inner.__globals__, localns=around, include_extras=True)["return"]
    except Exception as error:
        raise _unresolved(function, error) from error


def _hints(function: Callable[..., Any], names: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        return get_type_hints(function, localns={**(names or {}), **_closure(function)}, include_extras=True)
    except Exception as error:
        raise _unresolved(function, error) from error


def _unresolved(function: Callable[..., Any], error: Exception) -> UnreadableSignature:
    return UnreadableSignature(
        f"the annotations of {function.__qualname__} cannot be resolved ({type(error).__name__}: {error}).",
        "Define or import the types at the top of the module, outside `if TYPE_CHECKING:`.",
    )


def _closure(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the enclosing names that a function uses: annotations may be strings that name a local class."""
    inner: Any = inspect.unwrap(getattr(function, "__func__", function))
    cells = zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _read(parameter: inspect.Parameter, hint: Any) -> ParameterRead:
    name, kind = parameter.name, parameter.kind
    if kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise UnreadableSignature(
            f"its parameter '{parameter}' names no stage.", "Write one parameter for each dependency."
        )
    keyword_only = kind is inspect.Parameter.KEYWORD_ONLY
    source, plain = _source(hint)
    if _is(plain, StageContext):
        return ParameterRead(name, Reads.CONTEXT, keyword_only=keyword_only, annotation=hint)
    if source is None and name in ("ctx", "context") and _is_no_stages_value(plain):
        what = "has no annotation" if hint is inspect.Parameter.empty else f"is annotated {plain.__name__}"
        raise UnreadableSignature(f"its parameter '{name}' {what}.", f"Write `{name}: StageContext`.")
    optional = parameter.default is not inspect.Parameter.empty
    if source is None and name == "input":
        default = parameter.default if optional else None
        return ParameterRead(name, Reads.INPUT, default=default, keyword_only=keyword_only, annotation=hint)
    return ParameterRead(
        parameter=name,
        reads=_mode(plain),
        stage=source or name,
        optional=optional,
        default=parameter.default if optional else None,
        keyword_only=keyword_only,
        annotation=hint,
    )


def _source(hint: Any) -> tuple[str | None, Any]:
    """Return the stage that a From in the annotation names, and the annotation without None and Annotated."""
    hint = without_none(hint)
    if get_origin(hint) is not Annotated:
        return None, hint
    plain, *extras = get_args(hint)
    return next((extra.stage for extra in extras if isinstance(extra, From)), None), without_none(plain)


def _mode(hint: Any) -> Reads:
    if _is(hint, StageOutput):
        return Reads.OUTPUT
    if _is(hint, Stream):
        return Reads.STREAM
    return Reads.DATA if _is(hint, dict) or _is(hint, Mapping) else Reads.VALUE


def _is_no_stages_value(hint: Any) -> bool:
    return hint in (inspect.Parameter.empty, PipelineContext, ContextSnapshot)


def _is(hint: Any, wanted: Any) -> bool:
    """Return whether the annotation is the type, bare or subscripted."""
    return hint is wanted or get_origin(hint) is wanted


def without_none(hint: Any) -> Any:
    """Return the annotation without its None, if one other type is left."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    parts = [part for part in get_args(hint) if part is not type(None)]
    return parts[0] if len(parts) == 1 else hint
