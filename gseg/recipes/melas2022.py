"""Experiments of Melas-Kyriazi et al. 2022, by the name of their table or figure.

Every recipe takes a grid (the size: ``embedded``, minutes on a laptop, or ``paper``, the published
settings) and axes. What the axes leave empty is the table's: generators, λ, ε, masks and numbers
of samples; any of them may be given instead. λ and ε are multiples of the grid's own, which are
the paper's 5 and 2 in the paper's grid; small generators take half of the shift (5 and 1), so ε of
1, 2, 4 and 6 becomes 0.5, 1, 2 and 3.

What the paper leaves open, and is assumed here:

- Latents in a step of the search: `SearchConfig.batch`, 32, the official program's.
- Masks of Tables 10 to 12, 14 and 15: v_l and v_d together (`ASSUMED_MASKS`), as in Table 1.
- Table 8: "ε in the optimisation" is the length of the masks' shift as well, as everywhere else in
  the paper, unless `Grid.sample_epsilon` fixes that.
- Table 9: its SAGAN is the one of ImageNet; v_d is found with -λ at the same ε.
- Table 10's loss: see `gseg.directions.objective`.
- Table 14's learning rate: decays at step 8,000, as in the shorter trainings.
- Table 15: how pictures are shrunk: `gseg.segmenters.pairs.shrink`.
- Section A.3: another initialisation draws other latents, too.
"""

import itertools
from dataclasses import replace
from typing import Final

from gseg.directions.config import CHOICE_RULES, DirectionWay
from gseg.pipeline.direction_trial import DirectionTrial
from gseg.pipeline.experiment import Experiment, TrialMaskKind
from gseg.recipes.generators import (
    StyleSet,
    angle_generators,
    main_generators,
    resolution,
    strip_generators,
    style_generators,
    table_2_generators,
)
from gseg.recipes.grids import Axes, Grid, seeds_of
from gseg.recipes.recipe import BEST_CHAIN, Line, PaperTable, is_given, recipe
from gseg.recipes.trials import (
    ASSUMED_MASKS,
    ablation_trials,
    ceiling,
    combinations,
    filled,
    labelled_pairs,
    table_trials,
    trial,
    turned,
)
from gseg.scores.specs import Rule

TABLE_6_MASKS: Final[tuple[TrialMaskKind, ...]] = ("lighter", "darker", "both", "ensemble")
TABLE_7_FACTORS: Final = (2.0, 1.0, 0.5, 0.25)
"""λ of 10, 5, 2.5 and 1.25 over the λ of the other tables."""
TABLE_8_FACTORS: Final = (0.5, 1.0, 2.0, 3.0)
"""ε of 1, 2, 4 and 6 over the ε of the other tables."""
TABLE_14_SIZES: Final = (100, 1_000, 10_000, 100_000, 200_000, 300_000, 1_000_000)
STYLEGAN2_EPSILON: Final = 0.2
"""Length of the shift in StyleGAN2's latent space (sections B.1 and B.2)."""
INITIALISATIONS: Final = 10
"""Section A.3."""
STRIP_FACTORS: Final = (0.0, 1.0, 2.0, 4.0)
"""ε of 0, 2, 4 and 8 over the ε of the search (Figures 3a and 5)."""
# One sample in so many is selected for Table 13: 50,000 of 1,000,000.
_NEAREST_PART: Final = 20
# 256 px to 128 px in Table 15.
_SHRINK: Final = 2
# Pixels of the pictures of sections B.1 and B.2.
_SIDE: Final = 256
_NO_STYLEGAN2: Final = (
    "No embedded generator is a StyleGAN2: another one goes through the same steps, and its "
    "numbers say nothing about the paper's."
)
# Of the tables of all generators; the others have the better one.
_TWO_RULES: Final[tuple[Rule, ...]] = ("mahalanobis_centred", BEST_CHAIN)
TABLE_1: Final = PaperTable(number="1", label=lambda *_: "Ours (BigBiGAN - ImageNet)")


