"""Typed extensions of a snapshot: given, asked for, written, read."""

from __future__ import annotations

import asyncio
import enum
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow import (
    ContextSnapshot,
    ExtensionRegistry,
    Pipeline,
    PipelineResults,
    PipelineSuspended,
    StageContext,
    StageOutput,
    TypedExtension,
    stage,
)
from stageflow.errors import (
    DuplicateExtensionError,
    ExtensionMismatchError,
    InvalidExtensionTypeError,
    SerializationError,
    UnknownExtensionError,
)
from stageflow.extensions import default_registry


class Tier(enum.Enum):
    FREE = "free"
    PRO = "pro"


@dataclass(frozen=True)
class Limit:
    name: str
    per_minute: int = 60


@dataclass(frozen=True)
class Tenant(TypedExtension):
    key: ClassVar[str] = "tenant"

    plan: Tier
    seats: int = 1
    limits: tuple[Limit, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    since: datetime | None = None
    mode: Literal["test", "live"] = "live"

    def __post_init__(self) -> None:
        if self.seats < 1:
            raise ValueError(f"a tenant has a seat, not {self.seats}")


@dataclass(frozen=True)
class Plan:
    name: str


@dataclass
class Mutable:
    names: list[str] = field(default_factory=list)


class Keys(TypedDict):
    name: str


class Model(pydantic.BaseModel):
    name: str


class Struct(msgspec.Struct):
    name: str


TENANT = Tenant(Tier.PRO, 3, (Limit("chat"), Limit("voice", 5)), {"team": "a"}, datetime(2026, 3, 1, tzinfo=UTC))
PLAIN = {
    "plan": "pro",
    "seats": 3,
    "limits": [{"name": "chat", "per_minute": 60}, {"name": "voice", "per_minute": 5}],
    "labels": {"team": "a"},
    "since": "2026-03-01T00:00:00+00:00",
    "mode": "live",
}


@pytest.fixture(autouse=True)
def _unregistered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see what another one has registered."""
    monkeypatch.setattr(default_registry, "_types", {})


def through_json(snapshot: ContextSnapshot, **options: Any) -> ContextSnapshot:
    return ContextSnapshot.from_dict(json.loads(json.dumps(snapshot.to_dict())), **options)


@pytest.mark.parametrize("registered", [False, True], ids=["unregistered", "registered"])
@pytest.mark.parametrize("given", [TENANT, PLAIN], ids=["value", "mapping"])
def test_both_forms_give_the_value(given: Any, registered: bool) -> None:
    """A value is given back, a mapping made into one, whether or not the type is registered."""
    if registered:
        default_registry.register(Tenant)
    assert TENANT == ContextSnapshot(extensions={"tenant": given}).get_extension("tenant", Tenant)


def test_a_stage_reads_it() -> None:
    """As the run was given it."""

    @stage
    async def price(ctx: StageContext) -> dict[str, int]:
        return {"seats": ctx.snapshot.get_extension("tenant", Tenant).seats}

    pipeline = Pipeline("shop", [price])
    runs = [pipeline.run_sync(extensions={"tenant": given}) for given in (TENANT, PLAIN)]
    assert [3, 3] == [results.data("price")["seats"] for results in runs]


@pytest.mark.parametrize("kind", [Plan, Model, Struct, Mutable], ids=lambda kind: kind.__name__)
def test_any_class_with_fields_will_do(kind: Any) -> None:
    """A dataclass, a pydantic or a msgspec class need not know of extensions."""
    fields = {"names": ["a"]} if kind is Mutable else {"name": "a"}
    value = kind(**fields)
    snapshots = [ContextSnapshot(extensions={"plan": given}) for given in (value, fields)]
    assert [value, value] == [one.get_extension("plan", kind) for one in snapshots]


def test_a_typeddict_will_do() -> None:
    """It stays a mapping, that is checked."""
    snapshot = ContextSnapshot(extensions={"plan": {"name": "pro"}})
    assert {"name": "pro"} == snapshot.get_extension("plan", Keys)
    with pytest.raises(ExtensionMismatchError, match="no such key"):
        ContextSnapshot(extensions={"plan": {"name": "pro", "nmae": "x"}}).get_extension("plan", Keys)


def test_what_is_mutable_is_copied_for_each_reader() -> None:
    """A reader changes it for nobody else."""
    snapshot = ContextSnapshot(extensions={"m": Mutable(["a"])})
    snapshot.get_extension("m", Mutable).names.append("b")
    assert Mutable(["a"]) == snapshot.get_extension("m", Mutable)


def test_defaults_of_fields_count() -> None:
    """A mapping holds what differs from them."""
    snapshot = ContextSnapshot(extensions={"tenant": {"plan": "free"}})
    assert Tenant(Tier.FREE) == snapshot.get_extension("tenant", Tenant)


def test_an_unknown_key_is_told_with_the_nearest() -> None:
    """And with those that there are."""
    snapshot = ContextSnapshot(extensions={"tenant": TENANT, "trace": {}})
    with pytest.raises(UnknownExtensionError) as caught:
        snapshot.get_extension("tenat", Plan)
    assert "There is no extension 'tenat' in the snapshot. Did you mean 'tenant'? It has: tenant, trace." == str(
        caught.value
    )
    assert ("tenat", ("tenant", "trace")) == (caught.value.key, caught.value.known)


def test_a_default_stands_for_what_is_not_there() -> None:
    """Only for that: what is there is checked."""
    assert None is ContextSnapshot().get_extension("tenant", Tenant, None)
    with pytest.raises(ExtensionMismatchError):
        ContextSnapshot(extensions={"plan": 3}).get_extension("plan", Plan, None)


@pytest.mark.parametrize(
    ("given", "path", "expected", "found"),
    [
        ({}, "$.plan", "Tier", "missing"),
        ({"plan": "gold"}, "$.plan", "Tier", "a str ('gold')"),
        ({"plan": "pro", "seats": "3"}, "$.seats", "int", "a str ('3')"),
        ({"plan": "pro", "seats": True}, "$.seats", "int", "a bool (True)"),
        ({"plan": "pro", "seets": 3}, "$.seets", "no such key", "an int (3)"),
        ({"plan": "pro", "limits": [{"name": "a"}, {}]}, "$.limits[1].name", "str", "missing"),
        ({"plan": "pro", "labels": {"a": 1}}, "$.labels.a", "str", "an int (1)"),
        ({"plan": "pro", "mode": "dry"}, "$.mode", "'test' or 'live'", "a str ('dry')"),
        ({"plan": "pro", "since": "monday"}, "$.since", "datetime or None", "a str ('monday')"),
        ({"plan": "pro", "seats": 0}, "$", "Tenant", "what Tenant refuses"),
        (3, "$", "Tenant", "an int (3)"),
        (Plan("pro"), "$", "Tenant", "a Plan"),
    ],
)
def test_another_shape_is_told_with_its_path(given: Any, path: str, expected: str, found: str) -> None:
    """When it is asked for, and, for a type that is registered, when the snapshot is made."""
    snapshot = ContextSnapshot(extensions={"tenant": given})
    with pytest.raises(ExtensionMismatchError) as asked:
        snapshot.get_extension("tenant", Tenant)
    default_registry.register(Tenant)
    with pytest.raises(ExtensionMismatchError) as made:
        ContextSnapshot(extensions={"tenant": given})
    for error in (asked.value, made.value):
        assert ("tenant", "Tenant", path, expected, found) == (
            error.key,
            error.contract,
            error.path,
            error.expected,
            error.found,
        )


def test_a_value_that_its_class_did_not_check_is_checked() -> None:
    """A dataclass takes anything for its fields."""
    with pytest.raises(ExtensionMismatchError, match=r"at \$.seats: expected int"):
        ContextSnapshot(extensions={"tenant": Tenant(Tier.PRO, 1.5)})  # pyright: ignore[reportArgumentType]


def test_an_extension_stands_under_its_own_key() -> None:
    """Under another one nobody would find it, or somebody else would."""
    with pytest.raises(
        InvalidExtensionTypeError, match=r"it has the key 'tenant', not 'tenent'. Use it under 'tenant'"
    ):
        ContextSnapshot(extensions={"tenent": TENANT})
    with pytest.raises(InvalidExtensionTypeError, match="it has the key 'tenant', not 'plan'"):
        ContextSnapshot(extensions={"plan": PLAIN}).get_extension("plan", Tenant)


# --- types that cannot be one --------------------------------------------------------------------------------------


class NoDataclass(TypedExtension):
    key = "none"


@dataclass
class Changeable(TypedExtension):
    key: ClassVar[str] = "changeable"

    name: str


class ChangeableModel(TypedExtension, pydantic.BaseModel):
    key: ClassVar[str] = "model"

    name: str


class FrozenModel(TypedExtension, pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)

    key: ClassVar[str] = "model"

    name: str


class FrozenStruct(msgspec.Struct, TypedExtension, frozen=True):
    key: ClassVar[str] = "struct"

    name: str


@pytest.mark.parametrize("kind", [FrozenModel, FrozenStruct], ids=lambda kind: kind.__name__)
def test_it_need_not_be_a_dataclass(kind: Any) -> None:
    """A frozen class of pydantic or msgspec has a key in the same way."""
    registry = ExtensionRegistry()
    registry.register(kind)
    snapshot = ContextSnapshot(extensions={kind.key: kind(name="a")})
    assert kind(name="a") == through_json(snapshot, extensions=registry).extensions[kind.key]


class Inherits(Tenant):
    """Lost its decorator."""


@dataclass(frozen=True)
class WithLock(TypedExtension):
    key: ClassVar[str] = "lock"

    lock: asyncio.Lock


@dataclass(frozen=True)
class WithIntKeys:
    names: Mapping[int, str]


@dataclass(frozen=True)
class Deep:
    tenants: list[WithIntKeys]


@dataclass(frozen=True)
class Unresolved:
    name: Nowhere  # noqa: F821 # pyright: ignore[reportUndefinedVariable]


@dataclass(frozen=True)
class Keyless(TypedExtension):
    name: str


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (NoDataclass, r"has no fields. Put @dataclass\(frozen=True\) above it"),
        (Changeable, r"can be changed. Put @dataclass\(frozen=True\) above it"),
        (ChangeableModel, "can be changed. Make it frozen, as its library does that"),
        (Inherits, r"is no dataclass itself. Put @dataclass\(frozen=True\) above it"),
        (WithLock, "has a field 'lock' that cannot be JSON: Lock"),
        (WithIntKeys, "has a field 'names' that cannot be JSON: .*, whose keys are no texts"),
        (Deep, "has a field 'tenants' that cannot be JSON: .*, whose keys are no texts"),
        (Unresolved, "cannot be known: .* cannot be resolved"),
        (str, "str cannot be the type of an extension: it has no fields. It is a TypedExtension, or"),
        (dict[str, int], "has no fields"),
        ([], "has no fields"),
        (TENANT, "has no fields"),
    ],
)
def test_a_type_that_cannot_be_one_is_refused(kind: Any, says: str) -> None:
    """When it is registered, and when something is asked for as such, be it there or not."""
    with pytest.raises(InvalidExtensionTypeError, match=says):
        ExtensionRegistry().register(kind, key=getattr(kind, "key", "x"))
    with pytest.raises(InvalidExtensionTypeError, match=says):
        ContextSnapshot().get_extension("x", kind, None)


def test_a_type_without_a_key_needs_one() -> None:
    """Said by the class, or where it is registered."""
    for kind in (Plan, Keyless):
        with pytest.raises(InvalidExtensionTypeError, match=f"{kind.__name__} .* it has no key. Say it in the class"):
            ExtensionRegistry().register(kind)
    with pytest.raises(InvalidExtensionTypeError, match="has the key 3, which is no text"):
        ExtensionRegistry().register(Plan, key=3)  # pyright: ignore[reportCallIssue, reportArgumentType]


@pytest.mark.parametrize("key", ["", 3, None])
def test_a_class_with_a_bad_key_is_refused_where_it_is_written(key: Any) -> None:
    """At its `class` line, long before a run."""
    with pytest.raises(InvalidExtensionTypeError, match="which is no text"):
        type("Bad", (TypedExtension,), {"key": key})


# --- the registry --------------------------------------------------------------------------------------------------


def test_a_registry_knows_what_was_registered() -> None:
    """By a call or a decorator, with the key of the class or another."""
    registry = ExtensionRegistry()
    assert Tenant is registry.register(Tenant)
    assert Plan is registry.register(key="plan")(Plan)
    assert Model is registry.register(Model, "model")

    @registry.register
    @dataclass(frozen=True)
    class Trace(TypedExtension):
        key: ClassVar[str] = "trace"

        id: str

    assert (Tenant, Plan, Trace) == (registry.get("tenant"), registry.get("plan"), registry.get("trace"))
    assert ("tenant", "plan", "model", "trace") == registry.list() == tuple(registry)
    assert ("plan" in registry, "nothing" in registry, len(registry)) == (True, False, 4)
    assert "<ExtensionRegistry: tenant, plan, model, trace>" == repr(registry)


def test_a_miss_lists_what_there_is() -> None:
    """With the nearest key."""
    registry = ExtensionRegistry()
    registry.register(Tenant)
    with pytest.raises(UnknownExtensionError, match=r"in the registry. Did you mean 'tenant'\? It has: tenant."):
        registry.get("tenat")


def test_a_key_has_one_type() -> None:
    """Another one is refused, the same one again is not."""
    registry = ExtensionRegistry()
    registry.register(Plan, key="tenant")
    registry.register(Plan, key="tenant")
    with pytest.raises(DuplicateExtensionError) as caught:
        registry.register(Tenant)
    assert ("tenant", f"{__name__}.Plan", f"{__name__}.Tenant") == (
        caught.value.key,
        caught.value.registered,
        caught.value.refused,
    )
    assert Plan is registry.get("tenant")


def test_a_class_is_not_registered_under_another_key() -> None:
    """Its own would not find it."""
    with pytest.raises(InvalidExtensionTypeError, match="it has the key 'tenant', not 'plan'"):
        ExtensionRegistry().register(Tenant, key="plan")


# --- JSON ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [TENANT, PLAIN], ids=["value", "mapping"])
def test_a_registered_one_comes_back_exactly(given: Any) -> None:
    """However it was given, since it became a value when the snapshot was made."""
    default_registry.register(Tenant)
    snapshot = ContextSnapshot(extensions={"tenant": given, "other": {"a": [1]}})
    assert PLAIN == snapshot.to_dict()["extensions"]["tenant"] == TENANT.to_dict()
    again = through_json(snapshot)
    assert snapshot == again
    assert TENANT == again.extensions["tenant"]


def test_an_unregistered_one_comes_back_as_a_mapping() -> None:
    """Of which a value is made when it is asked for."""
    again = through_json(ContextSnapshot(extensions={"tenant": TENANT}))
    assert (PLAIN, TENANT) == (again.extensions["tenant"], again.get_extension("tenant", Tenant))


def test_a_registry_of_its_own_reads_it() -> None:
    """Without anything in the default one."""
    registry = ExtensionRegistry()
    registry.register(Tenant)
    snapshot = ContextSnapshot(extensions={"tenant": TENANT})
    assert snapshot == through_json(snapshot, extensions=registry)


@pytest.mark.parametrize(
    ("data", "path", "says"),
    [
        ({"plan": "pro", "limits": [{}]}, "$.extensions.tenant.limits[0].name", "expected str, found missing"),
        ({"plan": "gold"}, "$.extensions.tenant.plan", "expected Tier, found a str"),
        ([], "$.extensions.tenant", "expected Tenant, found a list"),
    ],
)
def test_a_malformed_one_is_found_when_it_is_read(data: Any, path: str, says: str) -> None:
    """With its path in the snapshot."""
    default_registry.register(Tenant)
    written = ContextSnapshot(extensions={"tenant": TENANT}).to_dict()
    written["extensions"]["tenant"] = data
    with pytest.raises(SerializationError, match=says) as caught:
        ContextSnapshot.from_dict(written)
    assert path == caught.value.path


def test_a_resumed_run_has_the_value() -> None:
    """What a suspended run was asked comes from JSON, typed again."""
    default_registry.register(Tenant)
    seen: list[Any] = []

    @stage
    async def ask(ctx: StageContext) -> Any:
        if ctx.decision is None:
            return StageOutput.suspend("well?")
        seen.append(ctx.snapshot.extensions["tenant"])
        return None

    pipeline = Pipeline("asks", [ask])
    with pytest.raises(PipelineSuspended) as caught:
        pipeline.run_sync(extensions={"tenant": PLAIN})
    stored = json.loads(json.dumps(caught.value.results.to_dict()))
    pipeline.run_sync(resume=PipelineResults.from_dict(stored), decisions={"ask": {"ok": True}})
    assert [TENANT] == seen

    stored["suspension"]["snapshot"]["extensions"]["tenant"]["seats"] = "many"
    with pytest.raises(SerializationError) as malformed:
        PipelineResults.from_dict(stored)
    assert "$.suspension.snapshot.extensions.tenant.seats" == malformed.value.path


@dataclass(frozen=True)
class Ambiguous:
    when: str | datetime


@dataclass(frozen=True)
class Anything:
    value: Any


@pytest.mark.parametrize(
    "value",
    [Ambiguous(datetime(2026, 3, 1, tzinfo=UTC)), Anything((1, 2)), Anything(Plan("pro"))],
    ids=["union", "tuple", "value"],
)
def test_what_would_come_back_as_something_else_is_not_written(value: Any) -> None:
    """An exact round trip, or an error with the path."""
    with pytest.raises(SerializationError, match="would come back from JSON as another one") as caught:
        ContextSnapshot(extensions={"x": value}).to_dict()
    assert "$.extensions.x" == caught.value.path


def test_what_is_no_json_at_all_is_not_written() -> None:
    """With its path."""
    with pytest.raises(SerializationError) as caught:
        ContextSnapshot(extensions={"x": Anything({"a": float("nan")})}).to_dict()
    assert "$.extensions.x.value.a" == caught.value.path


def test_a_subclass_of_a_registered_type_is_not_written_as_less() -> None:
    """It would come back as its base."""

    @dataclass(frozen=True)
    class Bigger(Tenant):
        more: int = 1

    default_registry.register(Tenant)
    snapshot = ContextSnapshot(extensions={"tenant": Bigger(Tier.PRO)})
    with pytest.raises(SerializationError, match="would not come back from JSON"):
        snapshot.to_dict()


@pytest.mark.parametrize("make", [pickle.dumps, lambda snapshot: pickle.dumps(snapshot.replace(input_text="x"))])
def test_it_survives_pickling_and_replacing(make: Callable[[ContextSnapshot], bytes]) -> None:
    """As the value that it is."""
    snapshot = ContextSnapshot(extensions={"tenant": TENANT})
    assert TENANT == pickle.loads(make(snapshot)).extensions["tenant"]


TENANTS = st.builds(
    Tenant,
    st.sampled_from(Tier),
    st.integers(1, 9),
    st.lists(st.builds(Limit, st.text(max_size=3), st.integers()), max_size=2).map(tuple),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.sampled_from(["test", "live"]),
)
REGISTRY = ExtensionRegistry()
REGISTRY.register(Tenant)


@given(TENANTS)
def test_any_extension_comes_back_from_json(tenant: Tenant) -> None:
    """Registered or not."""
    snapshot = ContextSnapshot(extensions={"tenant": tenant})
    assert snapshot == through_json(snapshot, extensions=REGISTRY)
    assert tenant == through_json(snapshot).get_extension("tenant", Tenant)
