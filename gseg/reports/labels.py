"""Short names of experiments that tell those of one sweep apart."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import pandas as pd

from gseg.pipeline.experiment import Experiment
from gseg.pipeline.row_values import identity_values
from gseg.reports.settings import HEADINGS, SEEDS, varying

_SAID: Final = ("data_size", "mask_kind", "labelled_size", "labeller", "supervision")
"""What `Experiment.label` says itself, or what follows from it."""


def experiment_labels(experiments: Sequence[Experiment]) -> list[str]:
    """Name experiments for people.

    Args:
        experiments: Those of one sweep.

    Returns:
        Their labels; where several have the same, with the settings in which those differ, such as
        ``biggan.scenes32 N=1000 λ=2.5 seed=1``.
    """
    labels = [each.label for each in experiments]
    several = [label for label, count in Counter(labels).items() if count > 1]
    for label in several:
        places = [place for place, other in enumerate(labels) if other == label]
        details = _differences([experiments[place] for place in places])
        for place, detail in zip(places, details, strict=True):
            labels[place] = f"{label} {detail}".rstrip()
    return labels


def _differences(experiments: Sequence[Experiment]) -> list[str]:
    rows = pd.DataFrame([identity_values(each, "cpu") for each in experiments])
    names = [name for name in varying(rows) if name not in _SAID]
    seeds = varying(rows, SEEDS)[:1]  # a trial has one seed; its streams follow
    headings = {name: HEADINGS.get(name, name) for name in names} | dict.fromkeys(seeds, "seed")
    return [
        " ".join(
            f"{heading}={_shown(line[name])}"
            for name, heading in headings.items()
            if not pd.isna(line[name])
        )
        for line in rows.to_dict("records")
    ]


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
