"""Experiments that end with a direction: nothing is drawn, no segmenter is trained.

Melas-Kyriazi et al. 2022, Table 9 (v_l · v_d), section A.3 (ten initialisations), Figures 3a and 5
(strips of ε). The rows are as tidy as those of whole trials, with columns of their own.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from gseg.directions.config import ChoiceConfig, DirectionConfig, SearchConfig
from gseg.directions.direction import Direction
from gseg.generators.catalogue import find_card
from gseg.pipeline.row_values import direction_values, provenance
from gseg.pipeline.settings import columns
from gseg.storage.digests import digest
from gseg.storage.store import Artifact


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
        search = self.search
        how = search.rule if isinstance(search, ChoiceConfig) else f"{search.contrast_weight:g}"
        return f"{name}-{how}-{search.epsilon:g}-{search.seed}"

    @property
    def told(self) -> str:
        """A name for people, with its settings in words."""
        search = self.search
        how = f"λ={search.contrast_weight:g}" if isinstance(search, SearchConfig) else search.rule
        return f"{self.generator} {how} ε={search.epsilon:g} seed={search.seed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A finished search.

    Attributes:
        trial: What was asked for.
        artifact: The direction's folder and facts.
    """

    trial: DirectionTrial
    artifact: Artifact


def direction_rows(found: Iterable[Found], device: str) -> pd.DataFrame:
    """Make one row for each direction.

    Args:
        found: Finished searches.
        device: Kind of device that searched.

    Returns:
        Columns that identify generator and search; ``cosine`` (v_l · v_d), losses, how well two
        affine maps explain the direction, seconds, versions and commit.
    """
    return pd.DataFrame([_identity(each, device) | _facts(each) for each in found])


def pair_rows(found: Sequence[Found], device: str) -> pd.DataFrame:
    """Make one row for each pair of directions that differ in nothing but their seed.

    Args:
        found: Finished searches.
        device: Kind of device that searched.

    Returns:
        The identifying columns, ``seed_a`` and ``seed_b``, and the cosines between the two
        ``lighter`` and the two ``darker`` vectors.
    """
    rows = []
    for one, other in itertools.combinations(found, 2):
        if _without_seed(one) != _without_seed(other):
            continue
        a, b = (Direction.load(each.artifact.folder) for each in (one, other))
        identity = _identity(one, device)
        del identity["experiment"], identity["direction_seed"]
        rows.append(
            {
                **identity,
                "seed_a": one.trial.search.seed,
                "seed_b": other.trial.search.seed,
                "lighter": float(a.lighter @ b.lighter),
                "darker": float(a.darker @ b.darker),
            }
        )
    return pd.DataFrame(rows)


def _identity(found: Found, device: str) -> dict[str, Any]:
    trial = found.trial
    card = find_card(trial.generator)
    return {
        "experiment": trial.digest,
        **{name: each.value(trial) for name, each in columns().items() if each.stands_in(trial)},
        "family": card.family,
        "dataset": card.dataset,
        "resolution": card.resolution,
        "latent_dim": card.latent_dim,
        "device": device,
        **provenance(),
    }


def _facts(found: Found) -> dict[str, Any]:
    return direction_values(found.artifact)


def _without_seed(found: Found) -> DirectionTrial:
    return replace(found.trial, search=found.trial.search.with_seed(0))
