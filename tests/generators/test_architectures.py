"""The three residual architectures: shapes, training and frozen use, and the merged upsampling."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.generators.layers import (
    ConditionalBatchNorm,
    SelfAttention,
    UpsampledConv2d,
    _attend,
    _Modulation,
    add_upsampled,
    upsample,
)
from gseg.generators.self_conditioned import SelfConditionedConfig, SelfConditionedGenerator
from gseg.generators.studiogan import (
    BigResNetConfig,
    BigResNetGenerator,
    ResNetConfig,
    ResNetGenerator,
)

WIDTHS = (16, 12, 8, 8)


def build(name: str, num_classes: int) -> nn.Module:
    torch.manual_seed(0)
    if name == "resnet":
        return ResNetGenerator(
            ResNetConfig(
                latent_dim=16,
                resolution=32,
                channels=WIDTHS,
                num_classes=num_classes,
                attention_after=2,
            )
        )
    if name == "big_resnet":
        return BigResNetGenerator(
            BigResNetConfig(
                latent_dim=16,
                shared_dim=6,
                resolution=32,
                channels=WIDTHS,
                num_classes=num_classes,
                attention_after=2,
            )
        )
    return SelfConditionedGenerator(
        SelfConditionedConfig(
            latent_dim=16, resolution=32, channels=WIDTHS, num_classes=num_classes, embed_dim=5
        )
    )


@pytest.fixture(params=["resnet", "big_resnet", "self_conditioned"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def batch(count: int = 4) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(count, 16, generator=rng), torch.randint(0, 10, (count,), generator=rng)


@pytest.mark.parametrize("num_classes", [0, 10])
@pytest.mark.parametrize("channels_last", [False, True])
def test_training_step(name: str, num_classes: int, channels_last: bool) -> None:
    network = build(name, num_classes).train()
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    z, y = batch()
    pictures = network(z, y)
    assert pictures.shape == (4, 3, 32, 32)
    assert pictures.abs().max() <= 1
    pictures.square().mean().backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all()
        for parameter in network.parameters()
    )


def test_labels_matter_only_with_classes(name: str) -> None:
    z, y = batch()
    with torch.no_grad():
        plain = build(name, 0).eval()
        assert torch.equal(plain(z, y), plain(z))
        conditional = build(name, 10).eval()
        assert (conditional(z, y) - conditional(z, (y + 1) % 10)).abs().max() > 1e-4


def test_evaluation_differs_from_training_only_in_its_statistics(name: str) -> None:
    """Evaluation merges layers; with the batch's own statistics stored it gives the same."""
    network = build(name, 10).train()
    z, y = batch(8)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network(z, y)
        trained = network(z, y)
        frozen = network.eval()(z, y)
    # The stored variance is the unbiased one: 1 % more than the batch's own at 4x4 pixels.
    assert (trained - frozen).abs().mean() < 0.02


