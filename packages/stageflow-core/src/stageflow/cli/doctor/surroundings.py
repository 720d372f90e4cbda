"""What is installed: Python, our distributions, and their extras."""

from __future__ import annotations

import platform
import re
from importlib import metadata

from stageflow.cli.doctor.checks import Check

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+).*;.*extra == ['\"]([^'\"]+)['\"]")


def surroundings() -> list[Check]:
    """Return what is there, and which extras are not."""
    found = [Check("ok", f"Python {platform.python_version()}")]
    names = {each.name for each in metadata.distributions() if each.name.startswith("stageflow-")}
    for name in sorted(names):
        found.append(Check("ok", f"{name} {metadata.version(name)}"))
        found += _extras(name)
    return found


def _extras(distribution: str) -> list[Check]:
    needed: dict[str, list[str]] = {}
    for line in metadata.requires(distribution) or ():
        if said := _REQUIREMENT.match(line):
            needed.setdefault(said[2], []).append(said[1])
    checks: list[Check] = []
    for extra, libraries in needed.items():
        absent = [each for each in libraries if not _is_installed(each)]
        what = f"{distribution}[{extra}]"
        checks.append(Check("unset", what, f'pip install "{what}"') if absent else Check("ok", what))
    return checks


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
