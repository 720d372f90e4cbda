"""Names that come from other modules."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from stageflow.lint.definitions import Module
from stageflow.lint.modules import Modules, imported_from
from stageflow.lint.values import OURS, UNKNOWN, External, Imported, ModuleValue

DEEPEST_IMPORT = 20
"""As often as a name may be passed on from module to module, and a module be needed by one that is being followed."""

_STARRED = ("Pipeline", "stage", "From", "Stage", "StageSpec", "StageKind", "StageOutput", "StageContext", "Stream")


class Importing:
    """Looks names up, in modules that are followed when they are first needed.

    Args:
        modules: Where imports lead to.
        run: Follows the body of a module.
    """

    def __init__(self, modules: Modules, run: Callable[[Module], None]) -> None:
        self._modules = modules
        self._run = run
        self._depth = 0

    def run_module(self, module: Module) -> None:
        """Follow the body of a module, after those of the modules that it imports."""
        if module.state != "new" or self._depth >= DEEPEST_IMPORT:
            return  # a module that imports one which imports it sees what that has so far
        module.state = "waiting"
        waiting = [(module, self._imports(module))]
        while waiting:
            current, imports = waiting[-1]
            inner = next((each for each in imports if each.state == "new"), None)
            if inner is not None:
                inner.state = "waiting"
                waiting.append((inner, self._imports(inner)))
            else:
                waiting.pop()
                self._depth += 1
                self._run(current)
                self._depth -= 1

    def _imports(self, module: Module) -> Iterator[Module]:
        """Yield the modules that a module imports when it is imported itself."""
        for node in module.imports():
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                base = imported_from(node, module.package)
                names = [base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")]
            for name in names:
                found = self._modules.find_ours(name)
                if found is not None:
                    yield found

    def looked_up(self, value: Any) -> Any:
        """Return what a value stands for, if it is a name that was imported."""
        seen = 0
        while isinstance(value, Imported):
            seen += 1
            value = self._resolve(value.name) if seen < DEEPEST_IMPORT else UNKNOWN
        return value

    def _resolve(self, name: str) -> Any:
        """Return what a whole name, such as `package.module.thing`, stands for, or a name to be looked up."""
        if name.partition(".")[0] in OURS:
            return External(name)
        if self._modules.find(name) is not None:
            return ModuleValue(name)
        parent, _, attribute = name.rpartition(".")
        owner = self._modules.find(parent) if parent else None
        return External(name) if owner is None else self.of_module(owner, attribute)

    def of_module(self, module: Module, attribute: str) -> Any:
        """Return what a module has under a name."""
        self.run_module(module)
        found = module.scope.names.get(attribute)
        if found is not None:
            return found
        inner = self._modules.find(f"{module.name}.{attribute}")
        return UNKNOWN if inner is None else ModuleValue(inner.name)

    def all_of(self, module_name: str) -> dict[str, Any]:
        """Return the public names of a module."""
        if module_name.partition(".")[0] in OURS:
            return {name: External(f"{module_name}.{name}") for name in _STARRED}
        module = self._modules.find(module_name)
        if module is None:
            return {}
        self.run_module(module)
        return {key: value for key, value in module.scope.names.items() if not key.startswith("_")}
