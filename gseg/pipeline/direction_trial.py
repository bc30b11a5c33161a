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

from gseg.directions import Direction, SearchConfig
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.progress import Report, silent
from gseg.pipeline.row_values import direction_values, find_card, provenance
from gseg.pipeline.settings import columns
from gseg.pipeline.stages import make_direction
from gseg.storage.store import Artifact, NotMadeError, Store, digest


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectionTrial:
    """One search for a direction.

    Attributes:
        generator: Catalogue name.
        search: How it is searched.
        recipe: Who asked; not part of the hash.
    """

    generator: str
    search: SearchConfig
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
        return f"{name}-{search.contrast_weight:g}-{search.epsilon:g}-{search.seed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A finished search.

    Attributes:
        trial: What was asked for.
        artifact: The direction's folder and facts.
    """

    trial: DirectionTrial
    artifact: Artifact


def find_directions(
    trials: Sequence[DirectionTrial], storage: Path, backend: Backend, report: Report = silent
) -> list[Found]:
    """Search directions one after the other; those in the storage are not searched again.

    Args:
        trials: What to search.
        storage: Folder of the artifacts; shared with whole sweeps.
        backend: Whose device searches.
        report: Hears how many are done.

    Returns:
        One result for each trial, in their order.
    """
    store = Store(storage)
    found = []
    for number, trial in enumerate(trials):
        report("directions", number, len(trials))
        made = make_direction(store, trial.generator, trial.search, backend, silent)
        found.append(Found(trial=trial, artifact=made))
    report("directions", len(trials), len(trials))
    return found


def is_found(trial: DirectionTrial, storage: Path, backend: Backend) -> bool:
    """Say whether a direction is in the storage already.

    Args:
        trial: What would be searched.
        storage: Folder of the artifacts.
        backend: Whose device would search.
    """
    store = Store(storage, read_only=True)
    try:
        make_direction(store, trial.generator, trial.search, backend, silent)
    except NotMadeError:
        return False
    return True


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
    trial = found.trial
    return replace(trial, search=replace(trial.search, seed=0))
