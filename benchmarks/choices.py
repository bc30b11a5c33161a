"""How well criteria without labels choose among trials, which is what `--choose` stands on.

Candidates are generators, ε, kinds and thresholds of masks, each with several seeds, and four
traps: masks that are everything, masks that are a disc, a shift of nearly nothing, a generator that
makes four pictures. Each trains a small segmenter (1,000 samples, 200 steps) and leaves what
`gseg.search.choice` knows of a candidate, none of it from a true mask. Its IoU on validation scenes
stands beside it and judges the criteria; it chooses nothing.

For each criterion: Spearman's rank correlation with the IoU, and the regret, the best IoU there is
minus that of the choice. A candidate that is done lies in the cache; the program goes on with the
others.

    python benchmarks/choices.py --cache /tmp/choices --out results/choices
    python benchmarks/choices.py --quick
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gseg.directions.affine import fixed_mask_residuals, two_affine_ratio
from gseg.directions.codes import shifted_pictures
from gseg.directions.config import SearchConfig
from gseg.directions.search import search_direction
from gseg.generators.catalogue import list_generators, load_generator
from gseg.images import from_uint8, to_uint8
from gseg.samples.config import filter_preset
from gseg.samples.filters import judge
from gseg.samples.masks import brightness_difference, threshold
from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.scores.baselines import centre_disc
from gseg.segmenters.config import fit_preset
from gseg.segmenters.fit import fit

SAMPLES, HELD_OUT, DRAWN, STEPS = 700, 100, 1024, 120
UNLABELLED, SCORED = 300, 400
DEFAULT = (1.0, "lighter", "zero")
SETTINGS = (
    *itertools.product((1.0,), ("lighter", "both"), ("zero", "otsu")),
    (1.0, "darker", "zero"),
    *itertools.product((2.0,), ("both",), ("zero", "otsu")),
)
FLAT = ("sngan.scenes32", "biggan.scenes32-large", "ggan.scenes32")


@dataclass(frozen=True, slots=True)
class Candidate:
    generator: str
    seed: int
    epsilon: float
    kind: str
    threshold: str
    trap: str = ""

    @property
    def file(self) -> str:
        return "_".join(map(str, filter(None, asdict(self).values()))) + f"_{self.seed}.npz"


def candidates(generator: str, seed: int, quick: bool) -> list[Candidate]:
    found = [Candidate(generator, seed, *each) for each in SETTINGS[: 4 if quick else None]]
    found.append(Candidate(generator, seed, *DEFAULT, "collapsed"))
    if generator in FLAT:
        found += [Candidate(generator, seed, *DEFAULT, trap) for trap in ("everything", "disc")]
    return [*found, Candidate(generator, seed, 0.02, "lighter", "zero", "no shift")]


def otsu_masks(difference: Tensor) -> Tensor:
    flat = difference.flatten(1).sort(1).values.double()
    n = flat.shape[1]
    low = torch.arange(1, n)
    total = flat.cumsum(1)
    before, whole = total[:, :-1], total[:, -1:]
    between = (before * n - whole * low) ** 2 / (low * (n - low))
    cut = flat.gather(1, between.argmax(1, keepdim=True))
    return difference > cut[..., None].to(difference.dtype)


class Draws:
    """Pictures of one generator, direction and ε, which all kinds and thresholds share."""

    def __init__(self, name: str, epsilon: float, seed: int) -> None:
        generator = load_generator(name)
        direction = search_direction(generator, SearchConfig(epsilon=epsilon, seed=seed))
        shifts = epsilon * torch.stack([direction.lighter, direction.darker])
        self.original, (self.lighter, self.darker) = shifted_pictures(
            generator, shifts, range(DRAWN), seed=1000 + seed
        )
        fresh, moved = self.original[:64], self.lighter[:64]
        self.affine_ratio = float(two_affine_ratio(fresh, moved))

    def samples(self, candidate: Candidate) -> tuple[Tensor, Tensor, dict[str, float]]:
        sides = {"lighter": self.lighter, "darker": self.darker}
        difference = brightness_difference(candidate.kind, self.original, self.lighter, self.darker)
        masks = otsu_masks(difference) if candidate.threshold == "otsu" else threshold(difference)
        if candidate.trap == "everything":
            masks = torch.ones_like(masks)
        if candidate.trap == "disc":
            masks = centre_disc(self.original) > 0
        used = ("lighter", "darker") if candidate.kind == "both" else (candidate.kind,)
        two, one = zip(
            *(fixed_mask_residuals(self.original[:256], sides[k][:256], masks[:256]) for k in used),
            strict=True,
        )
        two_sum, one_sum = sum(two), sum(one)
        known = {
            "affine_ratio": self.affine_ratio,
            "mask_ratio": float(two_sum.sum() / one_sum.sum().clamp(min=1e-12)),
            "mask_ratio_each": float((two_sum / one_sum.clamp(min=1e-12)).mean()),
            "raw_share": float(masks.float().mean()),
        }
        pictures = self.original
        if candidate.trap not in ("everything", "disc"):
            filters = filter_preset("melas2022_program" if False else "gseg")
            verdicts = judge(masks, [sides[k] for k in used], filters)
            kept = torch.from_numpy(verdicts.accepted)
            pictures, masks = pictures[kept], torch.from_numpy(verdicts.masks)[kept]
            known["accepted"] = float(kept.float().mean())
        if candidate.trap == "collapsed":
            places = torch.arange(SAMPLES + HELD_OUT) % 4
            pictures, masks = pictures[places], masks[places]
        return pictures, masks, known | {"twins": nearest(pictures[:128])}


def nearest(pictures: Tensor) -> float:
    """Median over pictures of the distance to the nearest other, over that of two pictures."""
    flat = pictures.flatten(1)
    apart = torch.cdist(flat, flat)
    mean = apart.sum() / (len(flat) * (len(flat) - 1))
    return float(apart.fill_diagonal_(float("inf")).min(1).values.median() / mean)


def edge_alignment(pictures: Tensor, masks: Tensor) -> float:
    """Mean step of colour across the masks' outlines, over that between neighbours elsewhere."""
    steps, outline = [], []
    for dim in (1, 2):
        steps.append(pictures.diff(dim=dim + 1).norm(dim=1).flatten())
        outline.append(masks.diff(dim=dim).flatten())
    step, line = torch.cat(steps), torch.cat(outline)
    return float(step[line].mean() / step[~line].mean()) if line.any() else 0.0


