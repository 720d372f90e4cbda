"""The reference page: each rule has a section, whose example shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from stageflow.lint import RULES, lint_files

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "lint.md"


def sections() -> dict[str, str]:
    """Return the example of each section below "Rules", and of its beginning."""
    text = PAGE.read_text(encoding="utf-8").partition("## Rules\n")[2].partition("\n## ")[0]
    beginning, *others = re.split(r"^### (.+)\n", text, flags=re.MULTILINE)
    named = {"": beginning, **dict(zip(others[::2], others[1::2], strict=True))}
    return {name: "\n".join(re.findall(r"```python\n(.*?)```", body, re.DOTALL)) for name, body in named.items()}


@pytest.mark.parametrize("rule", RULES)
def test_the_example_of_a_rule_is_found_by_it_alone(rule: str, tmp_path: Path) -> None:
    """As the page tells."""
    path = tmp_path / "example.py"
    examples = sections()
    path.write_text(examples[""] + "\n" + examples[rule])
    assert {rule} == {each.rule for each in lint_files([path])}


def test_every_rule_has_its_section() -> None:
    """And no other."""
    assert {"", *RULES} == set(sections())
