"""The optimised direction (Melas-Kyriazi et al. 2022) against the chosen one (Voynov et al. 2021).

For every generator: how near the two directions are, how far their masks agree, what segmenters
trained on either reach, and what finding them cost. Beside it, for the chosen direction, how far
masks by brightness agree with masks by colour maps (Eq. (5)), and those with masks by maps fitted
to each picture (section 4.6 there: IoU .86 and accuracy .96 over 128 samples of BigBiGAN).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pandas as pd
import torch
from torch import Tensor

from gseg.directions.choice_config import ChoiceConfig
from gseg.directions.codes import codes_and_labels
from gseg.directions.config import SearchConfig
from gseg.directions.direction import Direction
from gseg.directions.operators import fit_operators
from gseg.exactness import exact
from gseg.generators.catalogue import cached_generator
from gseg.generators.contract import Generator
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.rows import Row
from gseg.pipeline.trial import Context, find_parts, find_rows
from gseg.randomness import derive_seed
from gseg.samples.masks import make_masks
from gseg.scores.specs import DEFAULT_PROFILES

_PICTURES: Final = 128
_SCORES: Final = ("accuracy", "iou", "max_f_beta", "two_affine_ratio", "direction_seconds")


def compare_papers(
    experiments: Sequence[Experiment], setting: Context, device: str = "cpu"
) -> pd.DataFrame:
    """Compare finished trials that differ in how their direction was found.

    Args:
        experiments: From `gseg.recipes.both_papers`; those without a finished partner are left out.
        setting: Where the trials' parts are; scores are taken on its first benchmark.
        device: Kind of device that made them.

    Returns:
        A line for each generator, mask kind, data size, seed and ``rule`` of the choice.
        ``cosine`` is that of the two lighter vectors; ``mask_iou`` and ``mask_accuracy`` are the
        agreement of their masks; ``affine_iou`` and ``affine_accuracy`` that of brightness and
        Eq. (5), ``each_iou`` and ``each_accuracy`` that of Eq. (5) and maps of single pictures.
        Scores, ratio and seconds end in ``_optimised`` and ``_chosen``.
    """
    lines = []
    for optimised, chosen in _pairs(experiments):
        found = [find_rows(each, setting, device) for each in (optimised, chosen)]
        if found[0] is None or found[1] is None:
            continue
        lines.append(
            {
                "generator": optimised.generator,
                "rule": chosen.search.rule if isinstance(chosen.search, ChoiceConfig) else "",
                "mask_kind": optimised.mask_kind,
                "data_size": optimised.data_size,
                "seed": optimised.search.seed if optimised.search else 0,
                **_agreement(optimised, chosen, setting, device),
                **_scores(found[0], "optimised"),
                **_scores(found[1], "chosen"),
            }
        )
    return pd.DataFrame(lines)


def _pairs(experiments: Sequence[Experiment]) -> Iterator[tuple[Experiment, Experiment]]:
    """Put each trial with an optimised direction beside the same ones with chosen directions."""
    chosen: dict[object, list[Experiment]] = {}
    for each in experiments:
        if isinstance(each.search, ChoiceConfig):
            chosen.setdefault(_shared(each), []).append(each)
    for each in experiments:
        if isinstance(each.search, SearchConfig):
            yield from ((each, other) for other in chosen.get(_shared(each), ()))


def _shared(experiment: Experiment) -> object:
    """Give what the two trials of a line have in common."""
    seed = experiment.search.seed if experiment.search else 0
    return experiment.generator, experiment.mask_kind, experiment.data_size, seed


def _scores(rows: Sequence[Row], side: str) -> dict[str, Any]:
    profile = DEFAULT_PROFILES[0]
    row = next(row for row in rows if row["metric_profile"] == profile)
    return {f"{name}_{side}": row[name] for name in _SCORES}


@exact()
@torch.no_grad()
def _agreement(
    optimised: Experiment, chosen: Experiment, setting: Context, device: str
) -> dict[str, float]:
    generator = cached_generator(optimised.generator, device)
    masks, vectors, others = [], [], {}
    for each in (optimised, chosen):
        parts = find_parts(each, setting, device)
        assert parts is not None
        assert parts.direction is not None
        assert each.samples is not None
        direction = Direction.load(parts.direction.folder)
        if each is chosen:
            direction = fit_operators(generator, direction, each.samples.epsilon)
        shown = _shown(generator, direction, each.samples.epsilon)
        masks.append(make_masks("lighter", *shown, None, rule=each.samples.mask_rule))
        vectors.append(direction.lighter)
        if each is chosen:
            shared = make_masks("affine", *shown, None, maps=direction.operators)
            own = make_masks("affine_each", *shown, None)
            others = _agree("affine", masks[-1], shared) | _agree("each", shared, own)
    return {"cosine": float(vectors[0] @ vectors[1]), **_agree("mask", *masks), **others}


def _shown(generator: Generator, direction: Direction, epsilon: float) -> tuple[Tensor, Tensor]:
    """Generate fresh pictures and their lighter twins."""
    code, y = codes_and_labels(generator, derive_seed(0, "papers"), range(_PICTURES))
    shift = epsilon * direction.lighter.to(code.device)
    return generator(code, y).clamp(-1, 1), generator(code + shift, y).clamp(-1, 1)


def _agree(name: str, first: Tensor, second: Tensor) -> dict[str, float]:
    both = (first & second).sum((1, 2)).float()
    either = (first | second).sum((1, 2)).float()
    overlap = torch.where(either > 0, both / either.clamp(min=1), 1.0)
    equal = (first == second).float().mean()
    return {f"{name}_iou": float(overlap.mean()), f"{name}_accuracy": float(equal)}
