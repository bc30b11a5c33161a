"""The closed-form generator keeps what it promises: exact masks and a known direction."""

import math

import pytest
import torch

from gseg.generators.analytic import analytic_generator, known_direction, known_mask
from gseg.images import luminance


def latents(count: int, dim: int = 8) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("latent_dim", [8, 20])
def test_known_direction_brightens_exactly_the_mask(epsilon: float, latent_dim: int) -> None:
    generator = analytic_generator(latent_dim=latent_dim)
    direction = known_direction(generator)
    assert direction.norm().item() == pytest.approx(1, abs=1e-6)
    code = generator.code(latents(64, latent_dim))
    change = luminance(generator(code + epsilon * direction)) - luminance(generator(code))
    mask = known_mask(code, 32)
    assert torch.equal(change > 0, mask)
    assert (change[~mask] < 0).all()
    other = luminance(generator(code - epsilon * direction)) - luminance(generator(code))
    assert torch.equal(other < 0, mask)


def test_mask_does_not_move_along_the_direction() -> None:
    generator = analytic_generator()
    code = latents(16)
    moved = code + 3 * known_direction(generator)
    assert torch.equal(known_mask(code, 32), known_mask(moved, 32))


def test_mask_is_an_ellipse_of_moderate_size() -> None:
    masks = known_mask(latents(64), 32)
    share = masks.float().mean((1, 2))
    assert share.min() > 0.1
    assert share.max() < 0.35
    origin = known_mask(torch.zeros(1, 8), 64)[0]
    assert origin.float().mean().item() == pytest.approx(math.pi * 0.25 / 4, abs=0.005)


def test_brightness_alone_does_not_tell_the_foreground() -> None:
    generator, code = analytic_generator(), latents(200)
    grey, mask = luminance(generator(code)), known_mask(code, 32)
    inside = (grey * mask).sum((1, 2)) / mask.sum((1, 2))
    outside = (grey * ~mask).sum((1, 2)) / (~mask).sum((1, 2))
    assert 0.3 < (inside > outside).float().mean() < 0.7


def test_every_factor_is_differentiable() -> None:
    generator = analytic_generator()
    z = latents(4).double().requires_grad_()
    network = generator.network.double()
    assert torch.autograd.gradcheck(lambda code: network(code)[:, :, ::7, ::7], z)
    network(z).pow(2).sum().backward()
    assert z.grad is not None
    assert ((z.grad @ network.rotation.T.double()).abs().amax(0) > 1e-3).all()


def test_labels_turn_the_hue_only_with_classes() -> None:
    code, y = latents(5), torch.arange(5)
    conditional, plain = analytic_generator(num_classes=5), analytic_generator()
    assert torch.equal(plain(code, y), plain(code))
    assert not torch.allclose(conditional(code, y), conditional(code, (y + 1) % 5))
    with pytest.raises(ValueError, match="conditional"):
        conditional(code)


def test_too_narrow_a_latent_is_refused() -> None:
    with pytest.raises(ValueError, match="latent_dim >= 8"):
        analytic_generator(latent_dim=7)
