"""Which sample sets a trial needs, and which trials draw theirs together.

Trials of one generator that draw the same candidates, whatever their λ, ε or mask kind, share the
pictures G(z) when one of them draws for all (`gseg.pipeline.stages.make_samples`). That is work for
one process: where there are more processes than such groups of trials, the groups are split, so
that every process has one of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from gseg.pipeline.experiment import Experiment
from gseg.randomness import derive_seed
from gseg.samples import SampleConfig


def sample_sets(experiment: Experiment) -> list[tuple[SampleConfig, int]]:
    """Say which sample sets a trial needs.

    Args:
        experiment: Its settings.

    Returns:
        For each network training and held-out set, in this order: how to draw, and how many
        samples. Sets of no samples are left out; empty for methods without a generator.
    """
    if experiment.samples is None:
        return []
    sets = []
    for kind in experiment.member_kinds:
        config = replace(experiment.samples, mask_kind=kind)
        held_out = replace(config, seed=derive_seed(config.seed, "validation"))
        sets += [(config, experiment.drawn_size), (held_out, experiment.validation_size)]
    return [(config, count) for config, count in sets if count]


def sharing_groups(experiments: Sequence[Experiment], processes: int) -> list[tuple[int, ...]]:
    """Say for each trial which others' samples it draws along.

    Args:
        experiments: Settings of the trials, in the order in which they start.
        processes: Trials that run at the same time.

    Returns:
        For each trial the numbers of the others of its group.
    """
    same: dict[object, list[int]] = {}
    for number, experiment in enumerate(experiments):
        if experiment.samples is not None:
            key = (experiment.generator, experiment.samples.candidates_key)
            same.setdefault(key, []).append(number)
    others: list[tuple[int, ...]] = [() for _ in experiments]
    parts = max(1, math.ceil(processes / max(len(same), 1)))
    for numbers in same.values():
        for part in range(parts):  # those that start next to each other go to different parts
            group = numbers[part::parts]
            for number in group:
                others[number] = tuple(each for each in group if each != number)
    return others
