"""Candidate directions from the principal components of activations.

Härkönen et al. 2020, "GANSpace: Discovering Interpretable GAN Controls". Generators without a
mapping network: components of a layer's activations over many latents, and for each component the
direction of latents that a linear regression assigns to it. StyleGAN2: the components of w itself.

Which layer is open. Here it is one that sees the whole latent and is not linear in it, since the
components of a linear layer are those of its weights, which `gseg.directions.factorisation` gives:
the first residual block, or where chunks of the latent enter block by block, the last one. Maps
are averaged down to 8 x 8 cells, so that the last block's cost no more than the first one's.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from gseg.directions.codes import codes_and_labels
from gseg.directions.factorisation import with_fixed_signs
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed

_AT_ONCE: Final = 50
_CELLS: Final = 8
_CODES: Final = "code"
_TINY: Final = 1e-12
_RANK_FLOOR: Final = 1e-10
"""Components of less than this share of the first one's variance are rounding."""


@exact()
@torch.no_grad()
def principal_directions(
    generator: Generator, count: int, *, samples: int = 2_000, layer: str = "", seed: int = 0
) -> Tensor:
    """Find directions that move activations along their principal components.

    Args:
        generator: A frozen generator.
        count: Directions wanted.
        samples: Latents to look at.
        layer: Module of the network, ``.`` for its pictures; empty for what suits the architecture.
        seed: Of latents and labels.

    Returns:
        (K, D) float32 unit vectors on the CPU, the component of largest variance first; K is
        count, or less if codes are narrower or samples fewer. Of each the coordinate of largest
        magnitude is positive.

    Raises:
        ValueError: There is no such module, or the architecture is not known and none is named.
    """
    layer = layer or _suitable_layer(generator)
    codes, features = _collect(generator, layer, samples, derive_seed(seed, "pca"))
    count = min(count, codes.shape[1], samples - 1)
    features = features - features.mean(0)
    # The components' coordinates are the left singular vectors, standardised up to a constant.
    if features.shape[0] <= features.shape[1]:
        values, left = torch.linalg.eigh((features @ features.T).double())
        coordinates = left.flip(1)[:, :count]
    else:
        values, right = torch.linalg.eigh((features.T @ features).double())
        coordinates = features.double() @ right.flip(1)[:, :count]
        coordinates = coordinates / coordinates.norm(dim=0).clamp(min=_TINY)
    count = min(count, int((values > _RANK_FLOOR * values.max()).sum()))
    centred = codes - codes.mean(0)
    vectors = coordinates[:, :count].T @ centred  # least squares: the coordinates are orthonormal
    vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=_TINY)
    return with_fixed_signs(vectors.float())


def _suitable_layer(generator: Generator) -> str:
    if generator.activation_layer:
        return generator.activation_layer
    modules = [name for name, _ in generator.network.named_children()]
    raise ValueError(
        f"{generator.card.name} is of no architecture whose layers are known: name one as layer, "
        f"'.' for its pictures or one of its modules ({', '.join(modules) or 'it has none'})."
    )


def _collect(generator: Generator, layer: str, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Give codes (S, D) float64 and features (S, F) float32, on the CPU."""
    features: list[Tensor] = []
    hook = None
    if layer != _CODES:
        hook = _module(generator, layer).register_forward_hook(
            lambda _module, _inputs, output: features.append(_pooled(output))
        )
    codes = []
    try:
        for first in range(0, samples, _AT_ONCE):
            rows = range(first, min(first + _AT_ONCE, samples))
            code, y = codes_and_labels(generator, seed, rows)
            codes.append(code.double())
            if hook is not None:
                generator(code, y)
    finally:
        if hook is not None:
            hook.remove()
    every = torch.cat(codes).cpu()
    return every, torch.cat(features).cpu() if features else every.float()


def _module(generator: Generator, layer: str) -> torch.nn.Module:
    try:
        return generator.network.get_submodule("" if layer == "." else layer)
    except AttributeError as error:
        names = ", ".join(name for name, _ in generator.network.named_children())
        raise ValueError(
            f"{generator.card.name} has no layer {layer!r}; its modules are {names}, and '.' "
            "stands for its pictures."
        ) from error


def _pooled(output: Tensor) -> Tensor:
    if output.ndim == 4 and output.shape[-1] > _CELLS:
        output = F.adaptive_avg_pool2d(output, _CELLS)
    return output.flatten(1).float()
