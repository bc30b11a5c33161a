"""What some recipes print and draw when their trials have ended, beside rows, table and sheets."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Final

import pandas as pd
from rich.console import Console

from gseg.commands.options import SweepOptions
from gseg.directions.affine import fit_operators
from gseg.directions.direction import Direction
from gseg.generators.catalogue import load_generator
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.finished import compare_papers
from gseg.pipeline.row_values import Found, direction_rows, pair_rows
from gseg.recipes.melas2022 import strip_epsilons
from gseg.recipes.published.cells import published_tables
from gseg.recipes.voynov2021 import voynov_grid
from gseg.reports.paper_figures import (
    failure_sheets,
    filters_sheet,
    hyperparameter_figure,
    operators_sheet,
    strip_sheet,
)
from gseg.reports.paper_tables import angle_lines, angle_table, pair_lines, pair_table, papers_table
from gseg.storage.files import replacing

Ending = Callable[[Sequence[Experiment], Context, SweepOptions, Console], None]
DirectionEnding = Callable[[Sequence[Found], SweepOptions, Console], pd.DataFrame | None]
# Pictures on a sheet of failure cases.
_WORST: Final = 12
# Rows on a generator's own sheet of strips.
_LATENTS: Final = 6
_OPERATORS, _FILTERED, _TILE = 8, 4, 96


def _papers(
    experiments: Sequence[Experiment], setting: Context, options: SweepOptions, console: Console
) -> None:
    lines = compare_papers(experiments, setting, options.resources.device)
    with replacing(options.places.results / "both_papers_table" / "lines.parquet") as part:
        lines.to_parquet(part, index=False)
    console.print(papers_table(lines))


def _failures(
    experiments: Sequence[Experiment], setting: Context, options: SweepOptions, console: Console
) -> None:
    device, results = options.resources.device, options.places.results
    folder = results / "failure_cases_figures"
    found = [failure_sheets(folder, each, setting, device, _WORST) for each in experiments]
    with replacing(results / "failure_cases_worst" / "rows.parquet") as part:
        pd.concat(found).to_parquet(part, index=False)
    console.print(f"sheets of failure cases: {folder}")


def _agreement(
    _: Sequence[Experiment], setting: Context, options: SweepOptions, console: Console
) -> None:
    """Say how far the other model's masks agree with the synthetic ones (section 4.5)."""
    rows = pd.read_parquet(options.places.results / "voynov_table_5")
    cells = published_tables().query("paper == 'voynov2021' and table == 'section 4.5'")
    printed = dict(zip(cells["metric"], cells["value"], strict=True))
    labelled = rows[rows["labeller"].notna()].drop_duplicates("experiment")
    iou, accuracy = labelled["labeller_iou"].mean(), labelled["labeller_accuracy"].mean()
    console.print(
        f"the other model on synthetic masks: IoU {iou:.3f}, accuracy {accuracy:.3f} "
        f"(section 4.5: {printed['iou']:.3f} and {printed['accuracy']:.3f})"
    )


def _hyperparameters(
    _: Sequence[Experiment], setting: Context, options: SweepOptions, console: Console
) -> None:
    results = options.places.results
    path = results / "voynov_figure_5_figures" / "hyperparameters.png"
    hyperparameter_figure(path, pd.read_parquet(results / "voynov_figure_5"))
    console.print(f"figure: {path}")


def own_rows(found: Sequence[Found], options: SweepOptions, console: Console) -> pd.DataFrame:
    """Give a row for each direction: of a recipe that prints and draws nothing."""
    return direction_rows(found, options.resources.device)


def _angles(found: Sequence[Found], options: SweepOptions, console: Console) -> pd.DataFrame:
    rows = own_rows(found, options, console)
    console.print(angle_table(angle_lines(rows)))
    return rows


def _pairs(found: Sequence[Found], options: SweepOptions, console: Console) -> pd.DataFrame:
    pairs = pair_rows(found, options.resources.device)
    console.print(pair_table(pair_lines(pairs)))
    return pairs


def _strips(found: Sequence[Found], options: SweepOptions, console: Console) -> pd.DataFrame:
    """Draw the sheets, one of all generators for each ε of the search."""
    folder = options.places.results / "strips_figures"
    labels = Counter(each.trial.label for each in found)

    def name_of(each: Found) -> str:
        trial = each.trial
        return trial.label if labels[trial.label] == 1 else f"{trial.label}-{trial.digest[:6]}"

    def by(each: Found) -> tuple[float, ...]:
        return strip_epsilons(each.trial)

    for epsilons, group in groupby(sorted(found, key=by), by):
        searched = list(group)
        every = "strips.png" if len(searched) == len(found) else f"strips-{epsilons[1]:g}.png"
        sheets = {every: (searched, 1)}
        sheets |= {f"{name_of(each)}.png": ([each], _LATENTS) for each in searched}
        for name, (chosen, count) in sheets.items():
            strip_sheet(folder / name, chosen, epsilons, count)
            console.print(f"figure: {folder / name}")
    return direction_rows(found, options.resources.device)


def _voynov_figures(found: Sequence[Found], options: SweepOptions, console: Console) -> None:
    trial, artifact = found[0].trial, found[0].artifact
    generator, epsilon = load_generator(trial.generator), trial.search.epsilon
    direction = fit_operators(generator, Direction.load(artifact.folder), epsilon)
    samples = voynov_grid(options.grid()).samples
    folder = options.places.results / "voynov_figures"
    operators_sheet(
        folder / "figure_2.png", generator, direction, epsilon, count=_OPERATORS, tile=_TILE
    )
    shown = filters_sheet(
        folder / "figure_3.png", generator, direction, samples, rows=_FILTERED, tile=_TILE
    )
    told = ", ".join(f"{number} of {reason}" for reason, number in shown.items())
    console.print(f"figures: {folder} (examples: {told})")


ENDINGS: Final[Mapping[str, Ending]] = {
    "both_papers": _papers,
    "failure_cases": _failures,
    "voynov_table_5": _agreement,
    "voynov_figure_5": _hyperparameters,
}
"""Of recipes that end with scores, by name."""
DIRECTION_ENDINGS: Final[Mapping[str, DirectionEnding]] = {
    "table_9": _angles,
    "initialisations": _pairs,
    "strips": _strips,
    "voynov_figures": _voynov_figures,
}
"""Of recipes that end with a direction, by name; they give the rows to write, if there are any. For
others it is `own_rows`."""
