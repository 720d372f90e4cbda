"""A type that values are checked against, and made of JSON again."""

from __future__ import annotations

import enum
from abc import ABC
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import pydantic
import pytest
from stageflow.contracts import ContractMismatch
from stageflow.typed_json.writing import write
from stageflow.validation.contract import TypeContract, contract_for
from stageflow.validation.hints import UnresolvedContract


class Color(enum.Enum):
    RED = (1, 2)


class Name(str):
    __slots__ = ()


class Spot(NamedTuple):
    x: int


NAME, SPOT = Name("a"), Spot(1)


@dataclass
class Leaf:
    color: Color = Color.RED
    name: Name = NAME
    spot: Spot = SPOT


@dataclass
class Tree:
    leaf: Leaf | None = None
    more: list[Tree] = field(default_factory=list)
    note: Any = None


@dataclass
class Twig(Leaf):
    length: int = 0


@dataclass
class Tiny(Twig):
    pass


@dataclass
class Stranger:
    size: int = 0


class Size(enum.Enum):
    BIG = 1


@dataclass
class Cone:
    size: Size = Size.BIG


@dataclass
class Pine(Leaf):
    cone: Cone = field(default_factory=Cone)


class Plant(ABC):  # noqa: B024 - it stands for one with methods
    pass


class Grass(Plant):
    pass


@dataclass
class Reed(Grass):
    cone: Cone = field(default_factory=Cone)


@dataclass
class Garden:
    plant: Plant
    size: Literal[Size.BIG] = Size.BIG


T = TypeVar("T")


class Page(pydantic.BaseModel, Generic[T]):
    item: T


def contract(annotation: Any) -> TypeContract:
    """Return the contract of what has one."""
    found = contract_for(annotation)
    assert found is not None
    return found


@pytest.mark.parametrize("annotation", [Any, object, int | Any])
def test_what_takes_anything_is_no_contract(annotation: Any) -> None:
    """There is nothing to check."""
    assert None is contract_for(annotation)


def test_a_contract_has_a_name() -> None:
    """By which errors call it."""
    assert ("list[Leaf] or None", "<contract list[Leaf] or None>") == (
        contract(list[Leaf] | None).name,
        repr(contract(list[Leaf] | None)),
    )


def test_a_value_that_contains_itself_is_refused() -> None:
    """A check ends."""
    value = Tree()
    value.more.append(value)
    with pytest.raises(
        ContractMismatch, match="is a Tree that is nested too deep, or contains itself; expected Tree"
    ) as caught:
        contract(Tree).check(value)
    assert "$" == caught.value.path


def test_a_subclass_that_cannot_be_resolved_is_refused_with_the_way_out() -> None:
    """It is met when a value of it comes, and not before."""

    @dataclass
    class Unknown(Leaf):
        more: Nowhere | None = None  # type: ignore[name-defined] # noqa: F821

    with pytest.raises(ContractMismatch) as caught:
        contract(Leaf).check(Unknown())
    assert "the fields of Unknown cannot be resolved" in str(caught.value.hint)
    assert "outside `if TYPE_CHECKING:`" in str(caught.value.hint)
    with pytest.raises(UnresolvedContract):
        contract(Unknown)


@dataclass
class Login:
    user: str = ""
    password: int = 0
    keys: dict[str, pydantic.SecretStr] = field(default_factory=dict)
    limit: int = 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Login(password="swordfish"), "$.password is a str; expected int."),  # type: ignore[arg-type]
        (Login(keys={"groq": "swordfish"}), "$.keys.groq is a str; expected SecretStr."),  # type: ignore[dict-item]
        (Login(user=5), "$.user is an int (5); expected str."),  # type: ignore[arg-type]
        (Login(limit="many"), "$.limit is a str ('many'); expected int."),  # type: ignore[arg-type]
    ],
)
def test_what_may_be_secret_is_not_shown(value: Login, text: str) -> None:
    """By its name or by its type: a message goes to logs and into events."""
    with pytest.raises(ContractMismatch) as caught:
        contract(Login).check(value)
    assert text == str(caught.value)


