"""Pipelines by name: what an application registers, and what distributions that are installed offer."""

import importlib
import pickle
import subprocess
import sys
import textwrap

import pytest
from stageflow import Pipeline, PipelineRegistry, StageGraph, stage
from stageflow.errors import (
    DuplicatePipelineError,
    EntryPointError,
    InvalidOptionError,
    NotAPipelineError,
    PipelineDiscoveryError,
    UnknownDependencyError,
    UnknownPipelineError,
)


@stage
async def only():
    return {"x": 1}


@stage
async def lost(nowhere: dict):
    raise NotImplementedError


CHAT = Pipeline("chat", [only])
VOICE = Pipeline("voice", [only]).build()


@pytest.fixture
def registry():
    registry = PipelineRegistry()
    registry.register("chat", CHAT)
    registry.register("voice", VOICE)
    return registry


# --- by hand --------------------------------------------------------------------------------------------------------


async def test_a_pipeline_is_found_by_its_name(registry):
    """As it was registered, ready to run."""
    assert registry.get("chat") is CHAT
    assert registry.get("voice") is VOICE
    assert (await registry.get("chat").run())["only"].data == {"x": 1}


def test_a_registry_is_a_collection_of_names(registry):
    """In the order in which they came."""
    assert registry.list() == list(registry) == ["chat", "voice"]
    assert ("chat" in registry, "nope" in registry, None in registry, [] in registry) == (True, False, False, False)
    assert (len(registry), repr(registry)) == (2, "<PipelineRegistry: chat, voice>")


def test_an_empty_registry_says_so():
    """It is false, and has no names."""
    registry = PipelineRegistry()
    assert (registry.list(), len(registry), repr(registry)) == ([], 0, "<PipelineRegistry: no pipelines>")
    with pytest.raises(UnknownPipelineError, match="Pipelines: none"):
        registry.get("chat")


def test_the_list_belongs_to_who_asked(registry):
    """To change it changes no registry; to register while one goes over it is fine."""
    registry.list().clear()
    for name in registry:
        registry.register(f"{name}_2", CHAT)
    assert registry.list() == ["chat", "voice", "chat_2", "voice_2"]


def test_registries_know_nothing_of_each_other(registry):
    """None is global."""
    assert "chat" not in PipelineRegistry()


@pytest.mark.parametrize("name", ["chta", 7, None, []])
def test_a_miss_lists_what_there_is(registry, name):
    """With the nearest name."""
    near = "Did you mean 'chat'[?] " if name == "chta" else ""
    with pytest.raises(UnknownPipelineError, match=f"{near}Pipelines: chat, voice[.]") as caught:
        registry.get(name)
    assert (caught.value.name, caught.value.names) == (name, ("chat", "voice"))


def test_a_duplicate_is_refused(registry):
    """Even of the same pipeline: somebody registers twice."""
    with pytest.raises(DuplicatePipelineError, match="'chat': from the application and from the application"):
        registry.register("chat", CHAT)
    assert registry.list() == ["chat", "voice"]


@pytest.mark.parametrize("name", ["", " chat", "9", "a b", "a/b", "../x", "é", "a\n", 7, None, b"chat"])
def test_a_bad_name_is_refused(registry, name):
    """It may stand in a path or a log."""
    with pytest.raises(InvalidOptionError, match=r"^name of a pipeline in a registry is letters"):
        registry.register(name, CHAT)


@pytest.mark.parametrize("name", ["a", "_", "chat-2", "acme.chat", "A_9"])
def test_a_good_name_is_taken(registry, name):
    """Dots part names of several distributions."""
    registry.register(name, CHAT)
    assert name in registry


@pytest.mark.parametrize("value", [None, "chat", only, lambda: CHAT, Pipeline, StageGraph, [CHAT]])
def test_what_is_no_pipeline_is_refused(registry, value):
    """When it is registered."""
    with pytest.raises(NotAPipelineError, match=r"^'new' should be a Pipeline or a StageGraph, and is "):
        registry.register("new", value)
    assert "new" not in registry