@recipe(
    "Table 2 and Figure 4 at several data sizes, with the ceiling: the main job",
    "6 min",
    generators=("embedded",),
    rules=_TWO_RULES,
)
def all_gans(grid: Grid, axes: Axes) -> list[Experiment]:
    """Segmenters from every generator (Melas-Kyriazi et al. 2022, Table 2 and Figure 4).

    For each generator: find the latent direction that lightens the foreground, draw filtered
    samples (picture, mask), train a U-Net on them, score it on labelled pictures; then relate the
    generators' Fréchet distance to the scores. Beside them stands the ceiling, the same network
    trained with true masks. Without arguments: every generator that ships with gseg, two data
    sizes, on this machine's CPUs, offline. A run that was interrupted goes on where it stopped.
    """
    sizes = sorted(axes.get("data_size", grid.data_sizes), reverse=True)
    found = combinations(grid, axes, "all_gans")
    found += [ceiling(grid, size, seed, "all_gans") for size in sizes for seed in seeds_of(axes)]
    return list(dict.fromkeys(found))


@recipe("Table 1: masks from both directions, on every benchmark", "1 min", table=TABLE_1)
def table_1(grid: Grid, axes: Axes) -> list[Experiment]:
    """BigBiGAN with the lighter and the darker direction together (Eq. 2).

    Without arguments: two embedded generators on the embedded pictures. The paper's form: the
    weights of BigBiGAN and the five benchmarks (--weights, --benchmarks-root).
    """
    return table_trials("table_1", grid, axes, {"mask_kind": ("both",)})


@recipe(
    "Table 2 and Figure 4: twelve generators under one setting",
    "5 min",
    table=PaperTable(number="2"),
    rules=_TWO_RULES,
)
def table_2(grid: Grid, axes: Axes) -> list[Experiment]:
    """The lighter direction alone, and the generators' Fréchet distance against the scores.

    Without arguments: the twelve embedded generators; all_gans runs them at several data sizes.
    The paper's form: the published weights and the five benchmarks.
    """
    own = {"generator": table_2_generators(grid.name), "mask_kind": ("lighter",)}
    return combinations(grid, filled(grid, axes, own), "table_2")


def _by_masks(_: Grid, line: Line) -> str | None:
    names = {"lighter": "v_l only", "darker": "v_d only", "both": "v_l and v_d"}
    return (names | {"ensemble": "Ensemble"}).get(line["mask_kind"])


@recipe(
    "Table 6: which directions make the masks",
    "1 min",
    table=PaperTable(number="6", label=_by_masks),
)
def table_6(grid: Grid, axes: Axes) -> list[Experiment]:
    """Lighter, darker, both (Eq. 2), and two networks together.

    Without arguments: two embedded generators. The paper's form: BigBiGAN on five benchmarks.
    """
    return ablation_trials("table_6", grid, axes, {"mask_kind": TABLE_6_MASKS})


def _factor(
    symbol: str, value: float, usual: float, factors: tuple[float, ...], printed: float
) -> str | None:
    """Name the row of a multiple of the usual value."""
    found = next((factor for factor in factors if factor * usual == value), None)
    return None if found is None else f"{symbol} = {found * printed:g}"


def _by_weight(grid: Grid, line: Line) -> str | None:
    return _factor("λ", line["contrast_weight"], grid.search.contrast_weight, TABLE_7_FACTORS, 5)


@recipe(
    "Table 7: the weight λ of the contrast loss",
    "2 min",
    table=PaperTable(number="7", label=_by_weight, columns=("contrast_weight",)),
)
def table_7(grid: Grid, axes: Axes) -> list[Experiment]:
    """λ of twice, once, half and a quarter of the usual 5, masks from both directions.

    Without arguments: two embedded generators. The paper's form: BigBiGAN on five benchmarks.
    """
    weights = tuple(factor * grid.search.contrast_weight for factor in TABLE_7_FACTORS)
    own = {"mask_kind": ("both",), "contrast_weight": weights}
    return ablation_trials("table_7", grid, axes, own)


def _by_epsilon(grid: Grid, line: Line) -> str | None:
    return _factor("ε", line["epsilon_search"], grid.search.epsilon, TABLE_8_FACTORS, 2)


@recipe(
    "Table 8: the length ε of the shift",
    "2 min",
    table=PaperTable(number="8", label=_by_epsilon, columns=("epsilon_search",)),
)
def table_8(grid: Grid, axes: Axes) -> list[Experiment]:
    """Half, once, twice and three times the usual ε, masks from the lighter direction.

    That is 1, 2, 4 and 6 in the paper, 0.5, 1, 2 and 3 for the small embedded generators. The
    masks' shift follows the search's unless --sample-epsilon fixes it. The paper's form: BigBiGAN
    on five benchmarks.
    """
    epsilons = tuple(factor * grid.search.epsilon for factor in TABLE_8_FACTORS)
    return ablation_trials("table_8", grid, axes, {"mask_kind": ("lighter",), "epsilon": epsilons})


