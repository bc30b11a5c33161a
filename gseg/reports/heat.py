"""Heat maps: a score over two settings, as a table and as SVG."""

from html import escape
from typing import Final

import numpy as np
import pandas as pd

from gseg.reports.drawing import BOTTOM, LEFT, RIGHT, TOP, chart

_TALLEST: Final = 56.0
_SCALE: Final = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_BRIGHT: Final = 140


def heat_map(rows: pd.DataFrame, *, down: str, across: str, score: str = "iou") -> pd.DataFrame:
    """Average a score over two settings.

    Args:
        rows: Result rows of one generator, benchmark and metric profile.
        down: Column whose values become rows.
        across: Column whose values become columns.
        score: Column of the score.

    Returns:
        Means over everything else (such as seeds), ascending in both settings; empty where there
        is no row.
    """
    numbers = rows.astype({score: float})
    found = numbers.pivot_table(index=down, columns=across, values=score, aggfunc="mean")
    return found.sort_index().sort_index(axis=1)


def heat_chart(
    values: pd.DataFrame, *, title: str, x_label: str, y_label: str, digits: int = 3
) -> str:
    """Draw a table of numbers as coloured cells.

    Args:
        values: Index: rows, from top to bottom; columns from left to right; empty cells stay so.
        title: Above.
        x_label: What the columns are.
        y_label: What the rows are.
        digits: Decimal places.

    Returns:
        An ``<svg>`` element.
    """
    numbers = values.to_numpy(dtype=np.float64)
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    shares = (numbers - low) / (high - low) if high > low else np.full_like(numbers, 0.5)
    width = (RIGHT - LEFT) / numbers.shape[1]
    height = min((BOTTOM - TOP) / numbers.shape[0], _TALLEST)
    bottom = TOP + numbers.shape[0] * height
    body = []
    for row, name in enumerate(values.index):
        middle = TOP + (row + 0.5) * height
        body.append(_text("tick", LEFT - 6, middle + 4, _axis_value(name), anchor="end"))
        for column in range(numbers.shape[1]):
            corner = (LEFT + column * width, TOP + row * height)
            shown = f"{numbers[row, column]:.{digits}f}"
            body.append(_cell(corner, (width, height), float(shares[row, column]), shown))
    for column, name in enumerate(values.columns):
        body.append(_text("tick", LEFT + (column + 0.5) * width, bottom + 16, _axis_value(name)))
    body.append(_text("name", (LEFT + RIGHT) / 2, bottom + 34, x_label))
    middle = (TOP + bottom) / 2
    body.append(_text("name", 18, middle, y_label, turned=True))
    return chart(title, body, [], bottom=bottom)


def _cell(corner: tuple[float, float], size: tuple[float, float], share: float, shown: str) -> str:
    """Draw one cell; a missing value (NaN) is an empty frame."""
    (x, y), (width, height) = corner, size
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    if np.isnan(share):
        return f'<rect class="none" {place}/>'
    red, green, blue = _colour(share)
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > _BRIGHT
    return (
        f'<rect {place} fill="rgb({red},{green},{blue})"/>'
        f'<text class="cell {"b" if bright else "w"}" x="{x + width / 2:.1f}" '
        f'y="{y + height / 2 + 4:.1f}" text-anchor="middle">{shown}</text>'
    )


def _text(
    kind: str, x: float, y: float, text: str, *, anchor: str = "middle", turned: bool = False
) -> str:
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>'
        f"{escape(text)}</text>"
    )


def _colour(share: float) -> tuple[int, int, int]:
    """Blend between the stops of the scale; share is in [0, 1]."""
    place = share * (len(_SCALE) - 1)
    stop = min(int(place), len(_SCALE) - 2)
    part = place - stop
    red, green, blue = (
        round(a + (b - a) * part) for a, b in zip(_SCALE[stop], _SCALE[stop + 1], strict=True)
    )
    return red, green, blue


def _axis_value(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
