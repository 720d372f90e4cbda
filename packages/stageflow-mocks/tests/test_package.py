"""The package's surface, and what it says when the extra is missing."""

import subprocess
import sys

import stageflow_mocks

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
    assert sorted(stageflow_mocks.__all__) == stageflow_mocks.__all__
    assert all(hasattr(stageflow_mocks, name) for name in stageflow_mocks.__all__)
    assert set(stageflow_mocks.__all__) <= set(dir(stageflow_mocks))


def test_unknown_name_is_an_attribute_error() -> None:
    """The lazy look-up does not make up names."""
    assert not hasattr(stageflow_mocks, "GrokServer")


def test_import_needs_no_extra() -> None:
    """Without starlette and uvicorn the package imports, and GroqServer says which line to type."""
    done = _run_without(
        "'starlette', 'uvicorn'",
        "import stageflow_mocks\nstageflow_mocks.RateLimited()\ntry:\n    stageflow_mocks.GroqServer\n"
        "except ImportError as error:\n    print(error)",
    )
    assert done.stderr == ""
    assert 'pip install "stageflow-mocks[server]"' in done.stdout


def test_groq_server_needs_all_of_its_extra() -> None:
    """Without what reads forms GroqServer says which line to type, and not when the first form comes in."""
    ask = "import stageflow_mocks\ntry:\n    stageflow_mocks.GroqServer\nexcept ImportError as error:\n    print(error)"
    done = _run_without("'python_multipart',", ask)
    assert done.stderr == ""
    assert 'pip install "stageflow-mocks[server]"' in done.stdout


def test_mock_auth_needs_its_extra_alone() -> None:
    """Without joserfc what describes tokens imports, MockAuth says which line to type; it does without the servers."""
    ask = "try:\n    stageflow_mocks.{name}\nexcept ImportError as error:\n    print(error)"
    told = _run_without(
        "'joserfc',", "import stageflow_mocks\nstageflow_mocks.TOKEN_KINDS\n" + ask.format(name="MockAuth")
    )
    assert (told.stderr, told.stdout) == ("", 'MockAuth needs joserfc: pip install "stageflow-mocks[auth]"\n')
    done = _run_without(
        "'starlette', 'uvicorn'",
        "import stageflow_mocks\nstageflow_mocks.MockAuth(algorithm='ES256').token()\n"
        + ask.format(name="MockAuthServer"),
    )
    assert done.stderr == ""
    assert 'pip install "stageflow-mocks[server]"' in done.stdout


def test_cassettes_need_their_extra_alone() -> None:
    """Without httpx their errors can be had, and Cassette says which line to type."""
    ask = "try:\n    stageflow_mocks.Cassette\nexcept ImportError as error:\n    print(error)"
    told = _run_without("'httpx',", "import stageflow_mocks\nstageflow_mocks.UnknownRequestError\n" + ask)
    assert (told.stderr, told.stdout) == ("", 'Cassettes need httpx: pip install "stageflow-mocks[cassettes]"\n')


def test_import_is_light() -> None:
    """Importing the package imports neither a web framework nor cryptography nor httpx."""
    heavy = "('starlette', 'uvicorn', 'joserfc', 'httpx')"
    code = f"import sys, stageflow_mocks; print([name in sys.modules for name in {heavy}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[False, False, False, False]\n"


def test_mocks_of_providers_are_imported_when_they_are_asked_for() -> None:
    """Whoever wants a fault for a server does not load what a language model is asked."""
    code = (
        "import sys, stageflow_mocks\n"
        "print([name for name in sys.modules if name.startswith('stageflow_mocks.providers')])\n"
        "from stageflow_mocks import MockLLM\nprint(MockLLM('x'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n<MockLLM 'mock-llm', 0 calls>\n"
