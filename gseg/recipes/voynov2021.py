"""Experiments of Voynov et al. 2021, by the name of their table or figure.

Every recipe takes a grid (the size: ``embedded``, minutes on a laptop, or ``paper``, the published
settings) and axes; what the axes leave empty is the table's. Adapted latents are those of
`Grid.samples`, see `gseg.samples.latents.near_embeddings`, or near the embeddings of scenes that
the embedded generator's own encoder gives; their α is the table's.

What the paper leaves open, and is assumed here:

- Runs: the direction is chosen once (`DIRECTION_SEED`); runs differ in samples and training.
- Samples: drawn online, so as many as 12,000 steps of 95 see (`ONLINE_SIZE`); here a stored set.
- Masks without foreground are rejected together with too large ones.
- Table 1: E-BigBiGAN on birds is filtered as in section 3.4; on Flowers its size rule is left out,
  and all rows there take their masks from the shifted picture's mean, as the first row is said to.
- Table 3: which pictures BigGAN's row is trained on is not said: prior, all classes, no filter, as
  the base; its direction was chosen by eye, here by the rule.
- Table 5: the other model labels the pictures that our own masks were accepted with.
- Figure 5: which values were tried is not in the text: `FIGURE_5_FACTORS` times the chosen ones.

The embedded sizes differ in two more points: shifts are milder, so that the text's histogram rule
leaves next to nothing, and the official program's takes its place; and among a few random
candidates the two-affine ratio finds better directions than the paper's rule
(``--direction voynov2021`` for that one).
"""

import itertools
from dataclasses import replace
from typing import Any, Final

from gseg.directions.config import ChoiceConfig, ChoiceRule, affine_preset
from gseg.pipeline.direction_trial import DirectionTrial
from gseg.pipeline.experiment import Experiment, TrainedLabeller
from gseg.pipeline.settings import axes as setting_axes
from gseg.recipes.grids import Axes, Grid, seeds_of
from gseg.recipes.recipe import Label, Line, PaperTable, is_given, recipe
from gseg.recipes.trials import trial
from gseg.samples.config import (
    EmbeddedScenes,
    FilterConfig,
    FilterPreset,
    LatentConfig,
    ablation,
    filter_preset,
)
from gseg.segmenters.config import FitConfig

DIRECTION_SEED: Final = 0
ONLINE_SIZE: Final = 12_000 * 95
NOISE: Final = 0.2
"""α for all embeddings but ImageNet's (section 3.3)."""
LARGE_SET: Final = 5_000
"""Scenes that stand for ImageNet in the embedded sizes."""
SMALL_SET: Final = 500
"""Scenes that stand for a small data set such as CUB."""
FIGURE_5_FACTORS: Final = (0.5, 1.0, 2.0)
_MAIN: Final = ("bigbigan.imagenet128", "bigbigan.scenes32-large")
_SUPERVISED: Final = ("biggan.imagenet128", "biggan.scenes32-large")
_RULE: Final[tuple[ChoiceRule, ChoiceRule]] = ("voynov2021", "affine_ratio")
# The preset's filters, and what takes their place; of the paper's size and of the embedded one.
_FILTERS: Final[tuple[tuple[FilterPreset, FilterPreset], ...]] = (
    ("gseg", "voynov2021_text"),
    ("scenes", "gseg"),
)


_PAPER: Final = "Voynov et al. 2021"
_FACTS: Final[dict[str, Any]] = {
    "paper": _PAPER,
    "runs": {"paper": 10, "embedded": 3},  # ten in Tables 1 and 2 of the paper
}


def _table(number: str, label: Label, note: str = "") -> PaperTable:
    return PaperTable(number=number, paper="voynov2021", label=label, note=note)


def _by_latents(_: Grid, line: Line) -> str:
    if line["latent_source"] == "prior":
        return "BigBiGAN"
    return f"E-BigBiGAN ({'with' if line['alpha'] else 'w/o'} z-noising)"


