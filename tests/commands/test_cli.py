"""The command line: what users type, what they see, and what their mistakes cost."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gseg.cli import main
from gseg.generators import weights
from gseg.generators.catalogue import list_generators
from gseg.images import above_otsu
from gseg.mask_files import read_mask
from gseg.picture_files import encode_png, read_image
from gseg.scenes.pictures import HELD_OUT_FIRST, render
from gseg.scores.benchmarks import open_benchmark
from gseg.segmenters.checkpoint import Measurement
from gseg.segmenters.curves import curve_table
from gseg.segmenters.segment import segment_picture
from gseg.segmenters.segmenter import Ensemble, Segmenter
from gseg.segmenters.unet import UNet

SIDE = 32


def mistake(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Give the one line that a mistake costs."""
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSEG_WEIGHTS", "")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    pictures = render(range(3), resolution=48).pictures
    for name, picture in zip(("a.png", "more/b.png", "more/c.png"), pictures, strict=True):
        (folder / name).write_bytes(encode_png(picture))
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """Two segmenters, as folders of a storage."""
    folders = []
    for seed in (0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = UNet(width=4, depth=2)
        folder = tmp_path / "storage" / "segmenter" / f"hash{seed}"
        Segmenter(network, {"resolution": SIDE}).save(folder / "segmenter.safetensors")
        folders.append(folder)
    return folders


def load(model: Path) -> Segmenter:
    return Segmenter.load(model / "segmenter.safetensors")


@pytest.mark.parametrize(("words", "shown"), [("", "segment"), ("samples", "export")])
def test_bare_command_shows_help(
    words: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("segment a.png --modle m --out o", "gseg segment: unknown option --modle; did you mean"),
        ("generators --knd all", "did you mean --kind?"),
        ("generators fetch x --wights d", "gseg generators fetch: unknown option --wights; did"),
        ("generators fetch x y", "unknown argument y"),
        ("generators --weights d fetch x", "gseg generators: fetch comes before the options"),
        ("segmet", 'Unknown command "segmet". Did you mean "segment"?'),
        ("segment a.png", "gseg segment: --out is missing"),
        ("segment --out o", "gseg segment: IMAGES is missing"),
        ("scenes out --count many", "--count: expected a whole number >= 1, got 'many'"),
        ("scenes out --count", "gseg scenes: --count needs a value"),
        ("samples drw x", "Did you mean"),
    ],
)
def test_mistyped_command(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in mistake(capsys, *words.split())


@pytest.mark.parametrize("kind", ["all", "embedded", "published"])
def test_catalogue_lists_every_generator(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generators", "--kind", kind]) == 0
    words = capsys.readouterr().out.split()
    names = {card.name for card in list_generators()}
    expected = [card.name for card in list_generators(kind)]  # type: ignore[arg-type]
    assert [word for word in words if word in names] == expected


def test_catalogue_says_where_weights_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sngan.imagenet128.pth").write_bytes(b"weights")
    assert main(["generators", "--weights", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line.strip()}
    assert said["ggan.scenes32"].endswith("in the package")
    assert said["sngan.imagenet128"] == "SNGAN ImageNet 128 1000 26.79 [3] present"
    assert said["acgan.tinyimagenet64"] == "ACGAN TinyImageNet 64 200 78.51 [2] by hand"
    assert said["stylegan2.ffhq1024"].endswith("fetch")
    assert said["[2]"].startswith("StudioGAN's README, spring 2021: batch statistics")
    assert lines[-1] == f"folder of published weights: {tmp_path}"


def test_missing_weights_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no folder" in mistake(capsys, "generators", "--weights", str(tmp_path / "typo"))


def test_fetch_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(address: str, part: Path, progress: weights.Progress) -> None:
        assert address.startswith("https://nvlabs-fi-cdn.nvidia.com/")
        part.write_bytes(b"weights")
        progress(7, 7)

    monkeypatch.setattr(weights, "_download", download)
    words = ["fetch", "--weights", str(tmp_path), "stylegan2.ffhq1024"]
    assert main(["generators", *words]) == 0
    assert (tmp_path / "stylegan2.ffhq1024.pkl").read_bytes() == b"weights"
    assert str(tmp_path / "stylegan2.ffhq1024.pkl") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("acgan.tinyimagenet64", "by hand: .*PyTorch-StudioGAN.*acgan.tinyimagenet64.pth"),
        ("ggan.scenes32", "ships with gseg"),
        ("bigan.imagenet128", "did you mean 'biggan.imagenet128'"),
    ],
)
def test_fetch_says_what_to_do_instead(
    name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = mistake(capsys, "generators", "fetch", name, "--weights", str(tmp_path))
    assert re.search(said, line)


def test_fetch_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert "GSEG_WEIGHTS" in mistake(capsys, "generators", "fetch", "stylegan2.ffhq1024")


def test_unusable_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    line = mistake(capsys, "scenes", str(tmp_path / "file"), "--count", "1")
    assert str(tmp_path / "file") in line


def test_segment_folder(
    photos: Path, models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = photos / "masks"  # a second run must not take its masks for pictures
    words = ["segment", str(photos), "--model", str(models[0]), "--out", str(out)]
    for _ in range(2):
        assert main([*words, "--threshold", "0.4", "--size", "24", "--overlay"]) == 0
        assert capsys.readouterr().out == (
            f"{photos}: 1 file left out: 1 .txt\n3 masks for 3 pictures in {out}\n"
        )
    assert sorted(file.name for file in out.glob("*.png")) == ["a.png", "b.png", "c.png"]
    pixels = read_image(photos / "a.png")
    expected = segment_picture(load(models[0]), pixels, working_size=24) > 0.4
    assert torch.equal(read_mask(out / "a.png"), expected)
    overlay = read_image(out / "overlays" / "a.png")
    assert torch.equal(overlay[:, ~expected], pixels[:, ~expected] // 2)


def test_segment_by_otsu(photos: Path, models: list[Path], tmp_path: Path) -> None:
    words = ["segment", str(photos / "a.png"), "--model", str(models[0]), "--out", str(tmp_path)]
    assert main([*words, "--threshold", "otsu"]) == 0
    found = segment_picture(load(models[0]), read_image(photos / "a.png"))
    assert torch.equal(read_mask(tmp_path / "a.png"), above_otsu(found[None])[0])


def test_segment_with_several_models(photos: Path, models: list[Path], tmp_path: Path) -> None:
    one, other = (str(model / "segmenter.safetensors") for model in models)
    # Each --model takes one file, so that pictures may follow.
    files = ["--model", one, f"--model={other}", "--out", str(tmp_path / "out")]
    assert main(["segment", *files, str(photos / "a.png")]) == 0
    mean = Ensemble([load(model) for model in models])
    expected = segment_picture(mean, read_image(photos / "a.png")) > 0.5
    assert torch.equal(read_mask(tmp_path / "out" / "a.png"), expected)


def test_segment_without_a_model_takes_the_shipped_one(photos: Path, tmp_path: Path) -> None:
    words = ["segment", str(photos / "a.png"), "--out"]
    assert main([*words, str(tmp_path / "default")]) == 0
    assert main([*words, str(tmp_path / "named"), "--model", "scenes"]) == 0
    expected = segment_picture(Segmenter.shipped(), read_image(photos / "a.png")) > 0.5
    for folder in ("default", "named"):
        assert torch.equal(read_mask(tmp_path / folder / "a.png"), expected)


def test_a_folder_of_the_default_s_name_is_no_segmenter(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scenes").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["segment", str(photos / "a.png"), "--out", "out"]) == 0


def test_a_strip_shows_good_and_bad(
    photos: Path, models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, strip = tmp_path / "out", tmp_path / "strip.png"
    words = ["segment", str(photos), "--model", str(models[0]), "--out", str(out)]
    assert main([*words, "--strip", str(strip)]) == 0
    two_rows = read_image(strip).shape[1]
    # The masks that were found are the truth of the second run: all are perfect.
    words[words.index(str(out))] = str(tmp_path / "again")
    capsys.readouterr()
    assert main([*words, "--strip", str(strip), "--truth", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "best 1.00, median 1.00, worst 1.00" in shown
    assert shown.endswith(f"strip: {strip}\n")
    assert read_image(strip).shape[1] > two_rows

    # Truth of another coding, of which is said what it means.
    for mask in out.glob("*.png"):
        white = np.asarray(Image.open(mask).convert("L")) > 0
        Image.fromarray(np.where(white, 8, 3).astype(np.uint8)).save(mask)
    known = [*words, "--strip", str(strip), "--truth", str(out)]
    assert main(known) == 2
    assert "foreground=" in capsys.readouterr().err
    assert main([*known, "--mask-coding", "foreground=8"]) == 0
    assert "best 1.00, median 1.00, worst 1.00" in capsys.readouterr().out

    assert "add --strip" in mistake(capsys, *words, "--truth", str(out))
    assert "add --truth" in mistake(capsys, *words, "--mask-coding", "colour")
    taken = str(photos / "a.png")
    assert "would replace one" in mistake(capsys, *words, "--strip", taken)
    none = [*words, "--strip", str(strip), "--truth", str(tmp_path / "nowhere")]
    assert "is no folder of masks" in mistake(capsys, *none)
    assert "--columns: expected" in mistake(capsys, *words, "--columns", "0")


def test_truth_is_paired_by_path_and_files_that_are_left_out_are_told(
    photos: Path, models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, truth = tmp_path / "mine", tmp_path / "truth"
    for part, value in (("x", 255), ("y", 0)):
        for folder in (mine / part, truth / part):
            folder.mkdir(parents=True)
        shutil.copy(photos / "a.png", mine / part / "a.png")
        size = Image.open(photos / "a.png").size
        Image.new("L", size, value).save(truth / part / "a.png")
    (mine / "b.heic").touch()
    (mine / "._c.png").touch()
    words = ["segment", str(mine), "--model", str(models[0]), "--out", str(tmp_path / "out")]
    words += ["--strip", str(tmp_path / "strip.png"), "--truth", str(truth)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert f"{mine}: 1 file left out: 1 .heic (install gseg[heic])" in shown
    assert "2 masks for 2 pictures" in shown
    # One picture and its mask, once with an empty and once with a full truth.
    found = np.asarray(Image.open(tmp_path / "out" / "a.png.png")).mean()
    worst, best = sorted([found, float(found == 0)])
    assert f"best {best:.2f}" in shown
    assert f"worst {worst:.2f}" in shown
    (truth / "y" / "a.png").unlink()
    assert main(words) == 0
    assert "; left out without a true mask: 1" in capsys.readouterr().out
    shutil.copytree(truth / "x", tmp_path / "flat")
    words[words.index(str(truth))] = str(tmp_path / "flat")
    assert main(words) == 2
    assert "have the same true mask" in capsys.readouterr().err


def test_curves_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "storage" / "segmenter" / "abc"
    folder.mkdir(parents=True)
    measured = [Measurement(step=4, iou=0.5, loss=0.25)]
    curve_table(torch.linspace(1, 0.5, 4), measured).to_parquet(folder / "losses.parquet")
    out = tmp_path / "pictures" / "losses.png"
    assert main(["curves", str(tmp_path / "storage"), "--out", str(out)]) == 0
    assert "abc: 4 steps, loss 0.5000, held-out IoU 0.500" in capsys.readouterr().out
    assert read_image(out).shape[1:] == (570, 1350)
    assert "holds no loss curves" in mistake(capsys, "curves", str(tmp_path / "pictures"))


def test_segment_reports_what_it_cannot_read(
    photos: Path, models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.jpg").write_bytes(b"not a picture")
    words = [str(photos), "--model", str(models[0]), "--out", str(tmp_path / "out")]
    assert main(["segment", *words]) == 1
    _, skipped, last = capsys.readouterr().out.splitlines()
    assert skipped.startswith(f"skipped: Cannot read picture {photos / 'broken.jpg'}")
    assert last == f"3 masks for 4 pictures in {tmp_path / 'out'}; 1 could not be read"


def test_masks_do_not_lie_among_the_pictures(
    photos: Path, models: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(photos), "--model", str(models[0]), "--out"]
    before = sorted(photos.rglob("*"))
    said = mistake(capsys, *words, str(photos / "more" / ".."))
    assert "is the folder of the pictures" in said
    assert sorted(photos.rglob("*")) == before
    for _ in range(2):  # below it they are passed over the next time
        assert main([*words, str(photos / "masks")]) == 0
        assert "3 masks for 3 pictures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (">&-", 0),
        ("2>&-", 0),
        (">&- 2>&-", 0),
        ("| head -c 1 > /dev/null; exit ${PIPESTATUS[0]}", None),
        ("> /dev/full", 2),
    ],
)
def test_output_that_nobody_can_read(ending: str, status: int | None) -> None:
    command = f"{sys.executable} -m gseg generators {ending}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert status is None or done.returncode == status
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == (status == 2)


ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_names_that_a_terminal_cannot_show_change_nothing(
    encoding: str, photos: Path, models: list[Path], tmp_path: Path
) -> None:
    pictures = photos.rename(photos.with_name("Möwen 鳥"))
    out = tmp_path / "Ausgänge"
    words = ["segment", pictures, "--model", models[0], "--out", out, "--strip", out / "é.png"]
    environment = {**os.environ, **ENCODINGS[encoding]}
    command = [sys.executable, "-m", "gseg"]
    done = subprocess.run([*command, *words], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert {path.name for path in out.iterdir()} == {"a.png", "b.png", "c.png", "é.png"}
    words = ["fid", pictures, "--reference", tmp_path / "absent.npz"]
    done = subprocess.run([*command, *words], env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert (b"set PYTHONUTF8=1" if encoding == "C" else b"absent.npz") in done.stderr


def test_segment_with_wrong_paths(
    photos: Path, models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage, out = models[0].parents[1], ["--out", str(tmp_path / "out")]
    (tmp_path / "empty").mkdir()

    def said(images: Path, model: Path) -> str:
        return mistake(capsys, "segment", str(images), "--model", str(model), *out)

    assert "no file or folder" in said(photos / "typo.png", models[0])
    assert "holds no pictures" in said(tmp_path / "empty", models[0])
    assert "no segmenter at" in said(photos, tmp_path / "typo.safetensors")
    assert f"2 segmenters, such as {models[0]}" in said(photos, storage)
    assert "give a segmenter's file" in said(photos, tmp_path / "empty")
    assert not (tmp_path / "out").exists()


def test_scenes_are_a_benchmark(tmp_path: Path) -> None:
    words = ["scenes", str(tmp_path), "--count", "5", "--first", "7", "--resolution", "40"]
    assert main(words) == main(words) == 0  # once more over its own files
    benchmark = open_benchmark(f"folder:{tmp_path}")
    expected = render(range(7, 12), resolution=40)
    assert len(benchmark) == 5
    for number in range(5):
        assert torch.equal(benchmark[number].picture, expected.pictures[number])
        assert torch.equal(benchmark[number].mask, expected.masks[number])


def test_scenes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gseg.commands.scenes._PIXELS_AT_ONCE", 2 * 16**2)
    assert main(["scenes", str(tmp_path), "--count", "3", "--resolution", "16"]) == 0
    last = read_image(tmp_path / "images" / f"{HELD_OUT_FIRST + 2}.png")
    assert torch.equal(last, render([HELD_OUT_FIRST + 2], resolution=16).pictures[0])


def test_scenes_do_not_mix_with_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "horse.png").write_bytes(b"")
    assert "horse.png" in mistake(capsys, "scenes", str(tmp_path), "--count", "2")
    assert ">= 1" in mistake(capsys, "scenes", str(tmp_path / "new"), "--count", "0")
