"""What the code of a module would make, as far as that can be told without running it.

Statements are followed in their order, once each: both branches of an `if` whose test is not known, a loop over known
items as often as it would run, any other once. What cannot be told is UNKNOWN, so nothing is concluded from it. The
same evaluation follows a module, which builds pipelines, and the code of a stage, which reads others: there its
context is a value as well, and a `Reader` is told of what is done with it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

from stageflow.lint.modules import OURS, Modules
from stageflow.lint.values import (
    UNKNOWN,
    Bound,
    ClassValue,
    Constant,
    Context,
    Decorator,
    External,
    Function,
    Imported,
    Inputs,
    InputsMethod,
    Instance,
    Items,
    Module,
    ModuleValue,
    Output,
    PipelineModel,
    Record,
    Scope,
    StageModel,
    UpstreamData,
)

MOST_UNROLLED = 64
"""As often as a loop over known items is followed."""

DEEPEST_IMPORT = 20
"""As often as a name may be passed on from module to module."""

DEEPEST_CALL = 6
"""As deep as calls of functions in the source are followed."""


class Builder(Protocol):
    """Makes pipelines and stages of the calls that make them."""

    def call(self, frame: Frame, node: ast.Call, function: Any, receiver: Any) -> Any: ...

    def decorate(self, frame: Frame, node: ast.FunctionDef | ast.AsyncFunctionDef, function: Function) -> Any: ...

    def merged(self, one: PipelineModel, other: PipelineModel) -> PipelineModel: ...

    def discarded(self, frame: Frame, node: ast.Call, value: Any) -> None: ...


class Reader(Protocol):
    """Is told what the code of a stage does with its context."""

    def read(self, frame: Frame, method: str, node: ast.Call) -> Any: ...

    def key(self, frame: Frame, stage: str, key: str, node: ast.AST, *, has_default: bool) -> None: ...

    def escaped(self) -> None:
        """Note that the context, or the inputs, went where they are not followed."""
        ...


class Frame:
    """One function, or the body of a module, while it is being followed."""

    __slots__ = ("module", "returned", "scope", "yielded")

    def __init__(self, module: Module, scope: Scope) -> None:
        self.module = module
        self.scope = scope
        self.returned: list[Any] = []
        self.yielded: list[Any] = []


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
        self._depth = 0
        self._calling: list[ast.AST] = []
        self._waiting: list[Function] = []
        self._branching = 0

    # --- modules ---------------------------------------------------------------------------------------------------

    def run_module(self, module: Module) -> None:
        """Follow the body of a module, then the functions in it, which may build pipelines as well."""
        if module.state != "new":
            return
        module.state = "busy"
        reader, self.reader = self.reader, None  # what is imported is not read by the stage that is looked at
        frame = Frame(module, module.scope)
        for name in ("__name__", "__file__"):
            module.scope.names[name] = UNKNOWN
        self._block(frame, module.tree.body)
        module.state = "done"
        self.reader = reader

    def run_functions(self) -> None:
        """Follow each function that was met in a module and may build a pipeline, with arguments that are not known."""
        while self._waiting:
            function = self._waiting.pop()
            if mentions_builder(function.node):
                self.call_function(function, [], {}, generic=True)

    def looked_up(self, value: Any) -> Any:
        """Return what a value stands for, if it is a name that was imported."""
        seen = 0
        while isinstance(value, Imported):
            seen += 1
            value = self._resolve(value.name) if seen < DEEPEST_IMPORT else UNKNOWN
        return value

    def _resolve(self, name: str) -> Any:
        """Return what a whole name, such as `package.module.thing`, stands for."""
        head = name.partition(".")[0]
        if head in OURS:
            return External(name)
        module = self.modules.find(name)
        if module is not None:
            return ModuleValue(name)
        parent, _, attribute = name.rpartition(".")
        if parent:
            owner = self.modules.find(parent)
            if owner is not None:
                return self.of_module(owner, attribute)
        return External(name)

    def of_module(self, module: Module, attribute: str) -> Any:
        """Return what a module has under a name."""
        self.run_module(module)
        found = module.scope.names.get(attribute)
        if found is not None:
            return self.looked_up(found)
        inner = self.modules.find(f"{module.name}.{attribute}")
        return UNKNOWN if inner is None else ModuleValue(inner.name)

    # --- statements ------------------------------------------------------------------------------------------------

    def _block(self, frame: Frame, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self._statement(frame, statement)

    def _statement(self, frame: Frame, node: ast.stmt) -> None:
        handle = self._statements.get(type(node))
        if handle is not None:
            handle(self, frame, node)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(frame, child)
            elif isinstance(child, ast.stmt):
                self._statement(frame, child)

    def _import(self, frame: Frame, node: Any) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    frame.scope.names[alias.asname] = Imported(alias.name)
                else:
                    head = alias.name.partition(".")[0]
                    frame.scope.names[head] = Imported(head)
            return
        base = node.module or ""
        if node.level:
            package = frame.module.package.split(".") if frame.module.package else []
            kept = package[: len(package) - node.level + 1]
            base = ".".join([*kept, *([node.module] if node.module else [])])
        for alias in node.names:
            if alias.name == "*":
                self._import_all(frame, base)
            else:
                frame.scope.names[alias.asname or alias.name] = Imported(f"{base}.{alias.name}")

    def _import_all(self, frame: Frame, name: str) -> None:
        module = self.modules.find(name)
        if module is not None:
            self.run_module(module)
            public = {key: value for key, value in module.scope.names.items() if not key.startswith("_")}
            frame.scope.names.update(public)

    def _define(self, frame: Frame, node: Any) -> None:
        function = Function(node, frame.module, frame.scope)
        made: Any = function
        for decorator in reversed(node.decorator_list):
            made = self._decorated(frame, decorator, node, made)
        frame.scope.names[node.name] = made
        self._waiting.append(function)
        if self.reader is not None:
            self.call_function(function, [], {}, generic=True)

    def _decorated(self, frame: Frame, decorator: ast.expr, node: Any, made: Any) -> Any:
        value = self.value(frame, decorator)
        is_stage = isinstance(value, Decorator) or (isinstance(value, External) and is_ours(value, "stage"))
        if is_stage and isinstance(made, Function):
            return self.builder.decorate(frame, node, made)
        name = value.name.rpartition(".")[2] if isinstance(value, External) else ""
        return made if name in _TRANSPARENT_DECORATORS else UNKNOWN

    def _class(self, frame: Frame, node: Any) -> None:
        bases = [self.value(frame, base) for base in node.bases]
        scope = Scope(frame.scope)
        kind = ClassValue(node, frame.module, scope, bases)
        inner = Frame(frame.module, scope)
        reader, self.reader = self.reader, None
        self._block(inner, node.body)
        self.reader = reader
        for member in scope.names.values():
            if isinstance(member, Function):
                # A method does not see the names of its class, but is found with it.
                member.owner = kind
                member.scope = frame.scope
        frame.scope.names[node.name] = kind

    def _assign(self, frame: Frame, node: Any) -> None:
        if isinstance(node, ast.AnnAssign) and node.value is None:
            return
        value = self.value(frame, node.value)
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            self._bind(frame, target, value)

    def _augment(self, frame: Frame, node: Any) -> None:
        added = self.value(frame, node.value)
        before = self.value(frame, node.target)
        both = isinstance(before, Items) and isinstance(added, Items) and isinstance(node.op, ast.Add)
        if both and isinstance(node.target, ast.Name):
            before.pairs += added.pairs  # a list is changed in place
            before.complete = before.complete and added.complete
            return
        self._bind(frame, node.target, self._binary(node.op, before, added))

    def _bind(self, frame: Frame, target: ast.AST, value: Any) -> None:
        if isinstance(target, ast.Name):
            frame.scope.names[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            known = isinstance(value, Items) and value.complete and len(value.pairs) == len(target.elts)
            starred = any(isinstance(each, ast.Starred) for each in target.elts)
            for place, each in enumerate(target.elts):
                inner = each.value if isinstance(each, ast.Starred) else each
                self._bind(frame, inner, value.pairs[place][0] if known and not starred else UNKNOWN)
        elif isinstance(target, ast.Attribute):
            owner = self.value(frame, target.value)
            if isinstance(owner, Instance):
                owner.attributes[target.attr] = value
            self._let_go(value)
        elif isinstance(target, ast.Subscript):
            self._put(frame, target, value)

    def _put(self, frame: Frame, target: ast.Subscript, value: Any) -> None:
        owner, key = self.value(frame, target.value), self.value(frame, target.slice)
        if isinstance(owner, Record):
            if isinstance(key, Constant) and isinstance(key.value, str):
                owner.fields[key.value] = value
            else:
                owner.complete = False
        elif isinstance(owner, Items):
            owner.complete = False
        self._let_go(value)

    def _if(self, frame: Frame, node: Any) -> None:
        truth = truth_of(self.value(frame, node.test))
        if truth is not None:
            self._block(frame, node.body if truth else node.orelse)
            return
        self._branches(frame, [node.body, node.orelse])

    def _match(self, frame: Frame, node: Any) -> None:
        self.value(frame, node.subject)
        for case in node.cases:
            for name in (part for part in ast.walk(case.pattern) if isinstance(part, (ast.MatchAs, ast.MatchStar))):
                if name.name:
                    frame.scope.names[name.name] = UNKNOWN
            if case.guard is not None:
                self.value(frame, case.guard)
        self._branches(frame, [*(case.body for case in node.cases), []])

    def _branches(self, frame: Frame, bodies: list[list[ast.stmt]]) -> None:
        """Follow each body from where the code stands, and go on with what they have in common."""
        before, ends = frame.scope, list[dict[str, Any]]()
        self._branching += 1
        for body in bodies:
            names = dict(before.names)
            frame.scope = Scope(before.around, names)
            self._block(frame, body)
            if not _leaves(body):
                ends.append(names)
        self._branching -= 1
        frame.scope = before
        for name in dict.fromkeys(name for names in ends for name in names):
            before.names[name] = self._merged([names.get(name) for names in ends])

    def _merged(self, values: list[Any]) -> Any:
        distinct = list({id(value): value for value in values}.values())
        if len(distinct) == 1:
            return distinct[0]
        constants = {repr(each.value) for each in distinct if isinstance(each, Constant)}
        if len(constants) == 1 and all(isinstance(each, Constant) for each in distinct):
            return distinct[0]
        present = [each for each in distinct if each is not None]
        if present and all(isinstance(each, PipelineModel) for each in present):
            merged = present[0]
            for each in present[1:]:
                merged = self.builder.merged(merged, each)
            return merged
        return UNKNOWN

    def _for(self, frame: Frame, node: Any) -> None:
        over = self.value(frame, node.iter)
        if isinstance(over, Items) and over.complete and len(over.pairs) <= MOST_UNROLLED:
            for value, _ in list(over.pairs):
                self._bind(frame, node.target, value)
                self._block(frame, node.body)
        else:
            self._bind(frame, node.target, UNKNOWN)
            self._branches(frame, [node.body, []])
        self._block(frame, node.orelse)

    def _while(self, frame: Frame, node: Any) -> None:
        self.value(frame, node.test)
        self._branches(frame, [node.body, []])
        self._block(frame, node.orelse)

    def _with(self, frame: Frame, node: Any) -> None:
        for item in node.items:
            value = self.value(frame, item.context_expr)
            if item.optional_vars is not None:
                self._bind(frame, item.optional_vars, value if isinstance(value, (Context, Inputs)) else UNKNOWN)
        self._block(frame, node.body)

    def _try(self, frame: Frame, node: Any) -> None:
        self._block(frame, node.body)
        for handler in node.handlers:
            if handler.name:
                frame.scope.names[handler.name] = UNKNOWN
            self._branches(frame, [handler.body, []])
        self._block(frame, node.orelse)
        self._block(frame, node.finalbody)

    def _return(self, frame: Frame, node: Any) -> None:
        value = Constant(None) if node.value is None else self.value(frame, node.value)
        frame.returned.append(value)

    def _expression(self, frame: Frame, node: Any) -> None:
        value = self.value(frame, node.value)
        if isinstance(node.value, ast.Call):
            self.builder.discarded(frame, node.value, value)

    def _delete(self, frame: Frame, node: Any) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                frame.scope.names[target.id] = UNKNOWN
            elif isinstance(target, ast.Subscript):
                self._put(frame, target, UNKNOWN)

    # --- expressions -----------------------------------------------------------------------------------------------

    def value(self, frame: Frame, node: ast.expr) -> Any:
        """Return what an expression stands for."""
        handle = self._expressions.get(type(node))
        if handle is not None:
            return handle(self, frame, node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._let_go(self.value(frame, child))
        return UNKNOWN

    def _constant(self, frame: Frame, node: Any) -> Any:
        return Constant(node.value)

    def _name(self, frame: Frame, node: Any) -> Any:
        found = frame.scope.find(node.id)
        return External(f"builtins.{node.id}") if found is None else self.looked_up(found)

    def _items(self, frame: Frame, node: Any) -> Any:
        pairs: list[tuple[Any, ast.AST]] = []
        complete = True
        for each in node.elts:
            value = self.value(frame, each.value if isinstance(each, ast.Starred) else each)
            if not isinstance(each, ast.Starred):
                pairs.append((value, each))
            elif isinstance(value, Items):
                pairs += value.pairs
                complete = complete and value.complete
            else:
                complete = False
        return Items(pairs, complete)

    def _dict(self, frame: Frame, node: Any) -> Any:
        record = Record({})
        for key, each in zip(node.keys, node.values, strict=True):
            value = self.value(frame, each)
            name = None if key is None else self.value(frame, key)
            if key is None and isinstance(value, Record):
                record.fields.update(value.fields)
                record.complete = record.complete and value.complete
            elif isinstance(name, Constant) and isinstance(name.value, str):
                record.fields[name.value] = value
            else:
                record.complete = False
        return record

    def _attribute(self, frame: Frame, node: Any) -> Any:
        return self.attribute(self.value(frame, node.value), node.attr)

    def attribute(self, owner: Any, name: str) -> Any:
        """Return what an attribute stands for."""
        match owner:
            case Context():
                return Inputs() if name == "inputs" else UNKNOWN
            case Inputs():
                if name == "declared" and self.reader is not None:
                    self.reader.escaped()
                return InputsMethod(name)
            case External():
                return External(f"{owner.name}.{name}")
            case ModuleValue():
                module = self.modules.find(owner.name)
                return UNKNOWN if module is None else self.of_module(module, name)
            case Instance():
                if name in owner.attributes:
                    return owner.attributes[name]
                member = self.looked_up(owner.kind.member(name))
                return Bound(member, owner) if isinstance(member, Function) else UNKNOWN if member is None else member
            case ClassValue():
                member = owner.member(name)
                if name == "value" or member is None:
                    return UNKNOWN
                return member
            case StageModel():
                return Constant(owner.name) if name == "name" and owner.name is not None else UNKNOWN
            case Constant():  # of an enumeration of texts
                return owner if name == "value" else UNKNOWN
            case _:
                return UNKNOWN

    def _subscript(self, frame: Frame, node: Any) -> Any:
        owner, key = self.value(frame, node.value), self.value(frame, node.slice)
        known = key.value if isinstance(key, Constant) else None
        if isinstance(owner, UpstreamData) and self.reader is not None and isinstance(known, str):
            self.reader.key(frame, owner.stage, known, node, has_default=False)
        elif isinstance(owner, Record) and isinstance(known, str):
            return owner.fields.get(known, UNKNOWN)
        elif isinstance(owner, Items) and owner.complete and isinstance(known, int):
            return owner.pairs[known][0] if -len(owner.pairs) <= known < len(owner.pairs) else UNKNOWN
        elif isinstance(owner, (External, ClassValue)):  # a type with its parameters
            return owner
        return UNKNOWN

    def _boolean(self, frame: Frame, node: Any) -> Any:
        is_and = isinstance(node.op, ast.And)
        value: Any = UNKNOWN
        known = True
        for each in node.values:
            value = self.value(frame, each)
            truth = truth_of(value)
            if truth is not None and truth is not is_and:
                return value if known else UNKNOWN  # the rest is not reached
            known = known and truth is not None
        return value if known else UNKNOWN

    def _not(self, frame: Frame, node: Any) -> Any:
        truth = truth_of(self.value(frame, node.operand))
        return Constant(not truth) if isinstance(node.op, ast.Not) and truth is not None else UNKNOWN

    def _compare(self, frame: Frame, node: Any) -> Any:
        sides = [self.value(frame, each) for each in (node.left, *node.comparators)]
        if len(sides) != 2:
            return UNKNOWN
        left, right = sides
        if isinstance(left, Constant) and isinstance(right, Constant):
            match node.ops[0]:
                case ast.Is() | ast.Eq():
                    return Constant(left.value == right.value and type(left.value) is type(right.value))
                case ast.IsNot() | ast.NotEq():
                    return Constant(left.value != right.value or type(left.value) is not type(right.value))
                case _:
                    return UNKNOWN
        none = isinstance(right, Constant) and right.value is None and not isinstance(left, (Constant, type(UNKNOWN)))
        if none and isinstance(left, (Items, Record, Instance, StageModel, PipelineModel, Function, ClassValue)):
            return Constant(isinstance(node.ops[0], (ast.IsNot, ast.NotEq)))
        return UNKNOWN

    def _either(self, frame: Frame, node: Any) -> Any:
        truth = truth_of(self.value(frame, node.test))
        if truth is not None:
            return self.value(frame, node.body if truth else node.orelse)
        return self._merged([self.value(frame, node.body), self.value(frame, node.orelse)])

    def _binary_operation(self, frame: Frame, node: Any) -> Any:
        return self._binary(node.op, self.value(frame, node.left), self.value(frame, node.right))

    def _binary(self, op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(op, ast.Add) and isinstance(left, Items) and isinstance(right, Items):
            return Items([*left.pairs, *right.pairs], left.complete and right.complete)
        if isinstance(op, ast.Add) and isinstance(left, Items):
            return Items(left.pairs, complete=False)
        texts = isinstance(left, Constant) and isinstance(right, Constant)
        if isinstance(op, ast.Add) and texts and isinstance(left.value, str) and isinstance(right.value, str):
            return Constant(left.value + right.value)
        if isinstance(op, ast.BitOr) and isinstance(left, Record) and isinstance(right, Record):
            return Record({**left.fields, **right.fields}, left.complete and right.complete)
        return UNKNOWN

    def _text(self, frame: Frame, node: Any) -> Any:
        parts: list[str] | None = []
        for each in node.values:
            value = self.value(frame, each.value if isinstance(each, ast.FormattedValue) else each)
            plain = not isinstance(each, ast.FormattedValue) or (each.conversion == -1 and each.format_spec is None)
            if parts is not None and plain and isinstance(value, Constant):
                parts.append(str(value.value))
            else:
                parts = None
        return UNKNOWN if parts is None else Constant("".join(parts))

    def _awaited(self, frame: Frame, node: Any) -> Any:
        return self.value(frame, node.value)

    def _walrus(self, frame: Frame, node: Any) -> Any:
        value = self.value(frame, node.value)
        self._bind(frame, node.target, value)
        return value

    def _lambda(self, frame: Frame, node: Any) -> Any:
        function = Function(node, frame.module, frame.scope)
        if self.reader is not None:
            self.call_function(function, [], {}, generic=True)
        return function

    def _comprehension(self, frame: Frame, node: Any) -> Any:
        """Follow a comprehension over one known sequence item by item, and any other once."""
        outer, frame.scope = frame.scope, Scope(frame.scope)
        try:
            first = node.generators[0]
            over = self.value(frame, first.iter)
            parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            simple = len(node.generators) == 1 and not first.ifs and not isinstance(node, ast.DictComp)
            if simple and isinstance(over, Items) and over.complete and len(over.pairs) <= MOST_UNROLLED:
                pairs: list[tuple[Any, ast.AST]] = []
                for value, _ in over.pairs:
                    self._bind(frame, first.target, value)
                    pairs.append((self.value(frame, node.elt), node.elt))
                return Items(pairs)
            for generator in node.generators:
                if generator is not first:
                    self.value(frame, generator.iter)
                self._bind(frame, generator.target, UNKNOWN)
                for test in generator.ifs:
                    self.value(frame, test)
            for part in parts:
                self.value(frame, part)
            return Record({}, complete=False) if isinstance(node, ast.DictComp) else Items([], complete=False)
        finally:
            frame.scope = outer

    def _yield(self, frame: Frame, node: Any) -> Any:
        if node.value is not None:
            frame.yielded.append(self.value(frame, node.value))
        return UNKNOWN

    # --- calls -----------------------------------------------------------------------------------------------------

    def _call(self, frame: Frame, node: Any) -> Any:
        receiver: Any = None
        if isinstance(node.func, ast.Attribute):
            receiver = self.value(frame, node.func.value)
            function = self.attribute(receiver, node.func.attr)
        else:
            function = self.value(frame, node.func)
        if isinstance(function, InputsMethod):
            if self.reader is not None:
                return self.reader.read(frame, function.name, node)
            return UNKNOWN
        if isinstance(receiver, UpstreamData):
            return self._upstream_call(frame, receiver, node)
        if isinstance(receiver, (Items, Record)) and isinstance(node.func, ast.Attribute):
            return self._changed(frame, receiver, node)
        made = self.builder.call(frame, node, function, receiver)
        if made is not None:
            return made
        arguments, named = self._arguments(frame, node)
        match function:
            case Function():
                return self._follow(function, arguments, named)
            case Bound():
                return self._follow(function.function, [function.of, *arguments], named)
            case ClassValue():
                return self.instance(function, arguments, named)
            case External():
                return self._external(function.name, arguments, named)
            case _:
                for value in (*arguments, *named.values()):
                    self._let_go(value)
                return UNKNOWN

    def _arguments(self, frame: Frame, node: ast.Call) -> tuple[list[Any], dict[str, Any]]:
        arguments: list[Any] = []
        for each in node.args:
            value = self.value(frame, each.value if isinstance(each, ast.Starred) else each)
            if not isinstance(each, ast.Starred):
                arguments.append(value)
            elif isinstance(value, Items) and value.complete:
                arguments += (item for item, _ in value.pairs)
            else:
                arguments.append(UNKNOWN)
        named = {each.arg or "**": self.value(frame, each.value) for each in node.keywords}
        return arguments, named

    def _external(self, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        short = name.rpartition(".")[2]
        if name in _SEQUENCES and len(arguments) == 1 and isinstance(arguments[0], Items):
            return Items(list(arguments[0].pairs), arguments[0].complete)
        if name in _SEQUENCES and not arguments:
            return Items([])
        if name == "builtins.dict" and not arguments and "**" not in named:
            return Record(dict(named))
        if name.startswith("stageflow.") and ".StageOutput." in f".{name}":
            return _output(short, arguments, named)
        if name in ("typing.cast", "typing_extensions.cast") and len(arguments) == 2:
            return arguments[1]
        if name.startswith("asyncio.") and short in ("wait_for", "shield", "create_task", "ensure_future"):
            return arguments[0] if arguments else UNKNOWN
        for value in (*arguments, *named.values()):
            self._let_go(value)
        return UNKNOWN

    def _changed(self, frame: Frame, owner: Items | Record, node: Any) -> Any:
        """Follow a call of a method of a list, a set or a dict."""
        arguments, named = self._arguments(frame, node)
        method = node.func.attr
        if isinstance(owner, Items):
            if method in ("append", "add") and len(arguments) == 1:
                owner.pairs.append((arguments[0], node.args[0]))
                owner.several = owner.several or self._branching > 0
            elif method == "extend" and len(arguments) == 1 and isinstance(arguments[0], Items):
                owner.pairs += arguments[0].pairs
                owner.complete = owner.complete and arguments[0].complete
            elif method not in ("index", "count", "copy"):
                owner.complete = False
        elif method == "update" and len(arguments) <= 1 and all(isinstance(each, Record) for each in arguments):
            for each in arguments:
                owner.fields.update(each.fields)
                owner.complete = owner.complete and each.complete
            owner.fields.update(named)
        elif method not in ("get", "keys", "values", "items", "copy"):
            owner.complete = False
        elif method == "get" and arguments and isinstance(arguments[0], Constant):
            return owner.fields.get(arguments[0].value, UNKNOWN)
        for value in (*arguments, *named.values()):
            self._let_go(value)
        return UNKNOWN

    def _upstream_call(self, frame: Frame, owner: UpstreamData, node: Any) -> Any:
        arguments, _ = self._arguments(frame, node)
        first = arguments[0] if arguments else UNKNOWN
        if node.func.attr == "get" and isinstance(first, Constant) and isinstance(first.value, str):
            if self.reader is not None:
                self.reader.key(frame, owner.stage, first.value, node, has_default=True)
        return UNKNOWN

    def _follow(self, function: Function, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Follow a call if it can make or read anything that matters."""
        if "**" in named:
            for value in (*arguments, *named.values()):
                self._let_go(value)
            return UNKNOWN
        matters = any(isinstance(each, (Context, Inputs, InputsMethod)) for each in (*arguments, *named.values()))
        if matters or mentions_builder(function.node) or _is_short(function.node):
            return self.call_function(function, arguments, named)
        for value in (*arguments, *named.values()):
            self._let_go(value)
        return UNKNOWN

    def call_function(
        self, function: Function, arguments: list[Any], named: dict[str, Any], *, generic: bool = False
    ) -> Any:
        """Return what a call of a function gives; where it is `generic` its arguments are not known."""
        frame = self.frame_of(function, arguments, named, generic=generic)
        return UNKNOWN if frame is None else self._merged_return(frame)

    def frame_of(
        self, function: Function, arguments: list[Any], named: dict[str, Any], *, generic: bool = False
    ) -> Frame | None:
        """Follow the body of a function; return None if that would go too deep."""
        if self._depth >= DEEPEST_CALL or self._calling.count(function.node):
            for value in (*arguments, *named.values()):
                self._let_go(value)
            return None
        frame = Frame(function.module, Scope(function.scope))
        for name, value in self._bound(frame, function, arguments, named, generic=generic):
            frame.scope.names[name] = value
        self._depth += 1
        self._calling.append(function.node)
        try:
            if isinstance(function.node, ast.Lambda):
                frame.returned.append(self.value(frame, function.node.body))
            else:
                self._block(frame, function.node.body)
        finally:
            self._depth -= 1
            self._calling.pop()
        return frame

    def _merged_return(self, frame: Frame) -> Any:
        values = frame.returned or [Constant(None)]
        return self._merged(values)

    def _bound(
        self, frame: Frame, function: Function, arguments: list[Any], named: dict[str, Any], *, generic: bool
    ) -> Iterator[tuple[str, Any]]:
        """Yield each parameter with its value."""
        given = function.node.args
        placed = [*given.posonlyargs, *given.args]
        defaults = dict(
            zip([each.arg for each in placed[len(placed) - len(given.defaults) :]], given.defaults, strict=True)
        )
        defaults |= {
            each.arg: default for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True) if default
        }
        around = Frame(function.module, function.scope)
        for place, each in enumerate((*placed, *given.kwonlyargs)):
            if place < len(arguments) and place < len(placed):
                yield each.arg, arguments[place]
            elif each.arg in named:
                yield each.arg, named[each.arg]
            elif each.arg in defaults and not generic:
                yield each.arg, self.value(around, defaults[each.arg])
            else:
                yield each.arg, UNKNOWN
        if given.vararg is not None:
            rest = arguments[len(placed) :]
            pairs: list[tuple[Any, ast.AST]] = [(value, function.node) for value in rest]
            yield given.vararg.arg, Items(pairs, complete=not generic)
        if given.kwarg is not None:
            yield given.kwarg.arg, UNKNOWN

    def instance(self, kind: ClassValue, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Return an object of a class, with what its constructor puts into it."""
        made = Instance(kind, {})
        constructor = kind.member("__init__")
        if isinstance(constructor, Function) and "**" not in named:
            reader, self.reader = self.reader, None
            self.call_function(constructor, [made, *arguments], named)
            self.reader = reader
            self._only_set_in(made, constructor)
            return made
        names = list(kind.fields())
        made.attributes.update(zip(names, arguments, strict=False))
        made.attributes.update((name, value) for name, value in named.items() if name in names)
        for name in names:
            if name not in made.attributes:
                made.attributes[name] = UNKNOWN if kind.member(name) is None else kind.member(name)
        return made

    def _only_set_in(self, made: Instance, constructor: Function) -> None:
        """Forget the attributes that other methods set as well."""
        for kind in made.kind.line():
            for member in kind.node.body:
                if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)) and member is not constructor.node:
                    for name in _attributes_set(member):
                        if name in made.attributes:
                            made.attributes[name] = UNKNOWN

    def _let_go(self, value: Any) -> None:
        """Note that a value went where it is not followed."""
        if isinstance(value, (Context, Inputs, InputsMethod)) and self.reader is not None:
            self.reader.escaped()
        elif isinstance(value, (Items, Record)) and self.reader is None:
            pass
        elif isinstance(value, (Items, Record)):
            inner = value.fields.values() if isinstance(value, Record) else (item for item, _ in value.pairs)
            for each in inner:
                self._let_go(each)

    _statements: ClassVar[dict[type[ast.AST], Callable[[Any, Frame, Any], None]]] = {
        ast.Import: _import,
        ast.ImportFrom: _import,
        ast.FunctionDef: _define,
        ast.AsyncFunctionDef: _define,
        ast.ClassDef: _class,
        ast.Assign: _assign,
        ast.AnnAssign: _assign,
        ast.AugAssign: _augment,
        ast.If: _if,
        ast.Match: _match,
        ast.For: _for,
        ast.AsyncFor: _for,
        ast.While: _while,
        ast.With: _with,
        ast.AsyncWith: _with,
        ast.Try: _try,
        ast.TryStar: _try,
        ast.Return: _return,
        ast.Delete: _delete,
        ast.Expr: _expression,
    }

    _expressions: ClassVar[dict[type[ast.AST], Callable[[Any, Frame, Any], Any]]] = {
        ast.Constant: _constant,
        ast.Name: _name,
        ast.Tuple: _items,
        ast.List: _items,
        ast.Set: _items,
        ast.Dict: _dict,
        ast.Attribute: _attribute,
        ast.Subscript: _subscript,
        ast.BoolOp: _boolean,
        ast.UnaryOp: _not,
        ast.Compare: _compare,
        ast.IfExp: _either,
        ast.BinOp: _binary_operation,
        ast.JoinedStr: _text,
        ast.Await: _awaited,
        ast.NamedExpr: _walrus,
        ast.Lambda: _lambda,
        ast.ListComp: _comprehension,
        ast.SetComp: _comprehension,
        ast.GeneratorExp: _comprehension,
        ast.DictComp: _comprehension,
        ast.Yield: _yield,
        ast.Call: _call,
    }


def is_ours(value: Any, name: str) -> bool:
    """Return whether a value is a name of core, wherever in it that was imported from."""
    if not isinstance(value, External):
        return False
    parts = value.name.split(".")
    return parts[0] in OURS and parts[-1] == name


def truth_of(value: Any) -> bool | None:
    """Return whether a value is true, or None if that is not known."""
    if isinstance(value, Constant):
        return bool(value.value)
    if isinstance(value, Items) and value.complete:
        return bool(value.pairs)
    return None


_BUILDERS = frozenset({"Pipeline", "stage", "with_stage", "from_stages", "compose", "StageSpec"})
_mentioning: dict[ast.AST, bool] = {}


def mentions_builder(node: ast.AST) -> bool:
    """Return whether code names anything that makes stages or pipelines."""
    known = _mentioning.get(node)
    if known is None:
        names = (
            each.id if isinstance(each, ast.Name) else each.attr
            for each in ast.walk(node)
            if isinstance(each, (ast.Name, ast.Attribute))
        )
        known = _mentioning[node] = any(name in _BUILDERS for name in names)
    return known


def _is_short(node: ast.AST) -> bool:
    """Return whether a function only returns something, as one that makes a name does."""
    body = [node.body] if isinstance(node, ast.Lambda) else getattr(node, "body", [])
    return len(body) <= 2 and not isinstance(node, ast.AsyncFunctionDef)


def _attributes_set(node: ast.AST) -> set[str]:
    return {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, (ast.Store, ast.Del))
    }


def _leaves(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], (ast.Return, ast.Raise, ast.Continue, ast.Break))


def _output(made_by: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    if made_by != "ok":
        return Output(made_by, None)
    fields = {name: value for name, value in named.items() if name not in ("version", "data")}
    data = arguments[0] if arguments else named.get("data")
    if data is None:
        return Output("ok", Record(fields, complete="**" not in named))
    if isinstance(data, Record):
        return Output("ok", Record({**data.fields, **fields}, data.complete and "**" not in named))
    return Output("ok", data)


_SEQUENCES = frozenset({"builtins.tuple", "builtins.list", "builtins.set", "builtins.frozenset", "builtins.sorted"})

_TRANSPARENT_DECORATORS = frozenset({"override", "final", "staticmethod", "classmethod", "cache", "lru_cache", "wraps"})
