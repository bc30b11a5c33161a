"""Help: what it shows, and that it is there at once."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from gseg.cli import _COMMANDS, gseg_app, main
from gseg.commands.app import App

_PROGRAM = """
import contextlib, io, sys
from gseg.cli import main
for command in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        assert main([*command.split(), "--help"]) == 0, command
    assert "Usage: gseg" in shown.getvalue(), command
    heavy = {"torch", "ray", "scipy", "cv2", "matplotlib"} & set(sys.modules)
    assert not heavy, (command, heavy)
"""

_SCRIPT = """
import contextlib, io, runpy, sys
sys.argv = [sys.argv[1], "--help"]
with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
    runpy.run_path(sys.argv[0], run_name="__main__")
assert "--preset" in shown.getvalue()
heavy = {"torch", "ray", "scipy", "cv2", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


def python(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def apps(app: App, name: str) -> Iterator[tuple[str, App]]:
    """Give a command, and the commands of it."""
    yield name, app
    for inner in app:
        if not inner.startswith("-"):
            yield from apps(app[inner], f"{name} {inner}")


def test_help_loads_no_heavy_library() -> None:
    named = [name for command in _COMMANDS for name, _ in apps(gseg_app(command)[command], command)]
    assert {"samples draw", "run", "search", "all-gans"} <= set(named)
    python("-c", _PROGRAM, "", "run table_7", *named)


@pytest.mark.parametrize("script", ["all_gans", "paper", "search"])
def test_help_of_scripts_loads_no_heavy_library(script: str) -> None:
    path = Path(__file__).parents[2] / "sweeps" / f"{script}.py"
    python("-c", _SCRIPT, str(path))


def test_module_and_version() -> None:
    assert python("-m", "gseg", "--version") == f"{version('gseg')}\n"


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    for name, app in apps(gseg_app(command)[command], command):
        if app.default_command is None:
            assert app.help, name
            continue
        for argument in app.assemble_argument_collection(parse_docstring=True):
            if argument.show and argument.parse:
                assert argument.parameter.help, f"{name} {argument.name}"


def test_first_help_shows_a_part_and_help_all_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for words in ("fid --help", "fid --help-all"):
        assert main(words.split()) == 0
        shown.append(capsys.readouterr().out)
    assert ["--alpha" in text for text in shown] == [False, True]
    assert all("--reference" in text and "PICTURES" in text for text in shown)
    assert "[default: scenes]" in shown[0]
