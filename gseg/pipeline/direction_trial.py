"""Experiments that end with a direction: nothing is drawn, no segmenter is trained.

Melas-Kyriazi et al. 2022, Table 9 (v_l · v_d), section A.3 (ten initialisations), Figures 3a and 5
(strips of ε). The rows are as tidy as those of whole trials, with columns of their own.
"""

from dataclasses import dataclass
from pathlib import Path

from gseg.directions.config import DirectionConfig
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.settings import columns
from gseg.storage.digests import digest


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectionTrial:
    """One search for a direction.

    Attributes:
        generator: Catalogue name.
        search: How it is searched.
        recipe: Who asked; not part of the hash.
    """

    generator: str
    search: DirectionConfig
    recipe: str = ""

    def __post_init__(self) -> None:
        if not self.generator:
            raise ValueError("A search for a direction needs a generator, got none.")

    @property
    def digest(self) -> str:
        """Name by content."""
        return digest("direction trial", 1, self.generator, self.search)

    @property
    def label(self) -> str:
        """A name for people and files."""
        # A function of one's own is FILE.py:FUNCTION: no folder and no colon may stay.
        name = Path(self.generator).name.replace(":", "-")
        return f"{name}-{self._strength('')}-{self.search.epsilon:g}-{self.search.seed}"

    @property
    def told(self) -> str:
        """A name for people, with its settings in words."""
        search = self.search
        return f"{self.generator} {self._strength('λ=')} ε={search.epsilon:g} seed={search.seed}"

    def _strength(self, symbol: str) -> str:
        """Say λ of an optimised direction, the rule of a chosen one."""
        # The settings know where λ stands; a chosen direction has none.
        weight = next(each for each in columns().values() if each.heading == "λ").value(self)
        return getattr(self.search, "rule", "") if weight is None else f"{symbol}{weight:g}"


AnyTrial = Experiment | DirectionTrial
