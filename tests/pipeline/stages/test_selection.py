from dataclasses import replace

import pytest
import torch
from PIL import Image

from gseg.directions.direction import Direction
from gseg.features.networks import scenes_features
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.pipeline.experiment import SelectionConfig
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.progress import silent
from gseg.pipeline.stages.derived import SelectionNode
from gseg.pipeline.stages.directions import GivenDirection
from gseg.pipeline.trial import samples_node
from gseg.samples.config import SampleConfig
from gseg.samples.sets import load_samples
from gseg.samples.shards import DamagedShardError, Shard
from gseg.scores.picture_sources import FolderPictures
from gseg.storage.store import Store

CONFIG = SampleConfig(epsilon=2.0, batch=8, blocks_per_shard=2, seed=7)


@pytest.fixture
def made(tmp_path):
    """Sixty samples, and a folder with three pictures of other latents."""
    generator = analytic_generator(16)
    vector = known_direction(generator)
    Direction(lighter=vector, darker=-vector, provenance={}).save(tmp_path / "direction")
    direction = GivenDirection(given=tmp_path / "direction")
    store = Store(tmp_path / "storage")
    samples = samples_node("analytic.ellipses16", direction, CONFIG, 60, "cpu")
    (tmp_path / "real").mkdir()
    pictures = generator(torch.randn(3, 8, generator=torch.Generator().manual_seed(5)))
    for number, picture in enumerate(((pictures + 1) * 127.5).to(torch.uint8)):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / f"real/{number}.png")
    return store, samples, SelectionConfig(folder=str(tmp_path / "real"), candidates=60)


def selected(made, count, heard=None, among=60):
    """Make a selection; gives its samples and its name."""
    store, samples, config = made
    source = replace(samples, count=among)
    node = SelectionNode(source=source, selection=config, count=count, device="cpu")
    report = silent if heard is None else lambda *words: heard.append(words[:3])
    shop = Workshop(store, LocalBackend(), report)
    return node.sampled(shop), shop.name(node)


def test_the_nearest_samples_are_kept(made):
    store, node, config = made
    heard = []
    kept, _ = selected(made, 10, heard)
    samples = node.sampled(Workshop(store, LocalBackend()))
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
    first, name = selected(made, 10)
    again, same = selected(made, 10)
    assert same == name
    assert (first.reused, again.reused) == (False, True)
    (_, larger), (fewer, smaller) = selected(made, 11), selected(made, 10, among=50)
    assert len({name, larger, smaller}) == 3
    # Among the first fifty it is as if there were no others.
    assert load_samples(fewer.pairs.shards, 10).indices.max() <= 60


def test_a_damaged_shard_of_a_selection_is_made_again(made):
    kept, _ = selected(made, 10)
    whole = kept.pairs.load()
    path = kept.pairs.shards[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 8] ^= 4
    path.write_bytes(content)
    with pytest.raises(DamagedShardError, match=r"shard-000000\.parquet is no whole shard"):
        kept.pairs.load()
    again, _ = selected(made, 10)
    assert not again.reused
    assert all(map(torch.equal, again.pairs.load(), whole))


def test_more_than_there_are_cannot_be_chosen(made):
    with pytest.raises(ValueError, match="all 60 of the samples, asked for 61"):
        selected(made, 61)
