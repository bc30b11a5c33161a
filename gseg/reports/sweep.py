"""What a sweep says of its trials, and leaves beside its rows: scores of pictures, figures."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from gseg.pipeline.direction_trial import AnyTrial
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.row_values import identity_values
from gseg.pipeline.rows import Row
from gseg.pipeline.settings import setting_values
from gseg.pipeline.trial import find_parts
from gseg.reports.distances import distance_figure
from gseg.reports.galleries import sheet_name
from gseg.reports.settings import HEADINGS, SEEDS, varying
from gseg.reports.sheets import trial_sheet
from gseg.reports.tables import written
from gseg.scores.benchmarks import Benchmark
from gseg.storage.files import replacing
from gseg.storage.store import Store

# What `Experiment.label` says itself, or what follows from it.
_SAID: Final = ("data_size", "mask_kind", "labelled_size", "labeller", "supervision")


def trial_labels(trials: Sequence[AnyTrial]) -> list[str]:
    """Name the trials of one sweep for people.

    Returns:
        Their labels; where several have the same, with the settings in which those differ, such as
        ``biggan.scenes32 N=1000 λ=2.5 seed=1``.
    """
    labels = [each.label if isinstance(each, Experiment) else each.told for each in trials]
    for label, count in Counter(labels).items():
        if count > 1:
            places = [place for place, other in enumerate(labels) if other == label]
            details = _differences([trials[place] for place in places])
            for place, detail in zip(places, details, strict=True):
                labels[place] = f"{label} {detail}".rstrip()
    return labels


def _differences(trials: Sequence[AnyTrial]) -> list[str]:
    rows = pd.DataFrame(
        [
            identity_values(each, "cpu") if isinstance(each, Experiment) else setting_values(each)
            for each in trials
        ]
    )
    names = [name for name in varying(rows) if name not in _SAID]
    seeds = varying(rows, SEEDS)[:1]  # a trial has one seed; its streams follow
    headings = {name: HEADINGS.get(name, name) for name in names} | dict.fromkeys(seeds, "seed")
    return [
        " ".join(
            f"{heading}={written(line[name])}"
            for name, heading in headings.items()
            if not pd.isna(line[name])
        )
        for line in rows.to_dict("records")
    ]


def write_image_scores(folder: Path, rows: Iterable[Row], storage: Path) -> None:
    """Copy the scores of every picture out of the storage, one file for each set of scores.

    Args:
        folder: Such as ``results/all_gans_images``; what is there already is kept.
        rows: Result rows.
        storage: Where their scores are.
    """
    for row in rows:
        path = folder / f"{row['experiment']}-{row['scores']}.parquet"
        if path.exists():
            continue
        source = Store(storage).find("scores", str(row["scores"]))
        if source is None:  # damaged since its row was found, which is told
            continue
        table = pd.read_parquet(source.folder / "images.parquet")
        for column in ("eval_protocol", "benchmark_digest", "benchmark", "experiment"):
            table.insert(0, column, row[column])
        # Whole or not at all: what is there already is never read again.
        with replacing(path) as part:
            table.to_parquet(part, index=False)


def draw_sheets(
    folder: Path,
    experiments: Sequence[Experiment],
    setting: Context,
    device: str,
    benchmark: Benchmark,
) -> list[Path]:
    """Draw a contact sheet of each generator's first finished trial, which has the most data.

    Args:
        folder: Such as ``results/all_gans_figures``.
        experiments: Of the sweep, in its order.
        setting: Where the trials' parts are.
        device: Kind of device that made them.
        benchmark: Where labelled pictures come from.

    Returns:
        The sheets.
    """
    paths: dict[str, Path] = {}
    for experiment in experiments:
        name = experiment.generator
        if experiment.method != "gan" or name in paths:
            continue
        parts = find_parts(experiment, setting, device)
        if parts is not None:
            paths[name] = folder / f"{sheet_name(name)}.png"
            trial_sheet(paths[name], experiment, parts, benchmark)
    return list(paths.values())


def draw_distances(folder: Path, rows: pd.DataFrame, *, title: str) -> list[Path]:
    """Draw the scores against the generators' distance, if any has been measured.

    Args:
        folder: Such as ``results/all_gans_figures``.
        rows: Result rows of one benchmark and metric profile.
        title: Above the figure.

    Returns:
        A figure for each distance protocol, that of the most rows first.
    """
    measured = rows[rows.fid.notna()]
    paths = []
    for number, protocol in enumerate(measured.fid_protocol.value_counts().index):
        paths.append(folder / (f"distance-{number + 1}.png" if number else "distance.png"))
        of_one = measured[measured.fid_protocol == protocol]
        distance_figure(paths[-1], of_one, title=title)
    return paths
