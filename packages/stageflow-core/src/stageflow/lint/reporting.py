"""Findings as text: for people, for programs, for code hosts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from stageflow.lint.findings import RULES, Finding, Place

JSON_VERSION = 1
"""Of the JSON report; it grows when a field is taken away or means something else."""

_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

Lines = Callable[[str], Sequence[str]]
"""Gives the lines of a file, for the report that shows them."""


def lines_of(path: str) -> Sequence[str]:
    """Return the lines of a file, or none if it cannot be read any more."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ()


# --- for people -------------------------------------------------------------------------------------------------------


def as_text(findings: Sequence[Finding], lines: Lines = lines_of) -> str:
    """Return a report for people: each finding with its source line, and what to write."""
    known: dict[str, Sequence[str]] = {}
    parts: list[str] = []
    for each in findings:
        if each.place.path not in known:
            known[each.place.path] = lines(each.place.path)
        parts.append("\n".join(_in_words(each, known[each.place.path])))
    files = len({each.place.path for each in findings})
    parts.append(f"{_counted(len(findings), 'finding')} in {_counted(files, 'file')}." if findings else "No findings.")
    return "\n\n".join(parts) + "\n"


def _in_words(finding: Finding, lines: Sequence[str]) -> list[str]:
    at = finding.place
    told = [f"{at.path}:{at.line}:{at.column}: {finding.rule}: {finding.message}"]
    if 0 < at.line <= len(lines):
        line = lines[at.line - 1].rstrip()
        width = at.end_column - at.column if at.end_line == at.line else len(line) - at.column + 1
        before = "".join(each if each == "\t" else " " for each in line[: at.column - 1])
        number = str(at.line)
        told += [f"  {number} | {line}", f"  {' ' * len(number)} | {before}{'^' * max(1, width)}"]
    told.append(f"  {finding.write}")
    return told


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


# --- for programs -----------------------------------------------------------------------------------------------------


def as_json(findings: Iterable[Finding]) -> str:
    """Return a report as one JSON object: `schema_version` and `findings`."""
    told = {"schema_version": JSON_VERSION, "findings": [_as_dict(each) for each in findings]}
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "message": finding.message,
        "write": finding.write,
        "path": finding.place.path,
        "line": finding.place.line,
        "column": finding.place.column,
        "end_line": finding.place.end_line,
        "end_column": finding.place.end_column,
        "pipeline": finding.pipeline,
        "stage": finding.stage,
        "about": finding.about or None,
        "fixable": finding.declaration is not None,
    }


def as_sarif(findings: Iterable[Finding], version: str = "0") -> str:
    """Return a report in SARIF 2.1.0, which code hosts and editors show beside the source.

    Args:
        findings: What was found.
        version: That of this program.
    """
    rules = [
        {
            "id": rule.code,
            "shortDescription": {"text": rule.summary},
            "fullDescription": {"text": rule.summary},
            "help": {"text": rule.help},
            "defaultConfiguration": {"level": "error"},
        }
        for rule in RULES.values()
    ]
    places = {code: index for index, code in enumerate(RULES)}
    driver = {"name": "stageflow lint", "version": version, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, places[each.rule]) for each in findings],
    }
    return (
        json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"
    )


def _result(finding: Finding, rule_index: int) -> dict[str, Any]:
    at = finding.place
    region = {"startLine": at.line, "startColumn": at.column, "endLine": at.end_line, "endColumn": at.end_column}
    location = {"artifactLocation": {"uri": _uri(at)}, "region": region}
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": "error",
        "message": {"text": f"{finding.message} {finding.write}"},
        "locations": [{"physicalLocation": location}],
    }


def _uri(place: Place) -> str:
    """Return a path as a URI: relative, as code hosts want it, unless it is absolute."""
    path = Path(place.path)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


# --- for GitHub -------------------------------------------------------------------------------------------------------


def as_github(findings: Iterable[Finding]) -> str:
    """Return workflow commands, which GitHub shows as annotations."""
    return "".join(_command(each) for each in findings)


def _command(finding: Finding) -> str:
    at = finding.place
    properties = {"file": at.path, "line": at.line, "endLine": at.end_line, "title": f"stageflow {finding.rule}"}
    if at.line == at.end_line:  # columns of several lines are refused
        properties |= {"col": at.column, "endColumn": at.end_column}
    told = ",".join(f"{name}={_escaped(str(value), ',:')}" for name, value in properties.items())
    return f"::error {told}::{_escaped(f'{finding.message} {finding.write}')}\n"


def _escaped(text: str, more: str = "") -> str:
    """Escape what ends a command, or a property: the rules of the `@actions/core` toolkit."""
    for each in ("%", "\r", "\n", *more):
        text = text.replace(each, f"%{ord(each):02X}")
    return text


FORMATS: Mapping[str, Callable[[Sequence[Finding]], str]] = MappingProxyType(
    {"text": as_text, "json": as_json, "sarif": as_sarif, "github": as_github}
)
"""What makes a report, by the name of its format."""
