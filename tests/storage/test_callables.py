"""Functions of the user's own, by the file or module that they stand in."""

import pickle
import sys

import pytest

from gseg.storage.callables import load_callable

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
    with pytest.raises(RuntimeError) as caught:
        load_callable(f"{tmp_path / 'mine.py'}:make")
    assert str(caught.value) not in sys.modules
