"""Loops whose device is a GPU do not wait for it, but where a comment says so.

Without a GPU: see `pretended`. What is compared is a short and a long run of the same loop.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from pretended import Pretended, Waits, pretended_gpu

from gseg.directions.affine import fit_maps, generated_batches, picture_batches
from gseg.directions.codes import shifted_pictures
from gseg.directions.config import AffineConfig, LearntConfig, SearchConfig
from gseg.directions.learnt import learn_directions
from gseg.directions.search import border_vote, optimise
from gseg.features.networks import scenes_features
from gseg.generators.catalogue import load_generator
from gseg.samples.config import SampleConfig, filter_preset
from gseg.samples.draw import draw_shard, draw_shards
from gseg.scores.benchmarks import Example
from gseg.scores.feature_statistics import collect_statistics
from gseg.scores.picture_sources import GeneratedPictures
from gseg.scores.protocol import score
from gseg.segmenters.config import FitConfig
from gseg.segmenters.fit import _LOOK_EVERY, fit
from gseg.segmenters.segmenter import Segmenter

pytestmark = [
    pytest.mark.filterwarnings("ignore:User provided device_type of 'cuda'"),
    pytest.mark.usefixtures("one_thread"),
]
NAME = "biggan.scenes32"


class Along:
    lighter = torch.nn.functional.normalize(torch.ones(64), dim=0)
    darker = -lighter


def _waits(loop: Callable[..., object], *args: object) -> Waits:
    """Run a loop of a generator on a pretended GPU."""
    with pretended_gpu() as waits:
        generator = load_generator(NAME).to("cuda")
        waits.counts.clear()
        waits.places.clear()
        loop(generator, *args)
    return waits


def _assert_none_grow(loop, short, long, *, allowed=frozenset()):
    """Make sure that a longer loop waits for nothing more than a shorter one."""
    before, after = _waits(loop, short), _waits(loop, long)
    assert after.counts.total() > 0  # the helper sees something
    for kind, count in after.counts.items():
        if kind not in allowed:
            assert count == before.counts[kind], (kind, before.places, after.places[kind])


@pytest.mark.parametrize(
    ("kind", "filters"),
    [
        ("lighter", "gseg"),
        ("both", "gseg"),
        ("both", "melas2022_program"),
        ("mean", "none"),
        ("affine_each", "none"),
    ],
)
def test_drawing_waits_for_nothing_but_copies_that_were_begun(kind, filters):
    def draw(generator, blocks):
        config = SampleConfig(
            mask_kind=kind, filters=filter_preset(filters), batch=8, blocks_per_shard=blocks
        )
        drawn = draw_shard(generator, Along(), config, 0)
        assert not isinstance(drawn.pictures, Pretended)

    for blocks in (2, 5):
        waits = _waits(draw, blocks)
        assert waits.counts["event"] >= 3 * blocks
        assert waits.unintended == 0, waits.places


def test_what_is_drawn_is_what_is_drawn_without_a_gpu():
    config = SampleConfig(batch=8, blocks_per_shard=3)
    expected = draw_shard(load_generator(NAME), Along(), config, 0)
    found = []
    _waits(lambda generator: found.append(draw_shard(generator, Along(), config, 0)))
    for name in ("indices", "labels", "pictures", "masks"):
        assert torch.equal(getattr(found[0], name), getattr(expected, name))
    assert found[0].counts == expected.counts


def test_judges_are_no_more_than_cores(monkeypatch):
    asked = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, threads):
            asked.append(threads)
            super().__init__(threads)

    monkeypatch.setattr(sys.modules["gseg.samples.draw"], "ThreadPoolExecutor", Pool)
    request = (Along(), SampleConfig(batch=8, blocks_per_shard=1))
    for how in ({"cores": 16}, {"cores": 3}, {"cores": 1}, {"cores": 1, "threads": 7}):
        _waits(lambda generator, how=how: draw_shards(generator, [request], 0, **how))
    assert asked == [4, 3, 1, 7]


@pytest.mark.parametrize("config", [{}, {"epsilon_std": 0.5}, {"centre_prior": False}])
def test_steps_of_a_search_do_not_wait(config):
    def search(generator, steps):
        optimise(generator, SearchConfig(steps=steps, batch=4, **config), (1, -1))

    _assert_none_grow(search, 2, 6)


def test_a_vote_waits_once():
    vectors = torch.stack([Along.lighter, Along.darker])
    waits = _waits(lambda generator: border_vote(generator, vectors, SearchConfig(batch=16)))
    assert waits.counts == {"__float__": 1}


def test_steps_of_a_fit_of_colour_maps_do_not_wait():
    def fit_fresh(generator, steps):
        config = AffineConfig(steps=steps)
        fit_maps(generated_batches(generator, Along.lighter[None].to("cuda"), config), config)

    def fit_same(generator, steps):
        config = AffineConfig(steps=steps)
        shown = shifted_pictures(generator, Along.lighter[None], range(8))
        fit_maps(picture_batches(*shown, config), config)
        assert _ask(generator)

    _assert_none_grow(fit_fresh, 2, 6)
    _assert_none_grow(fit_same, 2, 6)


def _ask(generator):
    """Wait once, to make sure that waits are seen."""
    return bool(next(generator.parameters()).isfinite().all())


def test_steps_of_learning_directions_wait_for_the_matrix_exponential_only(monkeypatch):
    """And 20 times in a training for its loss."""
    monkeypatch.setattr("gseg.directions.learnt._TEST_STEPS", 3)

    def learn(generator, steps):
        learn_directions(generator, 4, LearntConfig(steps=steps, batch=4))

    _assert_none_grow(learn, 20, 40, allowed={"linalg_matrix_exp"})
    linear = LearntConfig(steps=20, batch=4, deformator="linear")
    waits = _waits(lambda generator: learn_directions(generator, 4, linear))
    assert "linalg_matrix_exp" not in waits.counts


def _pairs(count=24):
    stream = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=stream)
    return pictures, pictures[:, 0] > 128


def test_steps_of_a_training_do_not_wait_between_two_looks():
    def train(_, steps):
        config = FitConfig(steps=steps, batch=8, width=2, depth=1, decay_at=None)
        fit(*_pairs(), config, device="cuda")

    assert _LOOK_EVERY > 9
    _assert_none_grow(train, 3, 9)
    looks = [_waits(train, steps).counts["__float__"] for steps in (9, _LOOK_EVERY + 9)]
    assert looks == [1, 2]


def test_a_look_at_held_out_pairs_waits_for_the_end_of_it_alone(monkeypatch):
    monkeypatch.setattr("gseg.segmenters.fit._PIXELS_AT_ONCE", 4 * 16 * 16)
    config = FitConfig(steps=4, batch=8, width=2, depth=1, decay_at=None, validate_every=2)
    pictures, masks = _pairs()
    expected = fit(pictures, masks, config, validation=(pictures, masks))
    found = []

    def train(_, count):
        held_out = (pictures[:count], masks[:count])
        found.append(fit(pictures, masks, config, validation=held_out, device="cuda"))

    _assert_none_grow(train, 4, 24, allowed={"event"})
    assert found[-1].validation == expected.validation
    assert _waits(train, 24).counts["event"] == 2 * 6


class Benchmark:
    """Pictures of two sizes, some with pixels that do not count."""

    name = identity = "made up"
    crop, working_size, from_files, skip_bad, bad = False, 16, False, False, ()

    def __init__(self, count, *, scored=False):
        self._count, self._scored = count, scored

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        stream = torch.Generator().manual_seed(index)
        side = 16 + 4 * (index % 2)
        picture = torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=stream)
        scored = picture[1] > 20 if self._scored and index % 3 else None
        return Example(id=str(index), picture=picture, mask=picture[0] > 99, scored=scored)


@pytest.mark.parametrize("protocol", ["text", "melas_program", "voynov_program"])
@pytest.mark.parametrize("scored", [False, True])
def test_scoring_waits_for_nothing_but_copies_that_were_begun(protocol, scored):
    found, expected = {}, {}
    segmenter = fit(
        *_pairs(), FitConfig(steps=2, batch=8, width=2, depth=1, decay_at=None)
    ).segmenter

    def run(_, count, device="cuda"):
        benchmark = Benchmark(count, scored=scored)
        predict = segmenter.to(device).probability
        found[count] = score(predict, benchmark, protocol=protocol, batch=4, device=device)

    with torch.no_grad():
        for count in (8, 24):
            run(None, count, device="cpu")
            expected[count] = found[count]
        for count in (8, 24):
            with pretended_gpu() as waits:
                segmenter.to("cuda")
                waits.counts.clear()
                run(None, count)
            assert waits.counts["event"] > 0
            assert waits.unintended == 0, waits.places
            assert found[count].table.equals(expected[count].table)
            segmenter.to("cpu")


def test_a_probability_out_of_range_is_told_of_a_group_later():
    def predict(images):
        probability = images[:, 0] * 0 + 0.5
        probability[:1] = float("nan")
        return probability

    with pretended_gpu(), pytest.raises(ValueError, match=r"must be in \[0, 1\], got nan to nan"):
        score(predict, Benchmark(8), batch=4, device="cuda")


def test_features_wait_for_nothing_but_copies_that_were_begun():
    found = []

    def collect(generator, count):
        source = GeneratedPictures(generator, count)
        extractor = scenes_features(device="cuda")
        found.append(
            collect_statistics(
                source.batches(range(count)), extractor, source=source.name, count=count
            )
        )

    _assert_none_grow(collect, 250, 750, allowed={"event"})
    generator = load_generator(NAME)
    source = GeneratedPictures(generator, 250)
    expected = collect_statistics(
        source.batches(range(250)), scenes_features(), source=source.name, count=250
    )
    assert np.array_equal(found[0].moments.mean, expected.moments.mean)


def test_a_segmenter_on_a_gpu_predicts_pictures_of_the_cpu_part_by_part(monkeypatch):
    monkeypatch.setattr("gseg.segmenters.segmenter._PIXELS_AT_ONCE", 4 * 16 * 16)
    pictures, _ = _pairs()
    images = pictures / 127.5 - 1
    segmenter = Segmenter.shipped()
    expected = segmenter.probability(images)
    with pretended_gpu() as waits:
        segmenter.to("cuda")
        waits.counts.clear()
        found = segmenter.probability(images)
    assert waits.counts == {"event": 6}
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("wait", "kind"),
    [
        (lambda x: x.sum().item(), "item"),
        (lambda x: float(x.sum()), "__float__"),
        (lambda x: 1 if x.sum() > 0 else 0, "__bool__"),
        (lambda x: x[x > 0], "boolean index"),
        (lambda x: x.nonzero(), "nonzero"),
        (lambda x: torch.equal(x, x), "equal"),
        (lambda x: x.cpu(), "cpu"),
        (lambda x: x.to("cpu"), "download"),
        (lambda x: torch.empty(4).copy_(x, non_blocking=True), "download"),
        (lambda x: torch.ones(3).to(x.device, non_blocking=True), "upload"),
        (lambda x: torch.tensor([1.0, 2.0], device=x.device), "upload"),
        (lambda x: x[torch.tensor([0, 1])], "upload"),
        (lambda x: torch.ones(3).pin_memory().to(x.device), "upload"),
        (lambda x: torch.bincount(x.long()), "bincount"),
    ],
)
def test_the_helper_counts(wait, kind):
    with pretended_gpu() as waits:
        x = torch.arange(4.0, device="cuda")
        assert waits.counts == {}
        wait(x)
        assert waits.counts == {kind: 1}


@pytest.mark.parametrize(
    "calm",
    [
        lambda x: x[1:3] + torch.zeros((), device="cuda"),
        lambda x: torch.ones(3).pin_memory().to(x.device, non_blocking=True) * x[:3],
        lambda x: torch.empty(4, pin_memory=True).copy_(x, non_blocking=True),
        lambda x: torch.nn.functional.cross_entropy(x[None], x[:1].long()),
        lambda x: x.to(torch.float64).to("cuda"),
        lambda x: x[x.long()],
    ],
)
def test_the_helper_counts_nothing_else(calm):
    with pretended_gpu() as waits:
        calm(torch.arange(4.0, device="cuda"))
        assert waits.counts == {}


def test_the_helper_refuses_tensors_of_both_kinds():
    with pretended_gpu(), pytest.raises(RuntimeError, match="of the CPU among a GPU's"):
        torch.arange(4.0, device="cuda") + torch.arange(4.0)
