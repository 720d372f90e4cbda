"""The ports of a run: what holds them, what it is to have none, and what it says of them."""

import copy
import pickle
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from stageflow import ContextSnapshot, Pipeline, PipelineContext, StageContext, StagePorts, stage
from stageflow.capabilities import NO_PORTS, PORTS, AudioPorts, CorePorts, LLMPorts, check_ports, given_ports
from stageflow.errors import MissingPortError, ProtocolMismatchError
from stageflow.protocols import NoOpEnrichmentProvider
from stageflow_mocks.simulation import simulated


class Model:
    """A model that says its name."""

    name = "echo"

    async def complete(self, request):
        """Say it."""
        return self.name

    async def stream(self, request):
        yield self.name

    def __eq__(self, other):
        return isinstance(other, Model)

    __hash__ = None


class Speech:
    """Hears and speaks."""

    name = "speech"

    async def transcribe(self, request):
        """Hear."""

    async def synthesize(self, request):
        """Speak."""

    async def stream(self, request):
        yield request


class CallLog:
    """Keeps nothing."""

    async def log_call_start(self, **details):
        """Note nothing."""

    async def log_call_end(self, call_id, **details):
        """Note nothing."""


GIVEN = {
    "call_logger": CallLog(),
    "enrichment": NoOpEnrichmentProvider(),
    "llm": Model(),
    "stt": Speech(),
    "tts": Speech(),
}


class Memory:
    """A port of the application's own."""


class OwnPorts(StagePorts):
    """Those of an application."""

    def __init__(self, memory=None, **ports):
        super().__init__(**ports)
        self._opened = False
        if memory is not None:
            self.memory = memory


def test_it_holds_what_it_is_given():
    """Each of those that stages agree on, by its name."""
    assert set(GIVEN) == set(PORTS)
    ports = StagePorts(**GIVEN)
    for name, port in GIVEN.items():
        assert getattr(ports, name) is port
    assert tuple(sorted(GIVEN)) == given_ports(ports)


def test_the_protocols_of_what_stages_need_name_all_of_them():
    """Each once."""
    named = [name for kind in (CorePorts, LLMPorts, AudioPorts) for name in vars(kind) if name in PORTS]
    assert sorted(PORTS) == sorted(named)


@pytest.mark.parametrize("name", PORTS)
def test_what_does_not_fit_is_refused_where_it_is_given(name):
    """By whichever way it is given."""
    with pytest.raises(ProtocolMismatchError) as caught:
        StagePorts(**{name: 5})
    assert (f"The port '{name}'", PORTS[name][1]) == (caught.value.what, caught.value.protocol)
    with pytest.raises(ProtocolMismatchError):
        OwnPorts(**{name: object()})
    with pytest.raises(ProtocolMismatchError):
        setattr(OwnPorts(), name, object())


@pytest.mark.parametrize("name", [*PORTS, "memory", "name"])
def test_what_was_not_given_is_absent(name):
    """It is a missing port to whoever reads it, and a missing attribute to whoever asks."""
    assert None is getattr(NO_PORTS, name, None)
    assert not hasattr(NO_PORTS, name)
    with pytest.raises(MissingPortError) as caught:
        getattr(StagePorts(llm=Model()) if name != "llm" else NO_PORTS, name)
    assert ("", name) == (caught.value.stage, caught.value.port)
    assert (("llm",) if name != "llm" else ()) == caught.value.given


def test_none_is_not_given():
    """As in a call that passes on what it may not have."""
    ports = StagePorts(llm=None, stt=Speech())
    assert ("stt",) == given_ports(ports)
    ports.llm = None
    assert not hasattr(ports, "llm")


def test_a_port_is_given_once():
    """Stages of one run all see the same."""
    ports = OwnPorts(memory=Memory(), llm=Model())
    for name in ("llm", "memory"):
        with pytest.raises(AttributeError, match=f"The port '{name}' has been given, and stays so: make another OwnP"):
            setattr(ports, name, Model())
        with pytest.raises(AttributeError, match=f"The port '{name}' stays"):
            delattr(ports, name)
    ports._opened = True
    del ports._opened


@pytest.mark.parametrize(
    ("ports", "name", "text"),
    [
        (
            StagePorts,
            "memory",
            "StagePorts takes no port 'memory'. It takes: call_logger, enrichment, llm, stt, tts. A p",
        ),
        (
            OwnPorts,
            "enrichmnt",
            "OwnPorts takes no port 'enrichmnt'. Did you mean 'enrichment'? It takes: call_logger, ",
        ),
    ],
)
def test_a_port_of_another_name_is_an_attribute_of_a_subclass(ports, name, text):
    """Who gives one by keyword is told what there is, and where others go."""
    with pytest.raises(TypeError) as caught:
        ports(**{name: Memory()})
    assert text in str(caught.value)
    assert "A port of your own is an attribute: set it in a subclass of StagePorts, or give run(" in str(caught.value)


class Named:
    """A model whose name can be anything."""

    complete = Model.complete
    stream = Model.stream

    def __init__(self, name):
        self.name = name


@pytest.mark.parametrize("name", [None, "", " ", 5])
def test_a_provider_has_a_name_that_can_be_told(name):
    """Logs and errors call it by that."""
    with pytest.raises(ProtocolMismatchError) as caught:
        StagePorts(llm=Named(name))
    expected = f"but a Named: its `name` is {name!r}; expected: `name: str`, a text that is not empty."
    assert str(caught.value).endswith(expected)
    with pytest.raises(ProtocolMismatchError, match="its `name` is"):
        check_ports("s", ("llm",), SimpleNamespace(llm=Named(name)))
    check_ports("s", ("llm",), SimpleNamespace(llm=Named("x")))