@recipe(
    "Table 9: the angle between the lighter and the darker direction",
    "1 min",
    ends_with="direction",
)
def table_9(grid: Grid, axes: Axes) -> list[DirectionTrial]:
    """v_l · v_d of BigBiGAN, SelfCondGAN, UncondGAN, ContraGAN and SAGAN.

    Several --seeds give mean and deviation. No samples are drawn and nothing is trained. Without
    arguments: the five embedded generators in their place. The paper's form: the published weights.
    """
    return _searches("table_9", grid, {"generator": angle_generators(grid.name), **axes})


@recipe("Section A.3: directions from ten random initialisations", "1 min", ends_with="direction")
def initialisations(grid: Grid, axes: Axes, count: int = INITIALISATIONS) -> list[DirectionTrial]:
    """Mean and standard deviation of the cosines between all pairs; the rows are the pairs.

    The seed decides the start and the latents of the search; the seeds count from the first one.
    Without arguments: the embedded BigBiGAN. The paper's form: BigBiGAN.
    """
    if count < 2:
        raise ValueError(f"Pairs of directions need 2 initialisations or more, got {count}.")
    first = seeds_of(axes)[0]
    seeds = range(first, first + count)
    own = {"generator": main_generators(grid.name)[:1], **axes, "seed": seeds}
    return _searches("initialisations", grid, own)


@recipe(
    "Figures 3a and 5: pictures at growing lengths of the shift", "1 min", ends_with="direction"
)
def strips(grid: Grid, axes: Axes) -> list[DirectionTrial]:
    """Strips of ε 0, 2, 4 and 8 along the lighter direction.

    It is half of that for the small embedded generators, whose usual ε is 1 instead of 2. Draws
    results/strips_figures/strips.png, a row for each generator (Figure 5), and a sheet with more
    latents for each (Figure 3a). Without arguments: four embedded generators (none is a StyleGAN2).
    """
    return _searches("strips", grid, {"generator": strip_generators(grid.name), **axes})


def strip_epsilons(trial: DirectionTrial) -> tuple[float, ...]:
    """Give the lengths of shift of a strip: 0, 2, 4, 8 where the search's is the paper's 2."""
    return tuple(factor * trial.search.epsilon for factor in STRIP_FACTORS)


def _searches(name: str, grid: Grid, axes: Axes) -> list[DirectionTrial]:
    varied = {axis: axes[axis] for axis in ("contrast_weight", "epsilon") if axis in axes}
    searches = [
        turned(grid, dict(zip(varied, values, strict=True))).search
        for values in itertools.product(*varied.values())
    ]
    found = [
        DirectionTrial(generator=generator, search=replace(search, seed=seed), recipe=name)
        for generator in axes["generator"]
        for search in searches
        for seed in seeds_of(axes)
    ]
    return list(dict.fromkeys(found))


def _by_prior(_: Grid, line: Line) -> str | None:
    return None if line["centre_prior"] else "Spatially agnostic loss"


@recipe(
    "Table 10: a loss without a prior for the centre",
    "1 min",
    table=PaperTable(number="10", label=_by_prior, columns=("centre_prior",)),
)
def table_10(grid: Grid, axes: Axes) -> list[Experiment]:
    """A loss that does not expect the foreground in the centre, and the same trials with it.

    The paper does not print this loss: docs/recipes.md says what is assumed. The paper's form:
    BigBiGAN on five benchmarks.
    """
    if grid.direction != "optimised":
        raise ValueError(
            "Table 10 is about the loss of optimised directions, but directions are to be chosen "
            f"({grid.direction}): leave --direction out."
        )
    without = replace(grid, search=replace(grid.search, centre_prior=False))
    own = {"mask_kind": ASSUMED_MASKS}
    return [each for one in (without, grid) for each in ablation_trials("table_10", one, axes, own)]


def _by_style(_: Grid, line: Line) -> str | None:
    name = str(line["generator"])
    return "Ours (BigBiGAN)" if name.startswith("bigbigan.") else "Ours (StyleGAN2 of Flowers)"


