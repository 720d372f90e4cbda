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
from stageflow_mocks.providers.faults import AtCall, AtRate, Failure, spoils
from stageflow_mocks.providers.scripts import Script
from stageflow_mocks.providers.timing import Latency
from stageflow_mocks.providers.wording import listed, nearest, shown

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
        if answers is not None and (isinstance(answers, str) or not isinstance(answers, Sequence) or not answers):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"answers of MockTool '{name}' is a list of at least one, not {shown(answers)}.")
        if function is not None and (not callable(function) or isinstance(function, type)):
            raise TypeError(f"function of MockTool '{name}' is a function, not {shown(function)}.")
        self.tool = Tool(name, description, _schema(parameters or {}))
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
                    hint = nearest(name, list(properties)).strip()
                    raise ToolArgumentsError(
                        call.name, call.id, f"have '{name}', which it does not take. {hint}".strip()
                    )
                continue
            wanted = properties[name].get("type") if isinstance(properties[name], Mapping) else None
            if isinstance(wanted, str) and not _is_of(value, wanted):
                raise ToolArgumentsError(call.name, call.id, f"have a '{name}' that is not of type {wanted}")

    def _text(self, live: LiveCall, call: ToolCall, answer: Any) -> str:
        if isinstance(answer, str):
            return answer
        try:
            return json.dumps(answer, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            self._wrong(live, call, f"is told to answer what JSON cannot say ({error}).")

    def _wrong(self, live: LiveCall, call: ToolCall, why: str) -> NoReturn:
        answers = self._script.in_order
        scripted = "a function" if answers is None else listed([shown(answer) for answer in answers])
        raise ScriptError(self.name, live.record.number, _asked(call), scripted, why)


def _as_it_is(given: Any, _what: str) -> Any:
    return given


def _asked(call: ToolCall) -> str:
    return f"{call.name}({call.arguments})"


def _schema(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of an object, which may be written in short."""
    if not given or given.get("type") == "object" or "properties" in given:
        return given
    for name, kind in given.items():
        if not isinstance(kind, str) or kind not in _TYPES:
            hint = nearest(str(kind), list(_TYPES)).strip()
            raise ValueError(f"parameters['{name}'] is one of {', '.join(_TYPES)}, not {shown(kind)}. {hint}".strip())
    properties = {name: {"type": kind} for name, kind in given.items()}
    return {"type": "object", "properties": properties, "required": list(given), "additionalProperties": False}


def _is_of(value: Any, kind: str) -> bool:
    if isinstance(value, bool) and kind in ("integer", "number"):
        return False
    return isinstance(value, _TYPES.get(kind, (object,)))
