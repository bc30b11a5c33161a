"""How well criteria without labels choose among trials: what `gseg choose` stands on.

Candidates are generators, snapshots of a training, ε, kinds and thresholds of masks, each with
several seeds, and traps: masks that are everything, masks that are a disc, a shift of nearly
nothing, a generator that makes four pictures. Each trains a small segmenter and leaves what
`gseg.search.choice` knows of a trial, none of it from a true mask. Its IoU on validation scenes
stands beside it and judges the criteria; it chooses nothing.

Regret is the best IoU among the candidates minus that of the choice, rho Spearman's rank
correlation with the IoU. `alone` takes a criterion at its word; otherwise trials are refused as
`gseg choose` refuses them. A candidate that is done lies in the cache; the program goes on.

    python benchmarks/choices.py --cache /tmp/choices --out results/choices
    python benchmarks/choices.py --quick
"""

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gseg.directions.affine import fixed_mask_residuals, two_affine_ratio
from gseg.directions.codes import codes_and_labels, shifted_pictures
from gseg.directions.config import SearchConfig
from gseg.directions.search import search_direction
from gseg.generators.catalogue import find_card, list_generators, load_generator
from gseg.generators.weights import weights_digest
from gseg.images import above_otsu, from_uint8, to_uint8
from gseg.pipeline.finished import mask_ious
from gseg.samples.config import MaskKind, filter_preset
from gseg.samples.filters import judge
from gseg.samples.masks import brightness_difference
from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.scores.baselines import centre_disc
from gseg.search.choice import TrialEvidence, rank_trials
from gseg.search.evidence import agreement, repetition
from gseg.search.objectives import CRITERIA, share_distance
from gseg.segmenters.config import FitConfig, fit_preset
from gseg.segmenters.fit import fit
from gseg.segmenters.segmenter import Segmenter
from gseg.storage.files import write_atomically

Trap = Literal["", "everything", "disc", "collapsed", "no shift"]

SAMPLES: Final = 700
HELD_OUT: Final = 100
DRAWN: Final = 1024
STEPS: Final = 240
SEEN, SCORED = 256, 400
"""Pictures on which segmenters are compared, and labelled ones that judge."""
DEFAULT: Final = (1.0, "lighter", "zero")
SETTINGS: Final = (
    DEFAULT,
    (1.0, "lighter", "otsu"),
    (1.0, "both", "zero"),
    (1.0, "both", "otsu"),
    (1.0, "darker", "zero"),
    (2.0, "both", "zero"),
    (2.0, "both", "otsu"),
)
# Of so many generators of a pool; pools are drawn at random, so that more than one choice counts.
POOL, POOLS = 4, 100


@dataclass(frozen=True, slots=True)
class Candidate:
    """One trial: settings, or a trap."""

    generator: str
    seed: int
    epsilon: float
    kind: MaskKind
    threshold: str
    trap: Trap = ""

    @property
    def name(self) -> str:
        """Its settings."""
        return "_".join(str(value) for value in asdict(self).values() if value != "")


def file_of(folder: Path, candidate: Candidate, suffix: str) -> Path:
    """Say where the cache has a candidate: a generator of other weights is another one."""
    weights = weights_digest(candidate.generator)[:8]
    return folder / f"{candidate.name}_{weights}.{suffix}"


def candidates(generator: str, seed: int, *, flat: bool, quick: bool) -> list[Candidate]:
    """List a generator's candidates; traps that do not depend on it are asked for of some."""
    found = [Candidate(generator, seed, *each) for each in SETTINGS[: 2 if quick else None]]
    found.append(Candidate(generator, seed, *DEFAULT, "collapsed"))
    found.append(Candidate(generator, seed, 0.02, *DEFAULT[1:], "no shift"))
    if flat:
        found.append(Candidate(generator, seed, *DEFAULT, "everything"))
        found.append(Candidate(generator, seed, *DEFAULT, "disc"))
    return sorted(found, key=lambda each: each.epsilon)  # those of one ε share pictures


