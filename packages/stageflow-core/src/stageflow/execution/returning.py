"""The contract of what a stage returns: what is checked when it does, and what brings its value back from JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, Union, cast, get_args, get_origin

from stageflow.contracts import ContractMismatch, contract_of, is_typeddict
from stageflow.core.kinds import StageStatus
from stageflow.core.output import StageOutput, make_output, output_fields
from stageflow.core.output_json import written_kinds
from stageflow.errors import StageContractError
from stageflow.frozen import FrozenDict, freeze, freeze_mapping
from stageflow.typed_json.reading import kind_name
from stageflow.validation.annotations import Compiler, either
from stageflow.validation.contract import TypeContract
from stageflow.validation.hints import is_alias, meaning, type_text
from stageflow.validation.shapes import ANYTHING, Instance, Shape
from stageflow.wording import sketched, with_article


class _Empty(Shape):
    """What is recorded of a stage that returned None."""

    __slots__ = ()

    def check(self, value: Any) -> None:
        if value != {}:
            raise ContractMismatch(self.name, value=value)


class _Items(Shape):
    """What is recorded of a mapped stage: what it returned for each item, None where it was skipped."""

    __slots__ = ("_item",)

    def __init__(self, item: TypeContract) -> None:
        super().__init__(f"a mapping with items: list[{item.name} | None]")
        self._item = item

    def check(self, value: Any) -> None:
        items: Any = cast("Mapping[str, Any]", value).get("items") if isinstance(value, Mapping) else None
        if not isinstance(items, list):
            raise ContractMismatch(self.name, value=cast("object", value))
        for index, one in enumerate(cast("list[Any]", items)):
            if one is not None:
                self._check_item(index, one)

    def _check_item(self, index: int, one: Any) -> None:
        try:
            self._item.check(one)
        except ContractMismatch as error:
            error.within(f".items[{index}]")
            raise

    def parts(self) -> Iterable[Shape]:
        return (self._item.shape,)


def mapped_contract(item: TypeContract | None) -> TypeContract | None:
    """Return what the output of a mapped stage must be that has this contract for each item."""
    return None if item is None else TypeContract(Mapping[str, Any], shape := _Items(item), shape.name)


_EMPTY = _Empty("None")
_MAPPING = Instance("a mapping", (dict,))


def returned_types(annotation: Any) -> tuple[Any, ...]:
    """Return the types that a stage with this return annotation may return, without what stands around them.

    `StageOutput[Reply] | None` is `Reply` and `None`; a bare `StageOutput` is Any.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is StageOutput:
        return (Any,)
    if origin in (Union, UnionType):
        return tuple(one for arg in args for one in returned_types(arg))
    if origin in (Annotated, StageOutput, Awaitable):
        return returned_types(args[0])
    if origin is Coroutine:
        return returned_types(args[2])
    if isinstance(annotation, NewType):
        return returned_types(annotation.__supertype__)
    if is_alias(annotation):
        return returned_types(meaning(annotation))
    return (annotation,)


def is_contract(annotation: Any) -> bool:
    """Return whether a type that a stage may return is one that can be checked: it has fields."""
    kind = get_origin(annotation) or annotation
    return is_typeddict(kind) or (isinstance(kind, type) and contract_of(cast("type[Any]", kind)) is not None)


def is_mapping(annotation: Any) -> bool:
    """Return whether the annotation is a mapping of any keys."""
    kind: Any = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, Mapping) and not is_typeddict(cast("Any", kind))


def output_contract(annotation: Any, names: Mapping[str, Any] | None = None) -> TypeContract | None:
    """Return what a stage must return by its `output=` or its return annotation; None if there is nothing to check.

    There is, if it mentions dataclasses, TypedDicts, pydantic or msgspec classes, and nothing that takes anything. A
    None among them means that the stage may return None, for which an empty mapping is recorded.

    Raises:
        UnresolvedContract: A type in it mentions one that cannot be found.
    """
    if names:
        return _output_contract(annotation, names)
    try:
        return _cached(annotation)
    except TypeError:  # it cannot be hashed
        return _output_contract(annotation, None)


