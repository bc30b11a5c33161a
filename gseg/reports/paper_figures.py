"""Figures of the two papers, drawn anew.

Of Melas-Kyriazi et al. 2022: pictures along a direction (Figures 3a and 5) and failure cases (12 to
14). Of Voynov et al. 2021: how a direction was chosen (Figure 1), what the colour maps restore (2),
what filters do (3), scores against hyper-parameters of the training (5).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gseg.directions.choosing import Choice
from gseg.directions.codes import codes_and_labels
from gseg.directions.colour_maps import ColourMaps
from gseg.directions.config import ChoiceConfig
from gseg.directions.direction import Direction
from gseg.generators.catalogue import cached_generator
from gseg.generators.contract import Generator
from gseg.images import to_pixels
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.finished import find_failures, lighter_pairs
from gseg.pipeline.row_values import Found
from gseg.randomness import derive_seed
from gseg.reports.charts import save_picture
from gseg.reports.galleries import sheet_name
from gseg.reports.settings import main_profile
from gseg.reports.sheets import Cells, write_sheet
from gseg.samples.components import keep_large_components
from gseg.samples.config import LatentConfig, SampleConfig
from gseg.samples.draw import Review, review
from gseg.samples.latents import candidates

_VARIED: Final = ("train_batch", "train_learning_rate", "train_steps")
_SYNTHETIC: Final = "held-out synthetic"
_DPI: Final = 110
# Colours of Figure 3's right block.
_KEPT: Final = torch.tensor([230, 60, 50], dtype=torch.uint8)
_REMOVED: Final = torch.tensor([50, 90, 230], dtype=torch.uint8)
_SHOWN_REASONS: Final = ("area", "histogram")
# Most blocks of candidates that are looked at; a rule may reject next to nothing.
_BLOCKS: Final = 40
# Shifts of a strip, in lengths of the choice's shift.
_STEPS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)
_REJECTED: Final = 4


@torch.inference_mode()
def strip_sheet(path: Path, found: Sequence[Found], epsilons: Sequence[float], count: int) -> None:
    """Draw pictures at growing ε along v_l, a row for each latent (Melas 2022, Figures 3a and 5).

    Args:
        path: PNG file.
        found: Directions; each gets `count` rows.
        epsilons: Lengths of the shift, a column for each.
        count: Latents, from the first on.
    """
    rows: list[Cells] = []
    labels: list[str] = []
    for each in found:
        generator = cached_generator(each.trial.generator, "cpu")
        vector = Direction.load(each.artifact.folder).lighter
        # Latents of the prior, whatever a sweep draws its samples from.
        z, y = candidates(generator.card, LatentConfig(), each.trial.search.seed, range(count))
        code = generator.code(z)
        columns = [generator(code + epsilon * vector, y) for epsilon in epsilons]
        rows += [list(cells) for cells in zip(*columns, strict=True)]
        labels += [each.trial.generator] + [""] * (count - 1)
    write_sheet(path, rows, columns=[f"shift {each:g}" for each in epsilons], labels=labels)


def failure_sheets(
    folder: Path, experiment: Experiment, setting: Context, device: str, count: int
) -> pd.DataFrame:
    """Draw a finished trial's failure cases, one sheet of samples and one of each benchmark.

    Args:
        folder: Receives the PNG files.
        experiment: The trial, of method ``gan``.
        setting: Where its parts are, and what it was scored on.
        device: Kind of device that made them.
        count: Pictures of each sheet.

    Returns:
        A line for each picture, the worst first: ``generator``, ``seed``, ``pictures``
        (``samples`` or a benchmark's name), ``id`` (of a sample the candidate's number), ``iou``.

    Raises:
        ValueError: The trial is not finished.
    """
    found = find_failures(experiment, setting, device, count)
    assert experiment.training is not None
    who = {"generator": experiment.generator, "seed": experiment.training.seed}
    lines = []
    for pictures, cases in found.items():
        # A benchmark's name may hold a path.
        names = (sheet_name(experiment.generator), str(who["seed"]), pictures)
        path = folder / f"{'-'.join(names).replace(':', '-').replace('/', '-')}.png"
        columns = ("its mask", "segmenter") if pictures == "samples" else ("truth", "prediction")
        rows = [[each.picture, each.mask, each.found] for each in cases]
        labels = [f"{each.iou:.2f}" for each in cases]
        write_sheet(path, rows, columns=("picture", *columns), labels=labels)
        lines += [{**who, "pictures": pictures, "id": each.id, "iou": each.iou} for each in cases]
    return pd.DataFrame(lines)


@torch.no_grad()
def restored(maps: ColourMaps, originals: Tensor, shifted: Tensor) -> tuple[Tensor, Tensor]:
    """Apply to each pixel the map that brings it closest to the shifted one, Eqs. (2) and (5).

    Args:
        maps: Of one direction.
        originals: (N, 3, H, W) in [-1, 1].
        shifted: (N, 3, H, W).

    Returns:
        (N, 3, H, W) approximations of the shifted pictures, and (N, H, W) bool: True where the
        lightening map, the first one, is taken.
    """
    weights = maps.weights[0].to(originals.device)
    # Not ColourMaps.nearest: it tells which map is taken, but not the colours that come out.
    mapped = torch.einsum("mij,njhw->nmihw", weights[..., :3], originals)
    mapped = mapped + weights[None, :, :, 3, None, None]
    if maps.clamped:
        mapped = mapped.clamp(-1, 1)
    number = (mapped - shifted[:, None]).square().sum(2).argmin(1)
    picked = number[:, None, None].expand(-1, 1, 3, -1, -1)
    return mapped.gather(1, picked)[:, 0], number == 0


@torch.no_grad()
def operators_sheet(
    path: Path, generator: Generator, direction: Direction, epsilon: float, *, count: int, tile: int
) -> None:
    """Draw Figure 2: pictures, shifted, approximated by the two maps, and their masks.

    Args:
        path: PNG file.
        generator: The direction's.
        direction: With colour maps, see `gseg.directions.affine.fit_operators`.
        epsilon: Length of the shift.
        count: Pictures, the columns.
        tile: Side of each in pixels.

    Raises:
        ValueError: The direction has no maps.
    """
    if direction.operators is None:
        raise ValueError("Figure 2 needs a direction with colour maps: fit them first.")
    originals, shifted = lighter_pairs(generator, direction, epsilon, count)
    approximated, masks = restored(direction.operators, originals, shifted)
    lines = [each.cpu() for each in (originals, shifted, approximated, masks)]
    names = ("G(z)", "G(z + h)", "two maps", "mask")
    # Without headings, but with their room, as it has always looked.
    write_sheet(path, [list(line) for line in lines], columns=[""], labels=names, tile=tile)


def filters_sheet(
    path: Path,
    generator: Generator,
    direction: Direction,
    config: SampleConfig,
    *,
    rows: int,
    tile: int,
) -> dict[str, int]:
    """Draw Figure 3: samples that filters reject, and what the components' filter cuts away.

    Args:
        path: PNG file.
        generator: Where pictures come from.
        direction: The shift vectors.
        config: How samples are drawn, with the filters.
        rows: Most examples of each.
        tile: Side of a picture in pixels.

    Returns:
        Examples shown of each filter.

    Raises:
        ValueError: No filter touches any of the first candidates.
    """
    # Components are cut here, where what is cut away can be shown.
    whole = replace(config.filters, component_share=0.0)
    found: dict[str, list[Cells]] = {name: [] for name in (*_SHOWN_REASONS, "components")}
    for block in range(_BLOCKS):
        seen = review(generator, direction, replace(config, filters=whole), block)
        for name, cells in _examples(seen, config):
            found[name] = [*found[name], cells][:rows]
        if min(map(len, found.values())) >= rows:
            break
    shown = {name: len(lines) for name, lines in found.items()}
    if not any(shown.values()):
        raise ValueError("These filters touch none of the first candidates: nothing to draw.")
    write_sheet(
        path,
        [cells for lines in found.values() for cells in lines],
        columns=("G(z)", "G(z + h)", "mask"),
        labels=[name for name, lines in found.items() for _ in lines],
        tile=tile,
    )
    return shown


def coloured_components(mask: Tensor, config: SampleConfig) -> Tensor | None:
    """Show what is left of a mask in red, and what is cut away in blue.

    Args:
        mask: (H, W) bool, with all components.
        config: Its filters cut.

    Returns:
        (3, H, W) uint8; None if nothing is cut away.
    """
    filters = config.filters
    cleaned = keep_large_components(
        mask[None].numpy(),
        filters.component_share,
        strict=filters.component_strict,
        connectivity=filters.connectivity,
    )
    kept = torch.from_numpy(cleaned.masks[0])
    removed = mask & ~kept
    if not removed.any():
        return None
    shown = torch.zeros(3, *mask.shape, dtype=torch.uint8)
    shown[:, kept] = _KEPT[:, None]
    shown[:, removed] = _REMOVED[:, None]
    return shown


def _examples(seen: Review, config: SampleConfig) -> Iterator[tuple[str, Cells]]:
    """Give what filters do to a block's candidates: the filter's name, and what to show."""
    shifted = next(iter(seen.shifted.values()))
    for *picture, mask, reason in zip(
        seen.pictures, shifted, seen.masks, seen.reasons, strict=True
    ):
        if reason in _SHOWN_REASONS:
            yield reason, [*picture, mask]
        elif not reason and (coloured := coloured_components(mask, config)) is not None:
            yield "components", [*picture, coloured]


def hyperparameter_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Average scores over the runs of each training.

    The training that most others differ from in one setting only is taken for the chosen one.

    Args:
        rows: Result rows of `gseg.recipes.voynov2021.voynov_figure_5`.

    Returns:
        A line for each varied setting, value and set of pictures: ``setting``, ``value``, ``on``
        (a benchmark, or held-out synthetic pairs), ``iou``, ``iou_sd`` over runs, ``runs``, and
        ``best``: whether no value of this setting scores higher there.
    """
    trained = rows[(rows["method"] == "gan") & (rows["metric_profile"] == main_profile(rows))]
    usual = trained[list(_VARIED)].mode().iloc[0]
    found = []
    for setting in _VARIED:
        others = [name for name in _VARIED if name != setting]
        alike = trained[(trained[others] == usual[others]).all(axis=1)]
        # Held-out pairs are scored once in a training, benchmarks in a row each.
        synthetic = alike.drop_duplicates("experiment").assign(benchmark=_SYNTHETIC)
        both = pd.concat([alike, synthetic.assign(iou=synthetic["validation_iou"])])
        groups = both.groupby(["benchmark", setting], sort=True)["iou"]
        lines = groups.agg(iou="mean", iou_sd="std", runs="size").reset_index()
        lines = lines.rename(columns={"benchmark": "on", setting: "value"})
        lines["best"] = lines["iou"] == lines.groupby("on")["iou"].transform("max")
        found.append(lines.assign(setting=setting))
    columns = ["setting", "value", "on", "iou", "iou_sd", "runs", "best"]
    return pd.concat(found, ignore_index=True)[columns]


