"""Composed scenarios for a reader."""

from dataclasses import fields

from simulation.composed.scenario import Composed, Plan
from simulation.scenario import name_of


def describe(scenario: Composed) -> str:
    """Return a line for each stage, with that of it which is out of the ordinary."""
    return "\n".join((_unusual(scenario, "plan"), *_lines(scenario.plan, 2)))


def _lines(plan: Plan, indent: int) -> list[str]:
    margin = " " * indent
    lines = [f"{margin}{len(plan.parts)} stages; {_unusual(plan, 'parts')}"]
    for index, part in enumerate(plan.parts):
        lines.append(f"{margin}{name_of(index):4} {_unusual(part, 'children')}")
        for child in part.children:
            lines += _lines(child, indent + 4)
    return lines


def _unusual(of: object, but: str) -> str:
    named = ((field, getattr(of, field.name)) for field in fields(of) if field.name != but)
    return ", ".join(f"{field.name} {value!r}" for field, value in named if value != field.default)
