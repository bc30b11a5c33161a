"""How well a network in training finds the masks of pairs that it does not see.

Voynov et al. 2021, section 3.5 and Fig. 5: generated pairs cost nothing, so settings can be chosen
on held-out ones, without labels.
"""

import math
from typing import Final

import numpy as np
import torch

from gseg.images import from_uint8
from gseg.segmenters.source import InMemoryPairs
from gseg.segmenters.unet import UNet

_PIXELS_AT_ONCE: Final = 2**18


@torch.no_grad()
def held_out_iou(network: UNet, pairs: InMemoryPairs) -> float:
    """Average the IoU over all pictures whose mask or prediction is not empty.

    Args:
        network: Left in evaluation mode.
        pairs: The held-out pairs.

    Returns:
        In [0, 1]; 0 if nothing was found where nothing was to be found.
    """
    network.eval()
    device = next(network.parameters()).device
    at_once = max(1, _PIXELS_AT_ONCE // math.prod(pairs.resolution))
    total, count = 0.0, 0
    for start in range(0, len(pairs), at_once):
        pictures, masks = pairs.batch(np.arange(start, min(start + at_once, len(pairs))))
        images = from_uint8(pictures.to(device)).contiguous(memory_format=torch.channels_last)
        logits = network(images)
        found, wanted = logits[:, 1] > logits[:, 0], masks.to(device)
        union = (found | wanted).sum((1, 2))
        iou = (found & wanted).sum((1, 2)) / union.clamp(min=1)
        total += float(iou.sum(dtype=torch.float64))
        count += int((union > 0).sum())
    return total / count if count else 0.0
