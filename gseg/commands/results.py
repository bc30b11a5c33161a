"""``gseg curves``, ``report`` and ``published``: pictures, pages and tables of results."""

from pathlib import Path

from gseg.commands.app import OutFolder, OutPicture, console
from gseg.commands.given import check_apart, needs, only_with
from gseg.storage.files import format_bytes


def curves(path: Path, /, *, out: OutPicture = Path("losses.png")) -> int:
    """Draw the loss curves of trainings.

    Losses and held-out scores are drawn, of unfinished trainings as far as their last checkpoint.

    Args:
        path: A sweep's storage, a folder segmenter/HASH of it, or a file losses.parquet.
        out: Picture to write.

    Raises:
        ValueError: There are no curves, or a file is damaged.
    """
    from gseg.reports.losses import curves_figure
    from gseg.segmenters.curves import find_curves

    check_apart({"--out": out}, {"PATH": path})
    found = find_curves(path)
    for curve in found:
        table = curve.table
        measured = table.get("validation_iou", table.iloc[:0, 0]).dropna()  # none, if none was
        held_out = f", held-out IoU {measured.iloc[-1]:.3f}" if len(measured) else ""
        console().print(
            f"{curve.name}: {int(table['step'].iloc[-1]):,} steps, loss "
            f"{table['loss'].iloc[-1]:.4f}{held_out}{'' if curve.finished else ', unfinished'}"
        )
    curves_figure(out, found, title=str(path))
    console().print(f"figure: {out}")
    return 0


@needs(only_with("--storage", "--benchmark", value="DIR"))
def report(
    results: Path,
    /,
    *,
    out: OutFolder | None = None,
    storage: Path | None = None,
    benchmark: tuple[str, ...] = (),
) -> int:
    """Write a report of results.

    It is a page of charts, tables and pictures that needs no network, and the tables as CSV and
    Markdown; of a folder of several results, one for each and index.html.

    Args:
        results: Folder of rows, such as results/all_gans, or a folder of such folders.
        out: Folder of the report, made if missing; without it RESULTS_report, of several RESULTS.
        storage: The sweep's storage: adds pictures of each generator's samples and predictions.
        benchmark: Where the sweep's folder benchmarks are (folder:PATH), for pictures of
            predictions; scenes need not be named.

    Raises:
        ValueError: There are no rows, or no such storage or benchmark.
    """
    from gseg.pipeline.rows import results as read_results
    from gseg.reports.galleries import gallery_section
    from gseg.reports.report import has_rows, is_plain, result_folders, write_index, write_report

    one = has_rows(results) or is_plain(results) or not results.is_dir()
    check_apart({"--out": out}, {"RESULTS": results if one else None, "--storage": storage})
    if storage is not None and not storage.is_dir():
        raise ValueError(f"there is no folder {storage}; --storage names that of the sweep.")

    def write(folder: Path, target: Path | None) -> Path:
        gallery = None
        if storage is not None and has_rows(folder):
            gallery = gallery_section(read_results(folder), storage, benchmark)
        page = write_report(folder, target, gallery=gallery)
        console().print(f"{page}: {format_bytes(page.stat().st_size)}")
        return page

    several = [] if one else result_folders(results)
    if not several:
        folder = write(results, out).parent
        console().print(f"tables: {folder / 'report.md'}, {folder / 'tables'}")
        return 0
    above = out or results
    pages = {each: write(each, above / f"{each.name}_report") for each in several}
    console().print(f"all reports: {write_index(above, pages)}")
    return 0


def published(*, out: OutFolder = Path("results/published")) -> int:
    """Write every number of both papers' results tables as one Parquet file.

    Args:
        out: Folder of tables.parquet, made if missing.
    """
    from gseg.recipes.published.cells import published_tables, unreadable_cells, write_published

    path, table = write_published(out), published_tables()
    console().print(
        f"{path}: {len(table)} numbers, {int(table['suspect'].sum())} of them suspect; "
        f"{len(unreadable_cells())} more are unreadable in the papers' text"
    )
    return 0
