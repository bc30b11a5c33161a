import io
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gseg.directions.config import AffineConfig, CandidateConfig, ChoiceConfig, SearchConfig
from gseg.directions.direction import Direction
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.generators.catalogue import load_generator
from gseg.images import to_uint8
from gseg.picture_files import encode_png
from gseg.pipeline.experiment import (
    Context,
    Experiment,
    LabelledPairs,
    SelectionConfig,
    TrainedLabeller,
)
from gseg.pipeline.finished import find_trace
from gseg.pipeline.rows import merge_rows, results
from gseg.pipeline.stages.pictures import EMBEDDINGS
from gseg.pipeline.trial import find_parts, run_trial
from gseg.reports import galleries
from gseg.reports.galleries import (
    gallery_section,
    left_figures,
    left_pictures,
    make_sheet,
    sheet_name,
)
from gseg.reports.report import write_report
from gseg.reports.sheets import sample_sheet
from gseg.samples.config import EmbeddedScenes, LatentConfig, SampleConfig, filter_preset
from gseg.samples.draw import review
from gseg.samples.labeller import labeller
from gseg.samples.latents import near_embeddings
from gseg.samples.shards import Shard, shard_name
from gseg.scenes.pictures import render
from gseg.segmenters.config import FitConfig
from gseg.storage.files import write_atomically
from gseg.storage.mirror import storage_folder
from gseg.storage.store import Store

GENERATOR = "analytic.ellipses32"
ENCODED = "bigbigan.scenes32-large"
CHOICE = ChoiceConfig(
    candidates=CandidateConfig(kind="random", count=3),
    affine=AffineConfig(steps=2, batch=2),
    pictures=4,
)
HERE = RayBackend(Resources(placement="process"))
EXPERIMENT = Experiment(
    generator=GENERATOR,
    search=SearchConfig(steps=2, batch=4),
    samples=SampleConfig(batch=16, filters=replace(filter_preset("none"), max_share=0.6)),
    data_size=12,
    validation_size=4,
    training=FitConfig(steps=3, batch=4, decay_at=None, width=4, depth=2),
)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return Context(storage=tmp_path_factory.mktemp("storage"), benchmarks=("scenes:20",))


@pytest.fixture(scope="module")
def rows(setting, tmp_path_factory):
    """The rows of a trial that has run in this process."""
    return run(EXPERIMENT, setting, tmp_path_factory.mktemp("results"))


def run(experiment, setting, folder):
    """Run a trial in this process and give its rows."""
    merge_rows(folder, run_trial(experiment, setting, HERE))
    return results(folder)


@pytest.fixture
def sheets(monkeypatch):
    """What the sheets are made of: rows of pictures, and labels."""
    drawn = []
    original = galleries.contact_sheet

    def recorded(cells, **options):
        drawn.append((cells, options))
        return original(cells, **options)

    monkeypatch.setattr(galleries, "contact_sheet", recorded)
    return drawn


def test_a_row_leads_to_what_its_trial_left(rows, setting):
    trace = find_trace(rows.iloc[0], setting.storage)
    parts = find_parts(EXPERIMENT, setting, "cpu")
    member = parts.members[0]
    assert trace.origin.direction == parts.direction.folder
    assert trace.samples == member.samples.pairs.shards[0].parent
    assert trace.count == 12
    assert trace.segmenters == (member.file,)
    assert trace.origin.config == member.samples.config
    assert trace.origin.generator == GENERATOR


def test_without_the_storage_there_is_no_trace(rows, setting, tmp_path):
    assert find_trace(rows.iloc[0], tmp_path) is None
    partly = tmp_path / "storage"
    shutil.copytree(setting.storage / "scores", partly / "scores")
    assert find_trace(rows.iloc[0], partly) is None
    section = gallery_section(rows, partly)
    assert section.parts == ()
    assert f"{GENERATOR}: not in the storage" in section.text[-1]


