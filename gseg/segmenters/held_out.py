"""How well a network in training finds the masks of pairs that it does not see.

Voynov et al. 2021, section 3.5 and Fig. 5: generated pairs cost nothing, so settings can be chosen
on held-out ones, without labels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gseg.images import from_uint8
from gseg.segmenters.source import InMemoryPairs
from gseg.segmenters.unet import UNet
from gseg.transfers import send, start_copy

_PIXELS_AT_ONCE: Final = 2**18


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One look at the held-out pairs.

    Attributes:
        step: Steps that the training had done.
        iou: In [0, 1]: mean over all pictures whose mask or prediction is not empty; 0 if nothing
            was found where nothing was to be found.
        loss: Mean cross-entropy of all pixels.
    """

    step: int
    iou: float
    loss: float


@torch.no_grad()
def measure_held_out(network: UNet, pairs: InMemoryPairs, step: int) -> Measurement:
    """Measure a network on held-out pairs, in float32.

    Args:
        network: Left in evaluation mode.
        pairs: The held-out pairs.
        step: Steps done.

    Returns:
        IoU and loss.
    """
    network.eval()
    device = next(network.parameters()).device
    at_once = max(1, _PIXELS_AT_ONCE // math.prod(pairs.resolution))
    parts: list[tuple[int, Callable[[], Tensor]]] = []
    for start in range(0, len(pairs), at_once):
        pictures, masks = pairs.batch(np.arange(start, min(start + at_once, len(pairs))))
        images = from_uint8(send(pictures, device)).contiguous(memory_format=torch.channels_last)
        logits, wanted = network(images), send(masks, device)
        found = logits[:, 1] > logits[:, 0]
        union = (found | wanted).sum((1, 2))
        iou = (found & wanted).sum((1, 2)) / union.clamp(min=1)
        loss = F.cross_entropy(logits, wanted.long())
        # float64 holds the loss and the number of pictures exactly.
        found_here = [iou.sum(dtype=torch.float64), loss.double(), (union > 0).sum().double()]
        parts.append((len(masks), start_copy(torch.stack(found_here))))
    iou_sum, loss_sum, count = 0.0, 0.0, 0
    for pictures_here, arrived in parts:
        iou_here, loss_here, there = arrived().tolist()
        iou_sum += iou_here
        loss_sum += pictures_here * loss_here
        count += int(there)
    return Measurement(step=step, iou=iou_sum / count if count else 0.0, loss=loss_sum / len(pairs))
