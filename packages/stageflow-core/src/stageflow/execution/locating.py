"""Where in a tree of runs an error began."""

from __future__ import annotations

from typing import TypeVar

from stageflow.context.parent import ParentStage
from stageflow.errors import StageflowError
from stageflow.wording import path_in_words

E = TypeVar("E", bound=StageflowError)


def chain_of(parent: ParentStage | None, pipeline: str, stage: str | None = None) -> tuple[str, ...]:
    """Return the stages that lead to a stage of a run, or to the run as a whole."""
    here = pipeline if stage is None else f"{pipeline}.{stage}"
    return (here,) if parent is None else (*parent.chain, here)


def located(error: E, parent: ParentStage | None, pipeline: str, stage: str | None = None) -> E:
    """Return an error of a run with its chain; that of a child tells in a note what led to it."""
    error.chain = chain_of(parent, pipeline, stage)
    if parent is not None:
        error.add_note(f"In a child run of {path_in_words(parent.chain)}.")
    return error


def passed_on(error: BaseException | None, here: tuple[str, ...]) -> StageflowError | None:
    """Return the error if it is of a child of the stage that the chain leads to."""
    if isinstance(error, StageflowError) and len(error.chain) > len(here) and error.chain[: len(here)] == here:
        return error
    return None