def hyperparameter_figure(path: Path, rows: pd.DataFrame) -> None:
    """Draw the scores on held-out synthetic pairs and on benchmarks against each setting.

    Args:
        path: PNG file.
        rows: See `hyperparameter_lines`.
    """
    lines = hyperparameter_lines(rows)
    figure = Figure(figsize=(9.6, 3.0), layout="constrained")
    axes = figure.subplots(1, len(_VARIED), sharey=True)
    for axis, setting in zip(axes, _VARIED, strict=True):
        _draw_scores(axis, lines[lines["setting"] == setting])
        axis.set_xlabel(setting.removeprefix("train_").replace("_", " "))
    axes[0].set_ylabel("IoU")
    axes[0].legend(fontsize=7, frameon=False)
    figure.suptitle("the best value on each set is filled", fontsize=8)
    save_picture(figure, path, dpi=_DPI)


def _draw_scores(axis: Axes, lines: pd.DataFrame) -> None:
    for number, (name, part) in enumerate(lines.groupby("on", sort=True)):
        colour = f"C{number}"
        look: dict[str, Any] = {"color": colour, "linestyle": "--" if name == _SYNTHETIC else "-"}
        spread = part["iou_sd"].fillna(0.0)
        axis.errorbar(part["value"], part["iou"], spread, label=str(name), **look)
        for filled, marked in part.groupby("best"):
            face = colour if filled else "white"
            axis.scatter(marked["value"], marked["iou"], facecolor=face, edgecolor=colour, zorder=3)
    axis.set_xscale("log")
    values = sorted(lines["value"].unique())
    axis.set_xticks(values, [f"{value:g}" for value in values])
    # The few values have ticks; a logarithmic axis would add its own.
    axis.minorticks_off()
    axis.spines[["top", "right"]].set_visible(False)


