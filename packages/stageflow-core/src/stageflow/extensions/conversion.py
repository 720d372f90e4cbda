"""Extensions as values of their types, and as plain JSON."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, cast

from stageflow.contracts import ContractMismatch, contract_of, is_typeddict
from stageflow.errors import ExtensionMismatchError, InvalidExtensionTypeError, SerializationError
from stageflow.serialization import check_json
from stageflow.typed_json.texts import TEXTS, text_type_name
from stageflow.typed_json.writing import write
from stageflow.validation.containers import Keyed
from stageflow.validation.contract import TypeContract, contract_for
from stageflow.validation.hints import UnresolvedContract, type_text
from stageflow.validation.shapes import ANYTHING, NOTHING, SCALARS, Instance, Shape
from stageflow.wording import shown, type_name, with_article


class TypedExtension:
    """Base of an application's own frozen dataclass that stands in `snapshot.extensions`, always under the same key.

    A subclass says its key: `key: ClassVar[str] = "tenant"`. Its fields are of types that JSON can hold.
    """

    __slots__ = ()

    key: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        key: Any = cls.__dict__.get("key", "-")
        if not isinstance(key, str) or not key:
            hint = 'Say it: `key: ClassVar[str] = "tenant"`.'
            raise InvalidExtensionTypeError(cls.__qualname__, f"has the key {key!r}, which is no text", hint=hint)

    def to_dict(self) -> dict[str, Any]:
        """Return the extension as plain JSON.

        Raises:
            SerializationError: Something in it is not JSON, or would come back as something else.
        """
        return plain_extension(self.key, self, "$")


def is_typed(value: object) -> bool:
    """Return whether the value is an extension that knows its own key."""
    return isinstance(value, TypedExtension)


def extension_key(kind: Any, key: str | None = None) -> str:
    """Return the key of a type: what it says itself, or what is said of it.

    Raises:
        InvalidExtensionTypeError: Neither says one, or they say two.
    """
    own = getattr(kind, "key", None) if _is_class_of_ours(kind) else None
    if own is not None and key not in (None, own):
        problem = f"has the key '{own}', not {key!r}"
        raise InvalidExtensionTypeError(type_text(kind), problem, hint=f"Use it under '{own}'.")
    found: Any = own if key is None else key
    if not isinstance(found, str) or not found:
        problem = "has no key" if found is None else f"has the key {found!r}, which is no text"
        hint = 'Say it in the class, `key: ClassVar[str] = "tenant"`, or where it is registered, `key="tenant"`.'
        raise InvalidExtensionTypeError(type_text(kind), problem, hint=hint)
    return found


def _is_class_of_ours(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, TypedExtension)


def extension_contract(kind: Any) -> TypeContract:
    """Return what values of the type of an extension look like.

    Raises:
        InvalidExtensionTypeError: It is no type with fields, or holds what is not JSON.
    """
    try:
        return _contract(kind)
    except TypeError as error:
        if isinstance(error, InvalidExtensionTypeError):
            raise
        return _contract.__wrapped__(kind)  # it cannot be hashed


@lru_cache(maxsize=1024)
def _contract(kind: Any) -> TypeContract:
    name = type_text(kind) if isinstance(kind, type) else shown(kind)
    is_class = isinstance(kind, type) and (is_typeddict(kind) or contract_of(cast("type[Any]", kind)) is not None)
    ours = _is_class_of_ours(kind)
    if not is_class:
        hint = "Put @dataclass(frozen=True) above it." if ours else _TAKEN
        raise InvalidExtensionTypeError(name, "has no fields", hint=hint)
    # One that only inherits from a dataclass would lose the fields that it adds itself.
    if ours and hasattr(kind, "__dataclass_fields__") and "__dataclass_params__" not in kind.__dict__:
        raise InvalidExtensionTypeError(name, "is no dataclass itself", hint="Put @dataclass(frozen=True) above it.")
    found = None if is_typeddict(kind) else contract_of(kind)
    if ours and found is not None and not found.frozen:
        is_dataclass = hasattr(kind, "__dataclass_fields__")
        hint = "Put @dataclass(frozen=True) above it." if is_dataclass else "Make it frozen, as its library does that."
        raise InvalidExtensionTypeError(name, "can be changed", hint=hint)
    try:
        contract = contract_for(kind)
    except UnresolvedContract as error:
        raise InvalidExtensionTypeError(name, f"cannot be known: {error}".rstrip("."), hint=error.hint) from error
    assert contract is not None
    if not hasattr(kind, "model_validate"):  # which knows itself how to write its fields
        _expect_json(name, contract.shape)
    return contract


_TAKEN = "It is a TypedExtension, or another dataclass, a TypedDict, a pydantic or a msgspec class."


def _expect_json(name: str, shape: Shape) -> None:
    for field, part in shape.named_parts().items():
        amiss = _not_json(part, {shape})
        if amiss is not None:
            problem = f"has a field '{field}' that cannot be JSON: {amiss}"
            hint = "Take texts, numbers, booleans, None, enums, dates, lists, tuples, dicts with texts as keys, and "
            raise InvalidExtensionTypeError(name, problem, hint=f"{hint}dataclasses of these.")


def _not_json(shape: Shape, seen: set[Shape]) -> str | None:
    """Return the name of the first thing in a shape that no JSON can be made into, or None."""
    if shape in seen:
        return None
    seen.add(shape)
    if isinstance(shape, Keyed) and shape.key is not SCALARS[str]:
        return f"{shape.name}, whose keys are no texts"
    if isinstance(shape, Instance) and not _is_json(shape):
        return shape.name
    return next(filter(None, (_not_json(part, seen) for part in shape.parts())), None)


def _is_json(shape: Shape) -> bool:
    if shape in (ANYTHING, NOTHING, *_NATIVE):
        return True
    kind = shape.kind
    return kind is not None and (issubclass(kind, (enum.Enum, list, Mapping)) or text_type_name(kind) in TEXTS)


_NATIVE = (SCALARS[bool], SCALARS[int], SCALARS[float], SCALARS[str])


def contract_under(key: str, kind: Any) -> TypeContract:
    """Return the contract of a type that is asked for under a key.

    Raises:
        InvalidExtensionTypeError: The type is none that an extension can have, or one of another key.
    """
    contract = extension_contract(kind)
    if _is_class_of_ours(kind):
        extension_key(kind, key)
    return contract


def extension_of(key: str, value: Any, kind: Any) -> Any:
    """Return what stands under a key as a value of the type: itself, or what its mapping means.

    Raises:
        InvalidExtensionTypeError: The type is none that an extension can have, or one of another key.
        ExtensionMismatchError: The value is not of the type.
    """
    contract = contract_under(key, kind)
    try:
        return contract.make(value)
    except ContractMismatch as error:
        raise ExtensionMismatchError(
            key, contract=contract.name, path=error.path, expected=error.expected, found=error.found, hint=error.hint
        ) from None


def plain_extension(key: str, value: Any, path: str, kind: Any = None) -> Any:
    """Return an extension as plain JSON, of which `extension_of` makes an equal one.

    Args:
        key: The key that it stands under.
        value: The extension.
        path: What errors call it.
        kind: The type by which it will be read; its own if None.

    Raises:
        SerializationError: It cannot be written, or would come back as something else.
    """
    if contract_of(cast("type[Any]", type(value))) is None:
        return check_json(value, path)
    data, _ = write(value, path)
    try:
        again = extension_of(key, data, type(value) if kind is None else kind)
    except (ExtensionMismatchError, InvalidExtensionTypeError) as error:
        raise SerializationError(path, f"would not come back from JSON. {error.message}", hint=error.hint) from error
    if not again == value:  # noqa: SIM201 - `!=` may be another method
        problem = f"{with_article(type_name(value))} would come back from JSON as another one."
        hint = "A field of it is of a union or of Any, so that its JSON may be read in two ways, or is not compared."
        raise SerializationError(path, problem, hint=hint)
    return data
