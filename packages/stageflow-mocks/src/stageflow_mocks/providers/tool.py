"""A tool that answers what it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, cast

from stageflow.errors import ToolArgumentsError
from stageflow.providers import Tool, ToolCall
from stageflow.tool_calls import arguments_of

from stageflow_mocks.provider_faults import Disconnect, Hang, Pace, RateLimited, ServerError
from stageflow_mocks.providers.calls import LiveCall, Mock
from stageflow_mocks.providers.errors import ScriptError
from stageflow_mocks.providers.faults import FAULTS, AtCall, AtRate, Failure, spoils
from stageflow_mocks.providers.scripts import Script
from stageflow_mocks.providers.timing import Latency
from stageflow_mocks.wording import check_takes, listed, nearest, shown

__tracebackhide__ = True  # pytest shows who asked, and not how it is answered

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
    "null": (type(None),),
}


class MockTool(Mock):
    """A tool for a model to call: `tool` goes into the request, `call` answers what the model asks for.

        weather = MockTool("weather", "Tells the weather.", {"city": "string"}, answers=["It rains."])
        ChatStage(tools=(weather.tool,))
        text = await weather.call(tool_call)

    Arguments that are not as its schema says, as far as names and types go, are a ToolArgumentsError, whose text can go
    back to the model.

    Args:
        name, description: As in `Tool`.
        parameters: The JSON Schema of its arguments; or, in short, the type of each, all of which are required.
        answers: What it answers, one for each call, in order: a text, or anything that JSON can say; a fault may stand
            in place of one.
        function: In place of them, a function that takes the arguments by their names; it may be async.
        seed, latency, faults: As in `Mock`.
    """

    faults_taken = (RateLimited, ServerError, Disconnect, Hang, Pace, Failure)

    def __init__(
        self,
        name: str,
        description: str = "",
        parameters: Mapping[str, Any] | None = None,
        *,
        answers: Sequence[Any] | None = None,
        function: Callable[..., Any] | None = None,
        seed: int = 0,
        latency: Latency = 0.0,
        faults: Sequence[AtCall | AtRate] = (),
    ) -> None:
        super().__init__(name, seed=seed, latency=latency, per_chunk=0.0, faults=faults)
        if (answers is None) == (function is None):
            raise TypeError(f"MockTool '{name}' is given answers or a function, one of the two.")
        self.tool = Tool(name, description, _schema({} if parameters is None else parameters))
        if answers is not None and (isinstance(answers, str) or not isinstance(answers, Sequence) or not answers):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"answers of MockTool '{name}' is a list of at least one, not {shown(answers)}.")
        if function is not None and (not callable(function) or isinstance(function, type)):
            raise TypeError(f"function of MockTool '{name}' is a function, not {shown(function)}.")
        _check_answers(name, answers or ())
        if function is not None:
            required: Sequence[str] = self.tool.parameters.get("required", ())
            check_takes(f"function of MockTool '{name}'", function, **dict.fromkeys(required, ""))
        self._script = Script[Any](name, function or list(answers or ()), read=_as_it_is, check=self._check)

    @property
    def answers_left(self) -> int | None:
        """How many answers are still to be given; None if a function answers."""
        return self._script.left

    async def call(self, call: ToolCall) -> str:
        """Return the answer to a call, as the text that a tool's message holds: JSON, if it is no text.

        Raises:
            ToolArgumentsError: The arguments are not those of this tool.
            ScriptError: It is a call of another tool, there is no answer left, or the answer cannot be JSON.
            Exception: As a fault has it.
        """
        self._require(call, ToolCall)
        with self._recorded("call", call) as live:
            if call.name != self.name:
                self._wrong(live, call, "is given the call of another tool.")
            arguments = arguments_of(call)
            live.record.request = arguments
            self._check_arguments(call, arguments)
            if self._script.function is None:
                answer = self._script.next(live, _asked(call))
            elif spoils(live.fault):
                answer = None  # which is not given
            else:
                answer = await self._script.from_function(live, **arguments)
            await live.passes_chunk()
            await live.passes_end()
            live.record.answer = text = self._text(live, call, answer)
            return text

    def _check_arguments(self, call: ToolCall, arguments: dict[str, Any]) -> None:
        schema = self.tool.parameters
        properties = cast("Mapping[str, Any]", schema.get("properties", {}))
        for name in cast("Sequence[str]", schema.get("required", ())):
            if name not in arguments:
                raise ToolArgumentsError(call.name, call.id, f"lack '{name}'")
        for name, value in arguments.items():
            if name not in properties:
                if not schema or schema.get("additionalProperties") is False:
                    takes = f"it takes {listed(list(properties))}" if properties else "it takes none"
                    raise ToolArgumentsError(call.name, call.id, f"have '{name}', and {takes}")
                continue
            kinds = _kinds_of(properties[name])
            if kinds and not any(_is_of(value, kind) for kind in kinds):
                raise ToolArgumentsError(
                    call.name, call.id, f"have a '{name}' that is not of type {' or '.join(kinds)}"
                )

    def _text(self, live: LiveCall, call: ToolCall, answer: Any) -> str:
        if isinstance(answer, str):
            return answer
        try:
            return _written(answer)
        except (TypeError, ValueError, RecursionError) as error:
            self._wrong(live, call, f"is told to answer what JSON cannot say ({error}).")

    def _wrong(self, live: LiveCall, call: ToolCall, why: str) -> NoReturn:
        answers = self._script.in_order
        scripted = "a function" if answers is None else listed([shown(answer) for answer in answers])
        raise ScriptError(self.name, live.record.number, _asked(call), scripted, why)


def _written(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False, allow_nan=False)


def _check_answers(tool: str, answers: Sequence[Any]) -> None:
    for place, answer in enumerate(answers):
        if isinstance(answer, FAULTS):
            continue
        try:
            _written(answer)
        except (TypeError, ValueError, RecursionError) as error:
            told = f"is a text, what JSON can say, or a fault, not {shown(answer)}"
            raise TypeError(f"answers[{place}] of MockTool '{tool}' {told}: {error}.") from None


def _as_it_is(given: Any, _what: str) -> Any:
    return given


def _asked(call: ToolCall) -> str:
    return f"{call.name}({call.arguments})"


def _schema(given: Any) -> Mapping[str, Any]:
    """Return the schema of an object, which may be written in short."""
    if not isinstance(given, Mapping):
        raise TypeError(f"parameters is a JSON Schema, or the type of each argument by its name, not {shown(given)}.")
    schema = cast("Mapping[str, Any]", given)
    if not schema or schema.get("type") == "object" or isinstance(schema.get("properties"), Mapping):
        _check_schema(schema)
        return schema
    for name, kind in schema.items():
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"parameters has names of arguments, which are strings; one is {shown(name)}.")
        _check_kind(f"parameters['{name}']", kind)
    properties = {name: {"type": kind} for name, kind in schema.items()}
    return {"type": "object", "properties": properties, "required": list(schema), "additionalProperties": False}


def _check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse a schema whose names and types cannot be looked at."""
    properties: Any = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        raise TypeError(f"properties of the parameters is a mapping of schemas, not {shown(properties)}.")
    for name, told in cast("Mapping[str, Any]", properties).items():
        for kind in _kinds_of(told):
            _check_kind(f"type of parameters['{name}']", kind)
    required: Any = schema.get("required", ())
    if not isinstance(required, list | tuple) or not all(isinstance(name, str) for name in cast("list[Any]", required)):
        raise TypeError(f"required of the parameters is a list of names, not {shown(cast('object', required))}.")


def _check_kind(what: str, kind: Any) -> None:
    if not isinstance(kind, str) or kind not in _TYPES:
        hint = nearest(str(kind), list(_TYPES)).strip()
        raise ValueError(f"{what} is one of {', '.join(_TYPES)}, not {shown(kind)}. {hint}".strip())


def _kinds_of(schema: Any) -> Sequence[Any]:
    """Return of which types a value may be, by its schema; none if that does not say."""
    told: Any = cast("Mapping[str, Any]", schema).get("type", ()) if isinstance(schema, Mapping) else ()
    return cast("Sequence[Any]", told) if isinstance(told, list | tuple) else (told,)


def _is_of(value: Any, kind: str) -> bool:
    if isinstance(value, bool) and kind in ("integer", "number"):
        return False
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()  # as JSON Schema has it
    return isinstance(value, _TYPES[kind])
