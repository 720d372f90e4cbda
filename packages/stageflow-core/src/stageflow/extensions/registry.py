"""Which extensions there are, and of what types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar, overload

from stageflow.errors import DuplicateExtensionError, UnknownExtensionError
from stageflow.extensions.conversion import extension_contract, extension_key
from stageflow.wording import class_name

T = TypeVar("T", bound=type[Any])


class ExtensionRegistry:
    """The types of extensions, by their keys.

    Those of `stageflow.extensions.default_registry` hold for every snapshot of the process: a mapping under such a key
    becomes a value of the type when the snapshot is made. A registry of its own can be given to
    `ContextSnapshot.from_dict(data, extensions=registry)`.
    """

    def __init__(self) -> None:
        self._types: dict[str, type[Any]] = {}

    @overload
    def register(self, type: T, key: str | None = None) -> T: ...
    @overload
    def register(self, type: None = None, key: str | None = None) -> Callable[[T], T]: ...
    def register(self, type: type[Any] | None = None, key: str | None = None) -> Any:
        """Register a type, and return it: `registry.register(Tenant)`, or `@registry.register` above the class.

        Args:
            type: A TypedExtension; or, with `key`, another dataclass, a TypedDict, a pydantic or a msgspec class.
            key: The key, if the type does not say it itself: `@registry.register(key="tenant")`.

        Raises:
            InvalidExtensionTypeError: The type is none that an extension can have, has no key, or has another one.
            DuplicateExtensionError: There is another type under the key. The same one again changes nothing.
        """
        if type is None:
            return partial(self.register, key=key)
        extension_contract(type)
        found = extension_key(type, key)
        registered = self._types.setdefault(found, type)
        if registered is not type:
            raise DuplicateExtensionError(found, registered=class_name(registered), refused=class_name(type))
        return type

    def get(self, key: str) -> type[Any]:
        """Return the type under a key; raises UnknownExtensionError if there is none."""
        if key not in self._types:
            raise UnknownExtensionError(key, of="the registry", known=self.list())
        return self._types[key]

    def list(self) -> tuple[str, ...]:
        """Return the keys, in the order in which they were registered."""
        return tuple(self._types)

    def __contains__(self, key: object) -> bool:
        return key in self._types

    def __iter__(self) -> Iterator[str]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self._types)

    def __repr__(self) -> str:
        return f"<ExtensionRegistry: {', '.join(self._types) or 'empty'}>"


default_registry = ExtensionRegistry()
"""The registry that holds for every snapshot."""
