"""Writes missing dependencies into source code: `stageflow lint --fix`.

Only what has to change does: the expressions that hold the options are rewritten, everything else stays as it is, byte
by byte. This is the one module that needs libcst.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from stageflow.lint.findings import Declaration, Finding
from stageflow.lint.linter import lint
from stageflow.value import Value

try:
    import libcst as cst
    from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
except ImportError as error:
    raise ImportError(
        "`stageflow lint --fix` needs libcst, which is not installed: pip install 'stageflow-core[lint-fix]'"
    ) from error


class Fixed(Value):
    """What became of findings.

    Attributes:
        written: The files that were changed, each with how many dependencies were written into it.
        left: What is still wrong, for a person to mend.
        why: For those of them that lack a dependency, why it was not written.
    """

    __slots__ = ("left", "why", "written")

    written: dict[str, int]
    left: tuple[Finding, ...]
    why: dict[Finding, str]

    def __init__(self, written: dict[str, int], left: tuple[Finding, ...], why: dict[Finding, str]) -> None:
        object.__setattr__(self, "written", written)
        object.__setattr__(self, "left", left)
        object.__setattr__(self, "why", why)


def fix(targets: Iterable[str | Path]) -> Fixed:
    """Declare the missing dependencies in files, folders and pipelines, and return what is left.

    Raises:
        UnreadableSourceError: One of the files cannot be read or parsed.
        NoPipelineError: What was named is no pipeline.
    """
    asked = list(targets)
    findings = lint(asked)
    written: dict[str, int] = {}
    why: dict[str, str] = {}
    for path, declarations in _by_file(findings).items():
        place = Path(path)
        source = place.read_bytes()
        try:
            changed, count = fixed_source(source, declarations)
        except RecursionError:
            why[path] = "the file is nested too deeply"
            continue
        except cst.ParserSyntaxError as error:
            why[path] = f"libcst cannot read the file: {error.message}"
            continue
        if count:
            place.write_bytes(changed)
            written[path] = count
    left = tuple(lint(asked) if written else findings)
    lacking = [each for each in left if each.rule == "undeclared-read"]
    return Fixed(written, left, {each: each.obstacle or why.get(_file_of(each), _ODD) for each in lacking})


_ODD = "what declares it is written in a way that only a person can change"


def _file_of(finding: Finding) -> str:
    return finding.place.path if finding.declaration is None else finding.declaration.place.path


def _by_file(findings: Sequence[Finding]) -> dict[str, list[Declaration]]:
    """Return what is to be declared in each file, each dependency of a stage once."""
    files: dict[str, dict[Declaration, None]] = {}
    for each in findings:
        if each.declaration is not None:
            files.setdefault(each.declaration.place.path, {})[each.declaration] = None
    return {path: list(declarations) for path, declarations in files.items()}


def fixed_source(source: bytes, declarations: Sequence[Declaration]) -> tuple[bytes, int]:
    """Return a source with dependencies declared, and how many of them were."""
    writer = _Writer(declarations)
    module = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True).visit(writer)
    return module.bytes, writer.count


_Extent = tuple[int, int, int, int]


class _Writer(cst.CSTTransformer):
    """Writes declarations into the calls and decorators that they stand for."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, declarations: Sequence[Declaration]) -> None:
        super().__init__()
        self.count = 0
        self._wanted: dict[_Extent, list[Declaration]] = {}
        for each in declarations:
            at = each.place
            self._wanted.setdefault((at.line, at.column, at.end_line, at.end_column), []).append(each)

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:  # noqa: N802 - libcst's
        wanted = self._wanted_at(original_node)
        for option, names in _by_option(wanted).items():
            changed = _with_option(updated_node, option, names)
            if changed is not None:
                updated_node = changed
                self.count += len(names)
        return updated_node

    def leave_Decorator(self, original_node: cst.Decorator, updated_node: cst.Decorator) -> cst.Decorator:  # noqa: N802
        """Give options to a decorator that has none."""
        if isinstance(original_node.decorator, cst.Call):
            return updated_node
        wanted = self._wanted_at(original_node.decorator)
        if not wanted:
            return updated_node
        call = cst.Call(func=updated_node.decorator)
        for option, names in _by_option(wanted).items():
            call = _with_option(call, option, names) or call
            self.count += len(names)
        return updated_node.with_changes(decorator=call)

    def _wanted_at(self, node: cst.CSTNode) -> list[Declaration]:
        if not self._wanted:
            return []
        extent = cast("CodeRange", self.get_metadata(PositionProvider, node))
        start, end = extent.start, extent.end
        return self._wanted.get((start.line, start.column + 1, end.line, end.column + 1), [])


