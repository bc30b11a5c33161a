"""What a sweep will do: the stages that are not in the storage yet, and what they cost.

A plan goes the way of each trial through a storage that may only be read and that notes what is
missing (see `gseg.storage.store.Store`). So it counts what a run would make, under the names that
the run gives it; what is finished counts nothing, and of a set of samples only those that are not
drawn yet.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from gseg.pipeline.costs import generator_size
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.stages.scores import open_anew
from gseg.pipeline.trial import Context, note_missing
from gseg.storage.store import Artifact, Cost

_log = logging.getLogger(__name__)

_PLANNED: Final = "planned-"
"""Marks the digest of a content that is still to be made; none of a real content begins so."""
Costs = Mapping[tuple[str, str], Cost]
"""What stages to be made cost, by stage and name in the storage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPlan:
    """What a sweep will do.

    Attributes:
        estimates: One-thread seconds of each experiment, stages that several share counted once,
            with the first that needs them.
        missing: What is to be made, in the order in which it is needed.
        naive_stages: Stages that would have to be made if nothing were shared.
        first_seconds: One-thread seconds of what is made before the first experiment.
    """

    estimates: tuple[float, ...]
    missing: Costs
    naive_stages: int
    first_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """One-thread seconds of all stages."""
        return self.first_seconds + sum(self.estimates)

    @property
    def largest(self) -> float:
        """Seconds of the largest single stage."""
        return max((cost.seconds for cost in self.missing.values()), default=0.0)

    @property
    def stages(self) -> dict[str, int]:
        """Distinct stages by kind, in the order in which they come."""
        kinds = [kind for kind, _ in self.missing]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}

    @property
    def disk_bytes(self) -> int:
        """Space that new samples take at most."""
        return sum(cost.disk_bytes for cost in self.missing.values())


class Missing:
    """Collects what is not complete; a `gseg.storage.store.Note`.

    A larger set of samples extends a smaller one of the same name: the dearer counts.

    Args:
        known: What is known to be missing.
    """

    def __init__(self, known: Costs | None = None) -> None:
        self.costs = dict(known or {})
        self.naive, self._seconds = len(self.costs), 0.0
        self._here: set[tuple[str, str]] = set()

    def __call__(self, stage: str, name: str, cost: Callable[[], Cost]) -> None:
        """Note one thing."""
        key = (stage, name)
        self.naive += key not in self._here
        self._here.add(key)
        known = self.costs.get(key)
        if known is not None and stage != "samples":
            return  # the same thing costs the same
        found = cost()
        if known is None or found.seconds > known.seconds:
            self._seconds += found.seconds - (known.seconds if known else 0.0)
            self.costs[key] = found

    def part(self) -> float:
        """End a part, such as a trial; give the seconds of what it was the first to need."""
        seconds, self._seconds = self._seconds, 0.0
        self._here.clear()
        return seconds


def make_plan(
    experiments: Sequence[Experiment],
    setting: Context,
    device: str,
    *,
    first: Costs | None = None,
) -> SweepPlan:
    """Find what a sweep has to make, estimate it, and count what its experiments share.

    Args:
        experiments: In the order in which they start.
        setting: Storage and benchmarks; nothing is written.
        device: Kind of device of the stages.
        first: What has to be made before the experiments.

    Returns:
        The plan.

    Raises:
        ValueError: Samples would have to be enlarged.
    """
    missing, estimates = Missing(first), []
    opener = cache(open_anew)
    for experiment in experiments:
        _check_side(experiment)
        try:
            note_missing(experiment, setting, device, missing, opener)
        except ValueError:  # the trial's own fault, which it will tell of itself
            _log.info("Not all of %s can be planned.", experiment.label, exc_info=True)
        estimates.append(missing.part())
    return SweepPlan(
        estimates=tuple(estimates),
        missing=missing.costs,
        naive_stages=missing.naive,
        first_seconds=sum(cost.seconds for cost in (first or {}).values()),
    )


def planned(artifact: Artifact) -> str:
    """Name the content of something that is still to be made, in place of its digest."""
    return f"{_PLANNED}{artifact.digest}"


def is_planned(experiment: Experiment) -> bool:
    """Say whether an experiment stands in for one whose embeddings are still to be made."""
    samples = experiment.samples
    return samples is not None and samples.latents.embeddings_digest.startswith(_PLANNED)


def _check_side(experiment: Experiment) -> None:
    wanted = experiment.train_resolution
    if wanted is None:
        return
    side = generator_size(experiment.generator).resolution
    if wanted > side:
        raise ValueError(
            f"Samples of {experiment.generator} have {side} px and can be shrunk, not enlarged: "
            f"choose a train_resolution of at most {side}, got {wanted}."
        )
