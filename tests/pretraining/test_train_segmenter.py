"""The segmenter that ships with the package, and how it is made."""

import torch

from gseg.directions.config import SearchConfig
from gseg.generators.weights import weights_digest
from gseg.pretraining.train_segmenter import DefaultSegmenter, train
from gseg.samples.config import SampleConfig
from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.segmenters.config import FitConfig
from gseg.segmenters.segmenter import Segmenter

TINY = DefaultSegmenter(
    generator="analytic.ellipses32",
    search=SearchConfig(steps=2, batch=4),
    samples=SampleConfig(batch=16, blocks_per_shard=2),
    count=24,
    held_out=8,
    training=FitConfig(steps=3, batch=8, width=2, depth=2, decay_at=2),
)


def test_the_file_says_how_it_came_about_and_gives_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("gseg.pretraining.train_segmenter._BENCHMARK", "scenes:40")
    made = train(TINY)
    made.save(tmp_path / "segmenter.safetensors", dtype=torch.float16)
    loaded = Segmenter.load(tmp_path / "segmenter.safetensors")
    assert loaded.digest == made.digest  # float16 keeps the rounded weights as they are
    record = loaded.provenance
    assert (record["generator"], record["pairs"]) == ("analytic.ellipses32", 24)
    assert record["generator_weights"] == weights_digest("analytic.ellipses32")
    assert record["training"]["steps"] == 3
    assert record["resolution"] == 32
    assert record["scenes"]["images"] == 40
    assert 0 <= record["scenes"]["iou"] <= 1
    assert (tmp_path / "segmenter.safetensors").stat().st_size < 40_000


def test_the_shipped_segmenter_finds_scenes():
    segmenter = Segmenter.shipped()
    scenes = render(range(VALIDATION_FIRST, VALIDATION_FIRST + 100))
    found = segmenter.probability(scenes.pictures.float() / 127.5 - 1) > 0.5
    inside, union = (found & scenes.masks).sum((1, 2)), (found | scenes.masks).sum((1, 2))
    assert (inside / union).mean() > 0.65
    assert segmenter.resolution == 32
    assert ".scenes32" in segmenter.provenance["generator"]
