"""Settings of all ways to find a direction, and those that each source used.

The command line reads this file for its help: it imports no PyTorch.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeVar, get_args

ObjectiveName = Literal["melas2022_text", "melas2022_program", "gseg"]
OBJECTIVE_NAMES: Final[tuple[ObjectiveName, ...]] = get_args(ObjectiveName)
ChoiceRule = Literal["voynov2021", "affine_ratio"]
CHOICE_RULES: Final[tuple[ChoiceRule, ...]] = get_args(ChoiceRule)
DirectionWay = Literal["optimised", "voynov2021", "affine_ratio"]
"""How directions are found: optimised (Melas-Kyriazi et al. 2022), or chosen by a rule."""
AffinePreset = Literal["voynov2021_text", "voynov2021_program", "gseg"]
CandidateKind = Literal["random", "learnt", "pca", "closed_form"]
CANDIDATE_KINDS: Final[tuple[CandidateKind, ...]] = get_args(CandidateKind)
DeformatorKind = Literal["orthogonal", "linear"]
ReconstructorKind = Literal["auto", "lenet", "resnet18"]

_Word = TypeVar("_Word", bound=str)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """Settings of a search. The defaults are those of `search_preset("gseg")`.

    Attributes:
        objective: Preset of the losses that the direction minimises, see
            `gseg.directions.objective`.
        contrast_weight: Weight λ > 0 of the contrast loss, comparable only within one objective.
        epsilon: Length ε > 0 of the latent shift while the direction is searched; its mean where
            epsilon_std is positive.
        epsilon_std: Standard deviation of ε, drawn for every coordinate of every latent.
        epsilon_min: Lower bound of a drawn ε.
        steps: Updates of an optimised direction by Adam.
        learning_rate: Learning rate of an optimised direction.
        batch: Latents in an update of an optimised direction.
        centre_prior: Whether the contrast loss expects the foreground in the centre; otherwise the
            prior-free form.
        seed: Seed of the direction's start and latents.
    """

    objective: ObjectiveName = "gseg"
    contrast_weight: float = 5.0
    epsilon: float = 1.0
    epsilon_std: float = 0.0
    epsilon_min: float = 0.1
    steps: int = 50
    learning_rate: float = 0.05
    batch: int = 16
    centre_prior: bool = True
    seed: int = 0

    def with_seed(self, seed: int) -> "SearchConfig":
        """Give the same settings with another seed."""
        return replace(self, seed=seed)

    @property
    def way(self) -> DirectionWay:
        """How the direction is found: optimised, or chosen among candidates by a rule."""
        return "optimised"

    def __post_init__(self) -> None:
        one_of("objective", self.objective, OBJECTIVE_NAMES)
        why = " λ is positive for both directions: the darker one is searched with the lighter."
        _positive(self, "contrast_weight", why=why)
        _positive(self, "epsilon", "epsilon_min", "learning_rate")
        _at_least(1, self, "steps", "batch")
        _at_least(0, self, "epsilon_std", "seed")


@dataclass(frozen=True, kw_only=True, slots=True)
class AffineConfig:
    """Settings of a fit of colour maps. The defaults are those of `affine_preset("gseg")`.

    Attributes:
        maps: Affine maps for each direction.
        steps: Updates of Adam.
        learning_rate: Adam's.
        decay: Let the rate fall linearly to zero.
        batch: Pictures in a step.
        test_batches: Fresh batches after the last step that losses and distances come from.
        matrix_noise: The matrices start at the identity plus uniform noise of this half-width.
        offset_noise: The offsets start at uniform noise of this half-width.
        offset_split: The offsets of several maps start spread evenly over plus and minus this,
            one lightening, one darkening: which map is which is not left to chance.
        clamped: Clamp the maps' outputs to [-1, 1].
        seed: Of start and batches.
    """

    maps: int = 2
    steps: int = 200
    learning_rate: float = 0.02
    decay: bool = True
    batch: int = 4
    test_batches: int = 5
    matrix_noise: float = 0.0
    offset_noise: float = 0.0
    offset_split: float = 0.1
    clamped: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least(1, self, "maps", "steps", "batch", "test_batches")
        _positive(self, "learning_rate")
        _at_least(0, self, "matrix_noise", "offset_noise", "offset_split", "seed")
        if self.maps > 1 and self.matrix_noise == self.offset_noise == self.offset_split == 0:
            raise ValueError(
                "Several maps that start equal stay equal: give matrix_noise, offset_noise or "
                "offset_split."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LearntConfig:
    """Settings of learnt candidates. The defaults are those of the official program.

    Attributes:
        deformator: ``orthogonal``: orthonormal directions; ``linear``: unit vectors at any angle.
        reconstructor: The network that tells shifts apart; ``auto`` is ``lenet`` up to 64 px and
            ``resnet18`` above.
        steps: Updates.
        batch: Pairs of pictures in a step.
        learning_rate: Adam's, of both networks.
        shift_scale: Shifts are uniform in plus and minus this.
        shift_min: Shorter shifts are lengthened to this.
        label_weight: Factor of the cross-entropy of the direction's number.
        shift_weight: Factor of the mean absolute error of the shift's length.
    """

    deformator: DeformatorKind = "orthogonal"
    reconstructor: ReconstructorKind = "auto"
    steps: int = 100_000
    batch: int = 32
    learning_rate: float = 1e-4
    shift_scale: float = 6.0
    shift_min: float = 0.5
    label_weight: float = 1.0
    shift_weight: float = 0.25

    def __post_init__(self) -> None:
        one_of("deformator", self.deformator, get_args(DeformatorKind))
        one_of("reconstructor", self.reconstructor, get_args(ReconstructorKind))
        _at_least(1, self, "steps")
        _at_least(2, self, "batch", why=" Activations are normalised over it.")
        _positive(self, "learning_rate", "shift_scale", "label_weight", "shift_weight")
        if not 0 <= self.shift_min <= self.shift_scale:
            raise ValueError(
                f"shift_min must be between 0 and shift_scale ({self.shift_scale}), got "
                f"{self.shift_min}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateConfig:
    """Settings of a set of candidate directions.

    Attributes:
        kind: Candidates that the direction is chosen from: ``learnt`` (Voynov and Babenko 2020),
            ``random`` unit vectors, ``pca`` of activations (Härkönen et al. 2020), or
            ``closed_form`` factors of the first layers' weights (Shen and Zhou 2021).
        count: Directions N, 120 in Voynov et al. 2021. All kinds but ``random`` give at most as
            many as codes are wide.
        samples: Latents that ``pca`` looks at.
        layer: Module of the network whose activations ``pca`` takes, ``.`` for the pictures; empty
            for the one that suits the architecture.
        learnt: Settings of ``learnt``, and of no other kind.
        seed: Of everything random.
    """

    kind: CandidateKind = "learnt"
    count: int = 120
    samples: int = 2_000
    layer: str = ""
    learnt: LearntConfig | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("candidates", self.kind, CANDIDATE_KINDS)
        _at_least(1, self, "count", why=" It is the number of candidates.")
        _at_least(2, self, "samples")
        _at_least(0, self, "seed")
        if self.kind == "learnt" and self.learnt is None:
            object.__setattr__(self, "learnt", LearntConfig())
        if self.kind != "learnt" and self.learnt is not None:
            raise ValueError(f"Candidates of kind {self.kind!r} are not learnt: leave learnt out.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceConfig:
    """Settings of a choice. The defaults are the paper's, but for the start of the maps.

    Attributes:
        candidates: Which directions there are to choose from.
        rule: The rule by which it was chosen, see `gseg.directions.choosing`.
        epsilon: Length ε > 0 of the latent shift that the choice looks at.
        keep: Share of the candidates that rule ``voynov2021`` keeps for their restoration loss.
        least_share: Share of the pixels that each of the two maps must take for rule
            ``voynov2021``; 0 for the paper's words.
        affine: How maps are fitted; `affine_preset` has the paper's.
        pictures: Originals that all fits see; 0 for fresh ones in every step, as in the paper,
            which costs as many forward passes as there are steps.
    """

    candidates: CandidateConfig = field(default_factory=CandidateConfig)
    rule: ChoiceRule = "voynov2021"
    epsilon: float = 5.0
    keep: float = 0.7
    least_share: float = 0.05
    affine: AffineConfig = field(default_factory=AffineConfig)
    pictures: int = 0

    def __post_init__(self) -> None:
        one_of("rule", self.rule, CHOICE_RULES)
        _positive(self, "epsilon")
        _at_least(0, self, "pictures")
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep is a share in (0, 1], got {self.keep}.")
        if not 0 <= self.least_share < 0.5:
            raise ValueError(f"least_share is in [0, 0.5), got {self.least_share}.")
        if self.affine.maps != 2:
            raise ValueError(f"A choice fits two maps, got maps={self.affine.maps}.")

    @property
    def way(self) -> DirectionWay:
        """How the direction is found: by which rule it is chosen."""
        return self.rule

    @property
    def seed(self) -> int:
        """Seed of the pictures that maps are fitted to."""
        return self.affine.seed

    def with_seed(self, seed: int) -> "ChoiceConfig":
        """Give the same settings with another seed for candidates and pictures."""
        return replace(
            self,
            candidates=replace(self.candidates, seed=seed),
            affine=replace(self.affine, seed=seed),
        )


DirectionConfig = SearchConfig | ChoiceConfig
"""How a direction is found: optimised, or chosen among candidates."""


def one_of(what: str, word: _Word, known: tuple[_Word, ...]) -> _Word:
    """Give a word back if it is known.

    Raises:
        ValueError: It is not; the message names those that are.
    """
    if word not in known:
        raise ValueError(f"Unknown {what} {word!r}; expected one of: {', '.join(known)}.")
    return word


def _positive(config: object, *names: str, why: str = "") -> None:
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive number, got {value}.{why}")


def _at_least(least: int, config: object, *names: str, why: str = "") -> None:
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= least):
            bound = f"at least {least}" if least else "0 or more"
            raise ValueError(f"{name} must be {bound}, got {value}.{why}")


_SEARCHES: Final[dict[ObjectiveName, SearchConfig]] = {
    # Section 4.1 and B.1; the text states no batch size: the program's.
    "melas2022_text": SearchConfig(objective="melas2022_text", epsilon=2.0, steps=1000, batch=32),
    # src/config/optimize.yaml of the official program and the weights in its README.
    "melas2022_program": SearchConfig(
        objective="melas2022_program",
        contrast_weight=2.0,
        epsilon=2.0,
        epsilon_std=0.5,
        steps=300,
        learning_rate=0.005,
        batch=32,
    ),
    "gseg": SearchConfig(),
}
# The official program scales a linear layer's usual start, uniform in ±1/sqrt(3), by 0.01 for
# the matrices only. The text states no start: the program's.
_PROGRAM: Final = AffineConfig(
    learning_rate=0.005,
    decay=False,
    matrix_noise=0.01 / math.sqrt(3),
    offset_noise=1 / math.sqrt(3),
    offset_split=0.0,
    clamped=True,
)
_FITS: Final[dict[AffinePreset, AffineConfig]] = {
    "voynov2021_text": replace(_PROGRAM, clamped=False),
    "voynov2021_program": _PROGRAM,
    # A start and a rate with which the same 200 steps do not depend on luck.
    "gseg": AffineConfig(),
}


def search_preset(name: ObjectiveName) -> SearchConfig:
    """Give the settings that belong to an objective in its source.

    Raises:
        ValueError: The name is unknown.
    """
    return _SEARCHES[one_of("objective", name, OBJECTIVE_NAMES)]


def affine_preset(name: AffinePreset) -> AffineConfig:
    """Give the settings that a source fits colour maps with.

    Raises:
        ValueError: The name is unknown.
    """
    return _FITS[one_of("affine preset", name, get_args(AffinePreset))]