def test_three_sheets_of_a_generator(rows, setting, sheets):
    section = gallery_section(rows, setting.storage)
    assert [part.of.split(":")[0] for part in section.parts] == [GENERATOR] * 3
    assert [part.caption.split()[0] for part in section.parts] == [
        "Accepted",
        "Rejected:",
        "Predictions",
    ]
    assert all(part.webp[8:12] == b"WEBP" for part in section.parts)
    (samples, _), (rejected, about), (predictions, ranks) = sheets

    trace = find_trace(rows.iloc[0], setting.storage)
    shard = Shard.load(trace.samples / shard_name(0))
    assert torch.equal(samples[0][0], shard.pictures[0])
    assert torch.equal(samples[2][3], shard.masks[2])
    direction = Direction.load(trace.origin.direction)
    assert not torch.equal(direction.lighter, direction.darker)
    assert not torch.equal(samples[0][1], samples[0][2])

    assert set(about["labels"]) == {"area"}
    shares = np.array([cells[2].float().mean() for cells in rejected])
    assert (shares > 0.6).all()

    scores = pd.read_parquet(trace.images)
    scores = scores[scores.profile == "melas2022_program"].iou
    labels = [label.split(": ") for label in ranks["labels"]]
    assert [rank for rank, _ in labels] == ["best"] * 3 + ["median"] * 3 + ["worst"] * 3
    assert float(labels[0][1]) == pytest.approx(scores.max(), abs=0.005)
    assert float(labels[-1][1]) == pytest.approx(scores.min(), abs=0.005)
    for (_, truth, prediction), (_, shown) in zip(predictions, labels, strict=True):
        found = prediction > 0.5
        union = (found | truth).sum()
        iou = (found & truth).sum() / union if union else 0.0
        assert float(iou) == pytest.approx(float(shown), abs=0.006)


def test_a_benchmark_that_changed_is_left_out(rows, setting):
    changed = rows.assign(benchmark="scenes:10")
    section = gallery_section(changed, setting.storage)
    assert len(section.parts) == 2


def test_a_damaged_shard_is_drawn_again(rows, setting, tmp_path):
    storage = tmp_path / "storage"
    shutil.copytree(setting.storage, storage)
    path = find_trace(rows.iloc[0], storage).samples / shard_name(0)
    whole = path.read_bytes()
    path.write_bytes(b"nothing")
    assert len(gallery_section(rows, storage).parts) == len(
        gallery_section(rows, setting.storage).parts
    )
    assert path.read_bytes() == whole


def test_an_unreadable_sample_set_is_told(rows, setting, tmp_path):
    storage = tmp_path / "storage"
    shutil.copytree(setting.storage, storage)
    path = find_trace(rows.iloc[0], storage).samples / shard_name(0)
    path.write_bytes(b"nothing")
    (storage / "damaged").write_text("in the way")
    section = gallery_section(rows, storage)
    assert section.parts == ()
    assert "shard-000000.parquet" in section.text[-1]


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """What other kinds of trials need: pictures with masks, a labeller, embeddings."""
    folder = tmp_path_factory.mktemp("beside")
    scenes = render(range(6), resolution=32)
    for number, (picture, mask) in enumerate(zip(scenes.pictures, scenes.masks, strict=True)):
        write_atomically(folder / "images" / f"{number}.png", encode_png(picture))
        write_atomically(folder / "masks" / f"{number}.png", encode_png(mask))
    (folder / "bright.py").write_text("def bright(pictures):\n    return pictures.mean(1) > 0\n")
    np.save(folder / "mine.npy", np.random.default_rng(3).normal(size=(9, 8)).astype("float32"))
    return folder


KINDS = (
    *("affine", "ensemble", "selection", "relabelled", "both stages", "labelled", "embeddings"),
    *("true masks", "scenes"),
)


