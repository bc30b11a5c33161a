"""Pictures in a page: contact sheets drawn from a sweep's storage, and those that it has left."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Final

import pandas as pd
import torch
from PIL import Image

from gseg.directions.direction import Direction
from gseg.generators.catalogue import own_file
from gseg.generators.contract import Generator
from gseg.images import contact_sheet
from gseg.picture_files import UnreadableImageError, opened
from gseg.pipeline.finished import Trace, find_trace, load_stored
from gseg.pipeline.jobs.draw import sampled_generator
from gseg.pipeline.jobs.predict import load_predictor
from gseg.reports.content import Part, Section, Sheet
from gseg.reports.settings import SEEDS, SETTINGS, main_profile, named, present, setting_text
from gseg.reports.sheets import SAMPLE_COLUMNS, Cells, prediction_row, rejected_places, sample_rows
from gseg.samples.draw import review
from gseg.samples.sets import first_samples
from gseg.samples.shards import shard_name
from gseg.scores.benchmarks import Benchmark, open_benchmark
from gseg.storage.digests import digest

NO_PICTURES: Final = (
    "No pictures: the sweep's storage was not given or does not hold these trials (--storage DIR), "
    "and the sweep's own contact sheets are not beside the rows."
)
_LEFT: Final = (
    "The sweep's own contact sheets: a picture, shifted lighter and darker, and its mask; a "
    "benchmark's picture, its true mask and the prediction. Rejected candidates, and the best and "
    "the worst predictions, need the sweep's storage (--storage DIR)."
)
_TEXT: Final = (
    "Of each generator a finished trial with the most samples. Lighter and darker: the picture's "
    "latent shifted along v_l and v_d. Predictions: the pictures with the highest, the median and "
    "the lowest IoU."
)
_QUALITY: Final = 85
# Of the name of a user's own generator in a file's name, and of the digest that goes with it.
_LONGEST: Final = 80
_DIGITS: Final = 8
# Charts of a sweep, which a page draws itself.
_CHART: Final = "distance*.png"
_SAMPLES: Final = 6
_REJECTED: Final = 6
_OF_EACH_RANK: Final = 3
_CANDIDATES: Final = 64
# Side up to which pictures are shown twice as large.
_SMALL: Final = 48
# Settings that are said of each generator's trial.
_TOLD: Final = named("masks", "λ", "ε", "samples")


def make_sheet(image: Image.Image, *, caption: str, of: str = "") -> Sheet:
    """Compress an RGB picture for a page.

    Args:
        image: RGB.
        caption: Below it.
        of: The heading that it shares with its neighbours.
    """
    buffer, (width, height) = BytesIO(), image.size
    # WebP: a third of what it takes as PNG, with letters that stay sharp.
    image.save(buffer, format="WEBP", quality=_QUALITY, method=6)
    return Sheet(webp=buffer.getvalue(), width=width, height=height, caption=caption, of=of)


def left_pictures(folder: Path, generators: Iterable[str]) -> Section | None:
    """Show the contact sheets of generators that a sweep has left beside its rows.

    Args:
        folder: Such as ``results/all_gans_figures``; may be missing.
        generators: Catalogue names.

    Returns:
        A section with a sheet for each generator; None if there is none.

    Raises:
        ValueError: A file is damaged; the message names it.
    """
    names = {sheet_name(name): name for name in generators}
    found = _left(folder, lambda path: path.stem in names, names)
    return (
        Section(anchor="pictures", title="Pictures", text=(_LEFT,), parts=found) if found else None
    )


def left_figures(folder: Path, generators: Iterable[str] = ()) -> Section | None:
    """Show what else a sweep has drawn, such as strips or failure cases.

    Args:
        folder: Such as ``results/strips_figures``; may be missing.
        generators: Catalogue names, whose contact sheets are left out.

    Returns:
        A section with a sheet for each file; None if there is none.

    Raises:
        ValueError: A file is damaged; the message names it.
    """
    names = {sheet_name(name) for name in generators}
    found = _left(folder, lambda path: path.stem not in names and not path.match(_CHART), {})
    return Section(anchor="figures", title="Figures", parts=found) if found else None


def figures_folder(results: Path) -> Path:
    """Say where a sweep leaves what it draws."""
    return results.with_name(f"{results.name}_figures")


def sheet_name(generator: str) -> str:
    """Reduce a generator's name to what may be a file's, and no other generator's."""
    if own_file(generator) is None:
        return generator
    # The path tells A/mine.py from B/mine.py, but a file's name cannot hold it.
    return f"{Path(generator).name[-_LONGEST:].replace(':', '-')}-{digest(generator)[:_DIGITS]}"


def _left(
    folder: Path, shown: Callable[[Path], bool], captions: Mapping[str, str]
) -> tuple[Sheet, ...]:
    """Read the pictures of a folder that are to be shown, by name."""
    found = []
    for path in sorted(filter(shown, folder.glob("*.png")), key=lambda path: path.stem):
        try:
            with opened("Cannot read the picture {path}", path) as image:
                found.append(
                    make_sheet(image.convert("RGB"), caption=captions.get(path.stem, path.stem))
                )
        except UnreadableImageError as error:
            raise ValueError(
                f"{error}. Remove it, or write it again by running its sweep."
            ) from error
    return tuple(found)