def _by_option(declarations: Sequence[Declaration]) -> dict[str, list[Declaration]]:
    found: dict[str, list[Declaration]] = {}
    for each in declarations:
        found.setdefault(each.option, []).append(each)
    return found


def _with_option(call: cst.Call, option: str, wanted: Sequence[Declaration]) -> cst.Call | None:
    """Return a call with names added to one of its options, or None if that cannot be done."""
    names = [each.stage for each in wanted]
    for place, argument in enumerate(call.args):
        if argument.keyword is not None and argument.keyword.value == option:
            value = _with_names(argument.value, wanted[0].shape, names)
            args = [*call.args]
            args[place] = argument.with_changes(value=value)
            return call.with_changes(args=args)
    return _with_argument(call, option, names)


def _with_argument(call: cst.Call, option: str, names: Sequence[str]) -> cst.Call:
    """Return a call with one keyword more, laid out as its last argument is."""
    value: cst.BaseExpression = _quoted(names[0])
    if len(names) > 1:
        value = cst.Tuple([cst.Element(_quoted(name)) for name in names])
    added = cst.Arg(
        keyword=cst.Name(option),
        value=value,
        equal=cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace("")),
    )
    if not call.args:
        return call.with_changes(args=[added])
    *before, last = call.args
    apart: cst.Comma = _between(call)
    if isinstance(last.comma, cst.Comma):
        # The comma that ends the call, with a comment that may follow it, ends the new argument now.
        closing = last.comma
        inner = closing.whitespace_after
        if _has_comment(inner) and isinstance(inner, cst.ParenthesizedWhitespace):
            apart = apart.with_changes(whitespace_after=_keeping_comment(apart.whitespace_after, inner))
            inner = inner.with_changes(first_line=cst.TrailingWhitespace())
        added = added.with_changes(comma=closing.with_changes(whitespace_after=inner))
        return call.with_changes(args=[*before, last.with_changes(comma=apart), added])
    after = last.whitespace_after_arg
    if _has_comment(after) and isinstance(after, cst.ParenthesizedWhitespace):
        apart = apart.with_changes(whitespace_after=_keeping_comment(apart.whitespace_after, after))
        after = after.with_changes(first_line=cst.TrailingWhitespace())
    moved = last.with_changes(comma=apart, whitespace_after_arg=cst.SimpleWhitespace(""))
    return call.with_changes(args=[*before, moved, added.with_changes(whitespace_after_arg=after)])


def _between(call: cst.Call) -> cst.Comma:
    """Return the comma that stands between two arguments: a new line if the arguments stand on lines of their own."""
    for argument in call.args[:-1]:
        after = argument.comma.whitespace_after if isinstance(argument.comma, cst.Comma) else None
        if isinstance(after, cst.ParenthesizedWhitespace):
            return cst.Comma(whitespace_after=_bare(after))
    first = call.whitespace_before_args
    if isinstance(first, cst.ParenthesizedWhitespace) and len(call.args) == 1:
        return cst.Comma(whitespace_after=_bare(first))
    return cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))


def _bare(space: cst.ParenthesizedWhitespace) -> cst.ParenthesizedWhitespace:
    """Return the space without its comments and empty lines."""
    return cst.ParenthesizedWhitespace(
        first_line=cst.TrailingWhitespace(newline=space.first_line.newline),
        indent=space.indent,
        last_line=space.last_line,
    )


def _has_comment(space: cst.BaseParenthesizableWhitespace) -> bool:
    return isinstance(space, cst.ParenthesizedWhitespace) and space.first_line.comment is not None


