"""What a build can tell of the types that stages pass to each other, and the check of what a run is asked."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from types import NoneType
from typing import Any, NewType, TypeVar, cast, get_args, get_origin

from stageflow.contracts import ContractMismatch
from stageflow.core.output import StageOutput
from stageflow.core.stream import Stream
from stageflow.errors import ContractMismatchError, InputContractError
from stageflow.execution.plan import Reads
from stageflow.execution.returning import is_contract, is_mapping, output_contract, returned_types
from stageflow.pipeline.compatibility import can_be, options
from stageflow.pipeline.runner import Runner
from stageflow.pipeline.signature import ParameterRead, UnreadableSignature, read_return, without_none
from stageflow.validation.contract import TypeContract, contract_for
from stageflow.validation.hints import UnresolvedContract, is_alias, type_text
from stageflow.wording import class_name, shown, sketched

T = TypeVar("T")

_CHUNKS = (str, bytes, bytearray, int, float, bool, list, tuple, set, frozenset)

_YIELDING = (AsyncGenerator, AsyncIterator, AsyncIterable)
"""What an async generator may say that it returns."""


def declared_output(
    runner: Runner, output: Any = None, names: Mapping[str, Any] | None = None, *, returns: Any = None
) -> Any:
    """Return what a stage declares that it returns: its `output=`, else its return annotation, else Any.

    Args:
        runner: What does the work.
        output: The option, or None.
        names: What the annotation may mention beside the names of its module; it may be a string.
        returns: The annotation, where it has been read already: see `read_function`.

    Raises:
        UnreadableSignature: The annotation cannot be resolved, or the option is no type that can be checked.
    """
    if output is None and returns is not None:
        return returns
    if output is None:
        return read_return(runner if inspect.isroutine(runner) else cast("Any", runner).execute, names)
    if not any(map(is_contract, _resolved(lambda: returned_types(output)))):
        option = repr(output) if isinstance(output, str) else type_text(output)
        raise UnreadableSignature(
            f"its output= is {option}, which has no fields to check.",
            "Give a dataclass, a TypedDict, a pydantic or a msgspec class; leave it out for a mapping of any keys.",
        )
    return output


def declared_chunks(runner: Runner, names: Mapping[str, Any] | None = None) -> Any:
    """Return what an async generator declares that it yields beside its closing StageOutput, or Any.

    Raises:
        UnreadableSignature: The annotation cannot be resolved.
    """
    said = read_return(runner if inspect.isroutine(runner) else cast("Any", runner).execute, names)
    yielded = [kind for kind in options(said) if get_origin(kind) in _YIELDING]
    chunks = [kind for kind in options(get_args(yielded[0])[0]) if not _is_output(kind)] if len(yielded) == 1 else []
    return chunks[0] if len(chunks) == 1 else Any


def _is_output(kind: Any) -> bool:
    return (get_origin(kind) or kind) is StageOutput


def declared_contract(declared: Any, names: Mapping[str, Any] | None = None) -> TypeContract | None:
    """Return what the values of a stage are checked against, of what `declared_output` says; None if nothing.

    Raises:
        UnreadableSignature: The fields of a type in it cannot be resolved.
    """
    return _resolved(lambda: output_contract(declared, names))


def input_contract(declared: Any) -> TypeContract | None:
    """Return what the input of a run is checked against: `Pipeline(input=declared)`; None if anything will do.

    Raises:
        TypeError: It is no annotation.
        UnreadableSignature: The fields of a type in it cannot be resolved.
    """
    if not (isinstance(declared, (type, NewType)) or declared is Any or get_origin(declared) or is_alias(declared)):
        raise TypeError(f"Pipeline(input=...) takes a type, not {shown(declared)}.")
    return _resolved(lambda: contract_for(declared))


def check_input(pipeline: str, contract: TypeContract, value: Any) -> None:
    """Check what a run is asked against the type that its pipeline takes.

    Raises:
        InputContractError: It is not of that type.
    """
    try:
        contract.check(value)
    except ContractMismatch as error:
        whole = error.path == "$"
        fits = "Give the run an input of that type" if whole else "Give that field what its annotation says"
        raise InputContractError(
            pipeline,
            contract=contract.name,
            given=error.found if whole else sketched(value),
            path=error.path,
            expected=error.expected,
            found=error.found,
            hint=error.hint or f"{fits}, or mend Pipeline(input=...).",
        ) from None


def parameter_fault(stage: str, read: ParameterRead, given: Any) -> ContractMismatchError | None:
    """Return the fault of a parameter that can never get what its annotation says, or None.

    Args:
        stage: The stage whose parameter it is.
        read: The parameter. One that reads the data of a stage can always get them.
        given: What the stage that it reads declares (see `declared_output`), or for `input` what the pipeline does.
    """
    if given is Any or given is read.annotation:
        return None
    try:
        return _parameter_fault(stage, read, given)
    except UnresolvedContract:
        return None  # nobody can tell; where a stage declares it, that is a fault of its own


def _parameter_fault(stage: str, read: ParameterRead, given: Any) -> ContractMismatchError | None:
    if read.reads is Reads.INPUT:
        return _fault(stage, read, [given], [read.annotation])
    if read.reads is Reads.STREAM:
        return _stream_fault(stage, read, given)
    types = list(returned_types(given))
    if not all(map(_is_returnable, types)):
        return None  # that stage fails when it returns, which says more than that nobody can read it
    if read.reads is Reads.VALUE:
        return _fault(stage, read, types, [read.annotation])
    outputs = list(returned_types(read.annotation))
    # Who annotates a whole output with a mapping may read its data, whatever its value is.
    whole = read.reads is Reads.OUTPUT and not any(map(is_mapping, outputs))
    return _fault(stage, read, types, outputs) if whole else None


def whole_fault(stage: str, read: ParameterRead, chunks: Any) -> ContractMismatchError | None:
    """Return the fault of a parameter that can only mean the chunks of a stage, and would get what it ends as, or None.

    Args:
        stage: The stage whose parameter it is.
        read: The parameter.
        chunks: What the stage that it reads declares that it yields.
    """
    wanted = [kind for kind in options(without_none(read.annotation)) if not _is_none(kind)]
    if read.reads is not Reads.VALUE or not wanted or not all(map(_is_never_returned, wanted)):
        return None
    kind = "Any" if chunks is Any else type_text(chunks)
    return ContractMismatchError(
        stage,
        read.parameter,
        read.stage,
        expected=type_text(read.annotation),
        found="a mapping, after its chunks" if chunks is Any else f"a mapping, after its chunks of type {kind}",
        hint=f"Annotate '{read.parameter}' with Stream[{kind}] to read its chunks while they are made, or with "
        "Mapping[str, Any] to read what it returns in the end.",
    )


def _is_never_returned(annotation: Any) -> bool:
    """Return whether no stage may return this, but many a stage yields it."""
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and (issubclass(kind, AsyncIterable) or kind in _CHUNKS)


def _stream_fault(stage: str, read: ParameterRead, given: Any) -> ContractMismatchError | None:
    wanted = next((get_args(kind) for kind in options(read.annotation) if get_origin(kind) is Stream), ())
    if not wanted or can_be(given, wanted[0]):
        return None
    return ContractMismatchError(
        stage,
        read.parameter,
        read.stage,
        expected=f"Stream[{type_text(wanted[0])}]",
        found=f"chunks of type {type_text(given)}",
        hint=f"Annotate '{read.parameter}' with Stream[{type_text(given)}], or mend what '{read.stage}' yields.",
    )


def _fault(stage: str, read: ParameterRead, types: list[Any], wanted: list[Any]) -> ContractMismatchError | None:
    values = [*types, dict] if read.stage and any(map(_is_none, types)) else types  # None is read as an empty mapping
    # A parameter that takes None, and only that, is there for the order.
    if all(map(_is_none, wanted)) or any(can_be(one, other) for one in values for other in wanted):
        return None
    expected, found = type_text(read.annotation), _either(map(type_text, types))
    if _share_a_name(types, wanted, type_text):
        expected, found = _either(_full_names(wanted)), _either(_full_names(types))
    if _share_a_name(types, wanted, class_name):
        found += ", another class of that name"
    return ContractMismatchError(
        stage, read.parameter, read.stage or None, expected=expected, found=found, hint=_way_out(read, types, expected)
    )


def _way_out(read: ParameterRead, types: list[Any], expected: str) -> str | None:
    """Return what to do where to annotate the parameter with what it gets is no way."""
    if not read.stage:
        return None
    if all(map(_is_none, types)):
        return f"Let '{read.stage}' return {expected}, and say so; one that only raises returns NoReturn."
    if all(map(is_mapping, types)):
        return f"Annotate '{read.parameter}' with Mapping[str, Any]; or let '{read.stage}' return {expected}."
    return None


def _either(texts: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(texts))


def _share_a_name(types: list[Any], wanted: list[Any], name: Callable[[Any], str]) -> bool:
    mine, theirs = ({name(kind) for kind in _classes(annotations)} for annotations in (types, wanted))
    return not mine.isdisjoint(theirs)


def _classes(annotations: Iterable[Any]) -> Iterator[Any]:
    for annotation in annotations:
        yield from (get_origin(kind) or kind for kind in options(annotation) if kind is not NoneType)


def _full_names(annotations: Iterable[Any]) -> Iterator[str]:
    yield from map(class_name, _classes(annotations))
    if any(kind is NoneType for annotation in annotations for kind in options(annotation)):
        yield "None"


def _is_returnable(annotation: Any) -> bool:
    """Return whether a stage may return this at all."""
    kind = get_origin(annotation) or annotation
    return _is_none(annotation) or is_mapping(kind) or getattr(kind, "__module__", "") != "builtins"


def _is_none(annotation: Any) -> bool:
    return annotation is None or annotation is NoneType


def _resolved(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except UnresolvedContract as error:
        raise UnreadableSignature(str(error), error.hint) from error