@recipe(
    "Table 11: StyleGAN2 trained on Flowers",
    "1 min",
    table=PaperTable(number="11", label=_by_style, note=_NO_STYLEGAN2),
)
def table_11(grid: Grid, axes: Axes) -> list[Experiment]:
    """StyleGAN2 shifted by ε = 0.2, scored on Flowers, and BigBiGAN beside it.

    The embedded generators have no StyleGAN2: without arguments another one goes through the same
    steps, and its numbers say nothing about StyleGAN2. The paper's form: --generators
    FILE.py:FUNCTION, a function of yours that returns a StyleGAN2 of Flowers (none is in the
    catalogue).
    """
    axes = _with_style(axes, grid, "flowers")
    bigbigan = {name: values for name, values in axes.items() if name != "epsilon"}
    bigbigan["generator"] = main_generators(grid.name)[:1]
    reference = ablation_trials("table_11", grid, bigbigan, {"mask_kind": ASSUMED_MASKS})
    return [*_style_trials("table_11", grid, axes), *reference]


@recipe(
    "Table 12: StyleGAN2 trained on faces",
    "1 min",
    table=PaperTable(
        number="12", label=lambda *_: "Ours (StyleGAN2 of FFHQ - UNet)", note=_NO_STYLEGAN2
    ),
)
def table_12(grid: Grid, axes: Axes) -> list[Experiment]:
    """StyleGAN2 of FFHQ, shifted by ε = 0.2, its samples of 1,024 px shrunk to 256 px.

    The embedded generators have no StyleGAN2: without arguments another one goes through the same
    steps, and its numbers say nothing about StyleGAN2. The paper's form is scored on 1,000
    pictures of CelebAMask-HQ.
    """
    axes = _with_style(axes, grid, "ffhq")
    side = _SIDE if axes["generator"] == style_generators("paper", "ffhq") else None
    return [replace(each, train_resolution=side) for each in _style_trials("table_12", grid, axes)]


def _by_material(_: Grid, line: Line) -> str | None:
    real, near = is_given(line["labelled_size"]), is_given(line["selected_from"])
    if not line["data_size"]:
        return "Real images only" if real else None
    if real:
        return f"Real images and {'kNN' if near else 'all'} generated images"
    return f"{'kNN' if near else 'All'} generated images only"