class Draws:
    """Pictures of one generator, direction and ε, which all kinds and thresholds share."""

    def __init__(self, name: str, epsilon: float, seed: int) -> None:
        generator = load_generator(name)
        direction = search_direction(generator, SearchConfig(epsilon=epsilon, seed=seed))
        shifts = epsilon * torch.stack([direction.lighter, direction.darker])
        self.original, (lighter, darker) = shifted_pictures(
            generator, shifts, range(DRAWN), seed=1000 + seed
        )
        self.moved = {"lighter": lighter, "darker": darker}
        self.affine_ratio = float(two_affine_ratio(self.original[:64], lighter[:64]))

    def samples(self, candidate: Candidate) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Give pictures and masks, and what is measured of them."""
        kind, trap = candidate.kind, candidate.trap
        difference = brightness_difference(kind, self.original, **self.moved)
        masks = above_otsu(difference) if candidate.threshold == "otsu" else difference > 0
        if trap == "everything":
            masks = torch.ones_like(masks)
        if trap == "disc":
            masks = centre_disc(self.original) > 0
        used = [self.moved[k] for k in (("lighter", "darker") if kind == "both" else (kind,))]
        looked = slice(64)
        fits = [
            fixed_mask_residuals(self.original[looked], each[looked], masks[looked])
            for each in used
        ]
        two, one = (float(torch.stack(part).sum()) for part in zip(*fits, strict=True))
        pictures = self.original
        if trap not in ("everything", "disc"):
            verdicts = judge(masks, used, filter_preset("scenes"))
            kept = torch.from_numpy(verdicts.accepted)
            pictures, masks = pictures[kept], torch.from_numpy(verdicts.masks)[kept]
        if trap == "collapsed":
            places = torch.arange(min(len(masks), 4)).repeat(DRAWN)[: SAMPLES + HELD_OUT]
            pictures, masks = pictures[places], masks[places]
        known = {"affine_ratio": self.affine_ratio, "mask_ratio": two / one if one else 1.0}
        repeated = repetition(pictures[looked]) if len(pictures) > 1 else 0.0
        return pictures, masks, {**known, "repetition": repeated}


def tried(
    candidate: Candidate, draws: Draws, config: FitConfig
) -> tuple[Segmenter, dict[str, Any]]:
    """Train a candidate's segmenter; gives what is known of it without labels."""
    pictures, masks, known = draws.samples(candidate)
    if len(masks) < 2 * HELD_OUT:
        raise ValueError(f"{len(masks)} of {DRAWN} candidates were accepted")
    shown = to_uint8(pictures)
    held_out = shown[-HELD_OUT:], masks[-HELD_OUT:]
    shown, masks = shown[:-HELD_OUT][:SAMPLES], masks[:-HELD_OUT][:SAMPLES]
    trained = fit(shown, masks, replace(config, seed=candidate.seed), validation=held_out)
    last = trained.validation[-1]
    told = {
        "held_out_iou": last.iou,
        "held_out_loss": last.loss,
        "share_distance": share_distance(trained.foreground_share),
        "combined": last.iou * (1 - min(known["affine_ratio"], 1.0)),
        "foreground_share": trained.foreground_share,
    }
    return trained.segmenter, {**known, **told}


def fill(folder: Path, wanted: Sequence[Candidate]) -> None:
    """Try the candidates that the cache lacks."""
    config = fit_preset("embedded", device="cpu").with_steps(STEPS)
    config = replace(config, validate_every=0, width=8, learning_rate=5e-3)
    scored = render(VALIDATION_FIRST + np.arange(SCORED))
    left = [each for each in wanted if not file_of(folder, each, "json").exists()]
    for number, ((name, epsilon, seed), group) in enumerate(
        itertools.groupby(left, key=lambda each: (each.generator, each.epsilon, each.seed))
    ):
        began = time.process_time()
        draws = Draws(name, epsilon, seed)
        for candidate in group:
            told: dict[str, Any] = asdict(candidate)
            try:
                segmenter, known = tried(candidate, draws, config)
            except ValueError as error:
                told["failed"] = str(error)
            else:
                segmenter.save(file_of(folder, candidate, "safetensors"))
                found = segmenter.probability(from_uint8(scored.pictures)) > 0.5
                told |= {**known, "iou": float(mask_ious(found, scored.masks).mean())}
            told["seconds"], began = time.process_time() - began, time.process_time()
            write_atomically(file_of(folder, candidate, "json"), json.dumps(told).encode())
            print(f"{number} {candidate.name} {told.get('iou', told.get('failed'))}", flush=True)


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A candidate of the cache, and the IoU that judges criteria and chooses nothing."""

    candidate: Candidate
    evidence: TrialEvidence
    iou: float
    row: dict[str, Any]

    @property
    def is_default(self) -> bool:
        """Whether it has the default settings, and is no trap."""
        told = self.candidate
        return (told.epsilon, told.kind, told.threshold, told.trap) == (*DEFAULT, "")

    @property
    def snapshot_of(self) -> str:
        """Of which generator it is a snapshot; empty for the last one."""
        return find_card(self.candidate.generator).snapshot_of


def read(folder: Path, wanted: Sequence[Candidate], seen: Tensor) -> list[Tried]:
    """Read candidates of the cache, with their masks of pictures that all of them see."""
    found = []
    for candidate in wanted:
        row = json.loads(file_of(folder, candidate, "json").read_text())
        if "failed" in row:
            continue
        segmenter = Segmenter.load(file_of(folder, candidate, "safetensors"))
        evidence = TrialEvidence(
            name=candidate.name,
            values={name: row[name] for name in CRITERIA if name in row},
            masks=segmenter.probability(seen) > 0.5,
            repetition=row["repetition"],
        )
        row |= {"variation": evidence.variation, "objection": evidence.objection}
        found.append(Tried(candidate, evidence, row["iou"], row))
    return found


def generated(names: Sequence[str]) -> Tensor:
    """Mix pictures of all generators, equally many of each, as `gseg choose` does."""
    each = range(math.ceil(SEEN / len(names)))
    generators = map(load_generator, names)
    return torch.cat([g(*codes_and_labels(g, 77, each)).clamp(-1, 1) for g in generators])


Chooser = Callable[[Sequence[Tried]], Sequence[float]]
"""Gives each candidate of a pool a value; large is good, and minus infinity is refused."""


def by(criterion: str, *, alone: bool) -> Chooser:
    """Value candidates by a criterion, with or without the refusals."""
    sign = -1 if CRITERIA[criterion].goal == "min" else 1

    def values(pool: Sequence[Tried]) -> list[float]:
        return [
            -math.inf if each is None else sign * each[criterion]
            for each in _measured(tuple(pool), alone)
        ]

    return values


@cache
def _measured(pool: tuple[Tried, ...], alone: bool) -> list[Mapping[str, float] | None]:
    """Give each candidate's value of every criterion among its pool; None where it is refused."""
    evidence = [each.evidence for each in pool]
    if alone:
        evidence = [_Unobjectionable(**_fields(each)) for each in evidence]
    try:
        ranked = rank_trials(evidence)
    except ValueError:  # all are refused
        return [None] * len(pool)
    found = {e.evidence.name: None if e.objection else e.evidence.values for e in ranked}
    return [found[each.evidence.name] for each in pool]


