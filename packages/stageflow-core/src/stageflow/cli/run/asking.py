"""What `run` takes: what the run is asked, and what it is given."""

from __future__ import annotations

import json
import sys
import tomllib
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from stageflow.cli.ports import HELP
from stageflow.cli.run.typed_input import made_of
from stageflow.cli.targets import load_attribute
from stageflow.context.identity import RunIdentity
from stageflow.context.limits import Limits
from stageflow.context.snapshot import ContextSnapshot
from stageflow.errors import CommandError, InvalidOptionError, StageflowError
from stageflow.execution.results import PipelineResults
from stageflow.pipeline.graph import StageGraph
from stageflow.wording import listed, nearest, text_of


class Asking(NamedTuple):
    """What a run is asked and given.

    Attributes:
        snapshot: What it is asked; of a run that goes on with another one, nothing.
        beside: What it is given beside that, but for what follows.
        resumption: `resume` and `decisions`, if it goes on with another one.
        ports: The object or the function that was named, or None.
        timeout_s: Seconds that the run may take, or None.
        streams: The stages whose chunks are shown.
    """

    snapshot: ContextSnapshot
    beside: Mapping[str, Any]
    resumption: Mapping[str, Any]
    ports: Any
    timeout_s: float | None
    streams: tuple[str, ...]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `run` beside the pipeline."""
    add = parser.add_argument_group("what the run is asked").add_argument
    add("--input", metavar="TEXT|@FILE|-", help="the input text; of a file, or of stdin")
    add("--input-json", metavar="JSON|@FILE|-", help="the typed input, made of JSON")
    add("--metadata", metavar="KEY=VALUE", action="append", default=[], help="JSON, or else a text; repeatable")
    add("--user", metavar="ID", help="the user_id of the run")
    add("--session", metavar="ID", help="the session_id of the run")
    add("--org", metavar="ID", help="the org_id of the run")
    add = parser.add_argument_group("what the run is given").add_argument
    add("--ports", metavar="MODULE:ATTRIBUTE", help=HELP)
    add("--config", metavar="FILE|MODULE:ATTRIBUTE", help="settings: a JSON or TOML file, or a ConfigProvider")
    add("--limit", metavar="NAME=N", action="append", default=[], help="permits for stages with limit=; repeatable")
    add("--timeout", metavar="SECONDS", type=float, help="how long the run may take")
    add = parser.add_argument_group("what a suspended run goes on with").add_argument
    add("--save", metavar="FILE", help="write the results there, as JSON that --resume takes")
    add("--resume", metavar="FILE", help="go on where the suspended run of that file stopped")
    add("--decision", metavar="STAGE=VALUE", action="append", default=[], help="JSON, or else a text; repeatable")
    add = parser.add_argument_group("what is shown").add_argument
    add("--json", action="store_true", help="events and results on stdout, a line of JSON each")
    add("--output", metavar="STAGE", action="append", default=[], help="show what this stage returned; repeatable")
    add("--stream", metavar="STAGE", action="append", default=[], help="show the chunks of this stage; repeatable")
    progress = ("auto", "rich", "plain", "off")
    add("--progress", choices=progress, default="auto", help="how events are shown; auto is rich where it can be")


def asked(graph: StageGraph, options: Namespace) -> Asking:
    """Return what the arguments say.

    Raises:
        CommandError: One of them is not what it should be.
    """
    for stage in (*options.output, *options.stream):
        if stage not in graph.stages:
            hint = f"{nearest(stage, graph.stages)}Stages: {listed(graph.stages)}."
            raise CommandError(f"Pipeline '{graph.name}' has no stage '{stage}'.", hint=hint)
    if options.timeout is not None and not 0 < options.timeout < float("inf"):
        raise CommandError(f"--timeout is a number of seconds above 0, not {options.timeout}.")
    beside: dict[str, Any] = {}
    if options.limit:
        beside["limits"] = _limits(options.limit)
    if options.config:
        beside["config"] = _settings(options.config)
    return Asking(
        snapshot=ContextSnapshot() if options.resume else _snapshot(graph, options),
        beside=beside,
        resumption=_resumption(options) if options.resume else {},
        ports=None if options.ports is None else load_attribute(options.ports),
        timeout_s=options.timeout,
        streams=tuple(dict.fromkeys(options.stream)),
    )


def _snapshot(graph: StageGraph, options: Namespace) -> ContextSnapshot:
    if options.decision:
        raise CommandError("--decision goes with --resume, the file of the run that is suspended.")
    if options.input == options.input_json == "-":
        raise CommandError("--input and --input-json cannot both read stdin.")
    identity = {"user_id": options.user, "session_id": options.session, "org_id": options.org}
    fields: dict[str, Any] = {"run_id": RunIdentity(**identity)}
    if options.input is not None:
        fields["input_text"] = _text("--input", options.input)
    if options.input_json is not None:
        data = _json("--input-json", _text("--input-json", options.input_json))
        taken = graph._compiled().input  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - of the same package
        fields["input"] = data if taken is None else made_of(taken.type, data)
    if options.metadata:
        fields["metadata"] = dict(_pair("--metadata", each) for each in options.metadata)
    try:
        return ContextSnapshot(**fields)
    except (StageflowError, TypeError, ValueError) as error:
        raise CommandError(f"The input cannot be taken: {text_of(error)}") from error


def _resumption(options: Namespace) -> dict[str, Any]:
    beside = ("input", "input_json", "metadata", "user", "session", "org")
    for name in beside:
        if getattr(options, name):
            option = name.replace("_", "-")
            raise CommandError(f"--{option} does not go with --resume: the run goes on with what it was asked.")
    text = _file_text("--resume", options.resume)
    try:
        results = PipelineResults.from_dict(_json("--resume", text))
    except StageflowError as error:
        if isinstance(error, CommandError):
            raise
        raise CommandError(f"--resume {options.resume}: {error}") from error
    return {"resume": results, "decisions": dict(_pair("--decision", each) for each in options.decision)}


def _text(option: str, given: str) -> str:
    if given == "-" and sys.stdin is None:
        raise CommandError(f"{option}: stdin is closed.")
    if given == "-":
        return _decoded(option, "stdin", sys.stdin.buffer.read())
    if given.startswith("@"):
        return _file_text(option, given[1:])
    return _decoded(option, "what was written", given.encode(errors="surrogateescape"))


def _file_text(option: str, path: str) -> str:
    try:
        return _decoded(option, path, Path(path).read_bytes())
    except OSError as error:
        raise CommandError(f"{option}: {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # a null byte in the name
        raise CommandError(f"{option}: {path!r} is no name of a file.") from error


def _decoded(option: str, source: str, data: bytes) -> str:
    if b"\0" in data:
        raise CommandError(f"{option}: {source} is binary, and not a text.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"byte {error.start + 1} is 0x{data[error.start]:02x}"
        raise CommandError(f"{option}: {source} is not UTF-8 ({place}).") from error


def _json(option: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"{error.msg}, line {error.lineno}, column {error.colno}"
        raise CommandError(f"{option} is no JSON: {problem}.") from error
    except RecursionError as error:
        raise CommandError(f"{option} is JSON that is nested too deep.") from error


def _pair(option: str, given: str) -> tuple[str, Any]:
    """Return a key and its value, which is JSON if it can be read as that, and else a text."""
    key, equals, text = given.partition("=")
    if not key or not equals:
        raise CommandError(f"{option} is written KEY=VALUE, not '{given}'.")
    try:
        return key, json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return key, text


def _limits(given: Sequence[str]) -> Limits:
    capacities = dict(_pair("--limit", each) for each in given)
    try:
        return Limits(capacities)
    except (InvalidOptionError, TypeError) as error:
        raise CommandError(f"--limit: {error}") from error


def _settings(given: str) -> Any:
    """Return the settings that a file holds, or what `module:attribute` is."""
    if given.endswith(".json"):
        settings = _json("--config", _file_text("--config", given))
    elif given.endswith(".toml"):
        try:
            settings = tomllib.loads(_file_text("--config", given))
        except tomllib.TOMLDecodeError as error:
            raise CommandError(f"--config: {given} is no TOML: {error}.") from error
    else:
        return load_attribute(given)
    if not isinstance(settings, dict):
        raise CommandError(f"--config: {given} holds no settings: at its top there is no object.")
    return cast("dict[str, Any]", settings)
