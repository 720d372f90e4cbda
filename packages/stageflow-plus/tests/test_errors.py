"""The errors of the package, as a whole."""

import pickle
from pathlib import Path

import pytest
import stageflow_plus
from stageflow import StageflowError
from stageflow_plus import MemoryStoreError

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "errors.md"
ERRORS = [
    error
    for name in stageflow_plus.__all__
    if isinstance(error := getattr(stageflow_plus, name), type) and issubclass(error, StageflowError)
]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_has_its_section(error: type[StageflowError]) -> None:
    """The page on errors has a section under the code of each public error, which names its class."""
    _, found, section = PAGE.read_text(encoding="utf-8").partition(f"\n### {error.code}\n")
    assert found
    assert f"`{error.__name__}`" in section.split("\n### ")[0]


def test_codes_are_unique() -> None:
    """No two errors share a code."""
    assert len({error.code for error in ERRORS}) == len(ERRORS) == 1


@pytest.mark.parametrize(
    ("error", "data"),
    [
        (MemoryStoreError("Locked.", location="/x"), {"location": "/x"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_survive_pickling(error: StageflowError, data: dict[str, object]) -> None:
    """An error keeps its message and its data on the way to another process."""
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert {name: getattr(again, name) for name in data} == data