class _Unobjectionable(TrialEvidence):
    """A trial that is never refused."""

    __slots__ = ()

    @property
    def objection(self) -> str:
        return ""


def _fields(evidence: TrialEvidence) -> dict[str, Any]:
    return {name: getattr(evidence, name) for name in evidence.__dataclass_fields__}


def by_default(pool: Sequence[Tried]) -> list[float]:
    """Take the last snapshot and the default settings: what one does who does not choose."""
    return [float(each.is_default and not each.snapshot_of) for each in pool]


def regret(pool: Sequence[Tried], values: Sequence[float]) -> float:
    """Give the expected regret: ties are broken at random, and so is what is all refused."""
    ious, found = np.asarray([each.iou for each in pool]), np.asarray(values)
    return float(ious.max() - ious[found == found.max()].mean())


def rho(pool: Sequence[Tried], values: Sequence[float]) -> float:
    """Give Spearman's rank correlation of the values with the IoU; refused ones are last."""
    ranks = [pd.Series(x).rank() for x in (values, [each.iou for each in pool])]
    return float(ranks[0].corr(ranks[1]))


def table(pools: dict[str, list[list[Tried]]], choosers: dict[str, Chooser]) -> pd.DataFrame:
    """Give mean rho, and mean and largest regret, of each chooser over the pools of each kind."""
    lines = []
    for name, chooser in choosers.items():
        line: dict[str, Any] = {"criterion": name}
        for kind, several in pools.items():
            valued = [(pool, chooser(pool)) for pool in several if pool]
            regrets = [regret(*each) for each in valued]
            line[f"rho {kind}"] = pd.Series([rho(*each) for each in valued]).mean()
            line[f"regret {kind}"] = pd.Series(regrets).mean()
            line[f"most {kind}"] = max(regrets, default=math.nan)
        lines.append(line)
    return pd.DataFrame(lines).set_index("criterion")


