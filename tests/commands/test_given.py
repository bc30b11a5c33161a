"""What was typed: nothing is taken and ignored, and no word is taken that cannot be meant."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cyclopts import App

from gseg.cli import gseg_app, main
from gseg.commands.given import rules_of, typed

SWEEP = "run table_2 --dry-run"
SEARCH = "search --dry-run --space epsilon=1,2"
PAPER = "run voynov_table_5 --preset paper --labeller own.py:f --embeddings e.npy --dry-run"
FID = "fid folder --reference folder"
# A command line in which an option would have no effect, for each that needs something.
IDLE = {
    ("generators", "--weights"): "generators --kind embedded --weights .",
    ("embed", "--skip-bad"): "embed scenes:3 --encoder x --out x.npy --skip-bad",
    ("directions choose", "--steps"): "directions choose ggan.scenes32 --out o --steps 5",
    ("directions choose", "--layer"): "directions choose ggan.scenes32 --out o --layer x",
    ("segment", "--columns"): "segment a.png --out o --columns 8",
    ("segment", "--truth"): "segment a.png --out o --truth t",
    ("segment", "--mask-coding"): "segment a.png --out o --mask-coding alpha",
    ("fid", "--seed"): f"{FID} --seed 0",
    ("fid", "--count"): f"{FID} --count 10",
    ("fid", "--truncation"): "fid ggan.scenes32 --embeddings e.npy --truncation 1",
    ("fid", "--classes"): "fid ggan.scenes32 --embeddings e.npy --classes 1",
    ("fid", "--embeddings"): f"{FID} --embeddings e.npy",
    ("fid", "--alpha"): "fid ggan.scenes32 --alpha 0",
    ("fid", "--resolution"): "fid a.npz --reference b.npz --resolution 32",
    ("fid", "--device"): "fid a.npz --reference b.npz --device cpu",
    ("fid", "--actors"): "fid a.npz --reference b.npz --actors 2",
    ("fid", "--address"): "fid a.npz --reference b.npz --address auto",
    ("report", "--benchmark"): "report results --benchmark folder:x",
    ("storage", "--yes"): "storage --yes",
    ("run", "--cpus"): f"{SWEEP} --address auto --cpus 2",
    ("run", "--actors"): f"{SWEEP} --placement process --actors 2",
    ("run", "--min-actors"): f"{SWEEP} --placement process --min-actors 2",
    ("run", "--nearest-candidates"): f"{SWEEP} --nearest-candidates 5",
    ("run", "--nearest-features"): f"{SWEEP} --nearest-features scenes",
    ("run", "--labelled-count"): f"{SWEEP} --labelled-count 5",
    ("run", "--labelled-weight"): f"{SWEEP} --labelled-weight 0.5",
    ("run", "--class-weights"): f"{SWEEP} --class-weights 1 1",
    ("run", "--skip-bad"): f"{SWEEP} --skip-bad --benchmark scenes:5",
    ("search", "--asha-grace"): f"{SEARCH} --asha-grace 25",
    ("search", "--asha-factor"): f"{SEARCH} --asha-factor 2",
    ("search", "--random-first"): f"{SEARCH} --sampler random --random-first 5",
    ("search", "--search-seed"): f"{SEARCH} --sampler grid --search-seed 0",
    ("search", "--choose"): f"{SEARCH} --objective iou --use-labels --choose",
    ("search", "--use-labels"): f"{SEARCH} --use-labels",
    ("search", "--tensorboard"): f"{SEARCH} --tensorboard t",
    ("search", "--labeller"): f"{SEARCH} --labeller a.py:f",
}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("own.py").write_text("def f(pictures): return pictures[:, 0] > 0")
    np.save("e.npy", np.zeros((3, 64), dtype=np.float32))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Give the one line that a mistake costs."""
    assert main(words) == 2, words
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    return said.err


def commands(app: App | None = None, name: str = "") -> Iterator[tuple[str, App]]:
    """Walk over all commands and subcommands."""
    app = app or gseg_app()
    if app.default_command is not None and name:
        yield name, app
    for word in app:
        if not word.startswith("-"):
            yield from commands(app[word], f"{name} {word}".strip())


COMMANDS = dict(commands())


def options_of(name: str) -> set[str]:
    return {each.name for each in COMMANDS[name].assemble_argument_collection() if each.parse}


def test_every_rule_is_of_options_that_there_are_and_has_a_case() -> None:
    ruled = {
        (name, option)
        for name, app in COMMANDS.items()
        for rule in rules_of(app.default_command)
        for option in rule.options
    }
    assert len(ruled) > 30
    for name, option in ruled:
        assert option in options_of(name), (name, option)
    # Sweeps and searches share theirs.
    shared = {option for name, option in ruled if name == "all-gans"}
    assert ruled - {(n, o) for n in ("all-gans", "search") for o in shared} == set(IDLE)


