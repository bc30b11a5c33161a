"""Masks from pictures and their shifted twins: what the shift brightens is foreground.

Melas-Kyriazi et al. 2022 compare two shifted pictures, one with a lighter and one with a darker
foreground (Eq. (2)), or one of them with the original (Eq. (3)); Voynov et al. 2021, section 3.2,
compare the shifted picture with the original and, as a baseline, with its own mean; or they ask
which of two colour maps a pixel takes (Eq. (5), `gseg.samples.assignment`).
"""

from typing import Final, Literal, get_args

import torch
from torch import Tensor

from gseg.directions.colour_maps import ColourMaps
from gseg.images import LUMINANCE_WEIGHTS
from gseg.samples.assignment import own_margins, shared_margins

MaskKind = Literal["lighter", "darker", "both", "mean", "affine", "affine_each"]
MaskRule = Literal["luminance", "rgb_norm", "luminance_std"]

_SLACK: Final = 0.3
_CACHED_VALUES: Final = 2**18


def make_masks(
    kind: MaskKind,
    original: Tensor,
    lighter: Tensor | None,
    darker: Tensor | None,
    *,
    rule: MaskRule = "luminance",
    maps: ColourMaps | None = None,
) -> Tensor:
    """Mark the pixels that the foreground's brightening makes brighter.

    Args:
        kind: Which pictures are compared, see `brightness_difference`.
        original: (N, 3, H, W) floating point in [-1, 1], G(z).
        lighter: The same pictures with a lighter foreground; None if the kind needs none.
        darker: The same pictures with a darker foreground; None if the kind needs none.
        rule: ``luminance`` (both official programs), ``rgb_norm`` (Voynov et al. 2021, section
            3.2), or ``luminance_std``, an option of the official program of Melas-Kyriazi et al.
            2022: pixels that darken by less than 0.3 standard deviations of the whole batch's
            differences count as foreground too. A mask then depends on its batch.
        maps: The direction's colour maps, for masks of kind ``affine``.

    Returns:
        (N, H, W) bool, True is foreground.

    Raises:
        ValueError: The kind or the rule is unknown, or what the kind needs is None.
    """
    difference = brightness_difference(kind, original, lighter, darker, rule=rule, maps=maps)
    return threshold(difference, rule=rule)


def brightness_difference(
    kind: MaskKind,
    original: Tensor,
    lighter: Tensor | None,
    darker: Tensor | None,
    *,
    rule: MaskRule = "luminance",
    maps: ColourMaps | None = None,
) -> Tensor:
    """Subtract the brightness that the background's side of the comparison has.

    The kinds, with b the brightness of a pixel:

    - ``lighter``: b(lighter) - b(original), Eq. (3) of Melas-Kyriazi et al. 2022;
    - ``darker``: b(original) - b(darker), its other form;
    - ``both``: b(lighter) - b(darker), Eq. (2);
    - ``mean``: b(lighter) less its mean over the picture, Voynov et al. 2021, section 4.1;
    - ``affine`` and ``affine_each`` compare distances of colours, not brightness: how much closer
      the lightening one of two colour maps brings the original to lighter than the darkening one.

    Args:
        kind: One of these.
        original: (N, 3, H, W) floating point in [-1, 1].
        lighter: The same shape, or None.
        darker: The same shape, or None.
        rule: Decides what brightness is, see `brightness`.
        maps: The direction's colour maps, for masks of kind ``affine``.

    Returns:
        (N, H, W), same dtype; positive where the pixel is foreground.

    Raises:
        ValueError: The kind or the rule is unknown, or what the kind needs is None.
    """
    if rule not in get_args(MaskRule):
        raise ValueError(f"Unknown mask rule {rule!r}; choose one of {get_args(MaskRule)}.")
    if kind == "affine_each":
        return own_margins(original, _needed(kind, "lighter", lighter))
    if kind == "affine":
        if maps is None:
            raise ValueError(
                "Masks of kind 'affine' need the direction's colour maps: fit them first "
                "(gseg.directions.affine.fit_operators)."
            )
        return shared_margins(maps, original, _needed(kind, "lighter", lighter))
    bright, dark = _sides(kind, original, lighter, darker)
    difference = []
    for part in cache_sized_parts(bright):
        side = brightness(bright[part], rule)
        other = (
            side.mean(dim=(1, 2), keepdim=True) if dark is None else brightness(dark[part], rule)
        )
        difference.append(side.sub_(other))
    return torch.cat(difference)


def _sides(
    kind: MaskKind, original: Tensor, lighter: Tensor | None, darker: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Give the pictures in which foreground is brighter, and those they are compared with."""
    if kind == "lighter":
        return _needed(kind, "lighter", lighter), original
    if kind == "darker":
        return original, _needed(kind, "darker", darker)
    if kind == "both":
        return _needed(kind, "lighter", lighter), _needed(kind, "darker", darker)
    if kind == "mean":
        return _needed(kind, "lighter", lighter), None
    raise ValueError(f"Unknown mask kind {kind!r}; choose one of {get_args(MaskKind)}.")


def cache_sized_parts(pictures: Tensor) -> list[slice]:
    """Cut a batch so that what is computed from a part stays in a CPU's cache.

    Args:
        pictures: (N, 3, H, W) on any device.

    Returns:
        Consecutive slices of the batch; one for all of it on other devices than the CPU.
    """
    count = len(pictures)
    size = max(1, count)
    if pictures.device.type == "cpu" and count:
        size = max(1, _CACHED_VALUES // pictures[0].numel())
    return [slice(start, start + size) for start in range(0, max(count, 1), size)]


def threshold(difference: Tensor, *, rule: MaskRule = "luminance") -> Tensor:
    """Turn brightness differences into masks.

    Args:
        difference: (N, H, W) from `brightness_difference`.
        rule: The same rule.

    Returns:
        (N, H, W) bool.
    """
    if rule == "luminance_std":
        return difference > -_SLACK * difference.std()
    return difference > 0


def brightness(images: Tensor, rule: MaskRule) -> Tensor:
    """Measure how bright each pixel is.

    Args:
        images: (N, 3, H, W) floating point in [-1, 1].
        rule: The luminance rules weigh the channels. ``rgb_norm`` takes the Euclidean norm of
            (R, G, B) after mapping them to [0, 1]: the paper does not say on which range, and on
            [-1, 1] black would be as bright as white.

    Returns:
        (N, H, W), same dtype; in [-1, 1] for luminance, [0, sqrt(3)] for the norm.
    """
    if rule == "rgb_norm":
        scaled = (images + 1).div_(2)
        return scaled.square_().sum(dim=1).sqrt_()
    # `images.luminance` with one temporary instead of four: this is where masks spend their time.
    red, green, blue = LUMINANCE_WEIGHTS
    weighed = (red * images[:, 0]).add_(images[:, 1], alpha=green)
    return weighed.add_(images[:, 2], alpha=blue)


def _needed(kind: str, name: str, pictures: Tensor | None) -> Tensor:
    if pictures is None:
        raise ValueError(f"Masks of kind {kind!r} need the {name} pictures, got None.")
    return pictures
