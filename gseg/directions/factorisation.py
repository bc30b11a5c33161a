"""Candidate directions in closed form, from weights alone.

Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs": a shift n of the code
moves the first layer's output by A n whatever the code is, so the unit vectors that move it most
are the eigenvectors of A^T A with the largest eigenvalues. Where codes enter several layers, A has
the rows of all of them; as in the official program every row is first divided by its norm, so that
layers of different scale weigh the same.
"""

import torch
from torch import Tensor, nn

from gseg.generators.big_resnet import BigResNetGenerator
from gseg.generators.contract import Generator
from gseg.generators.layers import ConditionalBatchNorm
from gseg.generators.resnet import ResNetGenerator
from gseg.generators.self_conditioned import SelfConditionedGenerator
from gseg.generators.stylegan2 import StyleGAN2Generator

_TINY = 1e-12


def closed_form_directions(generator: Generator, count: int) -> Tensor:
    """Factorise the weights of the layers that the code enters.

    Args:
        generator: Of a known architecture.
        count: Directions wanted.

    Returns:
        (min(count, D), D) orthonormal float32 on the CPU, the strongest first; of each the
        coordinate of largest magnitude is positive.

    Raises:
        ValueError: The architecture is not known.
    """
    rows = first_weights(generator).double().cpu()
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=_TINY)
    _, vectors = torch.linalg.eigh(rows.T @ rows)
    return with_fixed_signs(vectors.T.flip(0)[:count].float())


def first_weights(generator: Generator) -> Tensor:
    """Collect the weights that act on the code directly.

    Args:
        generator: Of a known architecture.

    Returns:
        (F, D): one row for each output of these layers, one column for each coordinate of codes.

    Raises:
        ValueError: The architecture is not known.
    """
    network = generator.network
    match network:
        case ResNetGenerator():
            return network.linear.weight
        case SelfConditionedGenerator():
            return network.linear.weight[:, : network.config.latent_dim]
        case BigResNetGenerator():
            return _chunked_weights(network)
        case StyleGAN2Generator():
            return _style_weights(network)
    if is_biggan_deep(network):
        return _condition_weights(network)
    raise ValueError(
        f"{generator.card.name} is of no architecture whose first layers are known: choose other "
        "candidates, such as pca, random or learnt."
    )


def with_fixed_signs(vectors: Tensor) -> Tensor:
    """Turn vectors that have no sign of their own so that their largest coordinate is positive.

    Args:
        vectors: (K, D).

    Returns:
        (K, D), each one itself or its opposite.
    """
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * torch.where(largest < 0, -1.0, 1.0)


def is_biggan_deep(network: nn.Module) -> bool:
    """Say whether a network is BigGAN-deep."""
    from gseg.generators.biggan_deep import BigGANDeepGenerator  # takes a second to import

    return isinstance(network, BigGANDeepGenerator)


def _chunked_weights(network: BigResNetGenerator) -> Tensor:
    """Put each chunk's layers at its own columns: chunk 0 makes the map, i + 1 joins block i."""
    config = network.config
    chunk = config.latent_dim // len(config.channels)
    parts = [_placed(network.linear.weight, 0, config.latent_dim)]
    number = 0
    for block in network.blocks:
        norms = [part for part in block.modules() if isinstance(part, ConditionalBatchNorm)]
        number += bool(norms)  # attention blocks take no chunk
        for norm in norms:
            for layer in (norm.gain, norm.bias):
                assert isinstance(layer, nn.Linear)
                acting = layer.weight[:, config.shared_dim :]
                parts.append(_placed(acting, number * chunk, config.latent_dim))
    return torch.cat(parts)


def _placed(weight: Tensor, first: int, width: int) -> Tensor:
    whole = weight.new_zeros(len(weight), width)
    whole[:, first : first + weight.shape[1]] = weight
    return whole


def _style_weights(network: StyleGAN2Generator) -> Tensor:
    """Collect the affine maps from w to the styles of all layers."""
    found = [
        module.weight for name, module in network.blocks.named_modules() if name.endswith("affine")
    ]
    return torch.cat([weight for weight in found if isinstance(weight, Tensor)])


def _condition_weights(network: nn.Module) -> Tensor:
    """Collect the layers of BigGAN-deep that take (z, class embedding): their first columns."""
    width = network.latent_dim
    assert isinstance(width, int)
    found = [
        module.weight[:, :width]
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and name.endswith((".gen_z", ".scale", ".offset"))
    ]
    return torch.cat(found)