def test_a_pipeline_that_cannot_be_built_is_refused(registry):
    """Now, and not by the first request."""
    with pytest.raises(UnknownDependencyError):
        registry.register("new", Pipeline("new", [lost]))
    assert "new" not in registry


# --- of distributions ------------------------------------------------------------------------------------------------


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with one module, in a folder of its own."""
    modules = []

    def installed(name, points, source, *, group="stageflow.pipelines"):
        folder = tmp_path / name
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = "".join(f"{point} = {value}\n" for point, value in points)
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        head = "from stageflow import Pipeline, stage\n@stage\nasync def only():\n    return {'from': __name__}\n"
        (folder / f"{name}.py").write_text(head + textwrap.dedent(source))
        monkeypatch.syspath_prepend(folder)
        modules.append(name)
        importlib.invalidate_caches()

    yield installed
    for name in modules:
        sys.modules.pop(name, None)


ACME = """
    chat = Pipeline("chat", [only])
    graph = chat.build()
    calls = []
    def make():
        calls.append(1)
        return Pipeline("made", [only])
"""


def test_installed_pipelines_are_discovered(install):
    """A pipeline, a graph, and what a function returns."""
    install("acme", [("chat", "acme:chat"), ("voice", "acme:graph"), ("acme.made", "acme:make")], ACME)
    registry = PipelineRegistry()
    assert sorted(registry.discover()) == sorted(registry) == ["acme.made", "chat", "voice"]
    assert isinstance(registry.get("voice"), StageGraph)
    assert registry.get("acme.made").run_sync()["only"].data == {"from": "acme"}


def test_other_groups_are_left_alone(install):
    """They are somebody else's."""
    install("acme", [("chat", "acme:chat")], ACME, group="stageflow.cli")
    assert PipelineRegistry().discover() == ()


def test_to_discover_twice_is_harmless(install):
    """What is there stays, and is not made again; what has been installed since is added."""
    install("acme", [("made", "acme:make")], ACME)
    registry = PipelineRegistry()
    assert registry.discover() == ("made",)
    made = registry.get("made")
    assert registry.discover() == ()
    assert registry.get("made") is made
    assert len(sys.modules["acme"].calls) == 1
    install("other", [("chat", "other:it")], "it = Pipeline('it', [only])")
    assert registry.discover() == ("chat",)


BROKEN = """
    chat = Pipeline("chat", [only])
    nothing = None
    number = 7
    @stage
    async def lost(nowhere: dict): ...
    wrong = Pipeline("wrong", [lost])
    def raises():
        raise ZeroDivisionError("by zero")
    def takes(it): ...
    def gives(): return "chat"
    async def later(): return chat
"""


@pytest.mark.parametrize(
    ("point", "value", "cause", "text"),
    [
        ("bad", "broken:missing", AttributeError, "missing"),
        ("bad", "not_installed:it", ModuleNotFoundError, "not_installed"),
        ("bad", "broken:number", NotAPipelineError, "and is 7"),
        ("bad", "broken:nothing", NotAPipelineError, "and is None"),
        ("bad", "broken:Pipeline", NotAPipelineError, "It is the class"),
        ("bad", "broken:raises", ZeroDivisionError, "by zero"),
        ("bad", "broken:takes", TypeError, "missing 1 required positional argument: 'it'"),
        ("bad", "broken:gives", NotAPipelineError, "and is 'chat'"),
        ("bad", "broken:later", NotAPipelineError, "make it a plain one"),
        ("bad", "broken:wrong", UnknownDependencyError, "nowhere"),
        ("bad name", "broken:chat", InvalidOptionError, "begins with a letter"),
    ],
)
def test_an_entry_point_that_fails_is_named_and_hides_no_other(install, point, value, cause, text):
    """By the error: the distribution, the entry point and why. The others are there."""
    install("broken", [(point, value), ("good", "broken:chat")], BROKEN)
    registry = PipelineRegistry()
    with pytest.raises(PipelineDiscoveryError, match=r"Registered: good[.] Left out:\n  1[.] ") as caught:
        registry.discover()
    (failure,) = caught.value.failures
    assert isinstance(failure, EntryPointError)
    assert (failure.name, failure.value, failure.distribution) == (point, value, "broken")
    assert isinstance(failure.__cause__, cause)
    assert text in str(failure)
    assert str(failure) in str(caught.value)
    assert caught.value.registered == ("good",)
    assert registry.list() == ["good"]


