"""What every test here needs: that all there is to import has been imported.

pytester runs tests in this process and forgets what they were the first to import. Whoever imports that again gets
other classes of the same names, and what the two have made is not of one type.
"""

import importlib
import pkgutil

import httpcore  # noqa: F401 - httpx imports it when it is used
import stageflow
import stageflow_mocks

_PROGRAMS = ("stageflow.__main__", "stageflow.cli", "stageflow.lint")


def _import_all(name: str, path: list[str]) -> None:
    for module in pkgutil.iter_modules(path, f"{name}."):
        if module.name not in _PROGRAMS:
            imported = importlib.import_module(module.name)
            _import_all(module.name, list(getattr(imported, "__path__", ())))


for package in (stageflow, stageflow_mocks):
    _import_all(package.__name__, list(package.__path__))
