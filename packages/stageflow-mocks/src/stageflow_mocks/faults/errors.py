"""What is wrong with a fault plan, and the exceptions that faults raise in a stage's place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stageflow.errors import ProviderError

from stageflow_mocks.wording import nearest


class FaultPlanError(ValueError):
    """A fault plan says what cannot be done; nothing was run by it.

    Attributes:
        path: Where in the plan, `faults[2].rate` say.
        problem: What is wrong there.
    """

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        super().__init__(path, problem, hint)
        self.path = path
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"Fault plan, {self.path}: {self.problem}. {self.hint}".rstrip()


def among(name: str, choices: Sequence[str]) -> str:
    """Return the hint that names the nearest of the choices, and all of them."""
    return f"{nearest(name, choices)}There is: {', '.join(choices) or 'nothing'}."


def _provider_errors(kind: type[ProviderError] = ProviderError) -> Iterator[type[ProviderError]]:
    yield kind
    for each in kind.__subclasses__():
        if each.__module__.startswith("stageflow."):  # those of applications go into the table that they give
            yield from _provider_errors(each)


ERRORS: Mapping[str, type[Exception]] = {
    **{kind.code: kind for kind in _provider_errors()},
    **{
        kind.__name__: kind
        for kind in (
            ConnectionError,
            ConnectionResetError,
            KeyError,
            OSError,
            PermissionError,
            RuntimeError,
            TimeoutError,
            ValueError,
        )
    },
}
"""The exceptions that each plan knows: those of providers by their codes, and some of Python's by their names."""


def made(kind: type[Exception], message: str, provider: str, retry_after: float | None) -> Exception:
    """Return an exception of the class with this message, and with the provider's name if it is one of providers."""
    if issubclass(kind, ProviderError):
        return kind(message, provider=provider, retry_after=retry_after)
    return kind(message)


def check_table(errors: Mapping[str, type[Exception]]) -> None:
    """Refuse a table of exceptions of which one could not be raised when its time has come."""
    for name, kind in errors.items():
        path = f"errors[{name!r}]"
        if not isinstance(kind, type) or not issubclass(kind, Exception):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise FaultPlanError(path, f"{kind!r} is no class of exceptions")
        try:
            made(kind, "message", "provider", None)
        except Exception as error:
            problem = f"{kind.__name__} cannot be made from a message alone ({error})"
            raise FaultPlanError(path, problem, "Give a subclass that can.") from error
