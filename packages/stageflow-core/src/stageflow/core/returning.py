"""How what a stage returns becomes what its run stores."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Mapping
from typing import Any, cast

from stageflow.contracts import contract_of
from stageflow.core.output import PlainOutput, StageOutput, ToOutput, make_output, plain
from stageflow.errors import NotCopyableError, StageReturnTypeError
from stageflow.frozen import EMPTY, SHAREABLE_TYPES, FrozenDict, freeze, freeze_mapping, is_shareable
from stageflow.wording import type_name, with_article


def returned(stage: str, result: Any) -> FrozenDict[str, Any] | StageOutput[Any]:
    """Make what a stage returned into what a run stores: a frozen mapping, or an output that says more.

    A mapping without anything mutable in it is stored as it is; its StageOutput is made when somebody asks for one.

    Raises:
        StageReturnTypeError: It is none of the things that a stage may return, or cannot be frozen or copied.
    """
    if type(result) is FrozenDict:
        return cast("FrozenDict[str, Any]", result)  # nothing but what is frozen is of exactly this type
    if type(result) is dict:
        frozen: FrozenDict[str, Any] = FrozenDict(result)  # pyright: ignore[reportUnknownArgumentType]
        for value in frozen.values():
            if type(value) not in SHAREABLE_TYPES:
                break
        else:
            return frozen
    try:
        output = _output_of(result)
    except NotCopyableError as error:
        raise StageReturnTypeError(
            stage, f"something that cannot be shared: {error.path} {error.why}", hint=error.hint
        ) from error
    if output is None:
        what = f"{with_article(type_name(result))}, which is not a stage's result"  # pyright: ignore[reportUnknownArgumentType]
        hint = "Await it first: `return await ...`." if isinstance(result, Awaitable) else None
        if isinstance(result, AsyncIterable):
            hint = "To stream what it yields, let the stage yield it: `async for chunk in ...: yield chunk`."
        raise StageReturnTypeError(stage, what, hint=hint)
    if type(output) is PlainOutput and type(output.data) is FrozenDict:
        return cast("FrozenDict[str, Any]", output.data)
    return output


def stored_from(stage: str, result: Any) -> FrozenDict[str, Any] | StageOutput[Any]:
    """Do the same as `returned`, with what would be raised as the stage's failure: a result never breaks a run."""
    try:
        return returned(stage, result)
    except Exception as error:  # noqa: BLE001 - a mapping or a field of the user's class may raise anything when read
        return StageOutput.fail(error)


def _output_of(result: Any) -> StageOutput[Any] | None:
    if isinstance(result, StageOutput):
        return cast("StageOutput[Any]", result)
    if result is None:
        return plain(EMPTY)
    if contract_of(cast("type[Any]", type(result))) is not None:
        if isinstance(result, ToOutput):
            return result.to_stage_output()
        shareable = is_shareable(result)
        return make_output(value=result if shareable else freeze(result, "its result"), shareable=shareable)
    if isinstance(result, Mapping):
        return plain(freeze_mapping(cast("Mapping[str, Any]", result), "its result"))
    return None
