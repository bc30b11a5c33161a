"""At which size a picture is segmented and scored: the evaluation protocols.

`text`: the picture is resized so that its shorter side is the working size (128 in Voynov et al.
2021; Melas-Kyriazi et al. 2022 give no scoring size: assumed the same), the mask with it, and
scores are taken at that size. CUB and Flowers are first cut to their largest central square. No
source says how; assumed: bilinear with antialiasing on bytes for pictures, the nearest pixel for
masks.
`melas_program`: the same cut and the same working size, but logits are resized back (bilinear) and
scored at the mask's own size. Here logits are those of the probability, which a saturated float32
bounds at about 16.
`voynov_program`: nothing is cut. The program converts between floats and bytes on its way, cutting
off instead of rounding: so do we, to the picture before it is resized and to the probabilities
before they are resized back to the picture's size.

Both programs resize with Pillow, and so does whatever bears their name here. The longer side is
rounded down in all three. Where a mask is smaller than its picture (CelebAMask-HQ), scores are
taken at the mask's size.
"""

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gseg.transfers import start_copy

EvalProtocol = Literal["text", "melas_program", "voynov_program"]


def working_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Scale a shape so that its shorter side is `size`; the longer is rounded down.

    Args:
        height: Rows.
        width: Columns.
        size: Shorter side afterwards.

    Returns:
        Height and width.
    """
    shorter = min(height, width)
    return height * size // shorter, width * size // shorter


def centre_square(plane: Tensor) -> Tensor:
    """Cut out the largest central square, where torchvision's ``CenterCrop`` puts it.

    Args:
        plane: (..., H, W).

    Returns:
        (..., S, S) with S the shorter side; a view.
    """
    height, width = plane.shape[-2:]
    side = min(height, width)
    top, left = round((height - side) / 2), round((width - side) / 2)
    return plane[..., top : top + side, left : left + side]


def shrink_picture(picture: Tensor, size: int, protocol: EvalProtocol) -> Tensor:
    """Bring a picture to the working size.

    Args:
        picture: (3, H, W) uint8.
        size: Shorter side afterwards.
        protocol: Whose way of resizing.

    Returns:
        (3, h, w) uint8.
    """
    shape = working_shape(picture.shape[1], picture.shape[2], size)
    if protocol == "voynov_program":
        picture = _VOYNOV_BYTES[picture.long()]
    if shape == tuple(picture.shape[1:]):
        return picture
    if protocol == "text":
        return F.interpolate(
            picture[None], size=shape, mode="bilinear", align_corners=False, antialias=True
        )[0]
    return _pillow_resized(picture.permute(1, 2, 0), shape).permute(2, 0, 1).contiguous()


def shrink_mask(mask: Tensor, size: int) -> Tensor:
    """Bring a mask to the working size by the nearest pixel.

    Args:
        mask: (H, W) bool.
        size: Shorter side afterwards.

    Returns:
        (h, w) bool.
    """
    shape = working_shape(mask.shape[0], mask.shape[1], size)
    if shape == tuple(mask.shape):
        return mask
    bytes_ = mask.to(torch.uint8)[None, None]
    return F.interpolate(bytes_, size=shape, mode="nearest-exact")[0, 0].bool()


def to_mask_size(probability: Tensor, shape: tuple[int, int], protocol: EvalProtocol) -> Tensor:
    """Bring probabilities to the size at which they are scored.

    Args:
        probability: (N, h, w) floating point in [0, 1].
        shape: Height and width of the masks.
        protocol: Whose way of resizing.

    Returns:
        (N, H, W) in [0, 1] on the same device, the same tensor where the sizes agree.
    """
    if tuple(probability.shape[1:]) == shape:
        return probability
    if protocol == "voynov_program":
        return begin_mask_size(probability, shape)().to(probability.device)
    planes = probability[:, None].float()
    if protocol == "melas_program":
        planes = torch.logit(planes, eps=_SATURATED)
    resized = F.interpolate(planes, size=shape, mode="bilinear", align_corners=False)[:, 0]
    return resized.sigmoid() if protocol == "melas_program" else resized.clamp(0, 1)


def begin_mask_size(probability: Tensor, shape: tuple[int, int]) -> Callable[[], Tensor]:
    """Begin to bring probabilities to the size of masks as ``voynov_program`` does, with Pillow.

    Args:
        probability: (N, h, w) floating point in [0, 1].
        shape: Height and width of the masks, another size.

    Returns:
        A function that waits for them, and gives (N, H, W) in [0, 1] on the CPU.
    """
    copied = start_copy(probability.float().mul(255).to(torch.uint8))

    def wait() -> Tensor:
        return torch.stack([_pillow_resized(plane, shape) for plane in copied()]).float().div(255)

    return wait


def _pillow_resized(pixels: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize (H, W) or (H, W, 3) bytes bilinearly with antialiasing."""
    height, width = shape
    image = Image.fromarray(pixels.contiguous().numpy())
    return torch.from_numpy(np.array(image.resize((width, height), Image.Resampling.BILINEAR)))


def _voynov_bytes() -> Tensor:
    """Give what becomes of each byte on its way to [-1, 1] and back, each step in float32."""
    there = torch.arange(256).float() / 255 * 2 - 1
    return ((there + 1) / 2 * 255).to(torch.uint8)


_SATURATED: Final = 2.0**-24
"""Half of the distance between the largest probability below 1 and 1 itself, in float32."""
_VOYNOV_BYTES: Final = _voynov_bytes()
