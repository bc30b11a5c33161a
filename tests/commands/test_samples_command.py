"""``gseg samples``: what users type and what they find."""

import re
from pathlib import Path

import pytest
from PIL import Image

from gseg.cli import main
from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.samples.sets import load_samples
from gseg.samples.shards import ShardFacts

DRAW = ("samples", "draw", "analytic.ellipses32", "--batch", "16", "--epsilon", "2")


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> tuple[str, str]:
    """The option that gives the direction, which saves the search."""
    vector = known_direction(analytic_generator(32))
    folder = tmp_path_factory.mktemp("direction")
    Direction(lighter=vector, darker=-vector).save(folder)
    return "--direction", str(folder)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def drawn(capsys: pytest.CaptureFixture[str], out: Path, count: int, *more: str) -> Path:
    said = run(capsys, *DRAW, "--count", str(count), "--out", str(out), *more)
    assert said.startswith(f"{count} samples in {out}")
    return Path(said.splitlines()[0].rpartition(" ")[2])


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.parquet"))


def test_two_commands_lead_to_samples_and_a_contact_sheet(tmp_path, capsys):
    folder = drawn(capsys, tmp_path / "storage", 40)
    samples = load_samples(shards(folder), 40)
    assert samples.pictures.shape == (40, 3, 32, 32)
    counts = samples.counts
    for path in (tmp_path / "storage", folder, shards(folder)[0]):
        sheet = tmp_path / "sheet.png"
        said = run(
            capsys, "samples", "show", str(path), "--out", str(sheet), "--rows", "3", "--tile", "20"
        )
        rejected = int(re.search(r"3 accepted samples, (\d+) rejected", said)[1])
        assert (rejected > 0) == (counts["accepted"] < counts["candidates"])
        with Image.open(sheet) as picture:
            assert picture.height == 20 + (20 + 4) * (3 + rejected) + 4
        sheet.unlink()


def test_more_samples_extend_those_that_are_there(tmp_path, capsys, known):
    small = drawn(capsys, tmp_path, 20, *known)
    before = {path.name: path.stat().st_mtime_ns for path in shards(small)}
    large = drawn(capsys, tmp_path, 300, *known)
    assert large == small
    after = {path.name: path.stat().st_mtime_ns for path in shards(large)}
    assert before.items() < after.items()


def test_a_direction_of_a_storage_may_be_given(tmp_path, capsys, known):
    found = drawn(capsys, tmp_path / "here", 10, *known)
    direction = next((tmp_path / "here" / "direction").iterdir())
    taken = drawn(capsys, tmp_path / "there", 10, "--direction", str(direction))
    first, second = (load_samples(shards(folder), 10) for folder in (found, taken))
    assert first.pictures.equal(second.pictures)
    assert first.masks.equal(second.masks)


def test_options_are_those_of_the_samples(tmp_path, capsys, known):
    more = ("--mask-kind", "both", "--filters", "none", "--picture-format", "jpeg95", "--seed", "3")
    facts = ShardFacts.read(shards(drawn(capsys, tmp_path, 10, *known, *more))[0])
    config = facts.provenance["config"]
    assert (config["mask_kind"], config["picture_format"]) == ("both", "jpeg95")
    assert (config["batch"], config["epsilon"]) == (16, 2.0)
    assert facts.counts["accepted"] == facts.counts["candidates"]


def test_samples_without_their_direction_are_shown_without_rejected_ones(tmp_path, capsys, known):
    folder = drawn(capsys, tmp_path / "storage", 10, *known)
    alone = tmp_path / "shard-000000.parquet"
    alone.write_bytes(shards(folder)[0].read_bytes())
    sheet = tmp_path / "sheet.png"
    said = run(capsys, "samples", "show", str(alone), "--out", str(sheet))
    assert "8 accepted samples, 0 rejected candidates; to show rejected ones" in said
    assert sheet.exists()


def test_samples_may_be_on_an_object_store(bucket, tmp_path, capsys, monkeypatch, known):
    said = run(capsys, *DRAW, *known, "--count", "10", "--out", f"{bucket}/storage")
    address = said.splitlines()[0].rpartition(" ")[2]
    assert address.startswith(f"{bucket}/storage/samples/")
    monkeypatch.setenv("GSEG_CACHE", str(tmp_path / "another machine"))
    sheet = tmp_path / "sheet.png"
    said = run(capsys, "samples", "show", address, "--out", str(sheet))
    assert re.match(r".*8 accepted samples, \d+ rejected candidates$", said)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("draw analytic.ellipses32 --count 5 --direction nowhere", "no direction.safetensors"),
        ("draw nothing --count 5", "nothing"),
        ("draw analytic.ellipses32 --count 5 --out gs://x", "Cannot use 'gs://x'"),
        ("show empty", "holds no samples"),
        ("show empty --rows 0", ">= 1"),
    ],
)
def test_a_mistake_costs_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["samples", *words.split()]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1


def test_an_own_generator_is_the_same_from_any_folder(tmp_path, capsys, known, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from gseg.generators.analytic import analytic_generator\n"
        "def make():\n    return analytic_generator(32)\n"
    )
    (tmp_path / "below").mkdir()
    found = set()
    for folder, name in (("", "mine.py"), ("", str(tmp_path / "mine.py")), ("below", "../mine.py")):
        monkeypatch.chdir(tmp_path / folder)
        words = ("draw", f"{name}:make", "--count", "20", "--out", str(tmp_path / "storage"))
        run(capsys, "samples", *words, *known)
        found |= {path.name for path in (tmp_path / "storage" / "samples").iterdir()}
        run(capsys, "fid", f"{name}:make", "--count", "20", "--storage", str(tmp_path / "fid"))
    assert len(found) == 1
    assert len(list((tmp_path / "fid" / "statistics").iterdir())) == 2  # its own and the scenes