def _keeping_comment(
    space: cst.BaseParenthesizableWhitespace, comment: cst.ParenthesizedWhitespace
) -> cst.BaseParenthesizableWhitespace:
    """Return the space before a new argument with the comment that stood behind the one before it."""
    if isinstance(space, cst.ParenthesizedWhitespace):
        return space.with_changes(first_line=comment.first_line)
    return comment.with_changes(last_line=cst.SimpleWhitespace(""))


# --- values -----------------------------------------------------------------------------------------------------------


def _with_names(value: cst.BaseExpression, shape: str, names: Sequence[str]) -> cst.BaseExpression:
    """Return what an option holds with names added."""
    if isinstance(value, (cst.Tuple, cst.List, cst.Set)):
        return _with_elements(value, names)
    # `(first, "new")` of one name or handle, `(*several, "new")` of what holds more of them.
    held: cst.BaseElement = cst.Element(value) if shape == "one" else cst.StarredElement(value)
    return cst.Tuple([held, *(cst.Element(_quoted(name)) for name in names)])


_Sequence = cst.Tuple | cst.List | cst.Set


def _with_elements(value: _Sequence, names: Sequence[str]) -> cst.BaseExpression:
    """Return a tuple, list or set with names added, each laid out as those before it."""
    elements = [*value.elements]
    new = [cst.Element(_quoted(name)) for name in names]
    if not elements:
        single = isinstance(value, cst.Tuple) and len(new) == 1
        return value.with_changes(elements=[new[0].with_changes(comma=cst.Comma())] if single else new)
    space = _closing(value)
    apart = _between_elements(value)
    behind_last = apart
    if _has_comment(space) and isinstance(space, cst.ParenthesizedWhitespace):
        behind_last = _keeping_comment(apart, space)
        value = _closed_by(value, _bare(space))
    last = elements.pop()
    stays = isinstance(last.comma, cst.Comma) and (bool(elements) or isinstance(space, cst.ParenthesizedWhitespace))
    elements.append(last.with_changes(comma=cst.Comma(whitespace_after=behind_last)))
    elements += (each.with_changes(comma=cst.Comma(whitespace_after=apart)) for each in new[:-1])
    elements.append(new[-1].with_changes(comma=cst.Comma()) if stays else new[-1])
    return value.with_changes(elements=elements)


def _between_elements(value: _Sequence) -> cst.BaseParenthesizableWhitespace:
    """Return the space between elements: a new line if they stand on lines of their own."""
    for each in value.elements[:-1]:
        after = each.comma.whitespace_after if isinstance(each.comma, cst.Comma) else None
        if isinstance(after, cst.ParenthesizedWhitespace):
            return _bare(after)
    opening = _opening(value)
    if len(value.elements) == 1 and isinstance(opening, cst.ParenthesizedWhitespace):
        return _bare(opening)
    return cst.SimpleWhitespace(" ")


def _opening(value: _Sequence) -> cst.BaseParenthesizableWhitespace:
    """Return the space behind the bracket that opens it."""
    if isinstance(value, cst.List):
        return value.lbracket.whitespace_after
    if isinstance(value, cst.Set):
        return value.lbrace.whitespace_after
    return value.lpar[-1].whitespace_after if value.lpar else cst.SimpleWhitespace("")


def _closing(value: _Sequence) -> cst.BaseParenthesizableWhitespace:
    """Return the space before the bracket that closes it."""
    if isinstance(value, cst.List):
        return value.rbracket.whitespace_before
    if isinstance(value, cst.Set):
        return value.rbrace.whitespace_before
    return value.rpar[0].whitespace_before if value.rpar else cst.SimpleWhitespace("")


def _closed_by(value: _Sequence, space: cst.BaseParenthesizableWhitespace) -> _Sequence:
    """Return it with another space before the bracket that closes it."""
    if isinstance(value, cst.List):
        return value.with_changes(rbracket=value.rbracket.with_changes(whitespace_before=space))
    if isinstance(value, cst.Set):
        return value.with_changes(rbrace=value.rbrace.with_changes(whitespace_before=space))
    first, *others = value.rpar
    return value.with_changes(rpar=[first.with_changes(whitespace_before=space), *others])


def _quoted(name: str) -> cst.SimpleString:
    return cst.SimpleString(f'"{name}"')
