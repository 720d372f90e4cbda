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
        present, absent = _extras(name)
        found.append(Check("ok", f"{name} {metadata.version(name)}", f"with {', '.join(present)}" if present else ""))
        found += (Check("unset", f"{name}[{extra}]", f'pip install "{name}[{extra}]"') for extra in absent)
    return found


def _extras(distribution: str) -> tuple[list[str], list[str]]:
    """Return the extras of which all is installed, and the others."""
    needed: dict[str, list[str]] = {}
    for line in metadata.requires(distribution) or ():
        if said := _REQUIREMENT.match(line):
            needed.setdefault(said[2], []).append(said[1])
    present = [extra for extra, libraries in needed.items() if all(map(_is_installed, libraries))]
    return present, [extra for extra in needed if extra not in present]


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
