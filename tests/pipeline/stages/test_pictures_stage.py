"""gseg/pipeline/stages/pictures.py: kept, shared between generators, resumed, the same on Ray."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.features.named import features_name
from gseg.generators.catalogue import find_card, load_generator
from gseg.pipeline.experiment import DistanceConfig
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs import pictures as measuring
from gseg.pipeline.jobs.pictures import PictureSet
from gseg.pipeline.progress import silent
from gseg.pipeline.stages.pictures import StatisticsNode, distance_node
from gseg.samples.config import LatentConfig
from gseg.scenes.versions import SCENES
from gseg.scores.feature_statistics import FeatureStatistics
from gseg.scores.fid import scenes_distance
from gseg.storage.manifests import told_doubts
from gseg.storage.store import Store

NAME = "analytic.ellipses32"
HERE = RayBackend(Resources(placement="process"))
CONFIG = DistanceConfig(count=90)
CARD = replace(find_card(NAME), dataset=SCENES.name)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(measuring.MeasureJob, "part_size", 40)


def node_of(config=CONFIG, latents=None):
    return distance_node(CARD, config, latents or LatentConfig(), "cpu")


def measure(store, config=CONFIG, latents=None, report=silent):
    return Workshop(store, HERE, report).make(node_of(config, latents))


def statistics(pictures):
    return StatisticsNode(pictures=pictures, features="scenes", device="cpu")


def test_distance_is_that_of_the_plain_function(tmp_path):
    heard = []
    made = measure(Store(tmp_path), report=lambda *state: heard.append(state))
    plain = scenes_distance(load_generator(NAME), 90)
    assert made.facts["value"] == pytest.approx(plain.value, rel=1e-6)
    assert made.facts["protocol"] == plain.protocol == "scenes-features-v3, 90 samples"
    assert made.facts["kernel"] == pytest.approx(plain.kernel.value, rel=1e-6)
    assert made.facts["kernel_protocol"] == plain.kernel.protocol
    shares = plain.precision_recall
    assert made.facts["precision"] == pytest.approx(shares.precision, abs=0.02)
    assert made.facts["recall"] == pytest.approx(shares.recall, abs=0.02)
    assert made.facts["precision_recall_protocol"] == shares.protocol
    assert heard[-1] == ("distance", 90, 90)
    values = node_of().values(Workshop(Store(tmp_path), HERE))
    assert values["fid"] == made.facts["value"]
    assert values["generator_precision"] == made.facts["precision"]
    assert values["generator_recall"] == made.facts["recall"]
    assert values["precision_recall_protocol"] == made.facts["precision_recall_protocol"]
    assert values["fid_seconds"] > made.seconds
    assert (made.reused, values["fid_reused"]) == (False, True)
    assert not list(tmp_path.rglob("part-*"))


def test_reference_is_shared_by_other_latents_and_seeds(tmp_path):
    store = Store(tmp_path)
    plain = measure(store)
    truncated = measure(store, latents=LatentConfig(truncation=0.2))
    seeded = measure(store, DistanceConfig(count=90, seed=1))
    values = {made.facts["value"] for made in (plain, truncated, seeded)}
    assert len(values) == 3
    assert truncated.facts["value"] > plain.facts["value"]
    taken = list((tmp_path / "statistics").iterdir())
    assert len(taken) == 4  # three of generated pictures and one of scenes
    looking = Workshop(Store(tmp_path, read_only=True))
    assert looking.find(node_of(DistanceConfig(count=91))) is None


def test_an_interrupted_measurement_goes_on_with_the_missing_parts(tmp_path, monkeypatch):
    node = statistics(PictureSet(generator=NAME, count=90))
    whole = Workshop(Store(tmp_path / "whole"), HERE)
    whole.make(node)
    done = []

    def stop(*words, collect=measuring.collect_statistics, **more):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(more["first"])
        return collect(*words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(measuring, "collect_statistics", stop)
        with pytest.raises(KeyboardInterrupt):
            Workshop(Store(tmp_path / "cut"), HERE).make(node)
    heard = []
    made = Workshop(Store(tmp_path / "cut"), HERE, lambda *state: heard.append(state))
    made.make(node)
    assert heard == [("distance", 80, 90), ("distance", 90, 90)]  # the last ten alone
    first, second = (node.read(each) for each in (whole, made))
    np.testing.assert_array_equal(first.moments.covariance, second.moments.covariance)
    np.testing.assert_array_equal(first.kept.vectors, second.kept.vectors)


def test_a_damaged_part_is_measured_again(tmp_path):
    node = statistics(PictureSet(generator=NAME, count=90))
    whole, cut = (Workshop(Store(tmp_path / name), HERE) for name in ("whole", "cut"))
    whole.make(node)
    parts = [cut.folder(node) / f"part-{number:05d}.npz" for number in range(2)]
    parts[0].parent.mkdir(parents=True)
    parts[0].write_bytes(b"")
    parts[1].write_bytes(b"PK no more")
    told_doubts()
    cut.make(node)
    np.testing.assert_array_equal(node.read(whole).moments.mean, node.read(cut).moments.mean)
    assert [str(part) in line for part, line in zip(parts, told_doubts(), strict=True)] == [
        True
    ] * 2


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
    shop = Workshop(Store(store.root, read_only=True))
    assert shop.find(statistics(pictures)) is not None
    statistics(pictures).read(shop).save(tmp_path / "birds.npz")
    of_file = measure(store, DistanceConfig(count=90, reference=f"file:{tmp_path / 'birds.npz'}"))
    assert of_file.facts == of_folder.facts
    loaded = FeatureStatistics.load(tmp_path / "birds.npz", features_name("scenes"))
    assert loaded.count == 12


def test_only_generators_of_scenes_are_compared_with_scenes(tmp_path):
    published = find_card("sagan.imagenet128")
    assert distance_node(published, CONFIG, LatentConfig(), "cpu") is None
    file = DistanceConfig(reference="file:imagenet.npz")
    assert distance_node(published, file, LatentConfig(), "cpu") is not None
    assert distance_node(find_card(NAME), None, LatentConfig(), "cpu") is None
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