def test_what_may_be_secret_is_not_shown_of_json_either() -> None:
    """Where the text is no member of its enum, say."""
    with pytest.raises(ContractMismatch) as caught:
        contract(Login | Leaf).revive(
            {"user": "", "password": "swordfish", "keys": {}, "limit": 0},
            {"of": f"{__name__}.Login", "fields": {"password": f"{__name__}.Color"}},
        )
    assert "$.password is a str; expected" in str(caught.value)
    assert "swordfish" not in f"{caught.value} {caught.value.hint}"


def revived(annotation: Any, value: Any) -> Any:
    """Return the value after it was JSON."""
    return contract(annotation).revive(*write(value, "$"))


@pytest.mark.parametrize(
    "value",
    [Tree(), Tree(Leaf(), [Tree(), Tree(Leaf())]), Tree(Twig(length=3)), Tree(Tiny()), Tree(note=[Leaf(), Spot(2)])],
)
def test_the_types_that_a_contract_mentions_are_made_again(value: Tree) -> None:
    """At any depth, and their subclasses, wherever they stand."""
    back = revived(Tree, value)
    assert value == back
    assert type(value.leaf) is type(back.leaf)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Leaf, Pine()),
        (Tree, Tree(Pine())),
        (Garden, Garden(Reed())),
        (Page[int], Page(item=1)),
        (Page[Stranger], Page[Stranger](item=Stranger(2))),
    ],
)
def test_what_passes_the_check_is_made_again(annotation: Any, value: Any) -> None:
    """With what only a subclass mentions, below a base that has no fields, and an enum of which a Literal names one."""
    back = revived(annotation, value)
    assert value == back
    assert type(value) is type(back)


def test_a_type_that_a_contract_does_not_mention_is_not_made() -> None:
    """JSON does not decide which classes are called."""
    with pytest.raises(ContractMismatch) as caught:
        revived(Tree, Tree(note=Stranger()))
    assert f"$.note is a {__name__}.Stranger; expected a type that the contract mentions." == str(caught.value)
    assert Tree(note=Stranger()) == revived(Tree | Stranger, Tree(note=Stranger()))


class Client:
    def __init__(self, address: Any) -> None:
        raise AssertionError("called by JSON")


def test_a_class_that_is_no_contract_is_not_made() -> None:
    """Although the annotation mentions it: what was written is never one."""
    with pytest.raises(ContractMismatch, match="expected a type that the contract mentions"):
        contract(Leaf | Client).revive("127.0.0.1", f"{__name__}.Client")


def test_what_comes_of_json_is_checked() -> None:
    """It may have been changed, or the class."""
    with pytest.raises(ContractMismatch, match=r"^\$\.leaf\.color is a str \('RED'\); expected Color\.$"):
        contract(Tree).revive(
            {"leaf": {"color": "RED", "name": 5, "spot": None}, "more": [], "note": None},
            {"of": f"{__name__}.Tree", "fields": {"leaf": f"{__name__}.Leaf"}},
        )


def test_data_nested_too_deep_are_refused() -> None:
    """With an error of ours."""
    data: Any = {}
    kinds: Any = "dict"
    for _ in range(3000):
        data, kinds = [data], {"of": "list", "items": kinds}
    with pytest.raises(ContractMismatch, match="nested too deep"):
        contract(Tree).revive(data, kinds)


@pytest.mark.parametrize(("here", "there"), [("__main__", "app.models"), ("app.models", "__main__")])
def test_what_was_a_script_may_be_a_module(monkeypatch: pytest.MonkeyPatch, here: str, there: str) -> None:
    """The process that resumes is often started otherwise than the one that wrote."""
    data, kinds = write(Stranger(3), "$")
    assert f"{__name__}.Stranger" == kinds
    monkeypatch.setattr(Stranger, "__module__", here)
    assert Stranger(3) == contract(Stranger).revive(data, f"{there}.Stranger")
    with pytest.raises(ContractMismatch):
        contract(Stranger).revive(data, f"{there}.Other")


def test_of_two_classes_of_one_name_the_mentioned_one_is_made() -> None:
    """A class may be defined anew, with the old one still alive."""

    def define() -> type[Any]:
        @dataclass
        class Local(Leaf):
            pass

        return Local

    first, second = define(), define()
    assert type(revived(Leaf | first, first())) is first
    assert type(revived(Leaf | second, second())) is second