def measured(
    folder: Path, candidate: Candidate, draws: Draws, config: Any, scenes: Mapping[str, Tensor]
) -> dict[str, Any]:
    began = time.process_time()
    pictures, masks, known = draws.samples(candidate)
    if len(masks) < 4 * HELD_OUT:
        return {"failed": f"{len(masks)} of {DRAWN} accepted"}
    pictures = to_uint8(pictures)
    held = pictures[-HELD_OUT:], masks[-HELD_OUT:]
    pictures, masks = pictures[:-HELD_OUT][:SAMPLES], masks[:-HELD_OUT][:SAMPLES]
    trained = fit(pictures, masks, replace(config, seed=candidate.seed), validation=held)
    last = trained.validation[-1]
    probability = trained.segmenter.probability(scenes["unlabelled"])
    found = probability > 0.5
    known |= {
        "held_out_iou": last.iou,
        "held_out_loss": last.loss,
        "foreground_share": float(masks.float().mean()),
        "predicted_share": float(found.float().mean()),
        "sharpness": float((2 * probability - 1).abs().mean()),
        "edges": edge_alignment(scenes["unlabelled"], found),
    }
    scored = trained.segmenter.probability(scenes["scored"]) > 0.5
    truth = scenes["truth"]
    union = (scored | truth).sum((1, 2)).clamp(min=1)
    known["iou"] = float(((scored & truth).sum((1, 2)) / union).mean())
    known["seconds"] = time.process_time() - began
    file = folder / candidate.file
    trained.segmenter.save(file.with_suffix(".safetensors"), dtype=torch.float16)
    return {"known": known, "masks": np.packbits(found.numpy())}


def fill(folder: Path, names: Sequence[str], seeds: Sequence[int], quick: bool) -> None:
    config = fit_preset("embedded", device="cpu").with_steps(STEPS)
    config = replace(config, validate_every=0, width=8, learning_rate=5e-3)
    unlabelled, scored = render(np.arange(UNLABELLED)), render(VALIDATION_FIRST + np.arange(SCORED))
    scenes = {
        "unlabelled": from_uint8(unlabelled.pictures),
        "scored": from_uint8(scored.pictures),
        "truth": scored.masks,
    }
    for seed, name in itertools.product(seeds, names):
        left = [c for c in candidates(name, seed, quick) if not (folder / c.file).exists()]
        for epsilon in sorted({c.epsilon for c in left}):
            draws = Draws(name, epsilon, seed)
            for candidate in (c for c in left if c.epsilon == epsilon):
                made = measured(folder, candidate, draws, config, scenes)
                made["told"] = json.dumps(
                    asdict(candidate) | made.pop("known", {}) | {"failed": made.pop("failed", "")}
                )
                part = folder / "part.npz"
                np.savez(part, **made)
                part.replace(folder / candidate.file)
                print(made["told"], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("/tmp/choices"))
    parser.add_argument("--out", type=Path, default=Path("results/choices"))
    parser.add_argument("--generators", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.cache.mkdir(parents=True, exist_ok=True)
    names = options.generators or [card.name for card in list_generators("embedded")]
    fill(options.cache, names, options.seeds, options.quick)


if __name__ == "__main__":
    main()
