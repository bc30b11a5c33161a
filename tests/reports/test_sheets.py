import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gseg.directions.config import SearchConfig
from gseg.directions.direction import Direction
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.generators.catalogue import load_generator
from gseg.images import from_uint8, to_uint8
from gseg.mask_coding import mask_coding
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.rows import make_row
from gseg.pipeline.trial import find_parts, run_trial
from gseg.reports import sheets
from gseg.reports.galleries import left_pictures, sheet_name
from gseg.reports.sheets import (
    FoundMask,
    compare_masks,
    draw_strip,
    find_truths,
    spread_text,
    trial_sheet,
    write_sheet,
)
from gseg.reports.sweep import draw_distances, draw_sheets, write_image_scores
from gseg.samples.config import LatentConfig, SampleConfig, filter_preset
from gseg.samples.latents import candidates
from gseg.samples.sets import load_samples
from gseg.scores.benchmarks import open_benchmark
from gseg.segmenters.config import FitConfig
from gseg.segmenters.segmenter import Segmenter

GENERATOR = "analytic.ellipses32"
EXPERIMENT = Experiment(
    generator=GENERATOR,
    search=SearchConfig(steps=2, batch=4),
    samples=SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none")),
    data_size=12,
    validation_size=4,
    training=FitConfig(steps=3, batch=4, decay_at=None, width=4, depth=2),
)


def test_a_sheet_takes_pictures_masks_and_probabilities(tmp_path):
    dark, light = torch.full((3, 8, 8), -1.0), torch.full((3, 8, 8), 1.0)
    row = [
        *(dark, light, dark, torch.ones(8, 8, dtype=torch.bool)),
        torch.zeros(3, 6, 12, dtype=torch.uint8),
        torch.zeros(6, 12, dtype=torch.bool),
        torch.full((6, 12), 0.5),
    ]
    write_sheet(tmp_path / "new" / "a.png", [row, row], columns=["a"], tile=32)
    with Image.open(tmp_path / "new" / "a.png") as image:
        sheet = image.convert("L")
    assert sheet.size == (7 * 36 + 4, 20 + 2 * 36 + 4)
    middles = [sheet.getpixel((4 + 16 + column * 36, 24 + 16)) for column in range(7)]
    assert middles == [0, 255, 0, 255, 0, 0, 128]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return Context(storage=tmp_path_factory.mktemp("storage"), benchmarks=("scenes:20",))


@pytest.fixture(scope="module")
def rows(setting):
    """The rows of a trial that has run in this process."""
    return run_trial(EXPERIMENT, setting, RayBackend(Resources(placement="process")))


@pytest.fixture
def parts(rows, setting):
    return find_parts(EXPERIMENT, setting, "cpu")