@recipe(
    "Table 13: labelled pictures and samples together",
    "1 min",
    table=PaperTable(number="13", label=_by_material, columns=("data_size",)),
)
def table_13(grid: Grid, axes: Axes) -> list[Experiment]:
    """Labelled pictures, all samples, the samples nearest to the pictures, and both with the first.

    Without arguments: 50 embedded pictures with their masks, which are written to
    results/table_13_pictures. The paper's form: --labelled folder:PATH --nearest PATH/images
    --nearest-features resnet50:FILE, with 1,000 training pictures of CUB; it takes 1,000,000
    samples of BigBiGAN and the 50,000 nearest, here too a twentieth of the data size.
    """
    # How often a labelled picture is trained on beside a generated one the paper does not say: a
    # weight of None, every pair alike, is the plain reading of "the combination of both datasets".
    # Which direction made the masks it does not say either.
    generators = axes.get("generator", main_generators(grid.name)[:1])
    labelled = labelled_pairs(grid.labelled, generators[0], 0)
    if labelled is None or grid.selection is None:
        raise ValueError(
            "Table 13 trains on labelled pictures and on the samples nearest to them, and does not "
            "know which: name both, --labelled folder:PATH --nearest PATH/images (with the paper's "
            "preset 1,000 of CUB's training pictures and --nearest-features resnet50:FILE)."
        )
    sizes = (grid.table_size,) if grid.table_size else grid.data_sizes
    size = max(axes.get("data_size", sizes))
    near, chosen = max(1, size // _NEAREST_PART), replace(grid.selection, candidates=size)
    grid = replace(grid, labelled=None, selection=None, distance=None)
    found: list[Experiment] = []
    for seed in seeds_of(axes):
        pictures = replace(labelled, seed=seed)
        found.append(
            Experiment(
                method="true_masks",
                labelled=replace(pictures, weight=None),
                validation_size=0,  # held-out pairs would be further labels
                training=replace(grid.training, seed=seed),
                train_preset=grid.train_preset,
                recipe="table_13",
            )
        )
        for kind, name in itertools.product(axes.get("mask_kind", ("lighter",)), generators):
            plain = trial(grid, name, size, kind, seed, "table_13")
            selected = replace(plain, data_size=near, selection=chosen)
            found += [plain, selected]
            found += [replace(each, labelled=pictures) for each in (plain, selected)]
    return list(dict.fromkeys(found))


def _by_size(grid: Grid, line: Line) -> str | None:
    # An own grid may have no sizes for this table.
    printed = TABLE_14_SIZES if grid.curve_sizes else ()
    sizes = dict(zip(sorted(grid.curve_sizes), printed, strict=True))
    found = sizes.get(int(line["data_size"]))
    return None if found is None else str(found)


@recipe(
    "Table 14 and Figure 11: the number of samples",
    "3 min",
    table=PaperTable(number="14", label=_by_size, columns=("data_size",)),
)
def table_14(grid: Grid, axes: Axes) -> list[Experiment]:
    """From 100 to 1,000,000 samples at 20,000 steps of training.

    With embedded generators it is from 20 to 6,000 at 625 steps. Each set is the beginning of the
    next. The paper's form: BigBiGAN on five benchmarks.
    """
    longer = replace(
        grid,
        training=grid.curve_training or grid.training,
        train_preset=grid.curve_preset or grid.train_preset,
    )
    own = {"mask_kind": ASSUMED_MASKS, "data_size": grid.curve_sizes or grid.data_sizes}
    return ablation_trials("table_14", longer, axes, own)


def _by_side(_: Grid, line: Line) -> str | None:
    return "128" if line["train_resolution"] < line["resolution"] else "256"


@recipe(
    "Table 15: samples at full size, and shrunk to half",
    "1 min",
    table=PaperTable(
        number="15", label=_by_side, columns=("train_resolution",), note=_NO_STYLEGAN2
    ),
)
def table_15(grid: Grid, axes: Axes) -> list[Experiment]:
    """Pictures of StyleGAN2, and the same shrunk to half with their masks.

    Without arguments an embedded generator's pictures of 32 px, and the same shrunk to 16 px. No
    embedded generator makes larger ones; --generators analytic.ellipses64 does, of another domain.
    The paper's form: --generators FILE.py:FUNCTION, a function of yours that returns a StyleGAN2
    of Flowers of 256 px (none is in the catalogue).
    """
    axes = _with_style(axes, grid, "flowers")
    found = _style_trials("table_15", grid, axes)
    sides = {name: resolution(name) // _SHRINK for name in axes["generator"]}
    return [*(replace(each, train_resolution=sides[each.generator]) for each in found), *found]


def _style_trials(name: str, grid: Grid, axes: Axes) -> list[Experiment]:
    """Make trials of StyleGAN2, whose latent space asks for a shorter shift."""
    own: Axes = {"epsilon": (STYLEGAN2_EPSILON,)} if grid.name == "paper" else {}
    return ablation_trials(name, grid, axes, {"mask_kind": ASSUMED_MASKS, **own})


def _with_style(axes: Axes, grid: Grid, data: StyleSet) -> Axes:
    """Name a table's StyleGAN2, unless generators are asked for: the paper's may not be there."""
    return axes if "generator" in axes else {**axes, "generator": style_generators(grid.name, data)}


@recipe("Figures 12 to 14: where the method fails", "1 min", table=TABLE_1)
def failure_cases(grid: Grid, axes: Axes) -> list[Experiment]:
    """Runs Table 1, then draws the worst pictures.

    They are the labelled pictures with the lowest IoU and, among 500 generated ones, those where
    segmenter and mask agree least (the paper's authors chose by eye); they go to
    results/failure_cases_figures, and which ones they are to results/failure_cases_worst.
    """
    return [replace(each, recipe="failure_cases") for each in table_1(grid, axes)]


@recipe(
    "One table for all generators: optimised directions against chosen ones",
    "5 min",
    generators=("embedded",),
    paper="Both papers",
)
def both_papers(grid: Grid, axes: Axes) -> list[Experiment]:
    """The optimised direction against the chosen ones, for every generator.

    Runs each trial with the direction that minimises the losses of Melas-Kyriazi et al. 2022, and
    with those that the rules of the choice take out of a set of candidates (--candidates): the rule
    of Voynov et al. 2021, and the two-affine ratio (--direction for one of them alone). Prints how
    near the two are, how far their masks agree, what either scores, and the seconds that finding it
    took. The lines go to results/both_papers_table, the rows to results/both_papers.
    """
    chosen = CHOICE_RULES if grid.direction == "optimised" else (grid.direction,)
    ways: tuple[DirectionWay, ...] = ("optimised", *chosen)
    plain = replace(grid, distance=None)
    found = [
        each
        for way in ways
        for each in all_gans(replace(plain, direction=way), filled(grid, axes, {}))
    ]
    return [replace(each, recipe="both_papers") for each in dict.fromkeys(found)]
