"""One contract for every generator: the catalogue's that are available, and each architecture."""

import copy
import os
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gseg.generators.biggan_deep import BigGANDeepGenerator
from gseg.generators.cards import GeneratorCard
from gseg.generators.catalogue import find_weights, list_generators, load_generator
from gseg.generators.contract import (
    SAMPLING,
    ForwardSetting,
    Generator,
    forward_with,
    sampling_setting,
)
from gseg.generators.layers import initialise_orthogonally
from gseg.generators.self_conditioned import SelfConditionedConfig, SelfConditionedGenerator
from gseg.generators.studiogan import (
    BigResNetConfig,
    BigResNetGenerator,
    ResNetConfig,
    ResNetGenerator,
)
from gseg.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from gseg.randomness import labels, latents

WIDTHS = (16, 8, 8)
COMMON = {"resolution": 16, "channels": WIDTHS}
DEEP = {
    "output_dim": 64,
    "z_dim": 8,
    "class_embed_dim": 8,
    "channel_width": 8,
    "num_classes": 5,
    "layers": [[True, 16, 8], [True, 8, 4], [True, 4, 2], [True, 2, 1]],
    "attention_layer_position": 2,
    "eps": 1e-4,
    "n_stats": 6,
}


def residual(num_classes: int) -> nn.Module:
    return ResNetGenerator(
        ResNetConfig(latent_dim=9, num_classes=num_classes, attention_after=1, **COMMON)
    )


def big_residual(num_classes: int) -> nn.Module:
    return BigResNetGenerator(
        BigResNetConfig(latent_dim=9, shared_dim=4, num_classes=num_classes, **COMMON)
    )


def self_conditioned(num_classes: int) -> nn.Module:
    return SelfConditionedGenerator(
        SelfConditionedConfig(latent_dim=9, num_classes=num_classes, embed_dim=4, **COMMON)
    )


def stylegan2(num_classes: int) -> nn.Module:
    return StyleGAN2Generator(StyleGAN2Config(latent_dim=9, style_dim=7, **COMMON))


def biggan_deep(num_classes: int) -> nn.Module:
    network = BigGANDeepGenerator({**DEEP, "num_classes": num_classes}, truncation=0.8)
    initialise_orthogonally(network)
    nn.init.constant_(network.model.generator.bn.weight, 0.1)
    nn.init.zeros_(network.model.generator.bn.bias)
    return network


ARCHITECTURES: dict[str, tuple[Callable[[int], nn.Module], int]] = {
    "resnet": (residual, 0),
    "resnet, classes": (residual, 5),
    "big_resnet": (big_residual, 0),
    "big_resnet, classes": (big_residual, 5),
    "self_conditioned": (self_conditioned, 0),
    "self_conditioned, classes": (self_conditioned, 5),
    "stylegan2": (stylegan2, 0),
    "biggan_deep": (biggan_deep, 5),
}
AVAILABLE = ["analytic.ellipses32", *[card.name for card in list_generators("embedded")]]
if os.environ.get("GSEG_WEIGHTS"):
    AVAILABLE += [c.name for c in list_generators("published") if find_weights(c.name) is not None]


def build(name: str) -> Generator:
    if name not in ARCHITECTURES:
        return load_generator(name)
    make, num_classes = ARCHITECTURES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make(num_classes)
    dim = 8 if name == "biggan_deep" else 9
    card = GeneratorCard(
        name=name,
        family=name,
        architecture=name,
        dataset="",
        resolution=64 if name == "biggan_deep" else 16,
        num_classes=num_classes,
        latent_dim=dim,
        code_dim=7 if name == "stylegan2" else dim,
    )
    return Generator(network, card)


@pytest.fixture(params=[*AVAILABLE, *ARCHITECTURES], scope="module")
def generator(request: pytest.FixtureRequest) -> Generator:
    return build(request.param)


def sample(generator: Generator, count: int = 4) -> tuple[Tensor, Tensor | None]:
    card = generator.card
    return latents(0, range(count), card.latent_dim), labels(0, range(count), card.num_classes)


@torch.no_grad()
def test_shapes_and_range(generator: Generator) -> None:
    z, y = sample(generator)
    code = generator.code(z)
    pictures = generator(code, y)
    card = generator.card
    assert code.shape == (4, card.code_dim)
    assert code.dtype == torch.float32
    assert pictures.shape == (4, 3, card.resolution, card.resolution)
    assert pictures.dtype == torch.float32
    assert pictures.isfinite().all()
    if "stylegan2" not in card.architecture:
        assert pictures.abs().max() <= 1
        assert torch.equal(code, z) or card.architecture == "biggan_deep"
    assert pictures.std() > 0


def test_frozen_and_in_evaluation_mode(generator: Generator) -> None:
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    generator.train()
    assert not any(module.training for module in generator.modules())
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    z, y = sample(generator)
    generator(generator.code(z), y)
    for key, value in generator.state_dict().items():
        assert torch.equal(value, before[key]), f"{key} changes in a forward"


