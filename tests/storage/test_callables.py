"""Functions of the user's own, by the file or module that they stand in."""

import os
import pickle
import sys

import pytest

from gseg.storage.callables import absolute_callable, callable_digest, load_callable
from gseg.storage.checksums import file_digest

FILE = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Kept:
    value: str = {value!r}

def make() -> Kept:
    return Kept()
"""


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path):
    made = []
    for value in ("here", "there"):
        folder = tmp_path / value
        folder.mkdir()
        (folder / "mine.py").write_text(FILE.format(value=value))
        made.append(load_callable(f"{folder / 'mine.py'}:make")())
    assert [each.value for each in made] == ["here", "there"]
    again = pickle.loads(pickle.dumps(made))  # looks the classes up in their modules
    assert [type(each) for each in again] == [type(each) for each in made]


def test_a_file_whose_import_fails_leaves_no_module(tmp_path):
    (tmp_path / "mine.py").write_text("raise RuntimeError(__name__)")
    with pytest.raises(ValueError, match="RuntimeError: gseg_own_mine") as caught:
        load_callable(f"{tmp_path / 'mine.py'}:make")
    assert str(caught.value.__cause__) not in sys.modules


@pytest.fixture
def two_folders(tmp_path, monkeypatch):
    """Two files of one name, each with a module of one name beside it, and a program's own."""
    monkeypatch.setitem(sys.modules, "parts_of_it", pytest)
    for value in ("A", "B"):
        package = tmp_path / value / "more_of_it"
        package.mkdir(parents=True)
        (package / "last.py").write_text(f"LAST = {value!r}\n")
        (tmp_path / value / "parts_of_it.py").write_text(
            f"from more_of_it import last\nVALUE = {value!r} + last.LAST\n"
        )
        (tmp_path / value / "mine.py").write_text(
            "import parts_of_it\n"
            "def early():\n    return parts_of_it.VALUE\n"
            "def late():\n    import parts_of_it as now\n    return now is parts_of_it, now.VALUE\n"
        )
    return tmp_path


def test_each_file_has_the_modules_beside_it(two_folders):
    path, program = list(sys.path), sys.modules["parts_of_it"]
    for value in ("A", "B", "A"):
        name = f"{two_folders / value / 'mine.py'}"
        assert load_callable(f"{name}:early")() == value + value
        assert load_callable(f"{name}:late")() == (True, value + value)
    assert sys.path == path
    assert sys.modules["parts_of_it"] is program
    assert "more_of_it" not in sys.modules


def test_the_modules_beside_a_file_are_part_of_its_digest(two_folders):
    name = f"{two_folders / 'A' / 'mine.py'}:late"
    before = {callable_digest(name), file_digest(two_folders / "A" / "mine.py")}
    assert len(before) == 2
    for file in ("parts_of_it.py", "more_of_it/last.py"):
        changed = two_folders / "A" / file
        changed.write_text(changed.read_text() + "# changed\n")
        assert callable_digest(name) not in before
        before.add(callable_digest(name))
    (two_folders / "A" / "nobody_asks.py").touch()
    assert callable_digest(name) in before


def test_a_file_alone_keeps_its_digest(tmp_path):
    (tmp_path / "mine.py").write_text("import os, torch\nfrom gseg import storage\n")
    for beside in ("os.py", "gseg.py", "mine_too.py"):
        (tmp_path / beside).touch()
    assert callable_digest(f"{tmp_path}/mine.py:f") == file_digest(tmp_path / "mine.py")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def f(:\n", r"line 1.*SyntaxError"),
        ("def f():\n    return 1\0\n", "is no Python|SyntaxError"),
        ("import not_there_at_all\n", r"line 1 of .*mine\.py: ModuleNotFoundError: No module"),
        ("import sys\nsys.exit(3)\n", r"line 2 of .*mine\.py: SystemExit: 3"),
        ("def f():\n    return {}['x']\n", r"line 2 of .*mine\.py: KeyError: 'x'"),
        ("def f():\n    raise RuntimeError('a\\nb')\n", r"mine\.py: RuntimeError: a b$"),
        ("def f():\n    open('none.pt')\n", r"line 2 of .*FileNotFoundError.*none\.pt"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_place(tmp_path, code, told):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(ValueError, match=told) as caught:
        load_callable(f"{tmp_path}/mine.py:f")()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", ["MemoryError()", "ConnectionError('x')", "KeyboardInterrupt()"])
def test_what_is_no_mistake_stays_what_it_is(tmp_path, error):
    (tmp_path / "mine.py").write_text(f"def f():\n    raise {error}\n")
    with pytest.raises((MemoryError, ConnectionError, KeyboardInterrupt)):
        load_callable(f"{tmp_path}/mine.py:f")()


def test_one_file_has_one_name(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    names = {absolute_callable(f"{p}mine.py:f") for p in ("", "./", "../a/", f"{tmp_path}/a/")}
    assert names == {f"{os.path.normpath(tmp_path)}/a/mine.py:f"}
    assert absolute_callable("package.module:f") == "package.module:f"
