"""What README, docs and examples tell readers to type is what the command line understands."""

import ast
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from cyclopts.exceptions import CycloptsError, MissingArgumentError

from gseg.cli import _COMMANDS, gseg_app
from gseg.commands.app import App
from gseg.recipes.recipe import recipes

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "results").glob("README.md")),
    *sorted((ROOT / "results").glob("*/README.md")),
    *sorted(ROOT.glob("*.yaml")),
    *sorted((ROOT / "examples").rglob("*.*")),
]
SCRIPTS = {"all_gans": "all-gans", "paper": "run", "search": "search"}
"""The command that each script in ``sweeps/`` is."""
THEN = ("docs/recipes.md", "## Names of before")
"""Document and heading below which the commands of older versions stand."""
FOREIGN = {
    # of programs in benchmarks/
    *("--prepare", "--cpu-rehearsal", "--parts", "--shared", "--out", "--photographs"),
    "--all",  # .ci/run
    *("--generate", "--head", "--tmux", "--autoscaling-config", "--port"),  # ray
}
"""Options of other programs that text mentions."""
ENDS = {"|", ">", ">>", "<", "&&", ";", "&", "2>&1"}
PLACEHOLDERS = {"N": "4", "NAME": "table_7", "H": "1", "...": ""}
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
OURS = re.compile(r"(?:gseg|python -m gseg|(?:\.venv/bin/)?python sweeps/\w+\.py)(?: |$)")


def text(document: Path) -> str:
    told = document.read_text()
    if document == ROOT / THEN[0]:
        told = told.partition(THEN[1])[0]
    return told


def blocks(document: Path, *languages: str) -> Iterator[str]:
    """Give the code blocks of a document in these languages; all of a file that is none."""
    if document.suffix != ".md":
        yield re.sub(r"^ *# *", "", text(document), flags=re.MULTILINE)
        return
    for language, block in FENCED.findall(text(document)):
        if language in languages:
            yield textwrap.dedent(block)


def prose(document: Path) -> str:
    """Give a document without its code blocks."""
    return FENCED.sub("", text(document))


def commands(document: Path) -> Iterator[tuple[str, bool]]:
    """Find command lines; whether they stand in a block, where they have to be whole."""
    for block in blocks(document, "sh", "bash", ""):
        for line in re.sub(r"\\?\n *(?=--)|\\\n", " ", block).splitlines():
            for match in OURS.finditer(line):
                if match.start() == 0 or line[match.start() - 1] in " \"'(":
                    yield line[match.start() :], True
    for code in re.findall(r"`([^`]+)`", prose(document)) if document.suffix == ".md" else ():
        if OURS.match(code):
            yield " ".join(code.split()), False


def words_of(line: str) -> list[str]:
    """Take a line apart, up to where the shell's own words begin."""
    words = shlex.split(re.sub(r"[\"'].*", "", line.partition(" #")[0]), comments=True)
    end = next((place for place, word in enumerate(words) if word in ENDS), len(words))
    return [each for word in words[:end] if (each := PLACEHOLDERS.get(word, word))]


def parse(line: str) -> None:
    """Let the real command line read a line, without running it."""
    program, *words = words_of(line)
    if words[:2] == ["-m", "gseg"]:
        words = words[2:]
    elif program != "gseg":
        assert (ROOT / words[0]).is_file(), f"{words[0]} is not there"
        words[0] = SCRIPTS[Path(words[0]).stem]
    app = gseg_app(next(iter(words), ""))
    app.parse_args(words, exit_on_error=False, print_error=False)


DOCUMENTED = [
    pytest.param(*each, id=f"{document.name}: {each[0][:60]}")
    for document in DOCUMENTS
    for each in dict.fromkeys(commands(document))
]


def test_commands_are_found() -> None:
    lines = [str(each.values[0]) for each in DOCUMENTED]
    for part in ("sweeps/all_gans", "sweeps/paper.py table_7", "sweeps/search", "gseg segment"):
        assert any(part in line for line in lines), part
    assert len(lines) > 50


@pytest.mark.parametrize(("line", "whole"), DOCUMENTED)
def test_documented_commands_are_understood(line: str, whole: bool) -> None:
    try:
        parse(line)
    except MissingArgumentError:
        assert not whole, line  # text may name a command without all that it needs
    except CycloptsError as error:
        pytest.fail(f"{line}: {error}")


@pytest.mark.parametrize(
    "script", sorted((ROOT / "sweeps").glob("*.py")), ids=lambda each: each.stem
)
def test_scripts_of_sweeps_start(script: Path) -> None:
    done = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout
    assert script.stem in SCRIPTS


def names_of_options(app: App) -> Iterator[str]:
    for argument in app.assemble_argument_collection() if app.default_command else ():
        yield from argument.names
    for inner in app:
        if not inner.startswith("-"):
            yield from names_of_options(app[inner])


@cache
def options() -> frozenset[str]:
    """Names of all options of all commands."""
    found = {"--help", "--help-all", "--version", "--install-completion", "--list"}
    for name in _COMMANDS:
        found |= {*names_of_options(gseg_app(name)[name])}
    return frozenset(found)


@pytest.mark.parametrize(
    "document", [each for each in DOCUMENTS if each.suffix == ".md"], ids=lambda each: each.name
)
def test_options_in_text_exist(document: Path) -> None:
    named = {
        word
        for code in re.findall(r"`([^`]+)`", prose(document))
        for word in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)
    }
    assert named <= options() | FOREIGN, sorted(named - options() - FOREIGN)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: f"{each.parent.name}/{each.name}")
def test_modules_and_files_exist(document: Path) -> None:
    told = text(document)
    gone = [name for name in re.findall(r"\bgseg(?:\.[A-Za-z_]\w*)+", told) if not is_there(name)]
    paths = re.findall(r"`((?:gseg|tests|benchmarks|sweeps|docs|examples)/[\w./-]+)`", told)
    paths += re.findall(r"`(\w+(?:/\w+)*\.py)`", told)  # from the package's folder
    gone += [
        path for path in paths if not any((up / path).exists() for up in (ROOT, ROOT / "gseg"))
    ]
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", told) if document.suffix == ".md" else []
    gone += [link for link in links if not (document.parent / link).exists()]
    assert not gone, gone


def is_there(name: str) -> bool:
    """Say whether a dotted name is a module of gseg, or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_python_in_documents_imports_what_is_there() -> None:
    for document in DOCUMENTS:
        if document.suffix != ".md":
            continue
        for block in blocks(document, "python"):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gseg"):
                    for each in node.names:
                        assert is_there(f"{node.module}.{each.name}"), (document.name, each.name)


def test_every_recipe_is_in_the_documents() -> None:
    """Commands of older versions stand below a heading of their own."""
    told, _, after = (ROOT / THEN[0]).read_text().partition(THEN[1])
    assert "`--grid" in after
    told += (ROOT / "docs/adaptation.md").read_text() + (ROOT / "docs/directions.md").read_text()
    assert not [name for name in recipes() if name not in told]
