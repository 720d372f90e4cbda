"""Names of a package that are loaded when they are first asked for."""

from __future__ import annotations

import importlib
import pickle
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
import stageflow

PACKAGE = """
from stageflow.lazy_names import names_from

__getattr__, __dir__ = names_from(__name__, {"shop.tea": ("Cup", "POT"), "shop.shut": ("Door",)})
OPEN = True
"""

TEA = """
import shop

shop.loads = getattr(shop, "loads", 0) + 1
POT = object()

class Cup:
    pass
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A package with lazy names, of which one is in a module that cannot be imported."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, text in (("__init__", PACKAGE), ("tea", TEA), ("shut", "import no_such_module"), ("cake", "SLICES = 8")):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("shop")
    for name in ("shop", "shop.tea", "shop.shut", "shop.cake"):
        sys.modules.pop(name, None)


def test_a_name_is_loaded_when_it_is_asked_for(shop: ModuleType) -> None:
    """Not before, and once."""
    assert "shop.tea" not in sys.modules
    cup = shop.Cup
    assert "Cup" in vars(shop)
    assert shop.Cup is cup is sys.modules["shop.tea"].Cup
    assert 1 == shop.loads


def test_all_names_are_listed(shop: ModuleType) -> None:
    """Those that are there and those that are not yet, each once and in order."""
    listed = dir(shop)
    assert {"Cup", "POT", "Door", "OPEN"} <= set(listed)
    assert sorted(set(listed)) == listed
    assert "Cup" not in vars(shop)


def test_an_unknown_name_is_an_attribute_error(shop: ModuleType) -> None:
    """It says what Python says of any module, and has what the interpreter finds the nearest name with."""
    with pytest.raises(AttributeError, match=r"^module 'shop' has no attribute 'Cups'$") as caught:
        _ = shop.Cups
    assert ("Cups", shop) == (caught.value.name, caught.value.obj)
    assert not hasattr(shop, "__wrapped__")


def test_an_unknown_name_cannot_be_imported(shop: ModuleType) -> None:
    """`from shop import Cups` fails as it does for any module; one that is a module is found."""
    with pytest.raises(ImportError, match="cannot import name 'Cups' from 'shop'"):
        exec("from shop import Cups", {})
    space: dict[str, ModuleType] = {}
    exec("from shop import cake", space)
    assert 8 == space["cake"].SLICES


def test_what_cannot_be_loaded_says_why(shop: ModuleType) -> None:
    """It is no missing attribute: the error of the import comes out, each time."""
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            _ = shop.Door


def test_threads_that_ask_at_once_get_the_same(shop: ModuleType) -> None:
    """The module is loaded once, whoever comes first."""
    start = threading.Barrier(8)

    def ask(_: int) -> object:
        start.wait()
        return shop.POT

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ask, range(8)))
    assert (1, 1) == (len(found), shop.loads)


def test_a_name_can_be_replaced_and_put_back(shop: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a test does it, whether or not it was loaded before."""
    with monkeypatch.context() as patch:
        patch.setattr(shop, "POT", 3)
        assert 3 == shop.POT
    assert shop.POT is sys.modules["shop.tea"].POT


def test_what_is_loaded_later_can_be_pickled() -> None:
    """A class is pickled by its home, and a pickle that names the package is read all the same."""
    for name in stageflow.__all__:
        value = getattr(stageflow, name)
        if isinstance(value, type):
            assert pickle.loads(pickle.dumps(value)) is value
            assert pickle.loads(f"cstageflow\n{name}\n.".encode()) is value
