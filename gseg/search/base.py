"""What a point of a search starts from, and the experiments that it stands for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gseg.pipeline.experiment import Experiment, TrialMaskKind
from gseg.recipes.grids import Grid
from gseg.recipes.trials import trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """Settings of one trial but for its seed; a search changes some of them from point to point.

    Attributes:
        grid: Settings of all stages.
        generator: Catalogue name.
        data_size: Number of samples.
        contrast_weight: λ; None for the grid's.
        epsilon: ε of search and masks; None for the grid's.
        mask_kind: Kind of masks.
    """

    grid: Grid
    generator: str
    data_size: int
    contrast_weight: float | None = None
    epsilon: float | None = None
    mask_kind: TrialMaskKind = "lighter"

    def experiments(self, seeds: Sequence[int], recipe: str) -> list[Experiment]:
        """Give the experiments of a point, one for each seed.

        Args:
            seeds: Trial seeds.
            recipe: Who asks.

        Raises:
            ValueError: A setting is out of range; the message says which.
        """
        made = [
            trial(
                self.grid,
                self.generator,
                self.contrast_weight,
                self.epsilon,
                self.data_size,
                self.mask_kind,
                seed,
            )
            for seed in seeds
        ]
        return [replace(each, recipe=recipe) for each in made]
