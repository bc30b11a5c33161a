"""Training straight from the generator is training on the same samples from memory."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gseg.generators.analytic import analytic_generator, known_direction
from gseg.samples import SampleConfig, draw
from gseg.segmenters import FitConfig, InMemoryPairs, fit_source, online
from gseg.segmenters.online import online_pairs

SAMPLES = SampleConfig(epsilon=2.0, batch=8, blocks_per_shard=1)
TRAINING = FitConfig(steps=6, batch=5, width=4, depth=2, decay_at=None, shuffle_window=1)


@pytest.fixture
def parts():
    generator = analytic_generator(16)
    vector = known_direction(generator)
    return generator, SimpleNamespace(lighter=vector, darker=-vector)


def test_the_result_is_that_of_the_stored_samples(parts):
    stored = draw(*parts, SAMPLES, TRAINING.steps * TRAINING.batch)
    expected = fit_source(InMemoryPairs(stored.pictures, stored.masks), TRAINING)
    result = fit_source(online_pairs(*parts, SAMPLES, TRAINING), TRAINING)
    assert result.losses.equal(expected.losses)


def test_each_sample_is_seen_once_in_the_order_of_the_candidates(parts):
    source = online_pairs(*parts, SAMPLES, TRAINING)
    assert len(source) == 30
    whole = draw(*parts, SAMPLES, 30)
    for start in range(0, 30, 5):
        assert source.batch(np.arange(start, start + 5))[0].equal(whole.pictures[start : start + 5])


def test_a_training_that_goes_on_draws_no_shard_of_before(parts, tmp_path, monkeypatch):
    journal = tmp_path / "shards.json"
    whole = draw(*parts, SAMPLES, 30)
    first = online_pairs(*parts, SAMPLES, TRAINING, journal=journal)
    for start in range(0, 20, 5):
        first.batch(np.arange(start, start + 5))
    first._pool.shutdown(wait=True)
    asked = []
    real = online.draw_shard

    def count(generator, direction, config, number):
        asked.append(number)
        return real(generator, direction, config, number)

    monkeypatch.setattr(online, "draw_shard", count)
    second = online_pairs(*parts, SAMPLES, TRAINING, journal=journal)
    pictures, masks = second.batch(np.arange(20, 25))
    assert pictures.equal(whole.pictures[20:25])
    assert masks.equal(whole.masks[20:25])
    second._pool.shutdown(wait=True)
    assert 0 not in asked
    assert min(asked) >= 1


def test_a_shuffled_training_is_refused(parts):
    with pytest.raises(ValueError, match="set it to 1"):
        online_pairs(*parts, SAMPLES, replace(TRAINING, shuffle_window=100))
