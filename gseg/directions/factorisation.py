"""Candidate directions in closed form, from weights alone.

Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs": a shift n of the code
moves the first layer's output by A n whatever the code is, so the unit vectors that move it most
are the eigenvectors of A^T A with the largest eigenvalues. Where codes enter several layers, A has
the rows of all of them; as in the official program every row is first divided by its norm, so that
layers of different scale weigh the same.
"""

import torch
from torch import Tensor

from gseg.generators.contract import Generator

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
    weights = generator.code_weights()
    if weights is not None:
        return weights
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