@recipe(
    "Table 1, birds: latents from the prior, and near embeddings",
    "2 min",
    table=_table("1", _by_latents),
    benchmarks=("cub",),
    **_FACTS,
)
def voynov_table_1(grid: Grid, axes: Axes) -> list[Experiment]:
    """Latents from the prior, embeddings as they are, and with noise around them.

    Without arguments: the embedded BigBiGAN near 500 scenes, which its own encoder embeds, three
    runs. The paper's form: --embeddings FILE.npy, the embeddings of CUB's training pictures (the
    official program's file, or what gseg embed writes); ten runs, scored on CUB.
    """
    return _table_1("voynov_table_1", voynov_grid(grid), axes)


@recipe(
    "Table 1, Flowers: masks from the shifted picture's mean",
    "2 min",
    table=_table("1", _by_latents),
    benchmarks=("flowers",),
    **_FACTS,
)
def voynov_table_1_flowers(grid: Grid, axes: Axes) -> list[Experiment]:
    """Masks from the shifted picture's mean, without the filter on their size (section 4.1).

    Without arguments: the embedded BigBiGAN near 500 scenes, three runs; their foreground is
    smaller than that of flowers, which the mean assumes. The paper's form: --embeddings FILE.npy,
    of the training pictures of Flowers.
    """
    made = voynov_grid(grid)
    filters = replace(made.samples.filters, max_share=1.0)
    made = replace(made, samples=replace(made.samples, filters=filters))
    return _table_1("voynov_table_1_flowers", made, {"mask_kind": ("mean",), **axes})


def _by_source(_: Grid, line: Line) -> str:
    return "BigBiGAN" if line["latent_source"] == "prior" else "E-BigBiGAN"


@recipe(
    "Table 2: BigBiGAN and E-BigBiGAN on saliency benchmarks",
    "2 min",
    table=_table("2", _by_source),
    **_FACTS,
)
def voynov_table_2(grid: Grid, axes: Axes) -> list[Experiment]:
    """The prior, and embeddings without noise.

    Without arguments: the embedded BigBiGAN near 5,000 scenes, three runs. The paper's form:
    --embeddings FILE.npy, of the training pictures of ImageNet; ten runs on ECSSD, DUTS and
    DUT-OMRON.
    """
    made = voynov_grid(grid)
    latents = (LatentConfig(), adapted(grid, 0.0))
    return _trials("voynov_table_2", made, axes, [(each, _filters(made)) for each in latents])


def _by_generator(_: Grid, line: Line) -> str:
    if str(line["generator"]).startswith("biggan."):
        return "Voynov and Babenko 2020"
    return "BigBiGAN (base)" if line["latent_source"] == "prior" else "E-BigBiGAN"


@recipe(
    "Table 3: BigGAN, trained with class labels, against BigBiGAN",
    "2 min",
    table=_table("3", _by_generator),
    **_FACTS,
)
def voynov_table_3(grid: Grid, axes: Axes) -> list[Experiment]:
    """BigGAN and BigBiGAN without adaptation and filters, and E-BigBiGAN.

    Without arguments: the embedded ones, three runs. The paper's form: --embeddings FILE.npy, of
    ImageNet.
    """
    made, supervised = voynov_grid(grid), {"generator": (_of(grid, _SUPERVISED),), **axes}
    rest = {name: values for name, values in axes.items() if name != "generator"}
    base = (LatentConfig(), filter_preset("none"))
    return [
        *_trials("voynov_table_3", made, supervised, [base]),
        *_trials("voynov_table_3", made, rest, [base, (adapted(grid, 0.0), _filters(made))]),
    ]


def _by_component(_: Grid, line: Line) -> str:
    filters = str(line["filters"])
    if line["latent_source"] == "prior":
        return "Base"
    if filters == "none":
        return "+ Imagenet embeddings"
    if filters.startswith("size and histogram"):
        return "+ Histogram"
    return "+ Size filter" if filters.startswith("size") else "+ Connected components"