def choice_figure(
    path: Path, generator: Generator, vectors: Tensor, choice: Choice, config: ChoiceConfig
) -> None:
    """Draw restoration loss against distance, and strips of shifted pictures beside it.

    The strips show the chosen direction, turned so that the foreground lightens to the right, and
    candidates that were not taken: of largest distance, lowest loss, and in between.

    Args:
        path: PNG file.
        generator: The one that the choice was made for.
        vectors: (K, D), the candidates.
        choice: From `gseg.directions.choose_direction`.
        config: As given to it.
    """
    rejected = _telling(choice)
    names = [f"chosen: {choice.number}", *(f"candidate {number}" for number in rejected)]
    shown = torch.stack([choice.direction.lighter, *vectors[rejected].cpu()])
    strips = _strips(generator, shown, config)
    # Smaller letters than in charts: the strips leave little room.
    with mpl.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.6, 1.1 + 0.85 * len(shown)), layout="constrained")
        grid = figure.add_gridspec(len(shown), 2, width_ratios=(1, 1.15))
        _scatter(figure.add_subplot(grid[:, 0]), choice, config, rejected)
        for row, (name, strip) in enumerate(zip(names, strips, strict=True)):
            axes = figure.add_subplot(grid[row, 1])
            axes.imshow(strip.numpy())
            axes.set_axis_off()
            axes.set_title(name, fontsize=7, loc="left", pad=1)
        figure.suptitle(f"{generator.card.name}, rule {config.rule}, ε = {config.epsilon:g}")
        save_picture(figure, path, dpi=_DPI)


