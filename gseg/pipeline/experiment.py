"""One experiment: the settings of all stages of one trial, and the hash that names it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

from gseg.directions.config import DirectionConfig
from gseg.features.named import parse_features
from gseg.samples.config import LabellerConfig, MaskKind, SampleConfig
from gseg.scores.specs import RULES, EvalProtocol, Rule
from gseg.segmenters.config import FitConfig
from gseg.storage.digests import digest, since
from gseg.words import unknown

Method = Literal["gan", "true_masks", "distilled", Rule]
TrialMaskKind = Literal[MaskKind, "ensemble"]

METHODS: Final[tuple[Method, ...]] = get_args(Method)
TRAINED: Final[tuple[Method, ...]] = ("gan", "true_masks", "distilled")
"""Methods that train a network; the others are rules."""
MASK_KINDS: Final[tuple[TrialMaskKind, ...]] = get_args(TrialMaskKind)


@dataclass(frozen=True, kw_only=True, slots=True)
class DistanceConfig:
    """Settings of the Fréchet distance of a generator.

    Attributes:
        count: Generated pictures, and as many scenes.
        seed: Of the generated pictures' latents. Classes and truncation are those of the samples.
        features: Network that turns pictures into vectors; see `gseg.features.named.open_features`.
        reference: What generators are compared with: ``scenes``, for those that were trained on
            them; ``folder:PATH``, pictures that are brought to the generator's size; or
            ``file:PATH``, statistics (.npz) made with the same features.
    """

    count: int = 10_000
    seed: int = 0
    # The usual Inception network has to be downloaded, and was made for photographs.
    features: str = "scenes"
    reference: str = "scenes"

    def __post_init__(self) -> None:
        _require(self, count=2, seed=0)
        parse_features(self.features)  # a wrong name is told before anything is drawn
        if self.reference != "scenes" and not self.reference.startswith(("folder:", "file:")):
            raise ValueError(
                f"Unknown reference {self.reference!r} of the distance: expected 'scenes', "
                "'folder:PATH', or 'file:PATH' for statistics (.npz)."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledPairs:
    """Pictures with true masks to train on, the middle square of each.

    Attributes:
        benchmark: Labelled pictures that are trained on as well, such as ``folder:PATH``. It stands
            in the experiment's hash as it is written; the stages' hashes hold its content.
        count: Labelled pictures that are trained on, chosen at random.
        side: Pixels to which the squares are resized; that of the generated pictures.
        weight: Share of the labelled pairs in what is trained on; None for every pair, labelled or
            generated, to count the same.
        seed: Seed of the choice of labelled pictures.
    """

    benchmark: str
    count: int
    side: int
    weight: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.benchmark:
            raise ValueError("Labelled pairs need a benchmark, such as 'folder:PATH'; got none.")
        _require(self, count=1, side=1, seed=0)
        if self.weight is not None and not 0 < self.weight < 1:
            raise ValueError(
                f"weight is a share and must lie between 0 and 1, got {self.weight}; None lets "
                "every pair count the same."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionConfig:
    """Which samples are kept: those nearest to given pictures (Melas-Kyriazi et al. 2022, B.4).

    Attributes:
        folder: Pictures whose nearest samples are kept; no masks are needed. It stands in the
            experiment's hash as it is written; the stage's hash holds what is in it.
        candidates: Samples M that the nearest were chosen from; the paper's are a million.
        features: Network whose features are compared, see `gseg.features.named.open_features`; the
            paper's is a self-supervised ResNet-50, ``resnet50:FILE``.
    """

    folder: str
    candidates: int
    features: str = "scenes"

    def __post_init__(self) -> None:
        if not self.folder:
            raise ValueError("A selection needs a folder of pictures, got none.")
        _require(self, candidates=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedLabeller:
    """The same network, trained with the true masks of scenes, as who gives the masks.

    It stands for the supervised model of Voynov et al. 2021, Table 5, and is a stage of the trial.

    Attributes:
        count: Scenes to train on.
        training: How.
    """

    count: int
    training: FitConfig

    def __post_init__(self) -> None:
        _require(self, count=1)

    @property
    def name(self) -> str:
        """Other model that gave the samples their masks."""
        # With a hash: trainings of equal size differ in more than rows have columns for.
        return f"true masks of {self.count} scenes [{digest('labeller', self)[:8]}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """Settings of one trial.

    Attributes:
        method: ``gan``: the papers' method; ``true_masks``: the same network trained with the
            exact masks of scenes, or of `labelled` pictures; ``distilled``: the same network
            trained with a rule's masks of scenes, without labels and without a generator; or the
            name of a rule, such as ``otsu``: that rule alone, without training.
        generator: Catalogue name; empty unless the method is ``gan``.
        search: How the direction is found, by optimising or choosing; None unless the method is
            ``gan``.
        samples: How samples are drawn; None unless the method is ``gan``. Its mask kind is
            overruled by `mask_kind`.
        rule: Whose masks of scenes the network is trained on with method ``distilled``.
        mask_kind: What masks are made from: the lighter or darker direction (Eq. 3), both (Eq. 2),
            the shifted picture's ``mean``, which of two colour maps a pixel takes, fitted to the
            direction (``affine``) or to each picture (``affine_each``), or an ``ensemble`` of one
            network trained on lighter and one on darker masks.
        selection: Which of more samples are trained on; None for the first ones.
        labeller: Who gives the samples other masks than those they were drawn with; None for
            nobody (Voynov et al. 2021, Table 5).
        data_size: Accepted samples that the segmenter is trained on, or scenes; 0 for labelled
            pictures alone.
        validation_size: Held-out samples for the score without labels; labelled pictures that are
            not trained on where there are no samples, or scenes, with masks as the training's. 0 to
            measure nothing.
        train_resolution: Side in pixels to which samples are shrunk for the training, masks with
            them (table 15 of Melas-Kyriazi et al. 2022); None for the generator's own.
        training: How the network is trained; None for the methods without training.
        train_preset: Name of the training settings, for the rows.
        labelled: Pictures with true masks to train on as well; alone with method ``true_masks``.
        distance: The generator's Fréchet distance; None to leave it out.
        recipe: Name of the experiment that asked; not part of the hash.
    """

    method: Method = "gan"
    generator: str = ""
    search: DirectionConfig | None = None
    samples: SampleConfig | None = None
    mask_kind: TrialMaskKind = "lighter"
    selection: SelectionConfig | None = None
    labeller: LabellerConfig | TrainedLabeller | None = None
    data_size: int = 0
    validation_size: int = 128
    # Younger than experiments that are in storages: hashed only where it is not None.
    train_resolution: int | None = since("0.1", None)
    rule: Rule | None = since("0.1", None)
    training: FitConfig | None = None
    train_preset: str = ""
    labelled: LabelledPairs | None = None
    distance: DistanceConfig | None = None
    recipe: str = ""

    def __post_init__(self) -> None:
        for word, value, known in (
            ("method", self.method, METHODS),
            ("mask kind", self.mask_kind, MASK_KINDS),
        ):
            if value not in known:
                raise ValueError(unknown(word, value, known))
        _require(self, data_size=0, validation_size=0)
        # The nearest of fewer than are wanted would be all of them.
        if self.selection is not None and self.selection.candidates < self.data_size:
            raise ValueError(
                f"A selection of {self.data_size} samples needs as many candidates or more, got "
                f"{self.selection.candidates}."
            )
        if self.labeller is not None and self.method != "gan":
            raise ValueError(
                f"A labeller gives generated pictures their masks: leave it out with method "
                f"{self.method!r}."
            )
        if self.train_resolution is not None:
            self._check_shrinking()
        if (self.method == "distilled") != (self.rule is not None):
            raise ValueError(
                "Method 'distilled' trains on a rule's masks, and no other method does: got method "
                f"{self.method!r} with rule {self.rule!r}."
            )
        if self.rule is not None and self.rule not in RULES:
            raise ValueError(unknown("rule", self.rule, tuple(RULES)))
        if self.method in TRAINED:
            self._check_training()
        elif self.labelled is not None:
            raise ValueError(
                f"Method {self.method!r} trains nothing: leave out the labelled pairs."
            )

    def _check_shrinking(self) -> None:
        _require(self, train_resolution=1)
        side = self.train_resolution
        if self.method != "gan":
            raise ValueError(
                f"train_resolution ({side}) shrinks generated pictures: leave it out with method "
                f"{self.method!r}."
            )
        if self.labelled is not None and self.labelled.side != side:
            raise ValueError(
                f"Labelled pictures of {self.labelled.side} px cannot be trained on beside samples "
                f"of {side} px: give both the same side."
            )

    def _check_training(self) -> None:
        if self.method == "gan" and not (self.generator and self.search and self.samples):
            raise ValueError("Method 'gan' needs a generator, a search and samples.")
        if self.samples is not None:
            for kind in self.member_kinds:  # refuses a kind that does not go with the rest
                replace(self.samples, mask_kind=kind)
        if self.training is None:
            raise ValueError(f"Method {self.method!r} needs training settings.")
        if self.method == "distilled" and self.labelled is not None:
            raise ValueError("Method 'distilled' needs no labels: leave out the labelled pairs.")
        if self.method == "true_masks" and self.labelled is not None:
            if self.data_size or self.labelled.weight is not None:
                raise ValueError(
                    "Method 'true_masks' trains on labelled pictures alone: give them a data_size "
                    f"of 0 and no weight, got {self.data_size} and {self.labelled.weight}."
                )
        # Labelled pictures alone are no samples; all others need some to train on.
        elif self.data_size < 1:
            raise ValueError(f"The data size must be at least 1, got {self.data_size}.")

    @property
    def digest(self) -> str:
        """Name by content; recipe, preset name and the distance do not count."""
        # Names are for people; the distance is the generator's and changes no segmenter.
        return digest("experiment", 1, replace(self, recipe="", train_preset="", distance=None))

    @property
    def drawn_size(self) -> int:
        """Samples that are drawn for training: all that a selection chooses from."""
        return self.data_size if self.selection is None else self.selection.candidates

    @property
    def label(self) -> str:
        """A short name for people."""
        parts = (
            self.generator or self.method.replace("_", " "),
            RULES[self.rule] if self.rule else "",
            f"N={self.data_size}" if self.data_size else "",
            f"{self.labelled.count} labelled" if self.labelled else "",
            f"masks of {self.labeller.name}" if self.labeller else "",
            self.mask_kind if self.mask_kind != "lighter" else "",
        )
        return " ".join(filter(None, parts))

    @property
    def member_kinds(self) -> tuple[MaskKind, ...]:
        """The mask kinds of the networks that the trial trains."""
        return ("lighter", "darker") if self.mask_kind == "ensemble" else (self.mask_kind,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What all trials of a sweep have in common.

    Attributes:
        storage: Folder of the artifacts.
        benchmarks: Specifications; see `gseg.scores.benchmarks.open_benchmark`.
        eval_protocol: How pictures are brought to size, where they are scored, and whether
            probabilities are cut at half or by Otsu's threshold.
        skip_bad: Whether unreadable files of a benchmark are skipped and listed.
        identities: Of the benchmarks, where they are files that may change while trials run; those
            that were planned with. Empty to take what is there.
    """

    storage: Path
    benchmarks: tuple[str, ...] = ("scenes",)
    eval_protocol: EvalProtocol = "text"
    skip_bad: bool = False
    identities: tuple[str, ...] = ()


def _require(config: object, **least: int) -> None:
    """Make sure that fields are whole numbers of at least so many."""
    for name, at_least in least.items():
        value = getattr(config, name)
        # A bool is an int to Python, and 1 to whoever writes validation_size=True.
        if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
            raise ValueError(
                f"{name} must be a whole number of at least {at_least}, got {value!r}."
            )
