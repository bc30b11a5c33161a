"""gseg/pipeline/stages/distance.py: kept, shared between generators, resumed, the same on Ray."""

import numpy as np
import pytest
from PIL import Image

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.features import features_name
from gseg.generators import load_generator
from gseg.pipeline.experiment import DistanceConfig
from gseg.pipeline.jobs import measure as measuring
from gseg.pipeline.jobs.measure import PictureSet
from gseg.pipeline.progress import silent
from gseg.pipeline.row_values import find_card
from gseg.pipeline.stages.distance import (
    has_reference,
    make_distance,
    make_statistics,
    read_statistics,
)
from gseg.samples import LatentConfig
from gseg.scores.feature_statistics import FeatureStatistics
from gseg.scores.fid import scenes_distance
from gseg.storage.store import NotMadeError, Store

NAME = "analytic.ellipses32"
HERE = RayBackend(Resources(placement="process"))
CONFIG = DistanceConfig(count=90)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(measuring, "PART", 40)


def measure(store, config=CONFIG, latents=None, backend=HERE, report=silent):
    card = find_card(NAME)
    return make_distance(store, card, config, latents or LatentConfig(), backend, report)


def test_distance_is_that_of_the_plain_function(tmp_path):
    heard = []
    made = measure(Store(tmp_path), report=lambda *state: heard.append(state))
    plain = scenes_distance(load_generator(NAME), 90)
    assert made.facts["value"] == pytest.approx(plain.value, rel=1e-6)
    assert made.facts["protocol"] == plain.protocol == "scenes-features-v1, 90 samples"
    assert made.facts["kernel"] == pytest.approx(plain.kernel.value, rel=1e-6)
    assert made.facts["kernel_protocol"] == plain.kernel.protocol
    assert heard[-1] == ("distance", 90, 90)
    assert not made.reused
    assert measure(Store(tmp_path, read_only=True)).reused
    assert not list(tmp_path.rglob("part-*"))


def test_reference_is_shared_by_other_latents_and_seeds(tmp_path):
    store = Store(tmp_path)
    plain = measure(store)
    truncated = measure(store, latents=LatentConfig(truncation=0.2))
    seeded = measure(store, DistanceConfig(count=90, seed=1))
    values = {made.facts["value"] for made in (plain, truncated, seeded)}
    assert len(values) == 3
    assert truncated.facts["value"] > plain.facts["value"]
    statistics = list((tmp_path / "statistics").iterdir())
    assert len(statistics) == 4  # three of generated pictures and one of scenes
    with pytest.raises(NotMadeError):
        measure(Store(tmp_path, read_only=True), DistanceConfig(count=91))


def test_an_interrupted_measurement_goes_on_with_the_missing_parts(tmp_path):
    pictures = PictureSet(generator=NAME, count=90)
    whole = make_statistics(Store(tmp_path / "whole"), pictures, "scenes", HERE, silent)

    def stop(stage, done, total, detail=""):
        if done > 80:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_statistics(Store(tmp_path / "cut"), pictures, "scenes", HERE, stop)
    heard = []
    made = make_statistics(
        Store(tmp_path / "cut"), pictures, "scenes", HERE, lambda *state: heard.append(state)
    )
    assert heard == [("distance", 90, 90)]  # the last ten alone
    first, second = (read_statistics(each, "scenes") for each in (whole, made))
    np.testing.assert_array_equal(first.moments.covariance, second.moments.covariance)
    np.testing.assert_array_equal(first.kept.vectors, second.kept.vectors)


def test_reference_of_a_folder_and_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "birds").mkdir()
    for number in range(12):
        picture = rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "birds" / f"{number}.png")
    store = Store(tmp_path / "storage")
    config = DistanceConfig(count=90, reference=f"folder:{tmp_path / 'birds'}")
    of_folder = measure(store, config)
    assert "90 samples, reference birds [" in of_folder.facts["protocol"]
    assert of_folder.facts["protocol"].endswith("at 32 px (12)")
    pictures = PictureSet(folder=tmp_path / "birds", resolution=32)
    made = make_statistics(store, pictures, "scenes", HERE, silent)
    assert made.reused
    statistics = read_statistics(made, "scenes")
    statistics.save(tmp_path / "birds.npz")
    of_file = measure(store, DistanceConfig(count=90, reference=f"file:{tmp_path / 'birds.npz'}"))
    assert of_file.facts == of_folder.facts
    loaded = FeatureStatistics.load(tmp_path / "birds.npz", features_name("scenes"))
    assert loaded.count == 12


def test_only_generators_of_scenes_are_compared_with_scenes(tmp_path):
    published = find_card("sagan.imagenet128")
    assert not has_reference(published, CONFIG)
    assert has_reference(published, DistanceConfig(reference="file:imagenet.npz"))
    with pytest.raises(ValueError, match="no such file of statistics"):
        measure(Store(tmp_path), DistanceConfig(count=4, reference="file:absent.npz"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": "vgg"}, "Unknown features 'vgg'"),
        ({"reference": "birds"}, "Unknown reference 'birds'.* 'folder:PATH'"),
        ({"count": 1}, "count must be a whole number of at least 2"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        DistanceConfig(**settings)
