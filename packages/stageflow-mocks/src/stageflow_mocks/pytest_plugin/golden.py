"""Golden outputs: what a test gives is compared with a file beside it.

Files are read before the test and written after it, so that an async test never waits for a disk.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from stageflow_mocks.pytest_plugin.items import command_for, file_name, file_of
from stageflow_mocks.wording import nearest

_VARIES = "<varies>"


class GoldenMismatchError(AssertionError):
    """What a test gave is not what its golden file holds, or there is none.

    Attributes:
        path: The golden file.
        expected: What it holds; None if there is no such file.
        actual: What the test gave, as it would be written.
        command: What to type to make this the golden output.
    """

    def __init__(self, path: Path, expected: str | None, actual: str, command: str, *, was_written: bool) -> None:
        super().__init__(path, expected, actual, command)
        self.path = path
        self.expected = expected
        self.actual = actual
        self.command = command
        self._was_written = was_written

    def __str__(self) -> str:
        if self._was_written:
            head = f"It differs from what this session has given for the golden file before: {self.path}"
            foot = "Leave out what differs: stageflow_golden(..., varying=[...]); or give each its own: name=..."
        elif self.expected is None:
            head = f"There is no golden output yet: {self.path}"
            foot = f"If this is right, write it:\n    {self.command}"
        else:
            head = f"Not the golden output: {self.path}"
            foot = f"If the actual one is right, write it:\n    {self.command}"
        lines = difflib.unified_diff(
            (self.expected or "").splitlines(), self.actual.splitlines(), "golden", "actual", lineterm=""
        )
        return "\n".join([head, *lines, foot])


class GoldenFiles:
    """The golden files of a session."""

    def __init__(self, *, is_updating: bool) -> None:
        self.is_updating = is_updating
        self.written: dict[Path, str] = {}


class OutputsOfTest:
    """The golden files of one test: those that there are, and those to be written after it."""

    def __init__(self, item: pytest.Item, files: GoldenFiles) -> None:
        self.files = files
        self.changed: dict[Path, str] = {}
        self.command = command_for(item, "--stageflow-update-golden")
        beside = file_of(item, "golden", "")
        self._folder, self._stem = beside.parent, beside.name
        there = self._folder.iterdir() if self._folder.is_dir() else ()
        self.texts = {path: path.read_text("utf-8") for path in there if path.name.startswith(f"{self._stem}.")}

    def path(self, name: str | None, suffix: str) -> Path:
        return self._folder / f"{self._stem}{'' if name is None else '.' + file_name(name)}{suffix}"

    def write(self) -> None:
        """Write what has changed."""
        for path, text in self.changed.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="\n")


class Golden:
    """Compares the outputs of one test with its golden files."""

    def __init__(self, outputs: OutputsOfTest) -> None:
        self._outputs = outputs
        self._names: set[str | None] = set()

    def __call__(self, actual: Any, /, *, name: str | None = None, varying: Collection[str] = ()) -> None:
        """Compare the value with the golden file of this test.

        Args:
            actual: A string, which is kept as text; or what JSON can hold, or has a `to_dict()` that gives it.
            name: Tells outputs apart, where a test has several.
            varying: Keys whose values differ each time, as `duration_ms`, at any depth: they have to be there, whatever
                their value.

        Raises:
            GoldenMismatchError: The file holds something else, or there is none.
            TypeError: The value is neither text nor JSON.
            ValueError: A name is used twice, or a key of `varying` is nowhere.
        """
        __tracebackhide__ = True
        if name in self._names:
            raise ValueError("stageflow_golden was called twice under one name: tell the outputs apart by name=...")
        self._names.add(name)
        text, suffix = _rendered(actual, varying)
        outputs, files = self._outputs, self._outputs.files
        path = outputs.path(name, suffix)
        was_written = path in files.written
        expected = files.written[path] if was_written else outputs.texts.get(path)
        if expected is not None and text == (_relaid(expected) if suffix == ".json" else expected):
            return
        if files.is_updating and not was_written:
            files.written[path] = outputs.changed[path] = text
            return
        raise GoldenMismatchError(path, expected, text, outputs.command, was_written=was_written)


def _rendered(actual: Any, varying: Collection[str]) -> tuple[str, str]:
    if isinstance(varying, str):
        raise TypeError(f"stageflow_golden(varying=...) takes several keys, not one: write [{varying!r}].")
    if isinstance(actual, str):
        if varying:
            raise TypeError("stageflow_golden(varying=...) is about the keys of JSON, and this is text.")
        return (actual if actual.endswith("\n") else f"{actual}\n"), ".txt"
    value: Any = actual.to_dict() if hasattr(actual, "to_dict") else actual
    keys: set[str] = set()
    value = _without(value, frozenset(varying), keys)
    unseen = sorted(set(varying) - keys)
    if unseen:
        raise ValueError(
            f"stageflow_golden(varying=...) names keys that are nowhere in the output: {', '.join(unseen)}. "
            f"{nearest(unseen[0], sorted(keys))}".rstrip()
        )
    try:
        return _laid_out(value), ".json"
    except (TypeError, ValueError) as error:
        problem = str(error)
    raise TypeError(f"stageflow_golden compares text and JSON, and this {type(actual).__name__} is neither: {problem}.")


def _without(value: Any, varying: frozenset[str], keys: set[str]) -> Any:
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        keys.update(key for key in fields if isinstance(key, str))
        return {key: _VARIES if key in varying else _without(one, varying, keys) for key, one in fields.items()}
    if isinstance(value, (list, tuple)):
        return [_without(one, varying, keys) for one in cast("Sequence[Any]", value)]
    return value


def _laid_out(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _relaid(text: str) -> str:
    """Return JSON laid out as we do it, since an editor may have done it otherwise; what is no JSON stays as it is."""
    try:
        return _laid_out(json.loads(text))
    except ValueError:
        return text
