"""What all typed results share: how they become the output of a stage, and are read from one."""

from __future__ import annotations

from typing import Any, ClassVar, Self, cast

from stageflow.contracts import ContractMismatch
from stageflow.core.kinds import StageKind, StageStatus
from stageflow.core.output import StageOutput, ToOutput
from stageflow.core.output_json import written_kinds
from stageflow.errors import ResultMismatchError
from stageflow.typed_json.reading import kind_name
from stageflow.validation.contract import TypeContract, contract_for
from stageflow.wording import class_name, sketched


class TypedResult(ToOutput):
    """Base of what a stage of one kind returns; a frozen dataclass of an application's own may derive from it too.

    Attributes:
        kind: The kind of stage that it is for.
    """

    __slots__ = ()

    kind: ClassVar[StageKind]

    @classmethod
    def from_output(cls, output: StageOutput[Any]) -> Self:
        """Return the typed result that the output of a stage holds: as a value, as a mapping, or as it was in JSON.

        Raises:
            ResultMismatchError: The stage did not end in the way that the result says, or its data are others.
        """
        if not isinstance(output, StageOutput):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{cls.__qualname__}.from_output() takes a StageOutput, not {sketched(output)}.")
        if output.status is not StageStatus.OK and not _holds_refusal(output):
            raise cls._mismatch("$", "an output that ended OK", _ended(output))
        value = output.value
        try:
            made = value if isinstance(value, cls) else cls._made_of(output)
        except ContractMismatch as error:
            raise cls._mismatch(error.path, error.expected, error.found, error.hint) from error.__cause__
        if (made.refusal is None) is not (output.status is StageStatus.OK):
            goes_on, refuses = "one that lets the run go on", "a refusal"
            found, expected = (goes_on, refuses) if made.refusal is None else (refuses, goes_on)
            raise cls._mismatch("$", f"{expected}, as the stage ended {output.status.name}", found)
        return made

    @classmethod
    def _made_of(cls, output: StageOutput[Any]) -> Self:
        contract = cast("TypeContract", contract_for(cls))
        kinds = written_kinds(output)
        if kinds is not None and kind_name(kinds) == class_name(cls):
            return contract.revive(output.data, kinds)
        return contract.make(output.data)

    @classmethod
    def _mismatch(cls, path: str, expected: str, found: str, hint: str | None = None) -> ResultMismatchError:
        return ResultMismatchError(
            cls.__qualname__, cls.kind.name, path=path, expected=expected, found=found, hint=hint
        )


def _holds_refusal(output: StageOutput[Any]) -> bool:
    return output.status is StageStatus.CANCEL and bool(output.data)


def _ended(output: StageOutput[Any]) -> str:
    why = output.error or output.reason
    return f"one that ended {output.status.name}{f' ({why})' if why else ''}"
