"""Experiments that end with a direction: nothing is drawn, no segmenter is trained.

Melas-Kyriazi et al. 2022, Table 9 (v_l · v_d), section A.3 (ten initialisations), Figures 3a and 5
(strips of ε). The rows are as tidy as those of whole trials, with columns of their own.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gseg.directions.config import DirectionConfig
from gseg.directions.direction import Direction
from gseg.generators.catalogue import find_card
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.row_values import direction_values, provenance
from gseg.pipeline.settings import columns
from gseg.storage.digests import digest
from gseg.storage.store import Artifact

if TYPE_CHECKING:
    import pandas as pd


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
        name = Path(self.generator).name.replace(":", "-")
        return f"{name}-{self._strength('')}-{self.search.epsilon:g}-{self.search.seed}"

    @property
    def told(self) -> str:
        """A name for people, with its settings in words."""
        search = self.search
        return f"{self.generator} {self._strength('λ=')} ε={search.epsilon:g} seed={search.seed}"

    def _strength(self, symbol: str) -> str:
        """Say λ of an optimised direction, the rule of a chosen one."""
        weight = next(each for each in columns().values() if each.heading == "λ").value(self)
        return getattr(self.search, "rule", "") if weight is None else f"{symbol}{weight:g}"


AnyTrial = Experiment | DirectionTrial


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A finished search.

    Attributes:
        trial: What was asked for.
        artifact: The direction's folder and facts.
    """

    trial: DirectionTrial
    artifact: Artifact

    def row(self, device: str) -> dict[str, Any]:
        """Give the columns that identify generator and search, ``cosine`` (v_l · v_d), losses.

        Also how well two affine maps explain the direction, seconds, versions and commit; the
        device is the kind that searched.
        """
        return self.identity(device) | direction_values(self.artifact)

    def identity(self, device: str) -> dict[str, Any]:
        """Give the columns that identify generator and search."""
        trial, card = self.trial, find_card(self.trial.generator)
        told = {
            name: each.value(trial) for name, each in columns().items() if each.stands_in(trial)
        }
        named = ("family", "dataset", "resolution", "latent_dim")
        return {
            "experiment": trial.digest,
            **told,
            **{name: getattr(card, name) for name in named},
            "device": device,
            **provenance(),
        }


def direction_rows(found: Iterable[Found], device: str) -> "pd.DataFrame":
    """Make one row for each direction; see `Found.row`."""
    import pandas as pd

    return pd.DataFrame([each.row(device) for each in found])


def pair_rows(found: Sequence[Found], device: str) -> "pd.DataFrame":
    """Make one row for each pair of directions that differ in nothing but their seed.

    Args:
        found: Finished searches.
        device: Kind of device that searched.

    Returns:
        The identifying columns, ``seed_a`` and ``seed_b``, and the cosines between the two
        ``lighter`` and the two ``darker`` vectors.
    """
    import pandas as pd

    rows = []
    for one, other in itertools.combinations(found, 2):
        first, second = (
            replace(each.trial, search=each.trial.search.with_seed(0)) for each in (one, other)
        )
        if first != second:
            continue
        a, b = (Direction.load(each.artifact.folder) for each in (one, other))
        identity = one.identity(device)
        del identity["experiment"], identity["direction_seed"]
        seeds = {"seed_a": one.trial.search.seed, "seed_b": other.trial.search.seed}
        cosines = {
            "lighter": float(a.lighter @ b.lighter),
            "darker": float(a.darker @ b.darker),
        }
        rows.append({**identity, **seeds, **cosines})
    return pd.DataFrame(rows)