def _output_contract(annotation: Any, names: Mapping[str, Any] | None) -> TypeContract | None:
    types = returned_types(annotation)
    if not any(map(is_contract, types)):
        return None
    compiler = Compiler(names)
    shape = either(_shape(one, compiler) for one in types)
    return None if shape is ANYTHING else TypeContract(annotation, shape, " or ".join(map(type_text, types)))


def _shape(annotation: Any, compiler: Compiler) -> Shape:
    if annotation in (None, NoneType):
        return _EMPTY
    return _MAPPING if is_mapping(annotation) else compiler.shape(annotation)


@lru_cache(maxsize=1024)
def _cached(annotation: Any) -> TypeContract | None:
    return _output_contract(annotation, None)


def check_output(stage: str, contract: TypeContract, stored: FrozenDict[str, Any] | StageOutput[Any]) -> None:
    """Check what a run is about to store for a stage; only what ended OK has to fulfil the contract.

    Raises:
        StageContractError: It does not.
    """
    if isinstance(stored, FrozenDict):
        value: Any = stored
    elif stored.status is StageStatus.OK:
        value = stored.value
    else:
        return
    try:
        contract.check(value)
    except ContractMismatch as error:
        raise _contract_error(stage, contract, value, error) from None


def _contract_error(stage: str, contract: TypeContract, value: Any, error: ContractMismatch) -> StageContractError:
    whole = error.path == "$"
    returned = sketched(value) if not whole else "None, or an empty mapping" if value == {} else error.found
    hint = error.hint
    if hint is None and whole:
        hint = f"Return {_advised(contract)}, or annotate the stage with what it returns."
    elif hint is None:
        hint = "Return what the annotation of that field says, or mend the annotation."
    return StageContractError(
        stage,
        contract=contract.name,
        returned=returned,
        path=error.path,
        expected=error.expected,
        found=returned if whole else error.found,
        hint=hint,
    )


def _advised(contract: TypeContract) -> str:
    forms = [one for one in returned_types(contract.type) if is_contract(one)]
    return " or ".join(_form(one) for one in forms)


def _form(annotation: Any) -> str:
    name = type_text(annotation)
    return (
        f"a mapping with the keys of {name}" if is_typeddict(get_origin(annotation) or annotation) else f"{name}(...)"
    )


def revive_output(output: StageOutput[Any], contract: TypeContract | None) -> StageOutput[Any]:
    """Return the output of a stage with its contract value again, where it has been JSON.

    Args:
        output: As `output_from_dict` read it, or as it was recorded in this process; one that did not end OK, and one
            that holds its value, is returned as it is.
        contract: What the stage declares.

    Raises:
        ContractMismatch: It cannot be made again: no type is declared that says how, or another one than was written.
    """
    kinds = written_kinds(output)
    if output.status is not StageStatus.OK or not isinstance(output.value, Mapping):
        return output  # one that has its contract value still has not been read
    if contract is None:
        if kinds is None:
            return output
        raise _untyped(kind_name(kinds))
    if kinds is None:  # of this process, or plain data through JSON as well
        contract.check(cast("Any", output.value))
        return output
    value = contract.revive(output.data, kinds)
    fields = output_fields(output)
    if isinstance(value, Mapping):
        fields["data"] = freeze_mapping(cast("Mapping[str, Any]", value), "data")
    else:
        fields["data"], fields["value"] = None, freeze(value, "data")
    return make_output(**fields)


def _untyped(name: str) -> ContractMismatch:
    """Return what to raise for a value whose type was written, and is declared nowhere."""
    if name == "dict":
        found, hint = "a mapping with contract values in it", "Say what it holds: return a TypedDict or a dataclass"
    else:
        found, hint = with_article(name), "Annotate the stage with the type that it returns"
    return ContractMismatch(
        "plain JSON, since the stage declares no type", found=found, hint=f"{hint}, or give that as output=."
    )