def test_a_private_name_is_no_port():
    """What copies and pickles asks for some."""
    with pytest.raises(AttributeError) as caught:
        NO_PORTS._anything  # noqa: B018
    assert AttributeError is type(caught.value)


def test_a_copy_is_the_same():
    """What it holds is live, and cannot be had twice."""
    ports = OwnPorts(memory=Memory(), llm=Model())
    assert copy.copy(ports) is ports
    assert copy.deepcopy({"ports": ports})["ports"] is ports
    assert copy.deepcopy(NO_PORTS) is NO_PORTS


def test_equal_ports_hold_the_same():
    """Under the same names, in objects of the same class."""
    one, other = OwnPorts(llm=Model()), OwnPorts(llm=Model())
    other._opened = True
    assert one == other
    assert hash(one) == hash(other)
    assert one != OwnPorts(memory=Memory(), llm=Model())
    assert one != StagePorts(llm=Model())
    assert StagePorts() == NO_PORTS
    assert one != "ports"


def test_what_can_be_pickled_survives_it():
    """A port decides for itself."""
    ports = pickle.loads(pickle.dumps(OwnPorts(memory="memory", llm=Model())))
    assert OwnPorts(memory="memory", llm=Model()) == ports
    assert pickle.loads(pickle.dumps(NO_PORTS)) == NO_PORTS
    with pytest.raises(AttributeError):
        ports.llm = Model()


def test_its_text_tells_no_secrets():
    """The repr of a client may hold its key."""

    class Client:
        def __repr__(self):
            return "Client(key='sk-123')"

    text = repr(OwnPorts(memory=Client(), llm=Model()))
    assert text.startswith("<OwnPorts llm: ")
    assert "Model, memory: " in text
    assert "sk-123" not in text
    assert "<StagePorts without ports>" == repr(NO_PORTS)


@dataclass
class DataPorts(StagePorts):
    memory: object
    llm: object


def test_a_dataclass_may_derive_from_it():
    """What it is given is checked as well."""
    ports = DataPorts("memory", Model())
    assert ("llm", "memory") == given_ports(ports)
    assert ("memory", "echo") == (ports.memory, ports.llm.name)
    with pytest.raises(ProtocolMismatchError):
        DataPorts("memory", 5)
    with pytest.raises(MissingPortError):
        ports.stt  # noqa: B018


class Slotted:
    __slots__ = ("llm", "memory")

    def __init__(self):
        self.memory = 1


class Tuple(NamedTuple):
    llm: object = None
    memory: object = 1


class Computed:
    stt = None
    tts = 5

    @property
    def memory(self):
        """Fail, if it is asked."""
        raise SystemError("asked")

    def close(self):
        """Be no port."""

    @staticmethod
    def open():
        """Be none either."""


@pytest.mark.parametrize(
    ("ports", "names"),
    [
        (None, ()),
        (object(), ()),
        (5, ()),
        (SimpleNamespace(b=1, a=2, _c=3, d=None), ("a", "b")),
        (Slotted(), ("memory",)),
        (Computed(), ("memory", "tts")),
        ({"b": 1, 5: 2, "a": None}, ("a", "b")),
        (Tuple(), ("llm", "memory")),
    ],
)
def test_what_an_object_has_is_found_without_asking_it(ports, names):
    """Methods are no ports, and properties are not called."""
    assert names == given_ports(ports)


def test_a_port_that_stages_agree_on_is_checked_for_them():
    """One that an object of the application's own gives."""
    check_ports("s", ("llm", "memory"), SimpleNamespace(llm=Model(), memory=0))
    check_ports("s", (), None)
    with pytest.raises(ProtocolMismatchError):
        check_ports("s", ("memory", "llm"), SimpleNamespace(llm=5, memory=0))


class Broken:
    """Ports of which one cannot be read."""

    @property
    def llm(self):
        return self._modle.client


class BrokenOfOurs(Broken, StagePorts):
    """The same, of which Python asks `__getattr__` as well."""


def test_a_port_of_ours_that_raises_an_attribute_error_is_not_told_of_as_absent():
    """Python then asks for it as for one that is not there."""
    with pytest.raises(AttributeError, match="_modle") as caught:
        check_ports("reply", ("llm",), BrokenOfOurs())
    assert AttributeError is type(caught.value)


def test_an_empty_slot_is_absent():
    """It is declared, and holds nothing."""
    with pytest.raises(MissingPortError, match="which its run was not given"):
        check_ports("s", ("llm",), Slotted())


@pytest.mark.parametrize("name", ["llm", "enrichment"])
def test_a_provider_given_in_place_of_ports_is_recognized(name):
    """Whichever port the stage needs."""
    with pytest.raises(MissingPortError) as caught:
        check_ports("s", (name,), Model())
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("What it was given as ports is an LLMProvider: write StagePorts(llm=...).")


@simulated
async def test_ports_enter_no_snapshot_and_no_json():
    """They are beside what a run was asked."""

    class Secret:
        def __repr__(self):
            return "sk-123"

    @stage
    async def look(ctx: StageContext):
        return {"snapshot": str(ctx.snapshot.to_dict())}

    snapshot = ContextSnapshot(input_text="hi")
    context = PipelineContext(snapshot=snapshot, ports=OwnPorts(memory=Secret()))
    results = await Pipeline("p", [look]).run(context)
    assert "ports" not in results.data(look)["snapshot"]
    assert "sk-123" not in str(results.to_dict())
    assert "sk-123" not in repr(context)