@recipe(
    "Table 4: what each component of E-BigBiGAN adds",
    "2 min",
    table=_table("4", _by_component),
    **_FACTS,
)
def voynov_table_4(grid: Grid, axes: Axes) -> list[Experiment]:
    """Base, + embeddings, + size filter, + histogram, + connected components.

    Without arguments: the embedded BigBiGAN near 5,000 scenes, three runs. The paper's form:
    --embeddings FILE.npy, of the training pictures of ImageNet.
    """
    made, near = voynov_grid(grid), adapted(grid, 0.0)
    steps = [(near, filters) for filters in ablation(_filters(made))]
    base = (LatentConfig(), filter_preset("none"))
    return _trials("voynov_table_4", made, axes, [base, *steps])


def _by_labeller(_: Grid, line: Line) -> str:
    return "E-BigBiGAN with U²Net" if is_given(line["labeller"]) else "E-BigBiGAN"


@recipe(
    "Table 5: masks of another model for the same pictures",
    "2 min",
    table=_table(
        "5",
        _by_labeller,
        "The embedded form's other model is the same network trained with true masks.",
    ),
    **_FACTS,
)
def voynov_table_5(grid: Grid, axes: Axes) -> list[Experiment]:
    """Masks of a supervised saliency model, own ones, and how far the two agree (section 4.5).

    Without arguments: the embedded BigBiGAN, labelled by the same network trained with the true
    masks of scenes. The paper's form: --embeddings FILE.npy --labeller FILE.py:FUNCTION, a function
    of yours that calls U²-Net.
    """
    if grid.labeller is None and grid.name == "paper":
        raise ValueError(
            "Name the model that gives the other masks (--labeller); the paper's is U²-Net."
        )
    other = grid.labeller or TrainedLabeller(count=max(grid.data_sizes), training=grid.training)
    made = voynov_grid(grid)
    own = _trials("voynov_table_5", made, axes, [(adapted(grid, 0.0), _filters(made))])
    return [*(replace(each, labeller=other) for each in own), *own]


@recipe(
    "Figure 5: hyper-parameters chosen on held-out synthetic pairs",
    "3 min",
    benchmarks=("ecssd", "duts", "dut_omron"),
    **_FACTS,
)
def voynov_figure_5(grid: Grid, axes: Axes) -> list[Experiment]:
    """Batch, learning rate and steps of the segmenter, one at a time around the chosen ones.

    The score on held-out generated pairs, which needs no labels, beside that on real benchmarks;
    the figure goes to results/voynov_figure_5_figures. Without arguments: the embedded BigBiGAN,
    three runs. The paper's form: --embeddings FILE.npy.
    """
    made = voynov_grid(grid)
    kept = [(adapted(grid, 0.0), _filters(made))]
    found: list[Experiment] = []
    for training in figure_5_trainings(made.training):
        found += _trials("voynov_figure_5", replace(made, training=training), axes, kept)
    return list(dict.fromkeys(found))


@recipe(
    "Figures 2 and 3: what two colour maps restore, what filters do",
    "1 min",
    ends_with="direction",
    paper=_PAPER,
)
def voynov_figures(grid: Grid, axes: Axes) -> list[DirectionTrial]:
    """The direction is the one of the tables, found in the same --storage or left there.

    Writes results/voynov_figures/figure_2.png and figure_3.png. Without arguments: the embedded
    BigBiGAN. The paper's form: BigBiGAN's weights.
    """
    made = voynov_grid(grid)
    [name, *others] = axes.get("generator", (main_generator(made),))
    if others:
        raise ValueError(f"The figures show one generator, got {len(others) + 1}: {name}, ...")
    search = chosen_search(made, axes)
    return [DirectionTrial(generator=name, search=search, recipe="voynov_figures")]


def figure_5_trainings(chosen: FitConfig) -> list[FitConfig]:
    """Vary a training's hyper-parameters one at a time; the chosen one comes first."""
    found = [chosen]
    for factor in FIGURE_5_FACTORS:
        decay = None if chosen.decay_at is None else round(factor * chosen.decay_at)
        found += [
            replace(chosen, batch=round(factor * chosen.batch)),
            replace(chosen, learning_rate=factor * chosen.learning_rate),
            replace(chosen, steps=round(factor * chosen.steps), decay_at=decay),
        ]
    return list(dict.fromkeys(found))