def make_pools(all_tried: Sequence[Tried]) -> dict[str, list[list[Tried]]]:
    """Group candidates: settings of one generator, generators of one setting, and all mixed."""
    ends = [each for each in all_tried if not each.snapshot_of]
    names = sorted({each.candidate.generator for each in ends})
    seeds = sorted({each.candidate.seed for each in all_tried})

    def pool(
        seed: int, some: Collection[str] = names, *, traps: bool = True, one: bool = False
    ) -> list[Tried]:
        there = (t for t in ends if t.candidate.seed == seed)
        there = (t for t in there if t.candidate.generator in some)
        return [t for t in there if (traps or not t.candidate.trap) and (not one or t.is_default)]

    def best(name: str) -> float:
        return max(t.iou for t in ends if t.candidate.generator == name)

    def training(seed: int) -> list[Tried]:
        of = {t.snapshot_of for t in all_tried} - {""}
        there = (t for t in all_tried if t.candidate.seed == seed)
        return [t for t in there if t.candidate.generator in of or t.snapshot_of]

    weakest = min(names, key=best)
    strong = [name for name in names if name != weakest]
    pairs = list(itertools.product(names, seeds))
    draw = np.random.default_rng(0)
    mixed = [draw.choice(names, min(POOL, len(names)), replace=False) for _ in range(POOLS)]
    return {
        "settings": [pool(seed, [name], traps=False) for name, seed in pairs],
        "with traps": [pool(seed, [name]) for name, seed in pairs],
        "snapshots": [training(seed) for seed in seeds],
        "generators": [pool(seed, one=True) for seed in seeds],
        "without weakest": [pool(seed, strong, one=True) for seed in seeds],
        "mixed": [pool(seeds[k % len(seeds)], some) for k, some in enumerate(mixed)],
        "all": [pool(seed) for seed in seeds],
    }


def left_out(all_tried: Sequence[Tried], choosers: dict[str, Chooser]) -> pd.DataFrame:
    """Choose the criterion itself by labels on all generators but one; its regret on that one."""
    pools = make_pools(all_tried)["with traps"]
    regrets = {
        name: [regret(pool, each(pool)) for pool in pools] for name, each in choosers.items()
    }
    of = [pool[0].candidate.generator for pool in pools]
    lines = []
    for name in sorted(set(of)):
        there = [k for k, each in enumerate(of) if each == name]
        others = [k for k in range(len(of)) if k not in there]
        means = {c: statistics.mean(r[k] for k in others) for c, r in regrets.items()}
        chosen = min(means, key=means.__getitem__)
        mean = statistics.mean(regrets[chosen][k] for k in there)
        lines.append({"left out": name, "criterion": chosen, "regret": mean})
    return pd.DataFrame(lines)


def stability_of_seeds(all_tried: Sequence[Tried]) -> dict[str, float]:
    """Say how far the segmenters of several seeds agree, by a candidate's name."""
    groups: dict[Candidate, list[Tried]] = {}
    for each in all_tried:
        groups.setdefault(replace(each.candidate, seed=0), []).append(each)
    return {
        each.candidate.name: agreement(torch.stack([t.evidence.masks for t in group]))
        for group in groups.values()
        if len(group) > 1
        for each in group
    }


def all_choosers(tried_on_scenes: Sequence[Tried]) -> dict[str, Chooser]:
    choosers: dict[str, Chooser] = {}
    for name in CRITERIA:
        choosers[f"{name}, alone"] = by(name, alone=True)
        choosers[name] = by(name, alone=False)
    stable = stability_of_seeds(tried_on_scenes)
    if stable:
        choosers["stability, alone"] = lambda pool: [
            stable.get(each.candidate.name, 0.0) for each in pool
        ]
    choosers["last snapshot, default settings"] = by_default
    choosers["at random"] = lambda pool: [0.0] * len(pool)
    return choosers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("/tmp/choices"))
    parser.add_argument("--out", type=Path, help="folder for Parquet, such as results/choices")
    parser.add_argument("--generators", nargs="+", help="default: all that ship, and snapshots")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--quick", action="store_true", help="three generators, few settings")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.cache.mkdir(parents=True, exist_ok=True)
    cards = list_generators("embedded")
    cards = cards[:3] if options.quick else cards + list_generators("snapshots")
    names = options.generators or [card.name for card in cards]
    wanted = [
        each
        for seed in options.seeds
        for number, name in enumerate(names)
        for each in candidates(name, seed, flat=number < 3, quick=options.quick)
    ]
    fill(options.cache, wanted)
    sets = {"scenes": from_uint8(render(np.arange(SEEN)).pictures), "generated": generated(names)}
    for seen, pictures in sets.items():
        there = read(options.cache, wanted, pictures)
        choosers = all_choosers(there)
        found = table(make_pools(there), choosers)
        rows = pd.DataFrame([each.row for each in there])
        print(f"\nsegmenters compared on: {seen}; {len(there)} candidates, ", end="")
        print(f"{rows['seconds'].sum():,.0f} s of a core")
        print(found.round(3).to_string())
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            rows.to_parquet(options.out / "candidates.parquet")
            found.reset_index().to_parquet(options.out / f"criteria_{seen}.parquet")
        if len(names) == 1:
            continue
        chosen = left_out(there, choosers)
        print(chosen.round(3).to_string(index=False))
        print(f"mean regret of criteria chosen on the others: {chosen['regret'].mean():.3f}")
        if options.out:
            chosen.to_parquet(options.out / f"left_out_{seen}.parquet")


if __name__ == "__main__":
    main()
