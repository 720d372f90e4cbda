"""What follows code: one for each lint."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from stageflow.lint.definitions import (
    Bound,
    ClassValue,
    Function,
    Instance,
    Module,
    Property,
    Scope,
    Super,
    carries_context,
)
from stageflow.lint.evaluation.expressions import evaluate
from stageflow.lint.evaluation.facts import Facts, is_generator
from stageflow.lint.evaluation.frames import Builder, Frame, Reader
from stageflow.lint.evaluation.importing import Importing
from stageflow.lint.evaluation.joining import distinct, is_ours, truth_of
from stageflow.lint.evaluation.statements import follow
from stageflow.lint.models import PipelineModel, StageModel
from stageflow.lint.modules import Modules
from stageflow.lint.values import (
    INPUTS,
    UNKNOWN,
    Answer,
    Constant,
    Context,
    External,
    Inputs,
    InputsMethod,
    Items,
    ModuleValue,
    UpstreamData,
    UpstreamOutput,
)

DEEPEST_CALL = 12
"""As deep as calls of functions in the source are followed."""

REPETITIONS = 1
"""As many statements are followed for each line: what calls and loops would follow beyond that is not known."""


class Evaluator:
    """Follows code.

    Args:
        modules: Where imports lead to.
        builder: What makes pipelines.
    """

    def __init__(self, modules: Modules, builder: Builder) -> None:
        self.modules = modules
        self.builder = builder
        self.reader: Reader | None = None
        self.branching: int = 0
        self.trying: int = 0
        self.expecting: int = 0
        self.following: Module | None = None
        self._calling: list[ast.AST] = []
        self._waiting: list[Function] = []
        self._followed: set[ast.AST] = set()
        self._facts: dict[ast.AST, Facts] = {}
        self._known_calls: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._steps = 0
        self._importing = Importing(modules, self._run_body)

    # --- modules ---------------------------------------------------------------------------------------------------

    def _run_body(self, module: Module) -> None:
        module.state = "busy"
        around = (self.reader, self.following, self.branching, self.trying, self.expecting)
        self.reader, self.following = None, module  # what is imported is not read by the stage that is looked at
        self.branching, self.trying, self.expecting = 0, 0, 0
        module.scope.names.update({"__name__": UNKNOWN, "__file__": UNKNOWN})
        self.block(Frame(module, module.scope), module.tree.body)
        self.reader, self.following, self.branching, self.trying, self.expecting = around
        module.state = "done"

    def run_module(self, module: Module) -> None:
        """Follow the body of a module, after those of the modules that it imports."""
        self._importing.run_module(module)

    def looked_up(self, value: Any) -> Any:
        """Return what a value stands for, if it is a name that was imported."""
        return self._importing.looked_up(value)

    def all_of(self, module_name: str) -> dict[str, Any]:
        """Return the public names of a module."""
        return self._importing.all_of(module_name)

    def run_functions(self) -> None:
        """Follow each function that may build a pipeline and was never called, with arguments that are not known.

        Those that were defined last come first: they call the others.
        """
        while self._waiting:
            function = self._waiting.pop()
            if function.node not in self._followed and self.facts(function.node).builds:
                self.following = function.module
                self.called(function, [], {}, generic=True)

    # --- statements and expressions --------------------------------------------------------------------------------

    def block(self, frame: Frame, body: Sequence[ast.stmt]) -> bool:
        """Follow statements; return whether the code certainly leaves the block before its end."""
        self._steps += len(body)
        for statement in body:  # noqa: SIM110 - `any` would take a frame of C for each level
            if follow(self, frame, statement):
                return True
        return False

    def value(self, frame: Frame, node: ast.expr) -> Any:
        """Return what an expression stands for."""
        return evaluate(self, frame, node)

    def attribute(self, owner: Any, name: str) -> Any:
        """Return what an attribute stands for."""
        match owner:
            case Context() | Inputs():
                return self._of_context(owner, name)
            case External():
                return External(f"{owner.name}.{name}")
            case ModuleValue():
                module = self.modules.find(owner.name)
                return UNKNOWN if module is None else self.looked_up(self._importing.of_module(module, name))
            case Instance():
                if name in owner.attributes:
                    return owner.attributes[name]
                return self._member(owner, owner.kind.member(name))
            case Super():
                return self._member(owner.of, owner.of.kind.member(name, after=owner.after))
            case ClassValue():
                member = self.looked_up(owner.member(name))
                if isinstance(member, Function) and _is_decorated(member, "classmethod"):
                    return Bound(member, owner)
                return UNKNOWN if name == "value" or member is None else member
            case _:
                return self._plain_attribute(owner, name)

    def _of_context(self, owner: Context | Inputs, name: str) -> Any:
        if isinstance(owner, Context):
            return INPUTS if name == "inputs" else UNKNOWN
        if name == "declared" and self.reader is not None:
            self.reader.escaped()
        return InputsMethod(name)

    @staticmethod
    def _plain_attribute(owner: Any, name: str) -> Any:
        match owner:
            case StageModel() if name == "name" and owner.name is not None:
                return Constant(owner.name)
            case PipelineModel() if name == "stages":
                owner.extensions += 1  # they may go anywhere
                return Items([(each, each.node) for each in owner.stages()], owner.complete)
            case UpstreamOutput() if name == "data":
                return UpstreamData(owner.stage)
            case Constant() if name == "value":  # of an enumeration of texts
                return owner
            case _:
                return UNKNOWN

    def _member(self, of: Instance, member: Any) -> Any:
        member = self.looked_up(member)
        match member:
            case Function():
                if _is_decorated(member, "classmethod"):
                    return Bound(member, of.kind)
                return member if _is_decorated(member, "staticmethod") else Bound(member, of)
            case Property():
                return self.called(member.function, [of], {})
            case _:
                return UNKNOWN if member is None else member

    # --- several values at once ------------------------------------------------------------------------------------

    def either(self, values: Sequence[Any]) -> Any:
        """Return what stands for any of several values; None is a name that is not set."""
        several = distinct(values)
        if len(several) == 1:
            return UNKNOWN if several[0] is None else several[0]
        present = [each for each in several if each is not None]
        if present and all(isinstance(each, PipelineModel) for each in present):
            both = present[0]
            for each in present[1:]:
                both = self.builder.either(both, each)
            return both
        self.let_go(*present)
        return UNKNOWN

    def let_go(self, *values: Any) -> None:
        """Note that values went where they are not followed."""
        if self.reader is not None and any(map(carries_context, values)):
            self.reader.escaped()

    def tested(self, value: Any) -> bool | None:
        """Return whether a value is true, as far as that is known, and note that the code asks."""
        if self.reader is not None and isinstance(value, Answer):
            self.reader.tested(value)
        return truth_of(value)

    def facts(self, node: ast.AST) -> Facts:
        """Return what is to be known of a piece of code before it is followed."""
        known = self._facts.get(node)
        if known is None:
            known = self._facts[node] = Facts([node])
        return known

    def begin_reading(self) -> None:
        """Let the code of stages be followed as far as that of modules was."""
        self._steps = 0

    def may_repeat(self) -> bool:
        """Return whether code may be followed once more than it is long."""
        return self._steps < REPETITIONS * (self.modules.lines + 5_000)

    # --- calls -----------------------------------------------------------------------------------------------------

    def defined(self, function: Function) -> None:
        """Note that a function was defined: it may build pipelines, and inside of a stage it may read."""
        if self.reader is None:
            self._waiting.append(function)
        else:
            self.called(function, [], {}, generic=True)

    def called(self, function: Function, arguments: list[Any], named: dict[str, Any], *, generic: bool = False) -> Any:
        """Return what a call of a function gives; where it is `generic`, its arguments are not known."""
        key = self._call_key(function, arguments, named, generic)
        known = None if key is None else self._known_calls.get(key)
        if known is not None:
            return known[0]
        frame = self.frame_of(function, arguments, named, generic=generic)
        result = UNKNOWN if frame is None else self._result(frame, function)
        if key is not None and frame is not None:
            # What a key names by its id is kept as well, or another value could take its place.
            self._known_calls[key] = (result, self.reader, function, arguments, named)
        return result

    def _call_key(
        self, function: Function, arguments: list[Any], named: dict[str, Any], generic: bool
    ) -> tuple[Any, ...] | None:
        """Return what two calls have in common that do the same, or None if what is given may change."""
        given: list[Any] = []
        for name, value in (*enumerate(arguments), *named.items()):
            if isinstance(value, (Items, Instance)) or type(value).__name__ == "Record":
                return None
            given.append((name, type(value.value), value.value) if isinstance(value, Constant) else (name, id(value)))
        around = (id(self.reader), self.trying > 0, self.expecting > 0, generic)
        return (*around, function.node, id(function.scope), *given)

    def frame_of(
        self, function: Function, arguments: list[Any], named: dict[str, Any], *, generic: bool = False
    ) -> Frame | None:
        """Follow the body of a function; return None if that would go too deep, or take too long."""
        node = function.node
        if len(self._calling) >= DEEPEST_CALL or node in self._calling or (self._calling and not self.may_repeat()):
            self.let_go(*arguments, *named.values())
            if generic and self.reader is not None:
                self.reader.escaped()
            return None
        self._followed.add(node)
        subject = arguments[0] if arguments and isinstance(arguments[0], Instance) else None
        frame = Frame(function.module, Scope(function.scope), function, subject)
        for name, value in self._parameters(function, arguments, named, generic=generic):
            frame.scope.names[name] = value
        branching, self.branching = self.branching, 0
        self._calling.append(node)
        try:
            if isinstance(node, ast.Lambda):
                frame.returned.append(self.value(frame, node.body))
            elif not self.block(frame, node.body):
                frame.returned.append(Constant(None))
        finally:
            self._calling.pop()
            self.branching = branching
        return frame

    def _result(self, frame: Frame, function: Function) -> Any:
        if not is_generator(function.node):
            return self.either(frame.returned) if frame.returned else UNKNOWN
        if isinstance(function.node, ast.AsyncFunctionDef):
            return UNKNOWN
        return Items(frame.yielded, complete=not frame.maybe_more)

    def _parameters(
        self, function: Function, arguments: list[Any], named: dict[str, Any], *, generic: bool
    ) -> Iterator[tuple[str, Any]]:
        """Yield each parameter with its value."""
        given = function.node.args
        placed = [*given.posonlyargs, *given.args]
        defaults = default_values(given)
        around = Frame(function.module, function.scope)
        for place, each in enumerate((*placed, *given.kwonlyargs)):
            if place < len(arguments) and place < len(placed):
                yield each.arg, arguments[place]
            elif each.arg in named:
                yield each.arg, named[each.arg]
            elif each.arg in defaults and not generic:
                yield each.arg, self.value(around, defaults[each.arg])
            else:
                yield each.arg, self._any_of(around, each.annotation)
        if given.vararg is not None:
            pairs: list[tuple[Any, ast.AST]] = [(value, function.node) for value in arguments[len(placed) :]]
            yield given.vararg.arg, Items(pairs, complete=not generic)
        if given.kwarg is not None:
            yield given.kwarg.arg, UNKNOWN

    def _any_of(self, frame: Frame, annotation: ast.expr | None) -> Any:
        """Return what a parameter stands for of which only the type is known."""
        if isinstance(annotation, (ast.Name, ast.Attribute)) and is_ours(self.value(frame, annotation), "Pipeline"):
            return self.builder.given(annotation, frame.module)
        return UNKNOWN

    def instance(self, kind: ClassValue, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Return an object of a class, with what its constructor puts into it."""
        made = Instance(kind, {})
        constructor = kind.member("__init__")
        if kind.derives_from("Enum", "StrEnum"):
            return UNKNOWN
        if isinstance(constructor, Function) and "**" not in named:
            self.let_go(*arguments, *named.values())
            reader, self.reader = self.reader, None
            self.called(constructor, [made, *arguments], named)
            self.reader = reader
            self._keep_what_stays(made, constructor)
            return made
        names = list(kind.fields())
        made.attributes.update(zip(names, arguments, strict=False))
        made.attributes.update((name, value) for name, value in named.items() if name in names)
        for name in names:
            default = kind.member(name)
            # What `field(default_factory=...)` gives is not known.
            made.attributes.setdefault(name, UNKNOWN if default is None or "**" in named else self.looked_up(default))
        return made

    def _keep_what_stays(self, made: Instance, constructor: Function) -> None:
        """Forget the attributes that other methods set as well."""
        for kind in made.kind.line():
            for member in kind.node.body:
                is_method = isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef))
                if is_method and member.name != "__init__" and member is not constructor.node:
                    for name in self.facts(member).attributes & made.attributes.keys():
                        made.attributes[name] = UNKNOWN


def default_values(arguments: ast.arguments) -> dict[str, ast.expr]:
    """Return the default of each parameter that has one."""
    placed = [*arguments.posonlyargs, *arguments.args]
    with_default = placed[len(placed) - len(arguments.defaults) :]
    found = {each.arg: default for each, default in zip(with_default, arguments.defaults, strict=True)}
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            found[each.arg] = default
    return found


def _is_decorated(function: Function, name: str) -> bool:
    decorators = getattr(function.node, "decorator_list", ())
    return any(isinstance(each, ast.Name) and each.id == name for each in decorators)
