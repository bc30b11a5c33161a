"""How samples are drawn: latents, masks, and the rules that decide which candidates are kept.

Voynov et al. 2021, section 3.4, filter synthetic masks by the shifted picture's histogram, by the
size of their components and by their area. The official programs of both papers apply other rules
under the same names; `filter_preset` gives each source's own.

Imports neither torch nor SciPy, so that a command line can be read without them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from gseg.storage.digests import since

HistogramRule = Literal["text", "program"]
Connectivity = Literal[4, 8]
FilterPreset = Literal[
    "gseg", "scenes", "voynov2021_text", "voynov2021_program", "melas2022_program", "none"
]
LatentSource = Literal["prior", "embeddings"]
LabellerKind = Literal["segmenter", "function", "folder"]
MaskKind = Literal["lighter", "darker", "both", "mean", "affine", "affine_each"]
"""What each does stands in `gseg.samples.masks.MASKS`."""
MaskRule = Literal["luminance", "rgb_norm", "luminance_std"]
Cut = Literal["zero", "otsu"]
"""Where a difference of brightness is cut; see `gseg.samples.masks.cut`."""
MaskThreshold = Literal[Cut, "choose"]
PictureFormat = Literal["exact", "jpeg95"]

REASONS: Final = ("histogram", "contrast", "empty", "components", "area", "agreement")
"""Reasons of rejection in the order in which they are attributed."""

PLAUSIBLE_SHARES: Final = (0.02, 0.6)
"""Shares of foreground between which masks may be of objects."""


def _check(fits: bool, otherwise: str) -> None:
    if not fits:
        raise ValueError(otherwise)


def _within(config: object, name: str, what: str, fits: Callable[[Any], bool]) -> None:
    value = getattr(config, name)
    _check(fits(value), f"{name} is {what}, got {value}.")


def _above_0_or_none(value: float | None) -> bool:
    return value is None or value > 0


def _check_word(what: str, word: str, known: object) -> None:
    words = get_args(known)
    _check(word in words, f"Unknown {what} {word!r}; choose one of {', '.join(words)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterConfig:
    """Rules that decide which candidates are kept.

    The defaults are those of Voynov et al. 2021, section 3.4, except for the histogram.

    Attributes:
        histogram: Rule for the shifted picture, see `filters.count_maxima`; None for none.
            Where two shifted pictures are compared, both have to pass.
        histogram_bins: Bins over [-1, 1].
        histogram_window: Odd width of the smoothing.
        min_contrast: Reject (reason ``contrast``) if the absolute change of brightness, averaged
            over the pixels, is smaller: images whose shift makes no significant change in
            brightness (Melas-Kyriazi et al. 2022, section 3.2.1). None is no such rule.
        component_share: Components smaller than this share of the largest are cut away; this
            changes the mask and rejects nothing. 0 keeps all.
        component_strict: Whether a component of exactly that share goes, too.
        connectivity: 4 or 8.
        min_roundness: Reject (reason ``components``) if the largest component is not rounder than
            this, see `components.roundness`; None for no such rule. Off in every source.
        min_share: Least share of foreground, inclusive.
        max_share: Greatest share of foreground.
        max_share_strict: Whether exactly `max_share` is too much.
        area_first: Whether shares are measured before small components are cut away, instead of
            after, as every source does.
        each_direction: Masks of kind ``both`` only: share and roundness are tested on the two
            masks of Eq. (3), one for each direction, instead of on the mask of Eq. (2), as in the
            official program of Melas-Kyriazi et al. 2022.
        min_agreement: With `each_direction`: reject if the two masks agree on a smaller share of
            the pixels; 0 for no such rule.
        allow_empty: Whether a mask without foreground may be kept, as the programs let it happen.
    """

    # The text asks for nothing but dark and light pixels, as a shift of 5 gives them with BigBiGAN;
    # the milder shifts that suit small generators leave next to no sample by it. The rule of the
    # official programs keeps most.
    histogram: HistogramRule | None = "program"
    histogram_bins: int = 12
    histogram_window: int = 3
    min_contrast: float | None = None  # no source gives a number
    component_share: float = 0.2
    component_strict: bool = False
    connectivity: Connectivity = 4
    min_roundness: float | None = None
    min_share: float = 0.0
    max_share: float = 0.5
    max_share_strict: bool = False
    area_first: bool = False
    each_direction: bool = False
    min_agreement: float = 0.0
    allow_empty: bool = False

    def __post_init__(self) -> None:
        _check(
            self.histogram in (None, *get_args(HistogramRule)),
            f"Unknown histogram rule {self.histogram!r}; choose text, program or None.",
        )
        _within(self, "connectivity", "4 or 8", lambda ways: ways in (4, 8))
        _within(self, "min_contrast", "above 0 or None", _above_0_or_none)
        _within(self, "component_share", "in [0, 1)", lambda share: 0 <= share < 1)
        _check(
            self.histogram_window % 2 == 1 and 1 <= self.histogram_window <= self.histogram_bins,
            "histogram_window is an odd number up to histogram_bins "
            f"({self.histogram_bins}), got {self.histogram_window}.",
        )
        _check(
            0 <= self.min_share <= self.max_share <= 1,
            "The foreground shares need 0 <= min_share <= max_share <= 1, "
            f"got {self.min_share} and {self.max_share}.",
        )
        if self.min_agreement > 0 and not self.each_direction:
            raise ValueError("min_agreement compares two masks: set each_direction=True as well.")


_PROGRAM: Final = FilterConfig(component_strict=True, connectivity=8, allow_empty=True)
_PRESETS: Final[Mapping[str, FilterConfig]] = MappingProxyType(
    {
        "gseg": FilterConfig(),
        # Scenes have too many tones for the rule: it rejects two of three that are as good.
        "scenes": FilterConfig(histogram=None),
        "voynov2021_text": FilterConfig(histogram="text"),
        "voynov2021_program": replace(_PROGRAM, max_share_strict=True),
        "melas2022_program": replace(_PROGRAM, each_direction=True),
        "none": FilterConfig(histogram=None, component_share=0.0, max_share=1.0, allow_empty=True),
    }
)


def filter_preset(name: FilterPreset) -> FilterConfig:
    """Give the rules of one source.

    Args:
        name: ``gseg`` (the default), ``scenes`` (the same without the rule for histograms),
            ``voynov2021_text`` (section 3.4; the paper leaves the area rule out on Flowers), the
            official programs ``voynov2021_program`` and ``melas2022_program``, or ``none``: every
            candidate is kept as it is.

    Raises:
        ValueError: The name is unknown.
    """
    _check_word("filter preset", name, FilterPreset)
    return _PRESETS[name]


def ablation(whole: FilterConfig) -> tuple[FilterConfig, ...]:
    """Take the rules one by one, as Table 4 of Voynov et al. 2021 does.

    Args:
        whole: All rules, such as those of ``voynov2021_text``.

    Returns:
        No rules; those about the size; about the histogram too; and all.
    """
    # That masks must not be empty belongs to the rule about their size.
    size = replace(whole, histogram=None, component_share=0.0)
    return _PRESETS["none"], size, replace(size, histogram=whole.histogram), whole


def filter_preset_name(config: FilterConfig) -> str:
    """Say which rules these are.

    Returns:
        The preset's name; ``size`` or ``size and histogram`` for a step of its `ablation` (with
        the preset's name if that is not ``voynov2021_text``), or ``custom``.
    """
    names = {whole: name for name, whole in _PRESETS.items()}
    # Presets share steps: the printed table's own come first.
    for name in ("voynov2021_text", *_PRESETS):
        _, size, histogram, _ = ablation(_PRESETS[name])
        source = "" if name == "voynov2021_text" else f" ({name})"
        names.setdefault(size, f"size{source}")
        names.setdefault(histogram, f"size and histogram{source}")
    return names.get(config, "custom")


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedScenes:
    """Scenes that stand for the pictures of a data set: their embeddings are made by a stage.

    Attributes:
        count: How many, the first ones that the generator was trained on.
        encoder: Generator whose encoder ships with the package.
    """

    count: int
    encoder: str

    def __post_init__(self) -> None:
        _check(
            self.count >= 1 and bool(self.encoder),
            f"Embedded scenes need an encoder and at least 1 picture, got {self.encoder!r} and "
            f"{self.count}.",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentConfig:
    """Where latents and labels come from.

    Attributes:
        embeddings: File of embeddings (.npy, (M, latent_dim)), empty for the prior; make such a
            config with `near_embeddings`. Where the file lies is not part of what samples are.
        embeddings_digest: Of the file's content.
        alpha: Scale α of the noise around embeddings; 0 for large sets and 0.2 for small ones in
            Voynov et al. 2021.
        truncation: Truncation of the generator, None for none. Where the architecture truncates by
            itself (StyleGAN2's psi, BigGAN-deep's), the truncation with which the generator is
            loaded; otherwise the largest absolute value of a coordinate of the prior.
        classes: Labels that are drawn; all of them if empty.
        class_weights: How often, relative to each other; the same for all if empty.
        scenes: Pictures whose embeddings are still to be made, instead of a file of them; they have
            to be made before anything is drawn.
    """

    embeddings: str = field(default="", compare=False)
    embeddings_digest: str = ""
    alpha: float = 0.0
    truncation: float | None = None
    classes: tuple[int, ...] = ()
    class_weights: tuple[float, ...] = ()
    scenes: EmbeddedScenes | None = since("0.1", None)

    def __post_init__(self) -> None:
        near = self.source == "embeddings"
        if bool(self.embeddings) != bool(self.embeddings_digest):
            raise ValueError("Embeddings need their file and its digest: use near_embeddings.")
        if self.embeddings and self.scenes is not None:
            raise ValueError("Latents lie near a file of embeddings or near scenes, not both.")
        _check(
            0 <= self.alpha < math.inf and (near or self.alpha == 0),
            f"alpha is 0 or more and scales the noise around embeddings, got {self.alpha} with "
            f"{self.source} as the source.",
        )
        _within(self, "truncation", "above 0 or None", _above_0_or_none)
        if near and self.truncation is not None:
            raise ValueError("Embeddings are not drawn from the prior: leave truncation out.")
        if len(set(self.classes)) < len(self.classes) or min(self.classes, default=0) < 0:
            raise ValueError(f"classes are different labels from 0, got {self.classes}.")
        if not self.class_weights:
            return
        _check(
            len(self.class_weights) == len(self.classes),
            f"class_weights needs one weight for each of the {len(self.classes)} classes named in "
            f"classes, got {len(self.class_weights)}.",
        )
        _check(
            min(self.class_weights) >= 0 and 0 < sum(self.class_weights) < math.inf,
            f"class_weights are 0 or more, one above 0, got {self.class_weights}.",
        )

    @property
    def source(self) -> LatentSource:
        """Where latents come from: the prior N(0, I), or near the embeddings of pictures."""
        return "embeddings" if self.embeddings_digest or self.scenes else "prior"

    @property
    def drawn_classes(self) -> str | None:
        """Labels that are drawn, with their weights; None for all alike."""
        if not self.class_weights:
            return ", ".join(map(str, self.classes)) or None
        pairs = zip(self.classes, self.class_weights, strict=True)
        return ", ".join(f"{label}: {weight:g}" for label, weight in pairs)


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleConfig:
    """How samples are drawn.

    Attributes:
        mask_kind: Which pictures are compared, see `masks.brightness_difference`.
        mask_rule: What counts as brightness of a pixel, see `masks.brightness`.
        mask_threshold: Where the difference of brightness is cut: at zero, as in both papers; by
            Otsu's threshold of each picture's own; or choose, whichever of the two the pictures'
            colours fit better, for all samples of a direction (`thresholds.choose_threshold`).
        epsilon: Length ε > 0 of the latent shift that makes the masks, in the space of codes. 1
            suits the embedded generators; both official programs take 5, Melas-Kyriazi et al. 2022
            state 2 for BigBiGAN (B.1).
        filters: Rules that decide which candidates are kept, see `gseg.samples.filters`.
        latents: Where latents and labels come from.
        seed: Seed of the samples' latents and labels.
        batch: Candidates in a block. It is part of what the samples are.
        blocks_per_shard: Blocks in a shard.
        picture_format: ``exact``, or ``jpeg95``, which changes the pictures a little as the
            papers' programs do, and takes a fifth of the space.
    """

    mask_kind: MaskKind = "lighter"
    mask_rule: MaskRule = "luminance"
    mask_threshold: MaskThreshold = since("0.1", "zero")
    epsilon: float = 1.0
    filters: FilterConfig = field(default_factory=FilterConfig)
    latents: LatentConfig = field(default_factory=LatentConfig)
    seed: int = 0
    batch: int = 64
    blocks_per_shard: int = 8
    picture_format: PictureFormat = "exact"

    def __post_init__(self) -> None:
        _check_word("mask kind", self.mask_kind, MaskKind)
        _check_word("mask rule", self.mask_rule, MaskRule)
        _check_word("mask threshold", self.mask_threshold, MaskThreshold)
        if self.mask_threshold != "zero":
            self._check_difference()
        _check_word("picture format", self.picture_format, PictureFormat)
        _within(self, "epsilon", "above 0", lambda length: length > 0)
        _within(self, "seed", "0 or more", lambda seed: seed >= 0)
        for name in ("batch", "blocks_per_shard"):
            _within(self, name, "at least 1", lambda size: size >= 1)

    def _check_difference(self) -> None:
        """Refuse what has no difference of brightness that could be cut elsewhere than at zero."""
        asked = f"mask_threshold {self.mask_threshold!r} cuts a difference of brightness"
        if self.mask_kind in ("affine", "affine_each"):
            raise ValueError(
                f"{asked}, and masks of kind {self.mask_kind!r} ask which of two colour maps is "
                "nearer: leave it at zero, or take another kind."
            )
        if self.mask_rule == "luminance_std":
            raise ValueError(
                f"{asked}, and rule 'luminance_std' is a threshold of its own: leave it at zero, "
                "or take rule 'luminance'."
            )

    @property
    def shard_size(self) -> int:
        """Candidates in a shard."""
        return self.batch * self.blocks_per_shard

    @property
    def candidates_key(self) -> tuple[LatentConfig, int, int, int]:
        """What decides the pictures G(z); configs with the same can be drawn together."""
        return self.latents, self.seed, self.batch, self.blocks_per_shard


@dataclass(frozen=True, kw_only=True, slots=True)
class LabellerConfig:
    """Who gives samples other masks than those they were drawn with; make it with `labeller`.

    Attributes:
        kind: What it is.
        place: File, folder or name of the function; not part of what samples are.
        digest: Of the content: of the segmenter's file, of the file that the function stands in
            and its name, or of all mask files and their coding.
        coding: What the values of mask files mean; see `gseg.mask_coding`.
    """

    kind: LabellerKind
    place: str = field(compare=False)
    digest: str
    coding: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        _check_word("labeller", self.kind, LabellerKind)
        if not (self.place and self.digest):
            raise ValueError("A labeller needs its place and its digest: use labeller(NAME).")

    @property
    def name(self) -> str:
        """Other model that gave the samples their masks; empty for none."""
        return f"{Path(self.place).name} [{self.digest[:8]}]"
