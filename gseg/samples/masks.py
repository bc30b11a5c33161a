"""Masks from pictures and their shifted twins: what the shift brightens is foreground.

Melas-Kyriazi et al. 2022 compare two shifted pictures, one with a lighter and one with a darker
foreground (Eq. (2)), or one of them with the original (Eq. (3)); Voynov et al. 2021, section 3.2,
compare the shifted picture with the original and, as a baseline, with its own mean; or they ask
which of two colour maps a pixel takes (Eq. (5)). Both cut the difference at zero; where a shift
brightens too little, Otsu's threshold of the same difference finds more of the foreground.

A new kind of mask is a name in `config.MaskKind` and a record in `MASKS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

import torch
from torch import Tensor

from gseg.directions.affine import fit_each
from gseg.directions.colour_maps import ColourMaps, homogeneous_each
from gseg.directions.config import AffineConfig
from gseg.directions.direction import Direction
from gseg.generators.contract import Generator
from gseg.images import LUMINANCE_WEIGHTS, above_otsu
from gseg.samples.config import Cut, MaskKind, MaskRule, SampleConfig
from gseg.transfers import send

Picture = Literal["original", "lighter", "darker"]
Compare = Callable[[Sequence[Tensor], MaskRule, ColourMaps | None], Tensor]

# Standard deviations that a foreground pixel may darken by with rule ``luminance_std``.
_SLACK: Final = 0.3
_CACHED_VALUES: Final = 2**18


def _brighter(pictures: Sequence[Tensor], rule: MaskRule, maps: ColourMaps | None) -> Tensor:
    """Subtract the second pictures' brightness from the first ones', or the first ones' mean."""
    bright, *dark = pictures
    difference = []
    for part in cache_sized_parts(bright):
        side = brightness(bright[part], rule)
        other = brightness(dark[0][part], rule) if dark else side.mean(dim=(1, 2), keepdim=True)
        difference.append(side.sub_(other))
    return torch.cat(difference)


def _nearer_shared(pictures: Sequence[Tensor], rule: MaskRule, maps: ColourMaps | None) -> Tensor:
    """Measure how much closer the direction's lightening map comes than its darkening one."""
    original, shifted = pictures
    assert maps is not None
    left = []
    # Not by a matrix product, whose last bits may depend on how many pictures there are.
    for weights in send(maps.weights[0], original.device):
        squares = torch.zeros_like(original[:, 0])
        for channel, row in enumerate(weights):
            mapped = row[0] * original[:, 0] + row[1] * original[:, 1] + row[2] * original[:, 2]
            mapped += row[3]
            if maps.clamped:
                mapped.clamp_(-1, 1)
            squares += mapped.sub_(shifted[:, channel]).square_()
        left.append(squares.sqrt_())
    return left[1] - left[0]


def _nearer_own(pictures: Sequence[Tensor], rule: MaskRule, maps: ColourMaps | None) -> Tensor:
    """Fit maps to each picture, and measure how much closer the lightening one comes."""
    original, shifted = (each.clamp(-1, 1) for each in pictures)
    fit = fit_each(original, shifted, AffineConfig())
    margins = fit.maps.margins(homogeneous_each(original), shifted.flatten(2))
    return margins.view(len(original), *original.shape[2:])


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskRecord:
    """How the masks of one kind come about.

    Attributes:
        pictures: Those that are compared, in the order in which `compare` takes them; of each
            pair the one in which the foreground is brighter comes first for `_brighter`.
        compare: Gives (N, H, W), positive where the pixel is foreground.
        fitted: Whether the direction's colour maps have to be fitted first.
        singles: Kinds that `FilterConfig.each_direction` tests in place of this one.
    """

    pictures: tuple[Picture, ...]
    compare: Compare = _brighter
    fitted: bool = False
    singles: tuple[MaskKind, ...] = ()

    @property
    def shifts(self) -> tuple[str, ...]:
        """Directions whose shifted pictures are looked at."""
        return tuple(name for name in self.pictures if name != "original")


MASKS: Final[Mapping[MaskKind, MaskRecord]] = MappingProxyType(
    {
        # Melas-Kyriazi et al. 2022, Eq. (3): b(lighter) - b(original), b the brightness of a pixel.
        "lighter": MaskRecord(pictures=("lighter", "original")),
        # Its other form: b(original) - b(darker).
        "darker": MaskRecord(pictures=("original", "darker")),
        # Eq. (2): b(lighter) - b(darker). It needs no G(z).
        "both": MaskRecord(pictures=("lighter", "darker"), singles=("lighter", "darker")),
        # Voynov et al. 2021, section 4.1: b(lighter) less its mean over the picture.
        "mean": MaskRecord(pictures=("lighter",)),
        # Voynov et al. 2021, Eq. (5): distances of colours, not brightness: how much closer the
        # lightening one of the direction's two maps brings the original to the lighter picture.
        "affine": MaskRecord(pictures=("original", "lighter"), compare=_nearer_shared, fitted=True),
        # The same with maps fitted to each picture by itself (section 4.6).
        "affine_each": MaskRecord(pictures=("original", "lighter"), compare=_nearer_own),
    }
)


