"""Names of a package that are loaded when somebody first asks for one (PEP 562).

Most programs use a few of the names that a package offers, and would pay for all of them at each start. A package
says under `if TYPE_CHECKING` what it offers, for type checkers and readers, and again as a table of modules and names
for the interpreter; a test compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names_from(
    package: str, homes: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package that offers names of other modules.

    A name stays in the package once it was asked for. Of two threads that ask at once, both get the same object: the
    interpreter loads a module once.

    Args:
        package: The `__name__` of the package.
        homes: The names that each module has, by the module's full name.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of})

    return get, names
