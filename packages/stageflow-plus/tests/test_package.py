"""The package's surface, and what it says when the extra is missing."""

import subprocess
import sys

import stageflow_plus

_HIDE_AND_RUN = """
import sys
for name in ({hidden}):
    sys.modules[name] = None
{code}
"""


def _run_without(hidden: str, code: str) -> subprocess.CompletedProcess[str]:
    script = _HIDE_AND_RUN.format(hidden=hidden, code=code)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_every_listed_name_is_there() -> None:
    """`__all__` is sorted and complete, and each of its names can be had."""
    assert sorted(stageflow_plus.__all__) == stageflow_plus.__all__
    assert all(hasattr(stageflow_plus, name) for name in stageflow_plus.__all__)
    assert set(stageflow_plus.__all__) <= set(dir(stageflow_plus))


def test_unknown_name_is_an_attribute_error() -> None:
    """The lazy look-up does not make up names."""
    assert not hasattr(stageflow_plus, "GrokLLM")


def test_import_needs_no_extra() -> None:
    """Without the SDK the package imports, and GroqLLM says which line to type."""
    done = _run_without(
        "'groq', 'httpx'",
        "import stageflow_plus\nstageflow_plus.ChatStage()\ntry:\n    stageflow_plus.GroqLLM\n"
        "except ImportError as error:\n    print(error)",
    )
    assert done.stderr == ""
    assert 'pip install "stageflow-plus[groq]"' in done.stdout


def test_import_is_light() -> None:
    """Importing the package imports neither the SDK nor an HTTP client."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, stageflow_plus; print('groq' in sys.modules, 'httpx' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False False\n"
