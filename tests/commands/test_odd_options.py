"""Odd values of every option of every command: no trace, one line, or what was asked for."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cyclopts import App

from gseg.cli import gseg_app, main
from gseg.picture_files import encode_png
from gseg.scenes.pictures import render

# What each command is given beside the odd word: little work, so that the word is reached.
BASES = {
    "generators": "--kind embedded",
    "generators fetch": "acgan.tinyimagenet64 --weights folder",
    "benchmarks": "",
    "benchmarks verify": "folder",
    "samples draw": "analytic.ellipses32 --count 2 --direction absent",
    "samples show": "folder",
    "samples export": "folder --out out",
    "embed": "folder --encoder own.py:f --size 8 --out out.npy",
    "directions choose": "analytic.ellipses32 --out out --count 2 --pictures 2 --device cuda",
    "segment": "folder/0.png --out out --strip strip.png",
    "fid": "folder --reference statistics.npz",
    "curves": "folder",
    "scenes": "out --count 2",
    "choose": "folder",
    "report": "folder",
    "published": "--out out",
    "run": "table_2 --dry-run --preset smoke --generators analytic.ellipses32",
    "search": "--dry-run --preset smoke --generators analytic.ellipses32 --space epsilon=1,2",
    "storage": "",
    "all-gans": "--dry-run --preset smoke --generators analytic.ellipses32",
}
ODD = (
    *("", " ", "0", "-1", "-0.5", "1.5", "nan", "inf", "-inf", "99999999999999999999", "1e400"),
    *(
        "x",
        "-",
        "~",
        "none",
        "None",
        "[]",
        "{}",
        "a\nb",
        "\x00",
        "\udcff",
        "ü",
        "scenes:",
        "folder:",
    ),
    *("scenes:99999999999999999999", "folder:absent", ":", "::", "a.py:f", "=", "9" * 5000),
)
RAY = ("--actors", "--address")  # which would start one
CASES_IN_CI = 60


def commands(app: App, name: str = "") -> Iterator[tuple[str, App]]:
    if app.default_command is not None and name:
        yield name, app
    for word in app:
        if not word.startswith("-"):
            yield from commands(app[word], f"{name} {word}".strip())


def cases() -> list[tuple[str, str, str]]:
    """Combine every option with every odd word."""
    return [
        (name, argument.name, word)
        for name, app in commands(gseg_app())
        for argument in app.assemble_argument_collection()
        if argument.parse and argument.name.startswith("--") and argument.name not in RAY
        for word in ("true",) * (argument.hint is bool) or ODD
    ]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSEG_WEIGHTS", "")
    monkeypatch.delenv("GSEG_BENCHMARKS", raising=False)
    Path("folder").mkdir()
    for number, picture in enumerate(render(range(3), resolution=32).pictures):
        Path(f"folder/{number}.png").write_bytes(encode_png(picture))
    Path("own.py").write_text("def f(pictures): return pictures.mean((2, 3))")
    np.savez("statistics.npz", mu=np.zeros(64), sigma=np.eye(64))


def attempt(capsys: pytest.CaptureFixture[str], name: str, option: str, word: str) -> None:
    base = BASES[name].split()
    if option in base:  # given once
        at = base.index(option)
        del base[at : at + 2]
    status = main([*name.split(), *base, f"{option}={word}"])
    said = capsys.readouterr().err
    assert status in (0, 1, 2)
    assert status != 2 or (said.count("\n") == 1 and len(said) < 1200), said
    assert "Traceback" not in said


def test_every_command_has_a_line() -> None:
    assert {name for name, _ in commands(gseg_app())} == set(BASES)


@pytest.mark.parametrize(("name", "option", "word"), random.Random(0).sample(cases(), CASES_IN_CI))
def test_an_odd_word_is_no_trace(
    name: str, option: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt(capsys, name, option, word)


@pytest.mark.parametrize(
    ("name", "option", "word"),
    [
        ("fid", "--count", "0"),
        ("fid", "--resolution", "-3"),
        ("run", "--benchmark", "scenes:99999999999999999999"),
        ("run", "--labelled", "scenes:99999999999999999999"),
        ("run", "--data-size", "100000000000000000000"),
        ("run", "--seeds", "9223372036854775808"),
        ("all-gans", "--gpus-per-trial", "nan"),
        ("run", "--epsilon", "nan"),
        ("run", "--contrast-weight", "inf"),
        ("samples draw", "--seed", "9223372036854775808"),
        ("samples draw", "--address", "here:99999999999999999999"),
        ("scenes", "--resolution", "1000000"),
    ],
)
def test_words_that_were_traces_are_refused(
    name: str, option: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = BASES[name].split()
    assert main([*name.split(), *base, f"{option}={word}"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert word in said.err
