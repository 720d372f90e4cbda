"""The protocol of a stage."""

from __future__ import annotations

from stageflow import Stage, StageContext, StageKind


class Whole:
    name = "whole"
    kind = StageKind.WORK

    async def execute(self, ctx: StageContext) -> None:
        """Do nothing."""


class Nameless:
    kind = StageKind.WORK

    async def execute(self, ctx: StageContext) -> None:
        """Do nothing."""


def test_an_object_with_name_kind_and_execute_is_a_stage() -> None:
    """No inheritance is needed."""
    assert isinstance(Whole(), Stage)


def test_an_object_without_a_name_is_not() -> None:
    """A runner without one is still taken by with_stage, which gives the name."""
    assert not isinstance(Nameless(), Stage)
