"""What goes wrong where pipelines are kept by name."""

from __future__ import annotations

from collections.abc import Sequence

from stageflow.errors.base import StageflowError
from stageflow.wording import listed, nearest, shown, text_of, type_name


class NotAPipelineError(StageflowError, TypeError):
    """What was given as a pipeline is none. `name` is what it was to be called."""

    code = "not-a-pipeline"

    def __init__(self, name: str, value: object, *, hint: str | None = None) -> None:
        super().__init__(
            f"'{name}' should be a Pipeline or a StageGraph, and is {shown(value)}.",
            hint=hint or "Give Pipeline('name', [...]), or what its build() returned.",
        )
        self.name = name


class UnknownPipelineError(StageflowError, KeyError):
    """A registry has no pipeline of that name. `names` are those that it has."""

    code = "unknown-pipeline"

    def __init__(self, name: object, *, names: Sequence[str]) -> None:
        near = nearest(name, names) if isinstance(name, str) else ""
        super().__init__(
            f"There is no pipeline {shown(name)} in the registry.", hint=f"{near}Pipelines: {listed(names)}."
        )
        self.name = name
        self.names = tuple(names)

    __str__ = StageflowError.__str__  # KeyError's would show the repr of the message


class DuplicatePipelineError(StageflowError):
    """Two pipelines were to have one name. `sources` say where they are from."""

    code = "duplicate-pipeline"

    def __init__(self, name: str, *, sources: Sequence[str]) -> None:
        super().__init__(
            f"More than one pipeline is called '{name}': from {' and from '.join(sources)}.",
            hint="Register one of them under another name.",
        )
        self.name = name
        self.sources = tuple(sources)


class EntryPointError(StageflowError):
    """An entry point gave no pipeline; `__cause__` is why.

    Attributes:
        name: Of the entry point, which would be the pipeline's.
        value: What it refers to, as in "acme.chat:pipeline".
        distribution: The name of the distribution that it is from.
    """

    code = "entry-point"

    def __init__(self, name: str, value: str, distribution: str, cause: BaseException) -> None:
        why = f"{type_name(cause)}: {text_of(cause)}"
        super().__init__(
            f"The entry point '{name}' of {distribution} ({value}) gave no pipeline ({why}).",
            hint=f"Mend or uninstall {distribution}.",
        )
        self.name = name
        self.value = value
        self.distribution = distribution
        self.__cause__ = cause


class PipelineDiscoveryError(StageflowError):
    """Some pipelines of installed distributions could not be registered.

    Attributes:
        failures: One EntryPointError or DuplicatePipelineError for each.
        registered: The names of those that could, and are there.
    """

    code = "pipeline-discovery"

    def __init__(self, failures: Sequence[StageflowError], *, registered: Sequence[str]) -> None:
        lines = "".join(f"\n  {number}. {failure}" for number, failure in enumerate(failures, 1))
        super().__init__(
            f"Not every pipeline could be discovered. Registered: {listed(registered)}. Left out:{lines}",
        )
        self.failures = tuple(failures)
        self.registered = tuple(registered)
