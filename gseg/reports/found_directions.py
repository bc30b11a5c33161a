"""Tables and pictures of directions alone (Melas-Kyriazi et al. 2022, Table 9, A.3, Figure 5)."""

from collections.abc import Hashable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
from rich.table import Table
from torch import Tensor

from gseg.directions.direction import Direction
from gseg.generators.catalogue import cached_generator
from gseg.images import contact_sheet
from gseg.pipeline.direction_trial import Found
from gseg.recipes.published.cells import published_tables
from gseg.reports.comparison import counterpart
from gseg.reports.settings import HEADINGS, SEARCH, present, varying
from gseg.samples.config import LatentConfig
from gseg.samples.latents import candidates
from gseg.storage.files import write_atomically

_HEADINGS: Final = HEADINGS | {"epsilon_search": "ε"}
_NOTE: Final = "not comparable: embedded generators in place of the published ones"
_TILE: Final = 96


def angle_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Average v_l · v_d over seeds, beside Table 9.

    Args:
        rows: From `gseg.pipeline.direction_trial.direction_rows`.

    Returns:
        A line for each generator and search, in the rows' order: ``cosine``, ``cosine_sd`` (n - 1),
        ``seeds`` and ``published``, empty where Table 9 has no such generator.
    """
    groups = rows.groupby(["generator", *present(rows, SEARCH)], sort=False)["cosine"]
    lines = groups.agg(cosine="mean", cosine_sd="std", seeds="size").reset_index()
    printed = published_tables().query("paper == 'melas2022' and table == '9'")
    values = printed.set_index("generator")["value"]
    names = lines["generator"].map(lambda name: counterpart(name, set(values.index)))
    return lines.assign(published=names.map(values))


def pair_lines(pairs: pd.DataFrame) -> pd.DataFrame:
    """Reduce pairs of initialisations to mean and deviation, beside section A.3.

    Args:
        pairs: From `gseg.pipeline.direction_trial.pair_rows`.

    Returns:
        A line for each generator and search: ``pairs``; ``lighter`` and ``darker``, the mean
        cosine, and ``lighter_sd`` and ``darker_sd`` (n - 1); ``published`` and ``published_sd``.
    """
    groups = pairs.groupby(["generator", *present(pairs, SEARCH)], sort=False)
    lines = groups[["lighter", "darker"]].mean()
    lines = lines.join(groups[["lighter", "darker"]].std().add_suffix("_sd"))
    lines = lines.join(groups.size().rename("pairs")).reset_index()
    printed = published_tables().query("paper == 'melas2022' and metric == 'pairwise_cosine'")
    names = lines["generator"].map(lambda name: counterpart(name, set(printed["generator"])))
    for column, statistic in (("published", "mean"), ("published_sd", "standard deviation")):
        cells = printed[printed["statistic"] == statistic].set_index("generator")["value"]
        lines[column] = names.map(cells)
    return lines


def angle_table(lines: pd.DataFrame) -> Table:
    """Draw `angle_lines` for a rich console."""
    shown = _start("Table 9: inner product of the lighter and the darker direction", lines)
    for heading in ("v_l · v_d", "published"):
        shown.add_column(heading, justify="right")
    for line in lines.to_dict("records"):
        measured = _number(line["cosine"], line["cosine_sd"])
        shown.add_row(*_names(line, lines), measured, _number(line["published"]))
    return shown


def pair_table(lines: pd.DataFrame) -> Table:
    """Draw `pair_lines` for a rich console."""
    shown = _start("Cosines between directions of different initialisations (A.3)", lines)
    for heading in ("pairs", "lighter", "darker", "published"):
        shown.add_column(heading, justify="right")
    for line in lines.to_dict("records"):
        shown.add_row(
            *_names(line, lines),
            str(line["pairs"]),
            _number(line["lighter"], line["lighter_sd"]),
            _number(line["darker"], line["darker_sd"]),
            _number(line["published"], line["published_sd"]),
        )
    return shown


@torch.inference_mode()
def strip_sheet(path: Path, found: Sequence[Found], epsilons: Sequence[float], count: int) -> None:
    """Draw pictures at growing ε along v_l, a row for each latent (Figures 3a and 5).

    Args:
        path: PNG file.
        found: Directions; each gets `count` rows.
        epsilons: Lengths of the shift, a column for each.
        count: Latents, from the first on.
    """
    rows: list[list[Tensor]] = []
    labels: list[str] = []
    for each in found:
        generator = cached_generator(each.trial.generator, "cpu")
        vector = Direction.load(each.artifact.folder).lighter
        z, y = candidates(generator.card, LatentConfig(), each.trial.search.seed, range(count))
        code = generator.code(z)
        columns = [generator(code + epsilon * vector, y) for epsilon in epsilons]
        rows += [[column[i] for column in columns] for i in range(count)]
        labels += [each.trial.generator] + [""] * (count - 1)
    image = contact_sheet(
        rows, tile=_TILE, columns=[f"shift {epsilon:g}" for epsilon in epsilons], labels=labels
    )
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


def _start(title: str, lines: pd.DataFrame) -> Table:
    shown = Table(title=title, title_justify="left")
    shown.add_column("generator", no_wrap=True)
    for name in _varying(lines):
        shown.add_column(_HEADINGS.get(name, name.replace("_", " ")), justify="right")
    if lines["generator"].str.contains(".scenes32", regex=False).any():
        shown.caption, shown.caption_justify = _NOTE, "left"
    return shown


def _varying(lines: pd.DataFrame) -> list[str]:
    return varying(lines, SEARCH)


def _names(line: Mapping[Hashable, Any], lines: pd.DataFrame) -> list[str]:
    return [str(line["generator"]), *(_text(line[name]) for name in _varying(lines))]


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float | None, deviation: float | None = None) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.4f}" + ("" if pd.isna(deviation) else f" ± {deviation:.4f}")
