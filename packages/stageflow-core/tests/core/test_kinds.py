"""Kinds and statuses."""

from __future__ import annotations

import json

from stageflow import StageKind, StageStatus


def test_the_kinds_are_those_of_the_vocabulary() -> None:
    """Their values are what JSON and readers see."""
    assert ["transform", "enrich", "route", "guard", "work", "agent"] == [kind.value for kind in StageKind]


def test_the_statuses_are_those_of_the_vocabulary() -> None:
    """Their values are what JSON and readers see."""
    assert ["ok", "skip", "cancel", "fail", "retry", "suspend"] == [status.value for status in StageStatus]


def test_kinds_and_statuses_read_as_their_values() -> None:
    """In text and in JSON there is nothing but the value."""
    assert ("agent", "ok", '["agent", "ok"]') == (
        f"{StageKind.AGENT}",
        str(StageStatus.OK),
        json.dumps([StageKind.AGENT, StageStatus.OK]),
    )
