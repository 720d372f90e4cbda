"""Base of every error of Stageflow, and how errors are pickled."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, ClassVar, Protocol

from stageflow.wording import text_of, type_name


class RunResults(Protocol):
    """What an error tells of the run that it ended; `PipelineResults` is it.

    Declared here because results raise these errors, so that errors cannot import results.
    """

    @property
    def pipeline(self) -> str: ...
    @property
    def pipeline_run_id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def duration_ms(self) -> float: ...
    @property
    def stragglers(self) -> tuple[str, ...]: ...
    @property
    def events_lost(self) -> int: ...
    @property
    def records_lost(self) -> int: ...
    @property
    def resumed_from(self) -> str | None: ...
    def suspended(self) -> tuple[str, ...]: ...
    def failed(self) -> tuple[str, ...]: ...
    def skipped(self) -> tuple[str, ...]: ...
    def data(self, stage: Any, /) -> Mapping[str, Any]: ...
    def value(self, stage: Any, /) -> Any: ...
    def record(self, stage: Any, /) -> Any: ...
    def records(self) -> tuple[Any, ...]: ...
    def to_dict(self) -> dict[str, Any]: ...
    def items(self) -> Any: ...
    def __getitem__(self, stage: Any, /) -> Any: ...
    def __contains__(self, stage: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...


class UnpicklableCause(Exception):
    """Stands in a pickled error for a cause that could not be pickled: its type and its text."""


class StageflowError(Exception):
    """Base of every error of Stageflow.

    Args:
        message: What happened and where.
        hint: What to do about it; shown after the message.

    Attributes:
        chain: Of what a run raises, the stages that led to it, each as `pipeline.stage`: from the first run, through
            those that ran others as children, down to where it began. The last is a pipeline where no stage is to
            blame. Empty for what is no run's.
    """

    code: ClassVar[str] = "stageflow"
    chain: tuple[str, ...] = ()

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint.strip() if hint and hint.strip() else None
        super().__init__(f"{message} {self.hint}" if self.hint else message)

    def __reduce__(self) -> tuple[Any, ...]:
        # The state comes third, after pickle has noted the error itself: `failures` leads back to it.
        return (
            _bare,
            (type(self), self.args),
            {**_picklable_state(self.__dict__), "__cause__": picklable(self.__cause__)},
        )


def _bare(cls: type[StageflowError], args: tuple[Any, ...]) -> StageflowError:
    error = cls.__new__(cls, *args)
    error.args = args  # which OSError, the base of TimeoutError, leaves to its __init__
    return error


def picklable(cause: BaseException | None) -> BaseException | None:
    """Return the exception itself if it survives pickling, else an UnpicklableCause that tells of it."""
    if cause is None or isinstance(cause, StageflowError):
        return cause
    return cause if _failure_to_pickle(cause) is None else UnpicklableCause(f"{type_name(cause)}: {text_of(cause)}")


def _failure_to_pickle(value: object) -> Exception | None:
    """Return what is raised when a value is pickled and read back, or None; also if it is only being copied."""
    pickle: Any = sys.modules.get("pickle")  # whoever pickles has imported it, and nobody else is to pay for that
    if pickle is None:
        return None
    try:
        pickle.loads(pickle.dumps(value))  # an exception with a custom __init__ fails on the way back
    except Exception as error:  # noqa: BLE001 - any class may raise anything, and the error itself must still travel
        return error
    return None


_probing: ContextVar[bool] = ContextVar("stageflow_probing_pickle", default=False)


def _picklable_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state without `results`, `output` or `completed` that cannot be pickled.

    They hold whatever stages returned.
    """
    held = next((name for name in ("results", "output", "completed") if state.get(name) is not None), None)
    if held is None or _probing.get():
        return dict(state)
    token = _probing.set(True)  # the results may hold errors that have results: one look goes all the way down
    try:
        error = _failure_to_pickle(state[held])
    finally:
        _probing.reset(token)
    if error is None:
        return dict(state)
    note = f"Its {held} could not be pickled ({type_name(error)}: {text_of(error)})."
    return {**state, held: None, "__notes__": [*state.get("__notes__", ()), note]}
