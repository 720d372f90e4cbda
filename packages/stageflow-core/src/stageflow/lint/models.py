"""What the source declares: stages, their dependencies, pipelines."""

from __future__ import annotations

import ast
from typing import Any

from stageflow.lint.definitions import Module


class Decorator:
    """What makes a stage of a function: `stage(...)`, or `stage` itself, and where that stands."""

    __slots__ = ("module", "options")

    def __init__(self, options: ast.expr, module: Module) -> None:
        self.options = options
        self.module = module


class Named:
    """A dependency as it was declared: its name, None if that is not known, and where it stands."""

    __slots__ = ("module", "name", "node")

    def __init__(self, name: str | None, node: ast.AST, module: Module) -> None:
        self.name = name
        self.node = node
        self.module = module


class StageModel:
    """A stage as the source declares it.

    Attributes:
        name: None if it is not known.
        runner: Function, ClassValue, Instance or UNKNOWN.
        kind: The name of its kind, such as "GUARD"; None if it is not known.
        required, optional, streams: What is declared by options; what a function's parameters say comes on top.
        routers, source: The stages of `route=` and `map_over=`.
        source_key: The key of `map_over=` that holds the items, where it is known.
        shapes: How `dependencies`, `optional` and `streams` were given: "one" name or handle, or "several".
        whole: Whether all that is declared is known.
        when: What is given as `when`, or None.
        join_any: Whether `join` may be "any".
        node, module: What makes it, for whoever reads of it: a call, or the function below a decorator.
        options, options_module: The call whose keywords are its options, or the bare decorator; None if there is none
            that options could be written into.
    """

    __slots__ = (
        "join_any",
        "kind",
        "module",
        "name",
        "node",
        "optional",
        "options",
        "options_module",
        "required",
        "routers",
        "runner",
        "shapes",
        "source",
        "source_key",
        "streams",
        "when",
        "whole",
    )

    def __init__(self, name: str | None, runner: Any, node: ast.AST, module: Module) -> None:
        self.name = name
        self.runner = runner
        self.node = node
        self.module = module
        self.options: ast.expr | None = None
        self.options_module = module
        self.kind: str | None = None
        self.required: list[Named] = []
        self.optional: list[Named] = []
        self.streams: list[Named] = []
        self.routers: list[Named] = []
        self.shapes: dict[str, str] = {}
        self.source: Named | None = None
        self.source_key: str | None = None
        self.when: Any = None
        self.whole = True
        self.join_any = False

    def renamed(self, name: str | None, node: ast.AST, module: Module) -> StageModel:
        """Return the same stage under another name."""
        other = StageModel(name, self.runner, node, module)
        for slot in self.__slots__:
            if slot not in ("name", "node", "module"):
                setattr(other, slot, getattr(self, slot))
        return other

    def option(self, name: str) -> ast.expr | None:
        """Return the expression that is given as an option, or None."""
        keywords = self.options.keywords if isinstance(self.options, ast.Call) else ()
        return next((each.value for each in keywords if each.arg == name), None)


class PipelineModel:
    """A pipeline as the source builds it: the stages of another one, its `base`, and those that it adds.

    Attributes:
        name: None if it is not known.
        added, collected: The stages that it adds; all of them, once somebody has asked.
        complete: Whether its stages are all known.
        extensions: How many others were made of it, and kept: then it need not be whole by itself.
        used: Whether it is built or run as it is.
        several: Whether it is what either of two branches of the code would make.
        planted: Whether the code says that it is wrong: it is built where an error is expected.
        node, module: Where it is made.
    """

    __slots__ = (
        "added",
        "base",
        "collected",
        "complete",
        "extensions",
        "module",
        "name",
        "node",
        "planted",
        "several",
        "used",
    )

    def __init__(
        self,
        name: str | None,
        added: list[StageModel],
        complete: bool,
        node: ast.AST,
        module: Module,
        base: PipelineModel | None = None,
    ) -> None:
        self.name = name
        self.added = added
        self.collected: list[StageModel] | None = None
        self.complete = complete
        self.node = node
        self.module = module
        self.extensions = 0
        self.base = base
        self.used = False
        self.several = base is not None and base.several
        self.planted = False

    def stages(self) -> list[StageModel]:
        """Return all its stages in their order; not to be changed.

        They are only collected when somebody asks: of a thousand steps only the last one is asked.
        """
        if self.collected is None:
            line: list[PipelineModel] = []
            each: PipelineModel | None = self
            while each is not None and each.collected is None:
                line.append(each)
                each = each.base
            found = [] if each is None or each.collected is None else list(each.collected)
            for step in reversed(line):
                found += step.added
            self.collected = found
        return self.collected
