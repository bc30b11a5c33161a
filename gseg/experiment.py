"""One experiment: the settings of all stages of one trial, and the hash that names it."""

from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from gseg.artifacts import digest
from gseg.directions import SearchConfig
from gseg.samples import SampleConfig
from gseg.segmenters import FitConfig

Method = Literal["gan", "true_masks", "otsu", "centre_disc"]
TrialMaskKind = Literal["lighter", "darker", "both", "mean", "ensemble"]

MASK_KINDS: Final[tuple[TrialMaskKind, ...]] = get_args(TrialMaskKind)


@dataclass(frozen=True, kw_only=True, slots=True)
class DistanceConfig:
    """Settings of the Fréchet distance of a generator.

    Attributes:
        count: Generated pictures, and as many real ones.
        seed: Of the generated pictures' latents.
    """

    count: int = 5_000
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """Settings of one trial.

    Attributes:
        method: ``gan``: the papers' method; ``true_masks``: the same network trained with the
            exact masks of scenes; ``otsu`` and ``centre_disc``: without training.
        generator: Catalogue name; empty unless the method is ``gan``.
        search: How the direction is found; None unless the method is ``gan``.
        samples: How samples are drawn; None unless the method is ``gan``. Its mask kind is
            overruled by `mask_kind`.
        mask_kind: Which masks; ``ensemble`` trains one network on lighter and one on darker masks.
        data_size: Samples that the network is trained on.
        validation_size: Held-out samples for the score without labels.
        training: How the network is trained; None for the methods without training.
        train_preset: Name of those settings, for the rows.
        distance: The generator's Fréchet distance; None to leave it out.
        recipe: Who asked; not part of the hash.
    """

    method: Method = "gan"
    generator: str = ""
    search: SearchConfig | None = None
    samples: SampleConfig | None = None
    mask_kind: TrialMaskKind = "lighter"
    data_size: int = 0
    validation_size: int = 128
    training: FitConfig | None = None
    train_preset: str = ""
    distance: DistanceConfig | None = None
    recipe: str = ""

    def __post_init__(self) -> None:
        if self.mask_kind not in MASK_KINDS:
            raise ValueError(f"Unknown mask kind {self.mask_kind!r}: {', '.join(MASK_KINDS)}.")
        if self.method in ("gan", "true_masks") and self.data_size < 1:
            raise ValueError(f"The data size must be at least 1, got {self.data_size}.")
        if self.method == "gan" and not (self.generator and self.search and self.samples):
            raise ValueError("Method 'gan' needs a generator, a search and samples.")
        if self.method in ("gan", "true_masks") and self.training is None:
            raise ValueError(f"Method {self.method!r} needs training settings.")

    @property
    def digest(self) -> str:
        """Name by content; recipe, preset name and the distance do not count."""
        content = replace(self, recipe="", train_preset="", distance=None)
        return digest("experiment", 1, content)

    @property
    def label(self) -> str:
        """A short name for people."""
        parts = [self.generator or self.method.replace("_", " ")]
        if self.data_size:
            parts.append(f"N={self.data_size}")
        if self.mask_kind != "lighter":
            parts.append(self.mask_kind)
        return " ".join(parts)

    @property
    def member_kinds(self) -> tuple[Literal["lighter", "darker", "both", "mean"], ...]:
        """The mask kinds of the networks that the trial trains."""
        if self.mask_kind == "ensemble":
            return ("lighter", "darker")
        return (self.mask_kind,)
