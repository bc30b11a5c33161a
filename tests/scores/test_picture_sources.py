"""gseg/scores/picture_sources.py: the same pictures in any cut, in documented order and size."""

import itertools
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from gseg.features.networks import scenes_features
from gseg.generators.catalogue import load_generator
from gseg.images import to_uint8
from gseg.randomness import derive_seed
from gseg.samples.config import LatentConfig
from gseg.samples.latents import candidates
from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.scores.feature_statistics import collect_statistics
from gseg.scores.fid import compare, scenes_distance
from gseg.scores.picture_sources import FolderPictures, GeneratedPictures, ScenesPictures


@pytest.fixture(scope="module")
def generator():
    return load_generator("analytic.ellipses32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    (path / "more").mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("b.png", (40, 30)), ("a.png", (40, 30)), ("more/c.png", (16, 64))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path / name)
    (path / "notes.txt").write_text("no picture")
    (path / ".hidden.png").write_text("no picture")
    return path


def whole(source, *cuts):
    rows = [0, *cuts, len(source)]
    return [
        picture
        for start, stop in itertools.pairwise(rows)
        for batch in source.batches(range(start, stop))
        for picture in batch
    ]


def test_scenes_are_those_of_training(generator):
    source = ScenesPictures(30)
    assert torch.stack(whole(source, 7)).equal(render(range(30)).pictures)
    assert source.name == "scenes"
    with pytest.raises(ValueError, match="where validation starts"):
        ScenesPictures(10, first=VALIDATION_FIRST - 5)


def test_generated_pictures_follow_the_sampler(generator):
    z, y = candidates(generator.card, LatentConfig(), derive_seed(3, "fid"), range(20))
    want = to_uint8(generator(generator.code(z), y))
    got = torch.stack(whole(GeneratedPictures(generator, 20, seed=3), 6, 7))
    assert (got.int() - want.int()).abs().max() <= 1
    assert GeneratedPictures(generator, 20, seed=3).name == "analytic.ellipses32"


def test_truncation_and_classes_of_the_sampler_reach_the_pictures(generator):
    plain = torch.stack(whole(GeneratedPictures(generator, 20)))
    truncated = GeneratedPictures(generator, 20, latents=LatentConfig(truncation=0.1))
    spread = [batch.float().std(0).mean() for batch in (torch.stack(whole(truncated)), plain)]
    assert spread[0] < 0.5 * spread[1]


def test_folder_is_read_in_order_of_names_with_folders_below(folder):
    source = FolderPictures(folder)
    pictures = whole(source)
    assert [tuple(picture.shape) for picture in pictures] == [(3, 40, 30)] * 2 + [(3, 16, 64)]
    first = np.array(Image.open(folder / "a.png"))
    assert np.array_equal(pictures[0].permute(1, 2, 0).numpy(), first)
    assert [batch.shape[0] for batch in source.batches(range(3))] == [2, 1]
    assert source.name.endswith("at own size")


def test_folder_is_brought_to_a_generator_s_size(folder):
    source = FolderPictures(folder, resolution=15)
    pictures = torch.stack(whole(source, 1))
    assert pictures.shape == (3, 3, 15, 15)
    # The middle square of c.png is 16 x 16 from column 24; 15 px of it hold its mean.
    middle = np.array(Image.open(folder / "more/c.png"))[:, 24:40]
    assert pictures[2].float().mean().item() == pytest.approx(middle.mean(), abs=3)
    unchanged = FolderPictures(folder, resolution=16)
    assert np.array_equal(whole(unchanged)[2].permute(1, 2, 0).numpy(), middle)
    assert source.name.endswith("at 15 px")
    assert source.identity != unchanged.identity


def test_a_folder_is_named_by_its_content(tmp_path):
    (tmp_path / "set" / "more").mkdir(parents=True)
    picture = tmp_path / "set" / "more" / "a.bmp"  # whose size does not depend on what it shows
    Image.new("RGB", (30, 40), "blue").save(picture)
    before, size = FolderPictures(tmp_path / "set"), picture.stat().st_size
    copy = shutil.copytree(tmp_path / "set", tmp_path / "copy")
    assert FolderPictures(copy).identity == before.identity
    Image.new("RGB", (30, 40), "red").save(picture)
    assert picture.stat().st_size == size
    changed = FolderPictures(tmp_path / "set")
    assert changed.identity != before.identity
    assert changed.name != before.name


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        FolderPictures(tmp_path / "absent")
    with pytest.raises(ValueError, match="holds no pictures"):
        FolderPictures(tmp_path)
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"x\.png"):
        whole(FolderPictures(tmp_path))


def test_distance_to_scenes_needs_nothing_but_a_generator(generator):
    got = scenes_distance(generator, 60)
    want = compare(
        *(
            collect_statistics(
                each.batches(range(60)), scenes_features(), source=each.name, count=60
            )
            for each in (GeneratedPictures(generator, 60), ScenesPictures(60))
        )
    )
    assert got == want
    assert got.protocol == "scenes-features-v3, 60 samples"
    assert got.kernel.protocol.startswith("KID, scenes-features-v3")
    assert got.value > 0