def test_pictures_do_not_depend_on_their_batch(name: str) -> None:
    network = build(name, 10).eval()
    z, y = batch(6)
    with torch.no_grad():
        together = network(z, y)
        alone = torch.cat([network(z[i : i + 1], y[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_spectral_norm_can_be_added_from_outside(name: str) -> None:
    network = build(name, 10).train()
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.utils.parametrizations.spectral_norm(layer)
    z, y = batch()
    network(z, y).mean().backward()
    network.eval()
    with torch.no_grad():
        before = network(z, y)
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.rand_like(parameter))
        assert (network(z, y) - before).abs().max() > 1e-4


def test_upsampled_convolution_is_the_plain_one() -> None:
    torch.manual_seed(0)
    layer = UpsampledConv2d(5, 7)
    x = torch.randn(2, 5, 4, 6, requires_grad=True)
    plain = layer.train()(x)
    expected = F.conv2d(
        x.repeat_interleave(2, 2).repeat_interleave(2, 3), layer.weight, layer.bias, padding=1
    )
    torch.testing.assert_close(plain, expected)
    merged = layer.eval()(x)
    torch.testing.assert_close(merged, plain, atol=1e-5, rtol=0)
    (gradient,) = torch.autograd.grad(merged.square().sum(), x)
    (wanted,) = torch.autograd.grad(plain.square().sum(), x)
    torch.testing.assert_close(gradient, wanted, atol=1e-4, rtol=1e-4)


def test_kept_kernel_follows_the_weight() -> None:
    layer = UpsampledConv2d(3, 4).eval().requires_grad_(False)
    x = torch.randn(1, 3, 4, 4)
    with torch.inference_mode():
        first = layer(x)
    kernel = layer._kernel()
    assert layer._kernel() is kernel
    twin = copy.deepcopy(layer)
    layer.weight.mul_(2)
    assert not torch.equal(layer(x), first)
    torch.testing.assert_close(twin(x), first)
    layer.load_state_dict(twin.state_dict())
    torch.testing.assert_close(layer(x), first)
    assert layer.double()(x.double()).dtype == torch.float64
    z = x.requires_grad_()
    twin(z).sum().backward()
    assert z.grad is not None


def test_conditional_norm_uses_gain_and_bias_of_the_class() -> None:
    torch.manual_seed(0)
    layer = ConditionalBatchNorm(3, nn.Embedding(4, 3), nn.Embedding(4, 3))
    x, y = torch.randn(5, 3, 6, 6), torch.tensor([0, 3, 1, 2, 3])
    with torch.no_grad():
        trained = layer.train()(x, y)
        mean = x.mean((0, 2, 3), keepdim=True)
        scale = (x.var((0, 2, 3), keepdim=True, correction=0) + 1e-4).sqrt()
        gain = 1 + layer.gain.weight[y][:, :, None, None]
        expected = (x - mean) / scale * gain + layer.bias.weight[y][:, :, None, None]
        torch.testing.assert_close(trained, expected, atol=1e-5, rtol=1e-5)
        layer.norm.running_mean.copy_(mean.flatten())
        layer.norm.running_var.copy_(scale.flatten() ** 2 - 1e-4)
        torch.testing.assert_close(layer.eval()(x, y), expected, atol=1e-5, rtol=1e-5)


def test_attention_matches_a_loop() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(8)
    nn.init.constant_(layer.weight, 0.7)
    x = torch.randn(2, 8, 4, 4)
    with torch.no_grad():
        query, key, value = layer.query(x), layer.key(x), layer.value(x)
        key, value = F.max_pool2d(key, 2).flatten(2), F.max_pool2d(value, 2).flatten(2)
        expected = torch.empty(2, 4, 4, 4)
        for n, i, j in torch.cartesian_prod(*map(torch.arange, (2, 4, 4))).tolist():
            weights = torch.softmax(query[n, :, i, j] @ key[n], dim=0)
            expected[n, :, i, j] = value[n] @ weights
        torch.testing.assert_close(layer(x), x + 0.7 * layer.out(expected))


@pytest.mark.parametrize("channels_last", [False, True])
def test_add_upsampled(channels_last: bool) -> None:
    maps, small = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 4, 4)
    if channels_last:
        maps = maps.contiguous(memory_format=torch.channels_last)
    expected = maps + upsample(small)
    assert torch.equal(add_upsampled(maps, small), expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("channels", "side"), [(3, 5), (24, 16), (104, 4)])
def test_gradients_are_pytorchs_own(layout: torch.memory_format, channels: int, side: int) -> None:
    """To the last bit: names of directions say nothing of how their gradients are summed."""

    def gradients(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        leaves = [each.clone().requires_grad_() for each in inputs]
        output = function(*(each * 1 for each in leaves))
        weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
        output.backward(weights.contiguous(memory_format=layout))
        return tuple(each.grad for each in leaves)

    torch.manual_seed(0)
    maps, small = torch.randn(4, channels, 2 * side, 2 * side), torch.randn(4, channels, side, side)
    pair = [each.contiguous(memory_format=layout) for each in (maps, small)]
    ours = gradients(add_upsampled, *pair)
    cells = (4, channels, side, 2, side, 2)
    added = gradients(lambda m, s: (m.view(cells) + s[:, :, :, None, :, None]).view_as(m), *pair)
    assert all(map(torch.equal, ours, added))
    scales = torch.randn(2, 4, channels, 1, 1).unbind()
    modulated = gradients(lambda x, g, b: torch.addcmul(b, x, g), pair[0], *scales)
    assert all(map(torch.equal, gradients(_Modulation.apply, pair[0], *scales), modulated))


def test_attention_is_pytorchs_own() -> None:
    torch.manual_seed(0)
    query, key, value = (
        torch.randn(3, 5, 256, 7),
        torch.randn(3, 5, 64, 7),
        torch.randn(3, 5, 64, 28),
    )
    for q, k, v in zip(query, key, value, strict=True):
        expected = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        assert torch.equal(_attend(q, k, v), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 64}, "32x32, but resolution is 64"),
        ({"channels": ()}, "every width"),
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"num_classes": -1}, "num_classes must be 0 or more"),
        ({"attention_after": 4}, "expected None or 1 to 3, got 4"),
    ],
)
def test_config_says_what_is_wrong(changes: dict[str, object], message: str) -> None:
    right = {"latent_dim": 16, "resolution": 32, "channels": WIDTHS, "num_classes": 0}
    with pytest.raises(ValueError, match=message):
        ResNetConfig(**{**right, **changes})


def test_big_config_wants_equal_chunks() -> None:
    with pytest.raises(ValueError, match="4 equal chunks"):
        BigResNetConfig(latent_dim=18, shared_dim=6, resolution=32, channels=WIDTHS, num_classes=0)
