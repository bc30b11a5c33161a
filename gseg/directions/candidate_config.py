"""Settings of sets of candidate directions."""

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

CandidateKind = Literal["random", "learnt", "pca", "closed_form"]
DeformatorKind = Literal["orthogonal", "linear"]
ReconstructorKind = Literal["auto", "lenet", "resnet18"]
CANDIDATE_KINDS: Final[tuple[CandidateKind, ...]] = get_args(CandidateKind)


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
        _one_of("deformator", self.deformator, get_args(DeformatorKind))
        _one_of("reconstructor", self.reconstructor, get_args(ReconstructorKind))
        if self.steps < 1 or self.batch < 2:
            raise ValueError(
                "steps is at least 1 and batch, over which activations are normalised, at least "
                f"2, got {self.steps} and {self.batch}."
            )
        for name in ("learning_rate", "shift_scale", "label_weight", "shift_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, got {value}.")
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
        _one_of("candidates", self.kind, CANDIDATE_KINDS)
        if self.count < 1:
            raise ValueError(f"count, the number of candidates, is at least 1, got {self.count}.")
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2, got {self.samples}.")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}.")
        if self.kind == "learnt" and self.learnt is None:
            object.__setattr__(self, "learnt", LearntConfig())
        if self.kind != "learnt" and self.learnt is not None:
            raise ValueError(f"Candidates of kind {self.kind!r} are not learnt: leave learnt out.")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"Unknown {name} {value!r}; expected one of: {', '.join(known)}.")