def test_a_sheet_shows_what_the_trial_made(tmp_path, parts, monkeypatch):
    drawn = []
    monkeypatch.setattr(sheets, "write_sheet", lambda path, rows, **_: drawn.extend(rows))
    benchmark = open_benchmark("scenes:20")
    trial_sheet(tmp_path / "a.png", EXPERIMENT, parts, benchmark)
    assert len(drawn) == 8

    member = parts.members[0]
    samples = load_samples(member.samples.pairs.shards, 8)
    generator = load_generator(GENERATOR)
    z, y = candidates(
        generator.card, LatentConfig(), EXPERIMENT.samples.seed, samples.indices.numpy()
    )
    segmenter = Segmenter.load(member.file)
    for number, (picture, _, _, mask, labelled, truth, prediction) in enumerate(drawn):
        example = benchmark[number * 20 // 8]
        with torch.no_grad():
            again = to_uint8(generator(z[number : number + 1], y))[0]
            probability = segmenter.probability(from_uint8(example.picture[None]))[0]
        assert (again.int() - picture.int()).abs().max() <= 1
        assert torch.equal(mask, samples.masks[number])
        assert torch.equal(labelled, example.picture)
        assert torch.equal(truth, example.mask)
        assert torch.allclose(prediction, probability, atol=1e-5)

    direction = Direction.load(parts.direction.folder)
    epsilon = EXPERIMENT.samples.epsilon
    with torch.no_grad():
        lighter, darker = (
            generator(z + epsilon * v, y) for v in (direction.lighter, direction.darker)
        )
    assert torch.allclose(torch.stack([row[1] for row in drawn]), lighter, atol=1e-5)
    assert torch.allclose(torch.stack([row[2] for row in drawn]), darker, atol=1e-5)


def test_each_generator_has_one_sheet(tmp_path, rows, setting):
    unfinished = replace(EXPERIMENT, generator="ggan.scenes32")
    smaller = replace(EXPERIMENT, data_size=5)
    baseline = Experiment(method="otsu")
    chosen = [baseline, unfinished, EXPERIMENT, smaller]
    paths = draw_sheets(tmp_path / "f", chosen, setting, "cpu", open_benchmark("scenes:20"))
    assert paths == [tmp_path / "f" / f"{GENERATOR}.png"]
    with Image.open(paths[0]) as image:
        assert image.width > 7 * 90
        assert image.height > 8 * 90
    assert list((tmp_path / "f").iterdir()) == paths


def test_a_generator_of_the_user_s_own_does_not_lead_out_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("gseg.reports.sweep.find_parts", lambda *_: "parts")
    monkeypatch.setattr("gseg.reports.sweep.trial_sheet", lambda path, *_: path.touch())
    own = [
        replace(EXPERIMENT, generator=f"{tmp_path}/{folder}/mine.py:make") for folder in ("A", "B")
    ]
    paths = draw_sheets(tmp_path, own, Context(storage=tmp_path), "cpu", None)
    assert len({path.name for path in paths}) == 2  # neither writes over the other's
    assert all(re.fullmatch(r"mine\.py-make-[0-9a-f]{8}\.png", path.name) for path in paths)
    assert {path.parent for path in paths} == {tmp_path}
    for path in paths:
        Image.new("RGB", (9, 9)).save(path)
    section = left_pictures(tmp_path, [each.generator for each in own])
    assert [sheet.caption for sheet in section.parts] == sorted(
        (each.generator for each in own), key=sheet_name
    )


def test_scores_of_every_picture_are_copied_once(tmp_path, rows, setting):
    write_image_scores(tmp_path / "images", rows, setting.storage)
    files = list((tmp_path / "images").iterdir())
    assert [file.name for file in files] == [f"{EXPERIMENT.digest}-{rows[0]['scores']}.parquet"]
    table = pd.read_parquet(tmp_path / "images")
    told = ["experiment", "benchmark", "benchmark_digest", "eval_protocol"]
    assert list(table.columns[:4]) == told
    assert set(table.experiment) == {EXPERIMENT.digest}
    for row in rows:
        chosen = table[(table.profile == row["metric_profile"]) & table.iou.notna()]
        assert chosen.iou.mean() == pytest.approx(row["iou"])
    before = files[0].stat().st_mtime_ns
    write_image_scores(tmp_path / "images", rows, setting.storage)
    assert files[0].stat().st_mtime_ns == before


def test_the_distance_figure_waits_for_a_distance(tmp_path):
    row = make_row({"experiment": "a", "generator": "a.x", "data_size": 5, "iou": 0.5})
    measured = row | {"fid": 2.0, "accuracy": 0.5, "fid_protocol": "scenes"}
    assert draw_distances(tmp_path, pd.DataFrame([row]), title="t") == []
    paths = draw_distances(tmp_path, pd.DataFrame([row, measured]), title="t")
    assert paths == [tmp_path / "distance.png"]
    assert paths[0].stat().st_size > 1000


def test_every_distance_protocol_has_a_figure_of_its_own(tmp_path):
    rows = [
        make_row(
            {
                "experiment": str(number),
                "method": "gan",
                "generator": f"{number}.x",
                "data_size": 100,
                "fid": float(number),
                "fid_protocol": "many" if number < 3 else "few",
                "accuracy": 0.9,
                "iou": 0.5 + 0.1 * number,
            }
        )
        for number in range(5)
    ]
    paths = draw_distances(tmp_path, pd.DataFrame(rows), title="t")
    assert [path.name for path in paths] == ["distance.png", "distance-2.png"]
    assert all(path.stat().st_size > 1000 for path in paths)


def save(path, pixels):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.array(pixels, np.uint8)).save(path)
    return path


@pytest.fixture
def masks(tmp_path):
    """Four pictures of 2x2 pixels; found: all four pixels; true: one to four of them."""
    masks = {}
    for name, count in (("a", 2), ("b", 4), ("c", 1), ("d", 3)):
        picture = save(tmp_path / "images" / f"{name}.png", np.full((2, 2, 3), 40 * count))
        truth = (np.arange(4) < count).reshape(2, 2) * 255
        save(tmp_path / "masks" / f"{name}.png", truth)
        masks[picture] = save(tmp_path / "found" / f"{name}.png", np.full((2, 2), 255))
    return masks