def gallery_section(rows: pd.DataFrame, storage: Path, benchmarks: Sequence[str] = ()) -> Section:
    """Draw contact sheets of every generator whose trials are in the storage.

    Args:
        rows: Result rows.
        storage: The sweep's storage.
        benchmarks: Where benchmarks are, such as ``folder:PATH``; those that a row's own name
            opens, such as ``scenes``, need not be named.

    Returns:
        A section with up to three sheets for each generator and benchmark, and what is missing.

    Raises:
        ValueError: A named benchmark cannot be opened.
    """
    opened = {each.identity: each for each in map(open_benchmark, benchmarks)}
    parts: list[Part] = []
    missing: list[str] = []
    for _, row in _telling_rows(rows).iterrows():
        try:
            trace = find_trace(row, storage)
            if trace is None:
                missing.append(f"{row['generator']}: not in the storage.")
            else:
                parts += _sheets(row, trace, opened)
        # What is missing of one generator is no reason to lose the other sheets.
        except (ValueError, OSError) as error:
            missing.append(f"{row['generator']}: {str(error).splitlines()[0]}")
    text = (_TEXT, f"Without pictures: {' '.join(missing)}") if missing else (_TEXT,)
    return Section(anchor="pictures", title="Pictures", text=text, parts=tuple(parts))


def _telling_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Choose of each generator a row with the most samples, on its first benchmark.

    Of several it is the one whose settings come first in order, alike for all generators of a grid.
    """
    chosen = rows[(rows["method"] == "gan") & (rows["metric_profile"] == main_profile(rows))]
    keys = ["benchmark", *present(chosen, (*SETTINGS, *SEEDS)), "experiment"]
    directions = [True, False, *([True] * len(keys))]
    ordered = chosen.sort_values(["generator", "data_size", *keys], ascending=directions)
    return ordered.drop_duplicates("generator")


@torch.inference_mode()
def _sheets(row: "pd.Series", trace: Trace, opened: Mapping[str, Benchmark]) -> Iterator[Part]:
    origin = trace.origin
    of = f"{origin.generator}: {setting_text(row, _TOLD)}"
    # On the CPU: reports are written where there may be no GPU.
    generator = sampled_generator(origin.generator, "cpu", origin.config.latents)
    direction = Direction.load(origin.direction)
    shards = (trace.samples / shard_name(number) for number in itertools.count())
    # Of a selection the first shards may have kept nothing.
    samples = first_samples(map(load_stored, shards), min(_SAMPLES, trace.count))
    rows = sample_rows(samples, generator, direction, origin.config)
    yield _sheet(rows, SAMPLE_COLUMNS, (), of, "Accepted samples.")
    yield from _rejected_sheet(trace, generator, direction, of)
    benchmark = _benchmark(str(row["benchmark"]), trace, opened)
    if benchmark is not None:
        yield _prediction_sheet(trace, benchmark, str(row["metric_profile"]), of)


def _rejected_sheet(
    trace: Trace, generator: Generator, direction: Direction, of: str
) -> Iterator[Sheet]:
    """Show rejected ones of the first candidates with the reasons, if there are any."""
    config = replace(trace.origin.config, batch=_CANDIDATES)
    seen = review(generator, direction, config, 0)
    reasons = [reason for reason in seen.reasons if reason]
    if reasons:
        places = list(rejected_places([seen], _REJECTED // len(set(reasons))))
        shifted = next(iter(seen.shifted.values()))
        rows = [[seen.pictures[k], shifted[k], seen.masks[k]] for _, _, k in places]
        labels = [reason for reason, _, _ in places]
        told = f"{len(reasons)} of the first {_CANDIDATES}, with the filter that each one failed."
        yield _sheet(rows, ("picture", "shifted", "mask"), labels, of, f"Rejected: {told}")


def _prediction_sheet(trace: Trace, benchmark: Benchmark, profile: str, of: str) -> Sheet:
    """Show the pictures of a benchmark with the highest, the median and the lowest IoU."""
    scores = pd.read_parquet(trace.images)
    scores = scores[scores["profile"] == profile].reset_index(drop=True)
    places = {str(name): place for place, name in enumerate(scores["id"])}
    ranked = scores[scores["iou"].notna()].sort_values("iou", ascending=False, kind="stable")
    middle = max(0, len(ranked) // 2 - _OF_EACH_RANK // 2)
    picked = {
        "best": ranked.head(_OF_EACH_RANK),
        "median": ranked.iloc[middle : middle + _OF_EACH_RANK],
        "worst": ranked.tail(_OF_EACH_RANK),
    }
    predictor, size = load_predictor(trace.segmenters), trace.working_size or benchmark.working_size
    rows, labels = [], []
    for rank, chosen in picked.items():
        for line in chosen.itertuples():
            example = benchmark[places[str(line.id)]]
            # A folder's order is its names': one more picture, and all places are others.
            if example.id != str(line.id):
                raise ValueError(f"{benchmark.name} is not in the order in which it was scored.")
            rows.append(prediction_row(predictor, example, size))
            labels.append(f"{rank}: {line.iou:.2f}")
    told = f"Predictions on {benchmark.name}, with their IoU."
    return _sheet(rows, ("picture", "truth", "prediction"), labels, of, told)


def _benchmark(name: str, trace: Trace, opened: Mapping[str, Benchmark]) -> Benchmark | None:
    """Open what a trial was scored on, if it is at hand and still the same."""
    if trace.benchmark in opened or name.startswith("folder:"):
        return opened.get(trace.benchmark)  # a folder of this name may hold anything by now
    try:
        found = open_benchmark(name)
    except ValueError:
        return None
    return found if found.identity == trace.benchmark else None


def _sheet(
    rows: Sequence[Cells], columns: Sequence[str], labels: Sequence[str], of: str, caption: str
) -> Sheet:
    side = rows[0][0].shape[-1]
    tile = 2 * side if side <= _SMALL else min(side, 128)
    sheet = contact_sheet(rows, tile=tile, columns=columns, labels=labels)
    return make_sheet(sheet, caption=caption, of=of)
