"""The pipeline that a command is about: `module:attribute`, `file.py:attribute`, or the name of an installed one."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from stageflow.cli.installed import installed_target
from stageflow.errors import CommandError, PipelineValidationError
from stageflow.lint.modules import name_and_root
from stageflow.pipeline.builder import Pipeline
from stageflow.pipeline.graph import StageGraph
from stageflow.wording import listed, nearest, shown, text_of, type_name

TARGET = "module:attribute, file.py:attribute, or the name of an installed pipeline (see `stageflow list`)"
_WRITE = "Write module:attribute, as in shop.orders:pipeline."


def load_graph(target: str) -> StageGraph:
    """Import a pipeline and build it.

    Raises:
        CommandError: It is not there, its module cannot be imported, it is no pipeline, or it cannot be built.
    """
    return built(target, load_pipeline(target))


def load_pipeline(target: str) -> Pipeline | StageGraph:
    """Import a pipeline; of a function without arguments, what it returns.

    Raises:
        CommandError: It is not there, its module cannot be imported, or it is no pipeline.
    """
    module_name, attribute = parted(target)
    if not attribute:
        offered = installed_target(target)
        if offered is not None:
            return load_pipeline(offered)
        raise CommandError(f"'{target}' names no pipeline.", hint=_candidates(import_target(module_name), module_name))
    found = load_attribute(target)
    made = made_by(target, found)
    if isinstance(made, (Pipeline, StageGraph)):
        return made
    what = shown(found) if made is found else f"{shown(found)}, which returns {shown(made)}"
    hint = _candidates(import_target(module_name), module_name)
    raise CommandError(f"'{target}' is no pipeline, but {what}.", hint=hint)


def built(target: str, pipeline: Pipeline | StageGraph) -> StageGraph:
    """Return the pipeline, ready to run.

    Raises:
        CommandError: It is wrong; with each of its faults.
    """
    if isinstance(pipeline, StageGraph):
        return pipeline
    try:
        return pipeline.build()
    except PipelineValidationError as error:
        raise CommandError(f"'{target}' cannot be built: {error}") from error


def made_by(target: str, found: Any) -> Any:
    """Return what a function without arguments returns, and everything else as it is.

    Raises:
        CommandError: The function takes arguments, is async, or raises.
    """
    if not inspect.isroutine(found):
        return found
    if inspect.iscoroutinefunction(found):
        raise CommandError(f"'{target}' is an async function, and is called without await: make it a plain one.")
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise CommandError(f"'{target}' takes arguments ({error}), and is called without any.") from error
    except ValueError:  # written in C without telling its parameters: seen when it is called
        pass
    return _of_the_user(f"'{target}' cannot be called", cast("Callable[[], Any]", found))


def load_attribute(target: str) -> Any:
    """Import whatever `module:attribute` or `file.py:attribute` names.

    Raises:
        CommandError: It is not there, or its module cannot be imported.
    """
    module_name, attribute = parted(target)
    if not attribute:
        raise CommandError(f"'{target}' names a module alone.", hint=_WRITE)
    value: Any = import_target(module_name)
    for part in attribute.split("."):
        try:
            value = _of_the_user(f"'{target}' cannot be read", partial(getattr, value, part))
        except CommandError as error:
            if not isinstance(error.__cause__, AttributeError):
                raise
            names = [name for name in dir(value) if not name.startswith("_")]
            hint = nearest(part, names) or (_candidates(value, module_name) if isinstance(value, ModuleType) else "")
            raise CommandError(f"'{target}': there is no '{part}' in {module_name}.", hint=hint) from error.__cause__
    return value


def parted(target: str) -> tuple[str, str]:
    """Return the module and the attribute, which may be empty."""
    head, colon, tail = target.rpartition(":")
    module, attribute = (head, tail) if colon else (tail, "")
    if not module or (module.startswith(".") and os.sep not in module) or (colon and not attribute):
        raise CommandError(f"'{target}' names no pipeline.", hint=_WRITE)
    return module, attribute


def import_target(name: str) -> ModuleType:
    """Import a module by its name, or by its file. What is in the current folder is found first.

    Raises:
        CommandError: There is none, or it raises.
    """
    _look_in(str(Path.cwd()))
    if not name.endswith(".py") and os.sep not in name:
        return _imported(name, name)
    path = Path(name)
    if not path.is_file():
        raise CommandError(f"There is no file '{name}'.")
    module_name, root = name_and_root(path.resolve())
    _look_in(str(root))
    module = _imported(module_name, name)
    if not module.__file__ or Path(module.__file__).resolve() != path.resolve():
        where = module.__file__ or "Python itself"
        raise CommandError(f"'{name}' cannot be imported, since module '{module_name}' is {where}.", hint="Rename it.")
    return module


def module_named(target: str) -> str:
    """Return the name of the module of `module:attribute` or `file.py:attribute`."""
    name, _ = parted(target)
    return name_and_root(Path(name).resolve())[0] if name.endswith(".py") or os.sep in name else name


def pipelines_in(module: ModuleType) -> dict[str, Pipeline | StageGraph]:
    """Return the pipelines that a module holds, by the names that they have there."""
    held = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return {name: value for name, value in held.items() if isinstance(value, (Pipeline, StageGraph))}


def _imported(name: str, said: str) -> ModuleType:
    try:
        return _of_the_user(f"'{said}' cannot be imported", lambda: import_module(name))
    except CommandError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name and f"{name}.".startswith(f"{cause.name}."):
            hint = f"Looked in {Path.cwd()} and in what is installed. {_WRITE}"
            raise CommandError(f"There is no module '{cause.name}'.", hint=hint) from cause
        raise


def _of_the_user(what: str, call: Callable[[], Any]) -> Any:
    """Call code of the user's, and say in one line what it raised, and where.

    Raises:
        CommandError: It raised.
    """
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except CommandError:
        raise
    except SyntaxError as error:
        place = f"{error.filename}:{error.lineno}" if error.lineno else error.filename
        raise CommandError(f"{what}: {place or 'its source'} does not parse: {error.msg}.") from error
    except SystemExit as error:
        raise CommandError(f"{what}: it ends the process (SystemExit: {error.code}){place_of(error)}.") from error
    except BaseException as error:
        key = missing_variable(error)
        told = f"{type_name(error)}: {text_of(error)}" if key is None else f"the environment variable {key} is not set"
        raise CommandError(f"{what}: {told}{place_of(error)}") from error


def missing_variable(error: BaseException) -> str | None:
    """Return the environment variable that `os.environ[...]` did not find, if that is what was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    if not isinstance(error, KeyError) or not frames or frames[-1].filename not in (os.__file__, "<frozen os>"):
        return None
    return str(error.args[0])


def place_of(error: BaseException) -> str:
    """Return where the user's code was when it raised: the innermost place that is neither ours nor Python's."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((_OURS, _PYTHONS, "<")):
            return f" ({frame.filename}:{frame.lineno})"
    return ""


_OURS = str(Path(__file__).parent.parent) + os.sep
_PYTHONS = str(Path(os.__file__).parent) + os.sep


def _look_in(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _candidates(module: Any, name: str) -> str:
    found = [f"{name}:{each}" for each in pipelines_in(module)] if isinstance(module, ModuleType) else []
    return f"Pipelines there: {listed(found)}." if found else f"{name} holds no pipeline."
