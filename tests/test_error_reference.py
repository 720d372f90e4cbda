"""The reference of errors against the errors that there are."""

import re
from pathlib import Path

import stageflow.errors
import stageflow_plus.errors

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "errors.md"


def test_every_code_has_its_section() -> None:
    """A user who searches for the code of an error finds it, and no section is about an error that is gone."""
    codes = {
        value.code
        for module in (stageflow.errors, stageflow_plus.errors)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, stageflow.errors.StageflowError)
    }
    sections = re.findall(r"^### (\S+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(codes) == sorted(sections)
