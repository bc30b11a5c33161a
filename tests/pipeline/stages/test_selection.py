from dataclasses import replace

import pytest
import torch
from PIL import Image

from gseg.directions import Direction
from gseg.features import scenes_features
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.pipeline.backend import LocalBackend
from gseg.pipeline.experiment import SelectionConfig
from gseg.pipeline.progress import silent
from gseg.pipeline.stages import Wanted, make_samples, make_selection
from gseg.samples import SampleConfig, Shard, load_samples
from gseg.scores.picture_sources import FolderPictures
from gseg.storage.store import Artifact, Store

CONFIG = SampleConfig(epsilon=2.0, batch=8, blocks_per_shard=2, seed=7)


@pytest.fixture
def made(tmp_path):
    """Sixty samples, and a folder with three pictures of other latents."""
    generator = analytic_generator(16)
    vector = known_direction(generator)
    Direction(lighter=vector, darker=-vector, provenance={}).save(tmp_path / "direction")
    direction = Artifact(digest="d", folder=tmp_path / "direction", manifest={}, reused=True)
    store = Store(tmp_path / "storage")
    wanted = Wanted(direction=direction, config=CONFIG, count=60)
    samples = make_samples(store, "analytic.ellipses16", wanted, LocalBackend(), silent)
    (tmp_path / "real").mkdir()
    pictures = generator(torch.randn(3, 8, generator=torch.Generator().manual_seed(5)))
    for number, picture in enumerate(((pictures + 1) * 127.5).to(torch.uint8)):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / f"real/{number}.png")
    return store, samples, SelectionConfig(folder=str(tmp_path / "real"), candidates=60)


def test_the_nearest_samples_are_kept(made):
    store, samples, config = made
    heard = []
    kept = make_selection(
        store, samples, config, 10, LocalBackend(), lambda *words: heard.append(words[:3])
    )
    everything = load_samples(samples.pairs.shards, 60)
    extract = scenes_features()
    real = torch.cat(list(FolderPictures(config.folder).batches(range(3))))
    cosine = torch.nn.functional.cosine_similarity(
        extract(everything.pictures)[:, None], extract(real)[None], dim=2
    ).amax(dim=1)
    best = torch.topk(cosine, 10).indices.sort().values
    chosen = load_samples(kept.pairs.shards, kept.pairs.count)
    assert torch.equal(chosen.indices, everything.indices[best])
    assert torch.equal(chosen.pictures, everything.pictures[best])
    assert torch.equal(chosen.masks, everything.masks[best])
    torch.testing.assert_close(chosen.statistics["similarity"], cosine[best])
    assert heard[-1] == ("selection", 60, 60)
    assert kept.counts == samples.counts
    assert not kept.reused
    assert sum(len(Shard.load(path)) for path in kept.pairs.shards) == 10


def test_a_selection_is_found_again_and_named_by_what_shapes_it(made):
    store, samples, config = made
    first = make_selection(store, samples, config, 10, LocalBackend(), silent)
    again = make_selection(store, samples, config, 10, LocalBackend(), silent)
    assert again.digest == first.digest
    assert again.reused == samples.reused
    fewer = replace(samples, pairs=replace(samples.pairs, count=50))
    others = [
        make_selection(store, samples, config, 11, LocalBackend(), silent),
        make_selection(store, fewer, config, 10, LocalBackend(), silent),
    ]
    assert len({first.digest, *(each.digest for each in others)}) == 3
    # Among the first fifty it is as if there were no others.
    assert load_samples(others[1].pairs.shards, 10).indices.max() <= 60


def test_more_than_there_are_cannot_be_chosen(made):
    store, samples, config = made
    with pytest.raises(ValueError, match="all 60 of the samples, asked for 61"):
        make_selection(store, samples, config, 61, LocalBackend(), silent)