@torch.no_grad()
def test_deterministic_and_independent_of_the_batch(generator: Generator) -> None:
    z, y = sample(generator, 5)
    code = generator.code(z)
    together = generator(code, y)
    assert torch.equal(together, generator(generator.code(z), y))
    for i in range(5):
        alone = generator(code[i : i + 1], None if y is None else y[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=0)
    order = torch.tensor([3, 1, 4, 0, 2])
    shuffled = generator(code[order], None if y is None else y[order])
    torch.testing.assert_close(shuffled, together[order], atol=1e-4, rtol=0)


@torch.no_grad()
def test_sample_i_is_stable(generator: Generator) -> None:
    """Sample i is the same whatever other samples are drawn with it."""
    z, y = sample(generator, 6)
    card = generator.card
    assert torch.equal(latents(0, [4], card.latent_dim), z[4:5])
    if y is not None:
        assert torch.equal(labels(0, [4], card.num_classes), y[4:5])


def test_gradient_reaches_z_and_shift(generator: Generator) -> None:
    z, y = sample(generator, 2)
    z.requires_grad_()
    shift = torch.zeros(generator.card.code_dim, requires_grad=True)
    generator(generator.code(z) + shift, y).square().sum().backward()
    for gradient in (z.grad, shift.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
    assert all(parameter.grad is None for parameter in generator.parameters())


@torch.no_grad()
def test_labels(generator: Generator) -> None:
    z, y = sample(generator)
    code, classes = generator.code(z), generator.card.num_classes
    if classes == 0:
        assert y is None
        assert torch.equal(generator(code, torch.zeros(4, dtype=torch.int64)), generator(code))
        return
    assert y is not None
    assert not torch.equal(generator(code, (y + 1) % classes), generator(code, y))
    for wrong, message in (
        (None, "conditional"),
        (y[:2], r"shape \(2,\)"),
        (y + classes, f"classes 0 to {classes - 1}"),
        (y - classes, f"classes 0 to {classes - 1}"),
    ):
        with pytest.raises(ValueError, match=message):
            generator(code, wrong)


def test_code_of_another_width_is_refused(generator: Generator) -> None:
    with pytest.raises(ValueError, match="takes codes of shape"):
        generator(torch.zeros(2, generator.card.code_dim + 1))
    with pytest.raises(ValueError, match="takes codes of shape"):
        generator(torch.zeros(generator.card.code_dim))


@torch.no_grad()
def test_copies_give_the_same(generator: Generator) -> None:
    z, y = sample(generator)
    expected = generator(generator.code(z), y)
    for twin in (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        assert twin.card == generator.card
        assert torch.equal(twin(twin.code(z), y), expected)
    fresh = copy.deepcopy(generator)
    fresh.load_state_dict(generator.state_dict())
    assert torch.equal(fresh(fresh.code(z), y), expected)


@torch.no_grad()
def test_precision(generator: Generator) -> None:
    z, y = sample(generator)
    expected = generator(generator.code(z), y)
    wide = copy.deepcopy(generator).double()
    pictures = wide(wide.code(z.double()), y)
    assert pictures.dtype == torch.float32
    torch.testing.assert_close(pictures, expected, atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = generator(generator.code(z), y)
    assert narrow.dtype == torch.float32
    assert (narrow - expected).abs().mean() < 0.05 * expected.std()


@pytest.mark.gpu
@torch.no_grad()
def test_moves_to_a_gpu(generator: Generator, device: torch.device) -> None:
    z, y = sample(generator, 16)
    code = generator.code(z)
    expected = generator(code, y)
    moved = copy.deepcopy(generator).to(device)
    assert moved.device.type == device.type
    found = moved.code(z.to(device))
    torch.testing.assert_close(found.cpu(), code, atol=1e-5, rtol=1e-5)
    pictures = moved(found, None if y is None else y.to(device))
    assert pictures.device.type == device.type
    difference = (pictures.cpu() - expected).abs()  # an H100: 7e-6 of the embedded generators
    assert difference.max() <= 1e-4
    assert difference.mean() <= 1e-5


@pytest.fixture(scope="module")
def ggan() -> Generator:
    return load_generator("ggan.scenes32")


def test_the_setting_follows_the_kind_of_device():
    assert sampling_setting("cuda:1") == SAMPLING["cuda"]
    assert sampling_setting(torch.device("cpu")) == SAMPLING["cpu"]
    assert sampling_setting("meta") == ForwardSetting()


def test_float32_is_the_generator_itself(ggan):
    assert forward_with(ggan, ForwardSetting()) is ggan


def test_bfloat16_is_close_and_gives_float32_pictures(ggan):
    z = latents(0, range(4), ggan.card.latent_dim)
    y = labels(0, range(4), ggan.card.num_classes)
    with torch.no_grad():
        exact = ggan(z, y)
        narrow = forward_with(ggan, ForwardSetting(precision="bfloat16"))(z, y)
    assert narrow.dtype == torch.float32
    assert not torch.equal(narrow, exact)
    assert (narrow - exact).abs().mean() < 0.02