def _telling(choice: Choice) -> list[int]:
    """Pick candidates that were not taken, from the largest distance down to the lowest loss."""
    scores = choice.scores.two
    others: list[int] = scores.distances.argsort(descending=True).tolist()
    others.remove(choice.number)
    if len(others) <= _REJECTED:
        return others
    lowest = min(others, key=lambda number: float(scores.losses[number]))
    others.remove(lowest)
    return [*(others[(k * len(others)) // (_REJECTED - 1)] for k in range(_REJECTED - 1)), lowest]


def _scatter(axes: Axes, choice: Choice, config: ChoiceConfig, named: list[int]) -> None:
    scores, number = choice.scores, choice.number
    places = torch.stack([scores.two.losses, scores.two.distances]).cpu()
    kept = scores.eligible(config).cpu()
    others = torch.arange(len(kept)) != number
    for mask, colour, name in ((kept, "tab:blue", "eligible"), (~kept, "0.7", "rest")):
        x, y = places[:, mask & others]
        axes.scatter(x, y, s=14, color=colour, label=name)
    star: dict[str, Any] = {"marker": "*", "color": "tab:red", "zorder": 3}
    axes.scatter(places[0, number], places[1, number], s=130, label="chosen", **star)
    for each in (number, *named):
        x, y = places[:, each].tolist()
        axes.annotate(str(each), (x, y), (4, 3), textcoords="offset points", fontsize=7)
    axes.set(xlabel="restoration loss", ylabel="mean distance D of the two maps")
    axes.legend(frameon=False, fontsize=7)


@torch.no_grad()
def _strips(generator: Generator, vectors: Tensor, config: ChoiceConfig) -> list[Tensor]:
    """Shift two pictures along each vector; give (H, W, 3) uint8, side by side."""
    seed = derive_seed(config.seed, "affine", "latents")
    code, y = codes_and_labels(generator, seed, range(2))
    strips = []
    for vector in vectors.to(code.device):
        tiles = []
        for row in range(len(code)):
            moved = torch.stack([code[row] + k * config.epsilon * vector for k in _STEPS])
            labels = None if y is None else y[row].expand(len(moved))
            tiles += [to_pixels(tile) for tile in generator(moved, labels).clamp(-1, 1).cpu()]
            # White, between the two pictures.
            tiles.append(torch.full_like(tiles[0][:, :, : max(1, tiles[0].shape[2] // 4)], 255))
        strips.append(torch.cat(tiles, dim=2).permute(1, 2, 0))
    return strips
