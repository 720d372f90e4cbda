"""Run uv on this workspace with the arguments given: the uv on PATH if it is new enough, else one of the project's own.

The project's own goes to `.tools/`, so that nothing outside the checkout changes. pip fetches it, since pip is what a
machine with Python has, and with `--target`, since Debian's Python has pip but neither ensurepip nor a place that it
lets pip write to.
"""

import os
import re
import shutil
import ssl
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
OWN_UV = ROOT / ".tools" / "bin" / "uv"


def main() -> int:
    """Run uv, and end with its exit code."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    required = release(settings["required-version"])
    pin = next(pin for pin in settings["constraint-dependencies"] if pin.startswith("uv=="))
    uv = installed_uv(required) or fetched_uv(pin)
    return subprocess.run([uv, *sys.argv[1:]], env=uv_environment(), check=False).returncode


def release(text: str) -> tuple[int, ...]:
    """Return the first dotted number in `text`, as a tuple that compares."""
    match = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def installed_uv(required: tuple[int, ...]) -> str | None:
    """Return the first of PATH's uv and the project's own that runs and is at least `required`."""
    for candidate in (shutil.which("uv"), str(OWN_UV)):
        if candidate and Path(candidate).exists():
            answer = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
            # A version manager's shim answers with an error where its tool is not installed.
            if answer.returncode == 0 and release(answer.stdout) >= required:
                return candidate
    return None


def fetched_uv(pin: str) -> str:
    """Install `pin` into `.tools/` and return the path of its program."""
    say(f"Fetching {pin} into .tools/ ...")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    configuration = run_pip([*pip, "config", "list"], os.environ.copy())
    environment = os.environ | {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_ROOT_USER_ACTION": "ignore"}
    chosen = "cert=" in configuration or "REQUESTS_CA_BUNDLE" in os.environ or "CURL_CA_BUNDLE" in os.environ
    if not chosen:
        environment |= system_certificates()
    target = str(OWN_UV.parents[1])
    run_pip([*pip, "install", "--quiet", "--no-deps", "--upgrade", "--target", target, pin], environment)
    if not OWN_UV.exists():
        stop(f"pip installed {pin}, but there is no {OWN_UV.relative_to(ROOT)}: install uv yourself, then try again.")
    return str(OWN_UV)


def run_pip(command: list[str], environment: dict[str, str]) -> str:
    """Return what pip prints; if it fails, show that and stop."""
    # The caller's standard input belongs to the program that make runs next.
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        stop(f"pip could not fetch uv. Install pip for {sys.executable}, or put uv on PATH, then try again.")
    return done.stdout


def system_certificates() -> dict[str, str]:
    """Return pip's setting for the system's certificates; older pips trust only those that they bring themselves."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return {"PIP_CERT": paths.cafile}
    if paths.capath and any(Path(paths.capath).iterdir()):
        return {"PIP_CERT": paths.capath}
    return {}


def uv_environment() -> dict[str, str]:
    """Return the environment for uv: this Python, and the workspace's own `.venv`, whichever one is active."""
    environment = {name: value for name, value in os.environ.items() if name not in ("UV_PYTHON", "VIRTUAL_ENV")}
    environment["UV_PROJECT_ENVIRONMENT"] = str(ROOT / ".venv")
    # To `uv pip` it would name the environment to change, which is .venv, and not the Python to make one from.
    if sys.argv[1:2] != ["pip"]:
        environment["UV_PYTHON"] = sys.executable
    return environment


def say(message: str) -> None:
    """Tell the user something without touching the standard output, which may be a pipe."""
    print(message, file=sys.stderr, flush=True)


def stop(message: str) -> NoReturn:
    """End with `message` and a failure."""
    sys.exit(message)


if __name__ == "__main__":
    sys.exit(main())
