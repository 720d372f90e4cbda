"""The command itself: help, version, plug-in commands, exit codes of what goes wrong."""

import io
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import stageflow
from cli.test_targets import offer
from stageflow.cli.commands import BUILT_IN, find
from stageflow.cli.entry import _is_closed_pipe

SOURCE = Path(stageflow.__file__).parent.parent

PLUG_IN = '''
"""Greet somebody, loudly."""
from stageflow.errors import CommandError

def configure(parser):
    parser.add_argument("name")

def run(options):
    if options.name == "nobody":
        raise CommandError("There is nobody to greet.", hint="Name somebody.")
    if options.name == "defect":
        raise ValueError("a defect\\nof two lines")
    if options.name == "pipe":
        raise BrokenPipeError("the socket")
    print(f"HELLO {options.name}")
    return 7 if options.name == "seven" else None
'''


@pytest.fixture
def plugged(cli, monkeypatch):
    """A command line with commands of another distribution, some of which are broken."""
    cli.write(acme_greet=PLUG_IN, acme_broken="raise RuntimeError('broken\\nplug-in')\n", acme_empty="x = 1\n")
    points = {
        "greet": "acme_greet",
        "broken": "acme_broken",
        "gone": "acme_gone",
        "empty": "acme_empty",
        "run": "acme_greet",
    }
    offer(cli.folder, "stageflow.cli", **points)
    monkeypatch.syspath_prepend(str(cli.folder))
    return cli


def test_help_lists_the_commands(cli):
    """On stdout and with code 0 if it was asked for; without a command it is an error of usage."""
    ended = cli("--help")
    assert (0, "") == (ended.code, ended.err)
    assert all(f"  {name} " in ended.out for name in BUILT_IN)
    assert (0, ended.out) == (cli("-h").code, cli("-h").out)
    assert (2, ended.out) == (cli().code, cli().out)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_command_has_help_of_its_own(cli, name, capsys):
    """It begins with what the command is called."""
    with pytest.raises(SystemExit) as ended:
        cli(name, "--help")
    assert (0, True) == (ended.value.code, capsys.readouterr().out.startswith(f"usage: stageflow {name}"))


def test_the_version_is_that_of_the_distribution(cli):
    """A word and the number."""
    assert f"stageflow {version('stageflow-core')}\n" == cli("--version").out == cli("-V").out


def test_unknown_commands_and_options_are_one_line(cli):
    """With what may have been meant."""
    ended = cli("rnu", "x")
    assert (2, "") == (ended.code, ended.out)
    assert "stageflow: There is no command 'rnu'. Did you mean 'run'? Commands: " in ended.line
    assert "The first argument is a command, not '--nope'." in cli("--nope").line


def test_wrong_arguments_end_with_two(cli):
    """As argparse has it."""
    with pytest.raises(SystemExit) as ended:
        cli("graph", "x:y", "--format", "png")
    assert 2 == ended.value.code


def test_a_command_of_another_package_is_listed_and_called(plugged):
    """It is listed without being loaded; its exit code is that of the process."""
    ended = plugged("--help")
    assert any(line.split() == ["greet", "from", "acme-tools"] for line in ended.out.splitlines())
    assert "stageflow: the command 'run' of acme-tools is left out: it has the name of one of core" == ended.line
    assert "acme_greet" not in sys.modules
    assert (0, "HELLO Ada\n", "") == tuple(vars(plugged("greet", "Ada")).values())
    assert 7 == plugged("greet", "seven").code


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("broken",), 2, "The command 'broken' of acme-tools cannot be loaded: RuntimeError: broken plug-in"),
        (("gone",), 2, "The command 'gone' of acme-tools cannot be loaded: ModuleNotFoundError: "),
        (("empty",), 2, "The command 'empty' of acme-tools has no configure and no run: acme_empty should be a module"),
        (("greet", "nobody"), 2, "There is nobody to greet. Name somebody."),
        (("greet", "defect"), 70, "The command 'greet' of acme-tools failed: ValueError: a defect of two lines"),
        (("greet", "pipe"), 70, "A pipe was closed by whoever read it: the socket"),
    ],
)
def test_a_broken_command_is_one_line(plugged, arguments, code, said):
    """Whatever is wrong with it, the others work, and there is no traceback."""
    ended = plugged(*arguments)
    assert (code, "") == (ended.code, ended.out)
    assert ended.line.startswith(f"stageflow: {said}")
    assert 0 == plugged("greet", "Ada").code


def test_the_traceback_of_a_broken_command_is_shown_where_it_is_asked_for(plugged):
    """It leads into the plug-in."""
    ended = plugged("broken", "--traceback")
    assert "acme_broken.py" in ended.err
    assert ended.err.splitlines()[-1].startswith("stageflow: The command 'broken'")


def test_of_two_commands_with_one_name_neither_is_taken(plugged):
    """Which of the two would else depend on the order of folders."""
    info = plugged.folder / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stageflow.cli]\ngreet = acme_empty\n")
    ended = plugged("greet", "Ada")
    assert 2 == ended.code
    assert "the command 'greet' is left out: it is offered more than once, by " in ended.line
    assert "greet" not in plugged("--help").out


def test_built_in_commands_have_the_shape_of_plug_ins():
    """What is documented for others is what core itself does."""
    for name in BUILT_IN:
        command, package = find(name)
        assert (True, True, None) == (callable(command.configure), callable(command.run), package)
        assert command.__doc__


def process(*arguments, cwd=None, check=b""):
    """Run Python with our source alone, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, check=False)
    assert check in done.stderr
    return done


def test_help_loads_no_command_and_no_metadata_unless_there_are_plug_ins(cli):
    """That is what keeps it fast: what a command needs is imported when it is called."""
    code = (
        "import sys; from stageflow.cli import main;"
        "sys.path[:] = [each for each in sys.path if 'site-packages' not in each];"
        "before = set(sys.modules); main(['--help']);"
        "print(sorted(name for name in set(sys.modules) - before), file=sys.stderr)"
    )
    assert b"[]" == process("-c", code, cwd=cli.folder).stderr.strip()


def test_the_module_is_the_command(cli):
    """`python -m stageflow` needs no script to be installed."""
    done = process("-m", "stageflow", "--version", cwd=cli.folder)
    assert (0, True) == (done.returncode, done.stdout.startswith(b"stageflow "))


def test_a_pipe_is_closed_when_its_reader_has_gone():
    """Which of several pipes broke cannot be told from the error."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        before = _is_closed_pipe(stream)
        os.close(reading)
        assert (False, True) == (before, _is_closed_pipe(stream))
    assert not _is_closed_pipe(io.StringIO())
