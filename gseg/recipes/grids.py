"""Settings that recipes keep constant, and the axes along which they vary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from gseg.directions.config import (
    AffineConfig,
    CandidateConfig,
    CandidateKind,
    ChoiceConfig,
    DirectionWay,
    LearntConfig,
    SearchConfig,
    search_preset,
)
from gseg.pipeline.experiment import DistanceConfig, LabelledPairs, SelectionConfig
from gseg.samples.config import LabellerConfig, SampleConfig, filter_preset
from gseg.segmenters.config import FIT_PRESETS, FitConfig, fit_preset

GridName = Literal["embedded", "smoke", "paper", "own"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Settings that a sweep keeps constant, and its default data sizes.

    Attributes:
        name: Which of the named grids it comes from; recipes choose their generators by it.
        search: Of optimised directions.
        choice: Of chosen directions; samples then take its length of shift.
        learnt: Of learnt candidates, where they are asked for.
        direction: Which of the two: ``optimised``, or the rule of the choice.
        samples: Of samples.
        training: Of segmenters.
        train_preset: Name of those.
        data_sizes: Numbers of samples.
        table_size: Number of samples of tables that do not vary it; None for the largest.
        curve_sizes: Numbers of samples of the table that varies it, none for `data_sizes`; as
            many as the paper has rows (Melas-Kyriazi et al. 2022, Table 14).
        curve_training: Training of that table; None for `training`.
        curve_preset: Name of those settings.
        selection: Which of more samples are trained on; None for the first ones.
        labelled: Pictures with true masks that are trained on as well; their side is the samples',
            their seed the trial's. None for none.
        labeller: Another model that labels pictures, for the recipe that compares with one; None
            for the network that stands for it in the embedded sizes.
        sample_epsilon: ε of the masks; None for that of the search.
        validation_size: Held-out samples.
        distance: Of generators.
    """

    name: GridName = "own"
    search: SearchConfig
    choice: ChoiceConfig
    samples: SampleConfig
    training: FitConfig
    train_preset: str
    data_sizes: tuple[int, ...]
    table_size: int | None = None
    curve_sizes: tuple[int, ...] = ()
    curve_training: FitConfig | None = None
    curve_preset: str = ""
    selection: SelectionConfig | None = None
    labelled: LabelledPairs | None = None
    labeller: LabellerConfig | None = None
    sample_epsilon: float | None = None
    learnt: LearntConfig = field(default_factory=LearntConfig)
    direction: DirectionWay = "optimised"
    validation_size: int = 128
    distance: DistanceConfig | None = None

    def with_candidates(self, kind: CandidateKind) -> "Grid":
        """Give the same grid with other candidates to choose from."""
        learnt = self.learnt if kind == "learnt" else None
        candidates = replace(self.choice.candidates, kind=kind, learnt=learnt)
        return replace(self, choice=replace(self.choice, candidates=candidates))

    def with_epsilon(self, epsilon: float) -> "Grid":
        """Give the same grid with another length of shift, in searches and for masks alike."""
        return replace(
            self,
            search=replace(self.search, epsilon=epsilon),
            choice=replace(self.choice, epsilon=epsilon),
            samples=replace(self.samples, epsilon=epsilon),
        )


Axes = Mapping[str, Sequence[Any]]
"""What a sweep varies: values by the name of an axis, see `gseg.pipeline.settings.axes`. What is
absent keeps the grid's value, or takes the recipe's values; the seed is 0 then."""


def seeds_of(axes: Axes) -> Sequence[int]:
    """Give the seeds of the trials."""
    return axes.get("seed", (0,))


def grids(*, native: bool = True) -> dict[str, Grid]:
    """Give the named grids.

    Args:
        native: Whether the embedded training has this machine's faster precision.

    Returns:
        ``embedded``: minutes on a laptop; ``smoke``: seconds, to see whether everything works;
        ``paper``: the published settings (Melas-Kyriazi et al. 2022, section 4 and appendix B).
    """
    # To ask for the machine's precision is to load PyTorch: help does not wait for that.
    training = fit_preset("embedded") if native else FIT_PRESETS["embedded"]
    embedded = Grid(
        name="embedded",
        search=search_preset("gseg"),
        choice=_EMBEDDED_CHOICE,
        learnt=LearntConfig(steps=1_500, learning_rate=1e-3, shift_scale=3.0),
        samples=SampleConfig(filters=filter_preset("scenes")),
        training=training,
        train_preset="embedded",
        data_sizes=(250, 4_000),
        table_size=1_000,
        curve_sizes=(20, 80, 250, 1_000, 2_000, 3_000, 6_000),
        curve_training=training.with_steps(625),
        curve_preset="embedded_long",
        distance=DistanceConfig(),
    )
    return {
        "embedded": embedded,
        "smoke": replace(
            embedded,
            name="smoke",
            search=replace(embedded.search, steps=20),
            choice=replace(
                _EMBEDDED_CHOICE,
                candidates=replace(_EMBEDDED_CHOICE.candidates, count=8),
                affine=AffineConfig(steps=50),
                pictures=16,
            ),
            learnt=replace(embedded.learnt, steps=20),
            training=replace(embedded.training, steps=30, decay_at=20),
            train_preset="smoke",
            data_sizes=(100,),
            table_size=100,
            curve_sizes=(20, 30, 40, 50, 60, 80, 100),
            curve_training=replace(embedded.training, steps=50, decay_at=20),
            curve_preset="smoke_long",
            validation_size=32,
            distance=DistanceConfig(count=500),
        ),
        "paper": Grid(
            name="paper",
            search=search_preset("melas2022_text"),
            choice=ChoiceConfig(),
            samples=SampleConfig(epsilon=search_preset("melas2022_text").epsilon),
            training=fit_preset("paper"),
            train_preset="paper",
            data_sizes=(1_000_000,),
            curve_sizes=(100, 1_000, 10_000, 100_000, 200_000, 300_000, 1_000_000),
            curve_training=fit_preset("paper_long"),
            curve_preset="paper_long",
            validation_size=1_000,
        ),
    }


# A choice in seconds: the same pictures in every step, the shift that suits small generators.
_EMBEDDED_CHOICE: Final = ChoiceConfig(
    candidates=CandidateConfig(kind="random", count=64),
    epsilon=1.0,
    affine=AffineConfig(),
    pictures=32,
)