def voynov_grid(grid: Grid) -> Grid:
    """Give a grid the settings of this paper.

    Args:
        grid: One of `gseg.recipes.grids`.

    Returns:
        With a chosen direction; in the paper's size also its shift, masks, filters, maps and
        number of samples.
    """
    published = grid.name == "paper"
    direction = _RULE[not published] if grid.direction == "optimised" else grid.direction
    # Table 4 is about all filters: the embedded preset lacks the rule for histograms.
    usual, whole = map(filter_preset, _FILTERS[not published])
    filters = whole if grid.samples.filters == usual else grid.samples.filters
    samples = replace(grid.samples, filters=filters)
    if not published:
        return replace(grid, direction=direction, samples=samples, distance=None)
    choice = replace(grid.choice, affine=affine_preset("voynov2021_text"))
    samples = replace(samples, mask_rule="rgb_norm", epsilon=choice.epsilon)
    return replace(
        grid,
        direction=direction,
        choice=choice,
        samples=samples,
        table_size=ONLINE_SIZE,
        distance=None,
    )


def adapted(grid: Grid, alpha: float, *, scenes: int = LARGE_SET) -> LatentConfig:
    """Give latents near the grid's embeddings.

    Args:
        grid: With embeddings as its samples' latents; without, in the embedded sizes, those of
            scenes stand for them.
        alpha: Scale of the noise.
        scenes: How many scenes stand for the data set.

    Raises:
        ValueError: The paper's size needs a file of embeddings.
    """
    latents = grid.samples.latents
    if latents.source != "embeddings":
        if grid.name == "paper":
            raise ValueError(
                "This table is about latents of real pictures: name their file (--embeddings "
                "FILE.npy; the official program's files, or what 'gseg embed' writes)."
            )
        latents = replace(latents, scenes=EmbeddedScenes(count=scenes, encoder=_MAIN[1]))
    return replace(latents, alpha=alpha)


def _table_1(recipe: str, made: Grid, axes: Axes) -> list[Experiment]:
    near = (adapted(made, alpha, scenes=SMALL_SET) for alpha in (0.0, NOISE))
    latents = (LatentConfig(), *near)
    return _trials(recipe, made, axes, [(each, _filters(made)) for each in latents])


def _trials(
    recipe: str, grid: Grid, axes: Axes, rows: list[tuple[LatentConfig, FilterConfig]]
) -> list[Experiment]:
    """Make a table's rows for each generator, number of samples, kind of mask and seed."""
    search = chosen_search(grid, axes)
    grid = replace(grid, choice=search)
    combined = itertools.product(
        seeds_of(axes),
        axes.get("data_size", (grid.table_size or max(grid.data_sizes),)),
        axes.get("mask_kind", ("lighter",)),
        axes.get("generator", (main_generator(grid),)),
        rows,
    )
    found = []
    for seed, size, kind, name, (latents, filters) in combined:
        samples = replace(grid.samples, latents=latents, filters=filters)
        made = trial(replace(grid, samples=samples), name, size, kind, seed, recipe)
        # All runs share one direction, whatever their seed.
        found.append(replace(made, search=search))
    return list(dict.fromkeys(found))


def chosen_search(grid: Grid, axes: Axes) -> ChoiceConfig:
    """Say how the direction of all tables is chosen.

    Args:
        grid: From `voynov_grid`.
        axes: May name one length of shift.

    Raises:
        ValueError: They name several, or a λ.
    """
    epsilons = axes.get("epsilon", (grid.choice.epsilon,))
    weighed = any(each.is_of_optimised for name, each in setting_axes().items() if name in axes)
    if grid.direction == "optimised" or weighed or len(epsilons) > 1:
        raise ValueError(
            "Directions are chosen here, along one length of shift: leave λ out, and give one ε."
        )
    choice = replace(grid.choice, rule=grid.direction, epsilon=epsilons[0])
    return choice.with_seed(DIRECTION_SEED)


def _filters(grid: Grid) -> FilterConfig:
    return grid.samples.filters


def main_generator(grid: Grid) -> str:
    """Name BigBiGAN, or the embedded one in its place."""
    return _of(grid, _MAIN)


def _of(grid: Grid, names: tuple[str, str]) -> str:
    return names[grid.name != "paper"]
