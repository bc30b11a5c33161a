"""Where masks are cut, against the truth: `python benchmarks/thresholds.py`.

For each generator, kind of mask and threshold: share of foreground, IoU with the masks of a network
of true masks on the same generated pictures, and the area under the ROC curve of the difference,
which needs no threshold. ``choose`` is what samples are drawn with; ``each`` the same choice made
for every picture by itself. The network sees scenes with their true masks, so this table says what
no trial may look at. Twelve generators take three minutes of a quiet core.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gseg.directions.affine import fixed_mask_residuals
from gseg.directions.config import search_preset
from gseg.directions.direction import Direction
from gseg.directions.search import search_direction
from gseg.generators.catalogue import list_generators, load_generator
from gseg.generators.contract import Generator
from gseg.images import from_uint8
from gseg.metrics.sums import area_under_curve
from gseg.pipeline.finished import mask_ious
from gseg.samples.config import Cut, MaskKind, SampleConfig
from gseg.samples.latents import candidates
from gseg.samples.masks import MASKS, brightness_difference, cut
from gseg.samples.thresholds import score_thresholds
from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.segmenters.config import fit_preset
from gseg.segmenters.fit import fit
from gseg.segmenters.segmenter import Segmenter

KINDS: tuple[MaskKind, ...] = ("lighter", "both")
CUTS: tuple[Cut, ...] = get_args(Cut)
LIKELY = (0.02, 0.6)


def true_masks(file: Path | None) -> Segmenter:
    """Train the network that stands for the truth on 4,000 scenes, or read it."""
    if file is not None and file.exists():
        return Segmenter.load(file)
    scenes = render(range(4_000))
    training = replace(fit_preset("embedded").with_steps(600), precision="float32")
    trained = fit(scenes.pictures, scenes.masks, training).segmenter
    seen = render(range(VALIDATION_FIRST, VALIDATION_FIRST + 500))
    found = trained.probability(from_uint8(seen.pictures)) > 0.5
    print(f"the network on validation scenes: IoU {float(mask_ious(found, seen.masks).mean()):.3f}")
    if file is not None:
        trained.save(file)
    return trained


@torch.no_grad()
def made_pictures(generator: Generator, direction: Direction, epsilon: float, count: int) -> dict:
    """Make pictures and their shifted twins, the first candidates of seed 0."""
    z, y = candidates(generator.card, SampleConfig().latents, 0, np.arange(count))
    code = generator.code(z)
    shifts = {"original": 0, "lighter": direction.lighter, "darker": direction.darker}
    return {
        name: torch.cat(
            [
                generator(code[k : k + 50] + epsilon * shift, None if y is None else y[k : k + 50])
                for k in range(0, count, 50)
            ]
        ).clamp(-1, 1)
        for name, shift in shifts.items()
    }


def chosen_each(kind: MaskKind, shown: dict[str, Tensor], masks: dict[Cut, Tensor]) -> Tensor:
    """Choose for every picture by itself."""
    after, before = (shown[name] for name in MASKS[kind].pictures)
    ratios = []
    for each in CUTS:
        share = masks[each].float().mean((1, 2))
        two, _ = fixed_mask_residuals(before, after, masks[each])
        ratios.append(two.where((share >= LIKELY[0]) & (share <= LIKELY[1]), torch.inf))
    number = torch.stack(ratios).argmin(0)  # the first, zero, if none qualifies
    return torch.stack([masks[each] for each in CUTS])[number, torch.arange(len(number))]


def rows_of(name: str, truth: Segmenter, epsilon: float, count: int, steps: int | None) -> list:
    generator = load_generator(name)
    search = replace(search_preset("gseg"), epsilon=epsilon)
    search = search if steps is None else replace(search, steps=steps)
    direction = search_direction(generator, search)
    shown = made_pictures(generator, direction, epsilon, count)
    real = truth.probability(shown["original"]) > 0.5
    rows = []
    for kind in KINDS:
        difference = brightness_difference(kind, *shown.values())
        area = float(np.nanmean(area_under_curve(difference.double().numpy(), real.numpy())))
        scores = score_thresholds(
            generator, direction, SampleConfig(mask_kind=kind, epsilon=epsilon)
        )
        masks = {each: cut(difference, each) for each in CUTS}
        told = {**masks, "choose": masks[scores.best], "each": chosen_each(kind, shown, masks)}
        for threshold, found in told.items():
            rows.append(
                {
                    "generator": name,
                    "mask_kind": kind,
                    "mask_threshold": threshold,
                    "chosen": scores.best if threshold == "choose" else None,
                    "share": float(found.float().mean()),
                    "true_share": float(real.float().mean()),
                    "iou": float(mask_ious(found, real).mean()),
                    "auc": area,
                    "ratio": scores.ratios.get(threshold),
                }
            )
    return rows


def show(rows: pd.DataFrame) -> None:
    for kind, part in rows.groupby("mask_kind", sort=False):
        table = part.pivot(index="generator", columns="mask_threshold", values=["iou", "share"])
        table.columns = [" ".join(names) for names in table.columns]
        facts = part.groupby("generator")[["true_share", "auc", "chosen"]].first()
        table = table.join(facts)
        table.loc["mean"] = table.mean(numeric_only=True)
        text = table.to_string(float_format=lambda value: f"{value:.3f}", na_rep="")
        print(f"\nmasks of kind {kind}\n{text}")


def main() -> None:
    embedded = [card.name for card in list_generators("embedded")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generators", nargs="*", default=embedded)
    parser.add_argument("--count", type=int, default=500, help="pictures of each generator")
    parser.add_argument("--epsilon", type=float, default=search_preset("gseg").epsilon)
    parser.add_argument("--search-steps", type=int, help="by default those of the preset")
    parser.add_argument("--truth", type=Path, help="network of true masks, kept there")
    parser.add_argument("--out", type=Path, help="Parquet file of the rows")
    options = SimpleNamespace(**vars(parser.parse_args()))
    torch.set_num_threads(1)
    truth, rows = true_masks(options.truth), []
    for name in options.generators:
        rows += rows_of(name, truth, options.epsilon, options.count, options.search_steps)
        if options.out is not None:  # also what there is so far
            pd.DataFrame(rows).to_parquet(options.out, index=False)
    show(pd.DataFrame(rows))


if __name__ == "__main__":
    main()
