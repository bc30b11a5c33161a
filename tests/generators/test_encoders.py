import pytest
import torch

from gseg.generators.encoders import (
    Encoder,
    EncoderConfig,
    EncoderNetwork,
    choose_encoder,
    list_encoders,
    load_encoder,
)
from gseg.scenes.pictures import render

CONFIG = EncoderConfig(latent_dim=6, resolution=16, channels=(8, 8, 8))


@pytest.fixture
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return EncoderNetwork(CONFIG)


def test_latents_have_the_prior_s_mean_and_variance(network):
    random = torch.Generator().manual_seed(0)
    pictures = torch.rand(256, 3, 16, 16, generator=random) * 2 - 1
    mean, deviation = network(pictures)
    drawn = mean + deviation * torch.randn(256, 6, generator=random)
    assert drawn.mean(0).abs().max() < 0.25
    assert (drawn.std(0) - 1).abs().max() < 0.2
    assert ((deviation > 0) & (deviation < 1)).all()


@pytest.mark.parametrize("known", [-300.0, -20.0, 0.0, 20.0, 300.0])
def test_gradients_are_finite_however_sure_it_is(network, known):
    torch.nn.init.constant_(network.head.bias[6:], known)
    pictures = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    mean, deviation = network(pictures)
    (mean.sum() + deviation.square().sum()).backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


def test_pictures_of_another_size_are_refused(network):
    encoder = Encoder(network, "x.scenes16")
    found = encoder(torch.zeros(3, 3, 16, 16, dtype=torch.uint8))
    assert found.shape == (3, 6)
    assert encoder(torch.zeros(0, 3, 16, 16, dtype=torch.uint8)).shape == (0, 6)
    with pytest.raises(ValueError, match=r"takes pictures \(N, 3, 16, 16\)"):
        encoder(torch.zeros(3, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="of uint8"):
        encoder(torch.zeros(3, 3, 16, 16))


def test_a_generator_without_encoder_is_refused():
    with pytest.raises(ValueError, match=r"No encoder ships for 'ggan\.scenes32'"):
        load_encoder("ggan.scenes32")


@pytest.mark.gpu
@pytest.mark.parametrize("name", list_encoders())
def test_a_device_finds_the_cpu_s_latents(name, device):
    encoder = load_encoder(name)
    pictures = render(range(16), resolution=encoder.resolution).pictures
    moved = load_encoder(name, device=device)
    for found, expected in zip(
        moved.distribution(pictures), encoder.distribution(pictures), strict=True
    ):
        assert expected.std() > 0
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("z[3, 1] = float('nan')", "'latents' holds NaN or infinity .* row 3 of 4"),
        ("z = z.long()", "expected floating-point latents, got torch.int64"),
        ("z = z.double() * 1e300", "'latents' holds NaN or infinity"),
    ],
)
def test_latents_of_the_user_s_own_encoder_are_numbers(tmp_path, line, told):
    (tmp_path / "mine.py").write_text(
        f"import torch\ndef f(x):\n    z = torch.ones(len(x), 5)\n    {line}\n    return z\n"
    )
    encode = choose_encoder(f"{tmp_path}/mine.py:f", resolution=8).open()
    with pytest.raises(ValueError, match=told):
        encode(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), range(4))