def make_masks(
    kind: MaskKind,
    original: Tensor,
    lighter: Tensor | None,
    darker: Tensor | None,
    *,
    rule: MaskRule = "luminance",
    maps: ColourMaps | None = None,
    at: Cut = "zero",
) -> Tensor:
    """Mark the pixels that the foreground's brightening makes brighter.

    Args:
        kind: Which pictures are compared, see `MASKS`.
        original: (N, 3, H, W) floating point in [-1, 1], G(z).
        lighter: The same pictures with a lighter foreground; None if the kind needs none.
        darker: The same pictures with a darker foreground; None if the kind needs none.
        rule: See `brightness` and `cut`.
        maps: The direction's colour maps, for masks of kind ``affine``.
        at: See `cut`.

    Returns:
        (N, H, W) bool, True is foreground.

    Raises:
        ValueError: The kind or the rule is unknown, or what the kind needs is None.
    """
    difference = brightness_difference(kind, original, lighter, darker, rule=rule, maps=maps)
    return cut(difference, at, rule=rule)


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

    Args and errors are those of `make_masks`.

    Returns:
        (N, H, W), same dtype; positive where the pixel is foreground.
    """
    for what, word, words in (("kind", kind, MaskKind), ("rule", rule, MaskRule)):
        if word not in get_args(words):
            raise ValueError(f"Unknown mask {what} {word!r}; choose one of {get_args(words)}.")
    record, given = MASKS[kind], {"original": original, "lighter": lighter, "darker": darker}
    if record.fitted and maps is None:
        raise ValueError(
            f"Masks of kind {kind!r} need the direction's colour maps: fit them first "
            "(gseg.directions.affine.fit_operators)."
        )
    pictures = []
    for name in record.pictures:
        found = given[name]
        if found is None:
            raise ValueError(f"Masks of kind {kind!r} need the {name} pictures, got None.")
        pictures.append(found)
    return record.compare(pictures, rule, maps)


def mask_pictures(
    generator: Generator,
    direction: Direction,
    config: SampleConfig,
    code: Tensor,
    labels: Tensor | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Make G(z) and the shifted pictures that masks are made from, by name.

    Args:
        generator: Its device does the work.
        direction: The shift vectors.
        config: Kind of masks and length of the shift.
        code: (N, code_dim), on the generator's device.
        labels: (N,), or None where there are no classes.
    """
    moved = {
        name: generator(code + config.epsilon * getattr(direction, name).to(code.device), labels)
        for name in MASKS[config.mask_kind].shifts
    }
    return generator(code, labels), moved


def judged_masks(
    config: SampleConfig, original: Tensor, moved: Mapping[str, Tensor], maps: ColourMaps | None
) -> tuple[Tensor, list[Tensor]]:
    """Make all masks that the samples of a config are judged by.

    Args:
        config: Kind, rule and threshold of the masks, and whether the filters test single
            directions; a threshold that is to be chosen is settled.
        original: (N, 3, H, W) in [-1, 1]; anything of that shape where `needs_original` is False.
        moved: The shifted pictures by name.
        maps: See `make_masks`.

    Returns:
        (N, H, W) differences; and masks (N, H, W) bool: the samples' own, then those of the
        single directions.
    """
    pictures = (original, moved.get("lighter"), moved.get("darker"))
    rule = config.mask_rule
    difference = brightness_difference(config.mask_kind, *pictures, rule=rule, maps=maps)
    # What is to be chosen has been chosen before masks are made (`thresholds.settled`).
    at: Cut = "otsu" if config.mask_threshold == "otsu" else "zero"
    singles = [make_masks(kind, *pictures, rule=rule, at=at) for kind in tested_kinds(config)]
    return difference, [cut(difference, at, rule=rule), *singles]


def tested_kinds(config: SampleConfig) -> tuple[MaskKind, ...]:
    """Name the single directions whose masks the filters test."""
    return MASKS[config.mask_kind].singles if config.filters.each_direction else ()


def needs_original(config: SampleConfig) -> bool:
    """Whether masks are made from G(z)."""
    kinds = (config.mask_kind, *tested_kinds(config))
    return any("original" in MASKS[kind].pictures for kind in kinds)


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


def cut(difference: Tensor, at: Cut = "zero", *, rule: MaskRule = "luminance") -> Tensor:
    """Turn brightness differences (N, H, W) into masks.

    ``zero`` takes what gets brighter. ``otsu`` takes what gets brighter by more, or darker by
    less, than each picture's own threshold (`images.above_otsu`). By rule ``luminance_std`` pixels
    that darken by less than 0.3 standard deviations of all of the batch's differences are
    foreground too; a mask then depends on its batch.
    """
    if at == "otsu":
        return above_otsu(difference)
    # An option of the official program of Melas-Kyriazi et al. 2022.
    return difference > (-_SLACK * difference.std() if rule == "luminance_std" else 0)


def brightness(images: Tensor, rule: MaskRule) -> Tensor:
    """Measure how bright each pixel is.

    Args:
        images: (N, 3, H, W) floating point in [-1, 1].
        rule: The luminance rules weigh the channels (both official programs). ``rgb_norm`` takes
            the Euclidean norm of (R, G, B) (Voynov et al. 2021, section 3.2).

    Returns:
        (N, H, W), same dtype; in [-1, 1] for luminance, [0, sqrt(3)] for the norm.
    """
    if rule == "rgb_norm":
        # In [0, 1]: the paper does not say on which range, and on [-1, 1] black would be as bright
        # as white.
        scaled = (images + 1).div_(2)
        return scaled.square_().sum(dim=1).sqrt_()
    # `images.luminance` with one temporary instead of four: this is where masks spend their time.
    red, green, blue = LUMINANCE_WEIGHTS
    weighed = (red * images[:, 0]).add_(images[:, 1], alpha=green)
    return weighed.add_(images[:, 2], alpha=blue)
