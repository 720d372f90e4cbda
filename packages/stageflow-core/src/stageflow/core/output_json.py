"""A StageOutput as JSON-ready data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stageflow.core.kinds import RECORDED
from stageflow.core.output import ErrorInfo, StageArtifact, StageEvent, StageOutput, make_output
from stageflow.errors import SerializationError
from stageflow.frozen import FrozenDict, freeze_mapping
from stageflow.serialization import as_object, check_json, expect, expect_fields, expect_list
from stageflow.typed_json.writing import write

_JSON_FIELDS = ("status", "data", "contract", "artifacts", "events", "error", "reason", "version")


def output_to_dict(output: StageOutput[Any], path: str = "$") -> dict[str, Any]:
    """Return the output as JSON-ready data.

    Raises:
        SerializationError: Something in it is not JSON; `path` says what.
    """
    error = output.error
    data, kinds = write(output.value, f"{path}.data")
    return {
        "status": output.status.value,
        "data": data,
        "contract": written_kinds(output) or kinds,
        "artifacts": [
            {"type": item.type, "payload": check_json(item.payload, f"{path}.artifacts[{i}]")}
            for i, item in enumerate(output.artifacts)
        ],
        "events": [
            {"type": item.type, "data": check_json(item.data, f"{path}.events[{i}]")}
            for i, item in enumerate(output.events)
        ],
        "error": {"message": error.message, "type": error.type, "code": error.code} if error else None,
        "reason": output.reason,
        "version": output.version,
    }


def output_from_dict(data: Mapping[str, Any], path: str = "$") -> StageOutput[Any]:
    """Read what `output_to_dict` wrote. A contract value comes back as its mapping, which still knows its types.

    Raises:
        SerializationError: It is malformed; `path` says where.
    """
    fields = as_object(data, path)
    expect_fields(fields, _JSON_FIELDS, path)
    text = expect(fields.get("status"), str, f"{path}.status")
    status = next((status for status in RECORDED if status.value == text), None)
    if status is None:
        raise SerializationError(f"{path}.status", f"'{text}' is not how a stage can end.")
    error = fields.get("error")
    return make_output(
        status,
        data=_read_data(fields, path),
        artifacts=tuple(
            StageArtifact(item["type"], item["payload"])
            for item in _objects(fields, "artifacts", ("type", "payload"), path)
        ),
        events=tuple(
            StageEvent(item["type"], item["data"]) for item in _objects(fields, "events", ("type", "data"), path)
        ),
        error=None if error is None else _error_info(error, f"{path}.error"),
        reason=_text(fields, "reason", path),
        version=_text(fields, "version", path),
    )


class ContractData(FrozenDict[str, Any]):
    """The data of a contract value, as they came from JSON, with what was written of its types."""

    __slots__ = ("kinds",)

    kinds: Any

    def __reduce__(self) -> tuple[Any, ...]:
        return _contract_data, (dict(self), self.kinds)


def _contract_data(data: Mapping[str, Any], kinds: Any) -> ContractData:
    made = ContractData(data)
    made.kinds = kinds
    return made


def written_kinds(output: StageOutput[Any]) -> Any:
    """Return what was written of the types in an output that came from JSON: see `stageflow.typed_json`."""
    data = output.data
    return data.kinds if isinstance(data, ContractData) else None


def _read_data(fields: Mapping[str, Any], path: str) -> FrozenDict[str, Any]:
    data = freeze_mapping(check_json(as_object(fields.get("data"), f"{path}.data"), f"{path}.data"))
    kinds = fields.get("contract")
    if kinds is None:
        return data
    if not isinstance(kinds, str):
        kinds = freeze_mapping(check_json(as_object(kinds, f"{path}.contract"), f"{path}.contract"))
        expect(kinds.get("of"), str, f"{path}.contract.of")
    return _contract_data(data, kinds)


def _objects(fields: dict[str, Any], name: str, keys: tuple[str, str], path: str) -> list[dict[str, Any]]:
    items = expect_list(fields.get(name), f"{path}.{name}")
    objects = [as_object(item, f"{path}.{name}[{i}]") for i, item in enumerate(items)]
    for i, item in enumerate(objects):
        expect(item.get(keys[0]), str, f"{path}.{name}[{i}].{keys[0]}")
        where = f"{path}.{name}[{i}].{keys[1]}"
        check_json(as_object(item.get(keys[1]), where), where)
    return objects


def _text(fields: Mapping[str, Any], name: str, path: str) -> str | None:
    value = fields.get(name)
    return None if value is None else expect(value, str, f"{path}.{name}")


def _error_info(value: Any, path: str) -> ErrorInfo:
    fields = as_object(value, path)
    message = expect(fields.get("message"), str, f"{path}.message")
    return ErrorInfo(message, _text(fields, "type", path), _text(fields, "code", path))