@pytest.mark.parametrize(("command", "option"), IDLE)
def test_an_option_without_effect_is_refused(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, *IDLE[command, option].split())
    assert re.search(rf"{option}\b.* (has|have) no effect .*: leave (it|them) out", line)
    assert not Path("storage").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            f"{SWEEP} --candidates pca",
            "--candidates pca has no effect on table_2: leave it out, or",
        ),
        (f"{SWEEP} --candidates random", "add --direction voynov2021"),
        (f"{PAPER} --filters gseg", "--filters gseg has no effect on voynov_table_5"),
        ("run table_2 strips --dry-run --mask-kind both", "no effect on strips"),
        ("run --list --epsilon 1", "--epsilon has no effect with --list"),
        ("run --epsilon 1", "NAMES is missing"),
        ("search --dry-run --space epsilon=1,2 --candidates pca", "--candidates pca has no effect"),
        ("search --dry-run --space epsilon=1,2 --rules otsu", "--rules has no effect on a search"),
        ("run strips --dry-run --rules otsu", "--rules has no effect on strips"),
        ("search --dry-run --space candidates=pca,random", "candidates would vary, but changes"),
        ("search --dry-run --space epsilon=1,2 --epsilon 1", "--epsilon has no effect beside the"),
        (f"{SWEEP} --actors 1 --min-actors 5", "--min-actors 5 is more than --actors 1"),
        (f"{SWEEP} --seeds 0 --seeds 0", "--seeds: 0 is given twice"),
        (f"{SWEEP} --epsilon 1 1.0", "--epsilon: 1 is given twice"),
    ],
)
def test_what_would_be_ignored_is_refused(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, *words.split())
    assert not Path("storage").exists()


def test_lists_that_are_given_twice_are_joined(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--generators ggan.scenes32 --seeds 0 --epsilon 1 --seeds 1 2"
    assert main([*SWEEP.split(), *words.split()]) == 0
    assert "table_2: 9 trials" in capsys.readouterr().out
    assert typed() == {"NAMES", "--dry-run", "--generators", "--seeds", "--epsilon"}


def test_options_that_mean_something_to_one_of_several_are_obeyed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = "--direction optimised voynov2021 --candidates random --generators ggan.scenes32"
    assert main([*SWEEP.split(), *words.split()]) == 0
    assert "table_2: 4 trials" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"{SWEEP} --tensorboard file", "--tensorboard: file is a file, but a folder is to be"),
        (f"{SWEEP} --results file/x", "--results: file/x cannot be written: "),
        (f"{SWEEP} --storage dangling", "--storage: dangling is a link to nowhere"),
        ("samples draw ggan.scenes32 --count 1 --out file", "--out: file is a file"),
        ("samples show folder --out folder", "--out: expected a file name that ends in .png"),
        ("samples show folder --out folder.png", "--out: folder.png is a folder, but a file"),
        ("samples export folder --out file", "--out: file is a file"),
        ("curves folder --out file/x.png", "--out: file/x.png cannot be written"),
        ("report folder --out file", "--out: file is a file"),
        ("published --out file", "--out: file is a file"),
        ("scenes file --count 1", "OUT: file is a file"),
        ("segment a.png --out file", "--out: file is a file"),
        ("segment a.png --out o --strip strip.jpg", "expected a file name that ends in .png"),
        ("segment a.png --out o --strip a.png", "--strip a.png would replace one of the pictures"),
        ("segment a.png --out o --strip o/a.png", "--strip o/a.png would replace one of the"),
        (
            "segment a.png --out folder --strip s.png --truth folder",
            "--out folder would replace",
        ),
        ("embed scenes:1 --encoder x --out l.txt", "expected a file name that ends in .npy"),
        ("embed scenes:1 --encoder x --out file/l.npy", "--out: file/l.npy cannot be written"),
        ("directions choose ggan.scenes32 --out file", "--out: file is a file"),
        ("fid scenes --save stats", "--save: expected a file name that ends in .npz"),
        ("fid scenes --json folder", "--json: folder is a folder, but a file is to be written"),
        ("fid scenes --reference r.npz --save ./r.npz", "would replace --reference"),
        ("fid scenes --save r.npz --json r.npz", "--json r.npz would replace --save"),
        ("fid scenes --storage file", "--storage: file is a file"),
    ],
)
def test_what_cannot_be_written_is_said_before_any_work(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    Path("a.png").touch()
    Path("folder.png").mkdir()
    Path("dangling").symlink_to("nowhere")
    before = sorted(Path().rglob("*"))
    assert said in refused(capsys, *words.split())
    assert sorted(Path().rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_must_not_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").chmod(0o500)
    assert "no permission to write" in refused(capsys, "scenes", "folder/x", "--count", "1")


def test_a_home_is_one_in_every_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    assert main(["scenes", "~/set", "--count", "3"]) == 0
    assert len(list((home / "set" / "masks").iterdir())) == 3
    # As shells leave it: behind a sign of equality, and behind the kind of a name.
    assert main(["samples", "draw", "biggan.scenes32", "--count", "5", "--out=~/made"]) == 0
    assert main(["fid", "~/set/images", "--reference", "scenes", "--storage=~/made"]) == 0
    assert main([*SWEEP.split(), "--storage=~/made", "--benchmark", "folder:~/set"]) == 0
    assert main([*SWEEP.split(), "--labelled", "folder:~/set", "--labelled-count", "2"]) == 0
    capsys.readouterr()
    words = ["--labelled", "folder:~no-such-user/set"]
    assert "nobody's home is '~no-such-user'" in refused(capsys, *SWEEP.split(), *words)
    assert not Path("~").exists()


@pytest.mark.parametrize("word", ["--storage=", "--results=", "--tensorboard=", "--weights="])
def test_an_empty_path_is_not_the_folder_that_one_is_in(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "expected a path, got an empty word" in refused(capsys, *SWEEP.split(), word)