def test_pictures_are_ordered_by_the_iou_of_their_masks(masks, tmp_path):
    found = compare_masks(masks, find_truths(tmp_path / "masks"))
    assert [each.picture.stem for each in found] == ["b", "d", "a", "c"]
    assert [each.iou for each in found] == [1.0, 0.75, 0.5, 0.25]
    assert all(each.truth == tmp_path / "masks" / each.picture.name for each in found)
    assert spread_text(found).endswith("best 1.00, median 0.62, worst 0.25")


def test_pictures_without_a_true_mask_are_left_out(masks, tmp_path):
    (tmp_path / "masks" / "b.png").unlink()
    truths = find_truths(tmp_path / "masks")
    assert [each.picture.stem for each in compare_masks(masks, truths)] == ["d", "a", "c"]
    with pytest.raises(ValueError, match="None of the pictures has a true mask"):
        compare_masks(masks, {"other": tmp_path / "masks" / "a.png"})


def test_two_empty_masks_agree(masks, tmp_path):
    picture = next(iter(masks))
    for path in (masks[picture], tmp_path / "masks" / picture.name):
        save(path, np.zeros((2, 2)))
    [found, *_] = compare_masks({picture: masks[picture]}, find_truths(tmp_path / "masks"))
    assert found.iou == 1.0


def test_what_cannot_be_compared_is_explained(masks, tmp_path):
    save(tmp_path / "masks" / "a.png", np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"a\.png is 3x2, its picture 2x2"):
        compare_masks(masks, find_truths(tmp_path / "masks"))
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(ValueError, match="is no folder of masks"):
            find_truths(folder)


def test_masks_are_paired_by_their_paths_and_never_by_a_guess(tmp_path):
    masks, names = {}, {}
    for name, count in (("x/a", 2), ("y/a", 4)):
        for kind in ("images", "masks", "found"):
            (tmp_path / kind / name).parent.mkdir(parents=True, exist_ok=True)
        picture = save(tmp_path / "images" / f"{name}.png", np.full((2, 2, 3), 40))
        save(tmp_path / "masks" / f"{name}.png", (np.arange(4) < count).reshape(2, 2) * 255)
        masks[picture] = save(tmp_path / "found" / f"{name}.png", np.full((2, 2), 255))
        names[picture] = name
    truths = find_truths(tmp_path / "masks")
    found = compare_masks(masks, truths, names=names)
    assert [(each.truth.parent.name, each.iou) for each in found] == [("y", 1.0), ("x", 0.5)]
    with pytest.raises(ValueError, match="have the same true mask"):
        compare_masks(masks, truths, names=dict.fromkeys(masks, "x/a"))
    save(tmp_path / "masks" / "x" / "a.bmp", np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"a\.png has the same name as a\.bmp.*true mask\?"):
        find_truths(tmp_path / "masks")


def test_void_of_a_true_mask_is_not_compared(tmp_path):
    picture = save(tmp_path / "images" / "a.png", np.full((2, 2, 3), 40))
    save(tmp_path / "masks" / "a.png", np.array([[1, 0], [7, 0]]))
    masks = {picture: save(tmp_path / "found" / "a.png", np.array([[255, 0], [255, 0]]))}
    coding = mask_coding(["foreground=1", "void=7"])
    [found] = compare_masks(masks, find_truths(tmp_path / "masks"), coding=coding)
    assert found.iou == 1.0


@pytest.mark.parametrize(("columns", "shown"), [(2, "ad"), (3, "acd"), (1, "a"), (9, "abcd")])
def test_what_is_drawn_goes_from_the_first_to_the_last(masks, tmp_path, columns, shown):
    found = [FoundMask(picture=picture, mask=mask) for picture, mask in masks.items()]
    draw_strip(tmp_path / "strip.png", found, columns=columns, tile=8)
    strip = np.array(Image.open(tmp_path / "strip.png"))
    assert strip.shape == (2 * 12 + 4, 59 + len(shown) * 12 + 4, 3)
    tiles = strip[8, 59 + 8 :: 12]
    counts = {"a": 2, "b": 4, "c": 1, "d": 3}
    assert tiles[: len(shown), 0].tolist() == [40 * counts[name] for name in shown]
