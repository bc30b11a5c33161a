import pytest
import torch

from gseg.generators.catalogue import load_generator
from gseg.generators.precision import SAMPLING, ForwardSetting, forward_with, sampling_setting
from gseg.randomness import labels, latents


@pytest.fixture(scope="module")
def generator():
    return load_generator("ggan.scenes32")


def test_the_setting_follows_the_kind_of_device():
    assert sampling_setting("cuda:1") == SAMPLING["cuda"]
    assert sampling_setting(torch.device("cpu")) == SAMPLING["cpu"]
    assert sampling_setting("meta") == ForwardSetting()


def test_float32_is_the_generator_itself(generator):
    assert forward_with(generator, ForwardSetting()) is generator


def test_bfloat16_is_close_and_gives_float32_pictures(generator):
    z = latents(0, range(4), generator.card.latent_dim)
    y = labels(0, range(4), generator.card.num_classes)
    with torch.no_grad():
        exact = generator(z, y)
        narrow = forward_with(generator, ForwardSetting(precision="bfloat16"))(z, y)
    assert narrow.dtype == torch.float32
    assert not torch.equal(narrow, exact)
    assert (narrow - exact).abs().mean() < 0.02
