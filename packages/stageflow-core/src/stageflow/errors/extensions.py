"""What goes wrong with the extensions of a snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from stageflow.errors.base import StageflowError
from stageflow.wording import listed, nearest


class UnknownExtensionError(StageflowError, KeyError):
    """There is no extension under that key.

    Attributes:
        key: The key that was asked for.
        known: The keys that there are.
    """

    code = "unknown-extension"

    def __init__(self, key: object, *, of: str, known: Sequence[str]) -> None:
        near = nearest(key, known) if isinstance(key, str) else ""
        super().__init__(f"There is no extension {key!r} in {of}.", hint=f"{near}It has: {listed(known)}.")
        self.key = key
        self.known = tuple(known)

    __str__ = StageflowError.__str__  # KeyError's would show the repr of the message


class ExtensionMismatchError(StageflowError, TypeError):
    """What stands under the key of an extension is not of its type.

    Attributes:
        key: The key.
        contract: The name of the type.
        path: Where in the extension: `$.plan`, or `$` for the whole.
        expected: What should be there.
        found: What is there.
    """

    code = "extension-mismatch"

    def __init__(
        self, key: str, *, contract: str, path: str, expected: str, found: str, hint: str | None = None
    ) -> None:
        where = "" if path == "$" else f" at {path}"
        super().__init__(
            f"The extension '{key}' is no {contract}{where}: expected {expected}, found {found}.", hint=hint
        )
        self.key = key
        self.contract = contract
        self.path = path
        self.expected = expected
        self.found = found


class InvalidExtensionTypeError(StageflowError, TypeError):
    """A type is none that an extension can have, or has no key, or another one.

    Attributes:
        type: The name of the type.
        problem: What is amiss with it.
    """

    code = "invalid-extension-type"

    def __init__(self, type: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"{type} cannot be the type of an extension: it {problem}.", hint=hint)
        self.type = type
        self.problem = problem


class DuplicateExtensionError(StageflowError, ValueError):
    """A registry has another type under that key already.

    Attributes:
        key: The key.
        registered, refused: The names of the type that is there, and of the one that came second.
    """

    code = "duplicate-extension"

    def __init__(self, key: str, *, registered: str, refused: str) -> None:
        super().__init__(
            f"The extension '{key}' is registered as {registered} already, and cannot be {refused} as well.",
            hint="Give one of them another key, or register it in an ExtensionRegistry of its own.",
        )
        self.key = key
        self.registered = registered
        self.refused = refused