def test_one_error_tells_of_all_that_failed(install):
    """From several distributions; and it survives pickling."""
    install("broken", [("a", "broken:number"), ("b", "broken:raises")], BROKEN)
    install("worse", [("c", "worse:it")], "raise SyntaxError('no')")
    with pytest.raises(PipelineDiscoveryError) as caught:
        PipelineRegistry().discover()
    assert sorted(failure.name for failure in caught.value.failures) == ["a", "b", "c"]
    copy = pickle.loads(pickle.dumps(caught.value))
    assert [str(failure) for failure in copy.failures] == [str(failure) for failure in caught.value.failures]
    assert {type(failure.__cause__) for failure in copy.failures} >= {ZeroDivisionError, SyntaxError}


def test_what_failed_is_tried_again(install):
    """By the next call: the service that it asked may be there now."""
    install("late", [("it", "late:it")], "it = None")
    registry = PipelineRegistry()
    with pytest.raises(PipelineDiscoveryError):
        registry.discover()
    sys.modules["late"].it = CHAT
    assert registry.discover() == ("it",)


def test_two_distributions_with_one_name_are_both_refused(install):
    """Which of them came first in a path is not for chance to say."""
    install("acme", [("chat", "acme:chat"), ("voice", "acme:graph")], ACME)
    install("other", [("chat", "other:it")], "it = Pipeline('it', [only])")
    registry = PipelineRegistry()
    with pytest.raises(PipelineDiscoveryError) as caught:
        registry.discover()
    (failure,) = caught.value.failures
    assert isinstance(failure, DuplicatePipelineError)
    assert sorted(failure.sources) == ["acme (acme:chat)", "other (other:it)"]
    assert registry.list() == ["voice"]


def test_a_name_that_the_application_has_is_kept_from_a_distribution(install):
    """With both named."""
    install("acme", [("chat", "acme:chat")], ACME)
    registry = PipelineRegistry()
    registry.register("chat", CHAT)
    with pytest.raises(PipelineDiscoveryError) as caught:
        registry.discover()
    (failure,) = caught.value.failures
    assert isinstance(failure, DuplicatePipelineError)
    assert failure.sources == ("the application", "acme (acme:chat)")
    assert registry.get("chat") is CHAT
    assert "acme" not in sys.modules


def test_a_second_distribution_does_not_take_a_name_that_is_there(install):
    """It came later, and is told of."""
    install("acme", [("chat", "acme:chat")], ACME)
    registry = PipelineRegistry()
    registry.discover()
    install("other", [("chat", "other:it")], "it = Pipeline('it', [only])")
    with pytest.raises(PipelineDiscoveryError) as caught:
        registry.discover()
    assert sorted(caught.value.failures[0].sources) == ["acme (acme:chat)", "other (other:it)"]
    assert registry.get("chat") is sys.modules["acme"].chat


def test_an_interrupt_is_no_failure_of_a_distribution(install):
    """It goes on to whoever pressed the key for it."""
    install("acme", [("chat", "acme:make")], "def make(): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        PipelineRegistry().discover()


def test_a_script_that_ends_ends_no_discovery(install):
    """A module that was made to be started, and calls sys.exit, is one that failed; the next one is there."""
    install("acme", [("chat", "acme:chat")], "import sys; sys.exit(2)")
    install("zeta", [("voice", "zeta:chat")], ACME)
    registry = PipelineRegistry()
    with pytest.raises(PipelineDiscoveryError) as caught:
        registry.discover()
    (failure,) = caught.value.failures
    assert ("chat", SystemExit) == (failure.name, type(failure.__cause__))
    assert ["voice"] == registry.list()


def test_importing_stageflow_does_not_import_what_discovers():
    """It would cost every program a tenth of the time that stageflow takes."""
    code = "import sys, stageflow; print([n for n in ('importlib.metadata', 'email', 'json') if n in sys.modules])"
    told = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
