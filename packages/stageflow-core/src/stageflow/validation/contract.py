"""A type that values are checked against, and made of JSON again."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

from stageflow.contracts import ContractMismatch, contract_of, unsubscripted
from stageflow.secret_names import kind_of_name
from stageflow.typed_json.reading import read
from stageflow.validation.annotations import Compiler, shape_of_class
from stageflow.validation.hints import UnresolvedContract, type_text
from stageflow.validation.shapes import ANYTHING, Shape
from stageflow.wording import class_name, sketched


class TypeContract:
    """What values of a type look like.

    Attributes:
        type: The annotation.
        name: What errors call it.
        shape: What its values look like.
    """

    __slots__ = ("_classes", "name", "shape", "type")

    def __init__(self, type: Any, shape: Shape, name: str | None = None) -> None:
        self.type = type
        self.name = name or type_text(type)
        self.shape = shape
        self._classes: dict[str, Any] | None = None

    def check(self, value: Any) -> None:
        """Check that the value is of the type, down to its last field.

        Raises:
            ContractMismatch: It is not.
        """
        try:
            self.shape.check(value)
        except ContractMismatch as error:
            error.hidden = _may_be_secret(error)
            raise
        except RecursionError as error:
            found = f"{sketched(value)} that is nested too deep, or contains itself"
            raise ContractMismatch(self.name, found=found) from error
        except UnresolvedContract as error:  # of a subclass, which nobody had mentioned
            raise ContractMismatch(self.name, value=value, hint=f"{error} {error.hint}") from error

    def revive(self, data: Any, kinds: Any) -> Any:
        """Make the value again that was written as this JSON with these kinds (see `stageflow.typed_json`).

        Only the types that the annotation mentions, and their subclasses, are ever made.

        Raises:
            ContractMismatch: It cannot be done, or what comes of it is not of the type.
        """
        try:
            value = read(data, kinds, self._class_called)
        except ContractMismatch as error:
            error.hidden = _may_be_secret(error)
            error.hint = None if error.hidden else error.hint  # it may be what the type said of its text
            raise
        except RecursionError as error:
            raise ContractMismatch(self.name, found="nested too deep") from error
        self.check(value)
        return value

    def make(self, data: Any) -> Any:
        """Make the value that plain data mean: mappings of its fields, lists, and texts for what JSON writes as text.

        Raises:
            ContractMismatch: They mean none.
        """
        try:
            return self.shape.made_of(data)
        except ContractMismatch as error:
            error.hidden = _may_be_secret(error)
            error.hint = None if error.hidden else error.hint
            raise
        except RecursionError as error:
            raise ContractMismatch(self.name, found="nested too deep") from error
        except UnresolvedContract as error:
            raise ContractMismatch(self.name, value=data, hint=f"{error} {error.hint}") from error

    def __repr__(self) -> str:
        return f"<contract {self.name}>"

    def _class_called(self, name: str) -> Any:
        if self._classes is None:
            self._classes = {class_name(kind): kind for kind in _classes_in(self.shape)}
        if name in self._classes:
            return self._classes[name]
        # What is the script in one process may be a module in another.
        alike = (
            kind
            for kind in self._classes.values()
            if name == f"__main__.{kind.__qualname__}"
            or (kind.__module__ == "__main__" and name.endswith(f".{kind.__qualname__}"))
        )
        return next(alike, None)


def _may_be_secret(error: ContractMismatch) -> bool:
    # What an error says goes to logs, and into events, which cannot know what its text was about.
    return kind_of_name(error.path) != "open" or "Secret" in error.expected


def _classes_in(shape: Shape) -> Iterable[type[Any]]:
    """Return the classes that a value of this shape may hold, so far as they are made of JSON by their names.

    Those that the annotation mentions come last: of two with one name, they are meant.
    """
    mentioned = _kinds_in(shape)
    below: dict[type[Any], None] = {}
    waiting = [*mentioned]
    while waiting:
        one = waiting.pop()
        for kind in (*type.__subclasses__(one), *_kinds_of_fields(one)):
            if kind not in below:
                below[kind] = None
                waiting.append(kind)
    return filter(_can_be_made, [*below, *mentioned])


def _kinds_in(shape: Shape) -> Iterable[type[Any]]:
    seen: dict[Shape, None] = {}
    waiting = [shape]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen[one] = None
            waiting.extend(one.parts())
    kinds = [one.kind for one in seen if one.kind is not None]
    # A bare Page passes for a Page[int].
    return dict.fromkeys([*map(unsubscripted, kinds), *kinds])


def _kinds_of_fields(kind: type[Any]) -> Iterable[type[Any]]:
    """Return what the fields of a subclass mention that its base does not."""
    if contract_of(kind) is None:
        return ()
    try:
        return _kinds_in(shape_of_class(kind))
    except UnresolvedContract:  # a check of its values says so
        return ()


def _can_be_made(kind: type[Any]) -> bool:
    if issubclass(kind, (enum.Enum, str, int, float)) or contract_of(kind) is not None:
        return True
    return hasattr(kind, "_make") and issubclass(kind, tuple)


def contract_for(annotation: Any, names: Mapping[str, Any] | None = None) -> TypeContract | None:
    """Return the contract that an annotation is, or None if anything fulfils it.

    Args:
        annotation: Any annotation; of a stage's return, see `stageflow.execution.returning`.
        names: What annotations that are strings may mention, beside the names of their modules.

    Raises:
        UnresolvedContract: A type in it mentions one that cannot be found.
    """
    shape = Compiler(names).shape(annotation)
    return None if shape is ANYTHING else TypeContract(annotation, shape)
