"""Samples that look like given real pictures.

Melas-Kyriazi et al. 2022, B.4, train on the 50,000 of a million generated pictures that are nearest
to labelled real ones, by the cosine similarity of a self-supervised ResNet-50's features. The paper
does not say how similarities to several real pictures are combined: here the nearest one counts.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gseg.exactness import exact

_ROWS = 4096


@exact()
def similarities(generated: Tensor, real: Tensor) -> Tensor:
    """Measure how near each generated picture is to the nearest real one.

    Args:
        generated: (M, D) features.
        real: (R, D) features of the same network, at least one.

    Returns:
        (M,) float32 in [-1, 1], the largest cosine similarity. Features that are all zero have
        similarity 0 to everything.

    Raises:
        ValueError: The features do not go together, or there are no real ones.
    """
    if generated.ndim != 2 or real.ndim != 2 or generated.shape[1] != real.shape[1]:
        raise ValueError(
            "Similarities need features (M, D) and (R, D) of one network, got "
            f"{tuple(generated.shape)} and {tuple(real.shape)}."
        )
    if len(real) == 0:
        raise ValueError("Similarities need at least one real picture, got none.")
    targets = F.normalize(real.float(), dim=1).T
    parts = [
        (F.normalize(rows.float(), dim=1) @ targets).amax(dim=1)
        for rows in torch.split(generated, _ROWS)
    ]
    return torch.cat(parts) if parts else torch.empty(0)


def nearest(similarity: Tensor, count: int) -> Tensor:
    """Choose the nearest pictures.

    Args:
        similarity: (M,) from `similarities`.
        count: Number K.

    Returns:
        (K,) int64 places in ascending order; of equally near ones the first.

    Raises:
        ValueError: There are fewer than K.
    """
    if not 1 <= count <= len(similarity):
        raise ValueError(
            f"Choose between 1 and all {len(similarity)} of the samples, asked for {count}."
        )
    order = torch.argsort(similarity, descending=True, stable=True)
    return order[:count].sort().values