def of_kind(kind, beside):
    """A trial of a kind, smaller than others."""
    experiment = replace(EXPERIMENT, data_size=8, validation_size=4)
    selection = SelectionConfig(folder=str(beside / "images"), candidates=40)
    bright = labeller(f"{beside / 'bright.py'}:bright")
    changed = {
        "affine": {
            "mask_kind": "affine",
            "samples": replace(EXPERIMENT.samples, filters=filter_preset("none")),
        },
        "ensemble": {"mask_kind": "ensemble"},
        "selection": {"selection": selection},
        "relabelled": {"labeller": bright},
        "both stages": {"selection": selection, "labeller": bright},
        "labelled": {
            "labelled": LabelledPairs(benchmark=f"folder:{beside}", count=4, side=32, weight=0.5)
        },
        "embeddings": {
            "samples": replace(
                EXPERIMENT.samples, latents=near_embeddings(beside / "mine.npy", alpha=0.3)
            )
        },
        "true masks": {"labeller": TrainedLabeller(count=6, training=EXPERIMENT.training)},
        "scenes": {
            "generator": ENCODED,
            "search": CHOICE,
            "samples": replace(
                EXPERIMENT.samples,
                latents=LatentConfig(scenes=EmbeddedScenes(count=7, encoder=ENCODED), alpha=0.1),
            ),
        },
    }
    return replace(experiment, **changed[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_trials_of_every_kind_are_found_and_shown(kind, beside, setting, tmp_path, sheets):
    experiment = of_kind(kind, beside)
    rows = run(experiment, setting, tmp_path)
    trace = find_trace(rows.iloc[0], setting.storage)
    parts = find_parts(experiment, setting, "cpu")
    member = parts.members[0]
    assert trace.samples == member.samples.pairs.shards[0].parent
    assert trace.segmenters == tuple(each.file for each in parts.members)
    assert trace.origin.config == member.samples.config
    assert trace.origin.generator == experiment.generator
    direction = Direction.load(trace.origin.direction)
    assert direction.lighter.equal(Direction.load(parts.direction.folder).lighter)
    assert (direction.operators is not None) == (kind == "affine")

    section = gallery_section(rows, setting.storage)
    assert "Without pictures" not in " ".join(section.text)
    captions = [part.caption.split()[0] for part in section.parts]
    assert (captions[0], captions[-1]) == ("Accepted", "Predictions")
    pictures, masks = member.samples.pairs.load()  # what was trained on
    for row, picture, mask in zip(sheets[0][0], pictures, masks, strict=False):
        assert torch.equal(row[0], picture)
        assert torch.equal(row[3], mask)
    config = trace.origin.config  # the shifted pictures are of the same latents
    shard = Shard.load(trace.samples / shard_name(0))
    if len(shard):
        generator = load_generator(experiment.generator)
        seen = review(generator, direction, replace(config, mask_kind="both"), 0)
        place = seen.indices.tolist().index(int(shard.indices[0]))
        shown = to_uint8(sheets[0][0][0][1].clamp(-1, 1))
        assert (shown.int() - seen.shifted["lighter"][place].int()).abs().max() <= 1


@pytest.mark.parametrize("kind", ["affine", "both stages", "embeddings", "scenes"])
def test_what_was_rejected_is_drawn_again(kind, beside, setting, tmp_path):
    experiment = of_kind(kind, beside)
    if kind in ("affine", "scenes"):  # reject half of them by their size
        run_trial(experiment, setting, HERE)
        masks = Shard.load(
            find_parts(experiment, setting, "cpu").members[0].samples.pairs.shards[0]
        ).masks
        half = float(masks.float().mean((1, 2)).median())
        loose = replace(experiment.samples.filters, max_share=half)
        experiment = replace(experiment, samples=replace(experiment.samples, filters=loose))
    run_trial(experiment, setting, HERE)
    member = find_parts(experiment, setting, "cpu").members[0]
    assert member.samples.counts["area"]
    path = tmp_path / "sheet.png"
    told = sample_sheet(path, member.samples.pairs.shards, rows=4, rejected=3, tile=32)
    assert "0 rejected" not in told
    assert "to show" not in told
    assert path.exists()


def test_embeddings_are_found_in_the_storage_by_their_content(beside, setting, tmp_path):
    own = tmp_path / "own.npy"
    own.write_bytes((beside / "mine.npy").read_bytes())
    storage = tmp_path / "storage"
    latents = near_embeddings(own, alpha=0.4)
    experiment = replace(
        of_kind("ensemble", beside), samples=replace(EXPERIMENT.samples, latents=latents)
    )
    rows = run(experiment, replace(setting, storage=storage), tmp_path / "results")
    own.unlink()
    with pytest.raises(ValueError, match=f"embeddings.*{latents.embeddings_digest}.*own.npy"):
        find_trace(rows.iloc[0], storage)
    member = find_parts(experiment, replace(setting, storage=storage), "cpu").members[0]
    sheet = {"rows": 4, "rejected": 3, "tile": 32}
    said = sample_sheet(tmp_path / "sheet.png", member.samples.pairs.shards, **sheet)
    assert "rejected ones cannot be shown: the samples were drawn near embeddings" in said
    told = gallery_section(rows, storage).text[-1]
    assert f"{GENERATOR}: " in told
    assert "own.npy" in told

    def build(folder):
        write_atomically(folder / EMBEDDINGS, (beside / "mine.npy").read_bytes())
        return {}

    made = Store(storage).make("embeddings", version=1, config={}, parents=[], build=build)
    latents = find_trace(rows.iloc[0], storage).origin.config.latents
    assert latents.embeddings == str(made.folder / EMBEDDINGS)
    assert gallery_section(rows, storage).parts


def test_a_storage_on_an_object_store_is_fetched(beside, bucket, tmp_path, monkeypatch):
    experiment = replace(
        of_kind("both stages", beside),
        mask_kind="affine",
        samples=of_kind("affine", beside).samples,
        validation_size=0,
    )
    there = Context(storage=storage_folder(f"{bucket}/storage"), benchmarks=("scenes:20",))
    rows = run(experiment, there, tmp_path / "results")
    monkeypatch.setenv("GSEG_CACHE", str(tmp_path / "another machine"))
    section = gallery_section(rows, storage_folder(f"{bucket}/storage"))
    assert "Without pictures" not in " ".join(section.text)
    assert len(section.parts) == 2


def _picture(size=(64, 32)):
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def test_a_sheet_is_the_picture_and_small():
    picture = _picture((256, 128))
    sheet = make_sheet(picture, caption="a", of="b")
    with Image.open(io.BytesIO(sheet.webp)) as read:
        difference = np.abs(np.asarray(read, float) - np.asarray(picture, float))
    assert (sheet.width, sheet.height) == (256, 128)
    assert difference.mean() < 6
    png = io.BytesIO()
    picture.save(png, format="PNG")
    assert len(sheet.webp) < png.tell() / 3


def test_a_sweep_s_own_sheets_are_shown_without_its_storage(tmp_path, frame):
    frame({"generator": "a.x"})
    (rows,) = tmp_path.glob("rows*")
    assert "No pictures" in write_report(rows, tmp_path / "without").read_text()
    figures = tmp_path / f"{rows.name}_figures"
    figures.mkdir()
    own = "path/b.py:x"
    for name in (sheet_name(own), "a.x", "worst", "distance", "distance-2"):
        _picture().save(figures / f"{name}.png")
    section = left_pictures(figures, [own, "a.x", "c.x"])
    assert [part.caption for part in section.parts] == ["a.x", own]
    others = left_figures(figures, [own, "a.x"])
    assert [part.caption for part in others.parts] == ["worst"]
    page = write_report(rows, tmp_path / "with").read_text()
    assert page.count("data:image/webp") == 3
    assert "No pictures" not in page


def test_a_damaged_sheet_is_named(tmp_path):
    (tmp_path / "a.x.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.x\.png"):
        left_figures(tmp_path)


def test_a_sheet_of_another_format_is_not_opened(tmp_path):
    """Some of Pillow's formats start programs, whatever a file's suffix."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    (tmp_path / "a.x.png").write_bytes(eps)
    with pytest.raises(ValueError, match=r"a\.x\.png: cannot identify .*\. Remove it, or write"):
        left_figures(tmp_path)


def test_nothing_left_is_no_section(tmp_path):
    assert left_pictures(tmp_path / "missing", ["a.x"]) is None
    assert left_figures(tmp_path / "missing") is None
