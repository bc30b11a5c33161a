"""What a sweep will do: the stages that are not in the storage yet, and what they cost.

A plan looks for every node of a trial's graph in a storage that may only be read. So it counts what
a run would make, under the names that the run gives it; what is finished counts nothing, and of a
set of samples only those that are not drawn yet.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gseg.generators.catalogue import find_card
from gseg.pipeline.direction_trial import AnyTrial
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.graph import Workshop
from gseg.pipeline.stages.samples import SamplesNode
from gseg.pipeline.stages.segmenter import ScoresNode
from gseg.pipeline.trial import trial_graph
from gseg.storage.store import Cost, Store

_log = logging.getLogger(__name__)

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
        scored_again: Scorings that are there under the names of older versions, which did not
            follow from the pictures' content.
    """

    estimates: tuple[float, ...]
    missing: Costs
    naive_stages: int
    first_seconds: float = 0.0
    scored_again: int = 0

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


def make_plan(
    trials: Sequence[AnyTrial], setting: Context, device: str, *, first: Costs | None = None
) -> SweepPlan:
    """Find what a sweep has to make, estimate it, and count what its trials share.

    Args:
        trials: In the order in which they start.
        setting: Storage and benchmarks; nothing is written.
        device: Kind of device of the stages.
        first: What has to be made before the trials.

    Returns:
        The plan.

    Raises:
        ValueError: Samples would have to be enlarged.
    """
    missing, naive, estimates = dict(first or {}), len(first or {}), []
    again: set[tuple[str, str]] = set()
    # One for all trials: what several share is named and looked for once.
    shop = Workshop(Store(setting.storage, read_only=True))
    for trial in trials:
        if isinstance(trial, Experiment):
            _check_side(trial)
        here: set[tuple[str, str]] = set()
        seconds = 0.0
        try:
            for node in shop.walk(*trial_graph(trial, setting, device).targets):
                if shop.find(node) is not None:
                    continue
                key = (node.stage, shop.name(node))
                here.add(key)
                if isinstance(node, ScoresNode) and shop.store.find(*node.older_name(shop)):
                    again.add(key)
                known = missing.get(key)
                if known is not None and not isinstance(node, SamplesNode):
                    continue  # the same thing costs the same
                cost = node.cost(shop)
                if known is None or cost.seconds > known.seconds:  # a larger set extends a smaller
                    missing[key] = cost
                    seconds += cost.seconds - (known.seconds if known else 0.0)
        except ValueError:  # the trial's own fault, which it will tell of itself
            _log.info("Not all of %s can be planned.", trial.label, exc_info=True)
        naive += len(here)
        estimates.append(seconds)
    return SweepPlan(
        estimates=tuple(estimates),
        missing=missing,
        naive_stages=naive,
        scored_again=len(again),
        first_seconds=sum(cost.seconds for cost in (first or {}).values()),
    )


def _check_side(experiment: Experiment) -> None:
    wanted = experiment.train_resolution
    if wanted is None:
        return
    side = find_card(experiment.generator).resolution
    if wanted > side:
        raise ValueError(
            f"Samples of {experiment.generator} have {side} px and can be shrunk, not enlarged: "
            f"choose a train_resolution of at most {side}, got {wanted}."
        )
