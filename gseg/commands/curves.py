"""``gseg curves``: a picture of how trainings went, or are going."""

import argparse

from rich.console import Console

from gseg.reports.losses import curves_figure
from gseg.segmenters.curves import find_curves


def draw(options: argparse.Namespace, console: Console) -> int:
    """Draw loss curves.

    Args:
        options: ``path``, ``out``.
        console: Hears what was found, and where the picture is.

    Returns:
        Exit status 0.

    Raises:
        ValueError: There are no curves, or a file is damaged.
    """
    curves = find_curves(options.path)
    for curve in curves:
        last = curve.table.iloc[-1]
        state = "" if curve.finished else ", unfinished"
        iou = curve.table.get("validation_iou")
        known = iou.dropna() if iou is not None else None
        measured = (
            f", held-out IoU {known.iloc[-1]:.3f}" if known is not None and len(known) else ""
        )
        console.print(
            f"{curve.name}: {int(last['step']):,} steps, loss {last['loss']:.4f}{measured}{state}",
            markup=False,
        )
    curves_figure(options.out, curves, title=str(options.path))
    console.print(f"figure: {options.out}", markup=False)
    return 0
