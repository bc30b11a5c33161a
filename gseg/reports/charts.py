"""Charts as SVG: points with a line and its confidence band, and curves."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gseg.reports.axes import Axis, draw_axes, spanning, tick_text
from gseg.reports.drawing import (
    BOTTOM,
    COLOURS,
    LEFT,
    RIGHT,
    TOP,
    Point,
    chart,
    draw_labels,
    draw_point,
)
from gseg.reports.statistics import Band

_ROOM: Final = 42.0
"""Distance between two marks of an axis whose numbers do not touch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A curve.

    Attributes:
        name: For the legend.
        x: Ascending.
        y: As many.
        spread: Deviations of y, as many; 0 where not known.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float]


def scatter_chart(
    points: Sequence[Point],
    *,
    title: str,
    x_label: str,
    y_label: str,
    band: Band | None = None,
    groups: Sequence[str] = (),
    reverse_x: bool = True,
) -> str:
    """Draw labelled points.

    Args:
        points: At least one.
        title: Above.
        x_label: Below.
        y_label: At the left.
        band: A line with its confidence band.
        groups: Names of the points' groups, for a legend.
        reverse_x: Small values stand at the right, as in Figure 4 of Melas 2022.

    Returns:
        An ``<svg>`` element.
    """
    ends = (RIGHT, LEFT) if reverse_x else (LEFT, RIGHT)
    x = spanning(x_label, [point.x for point in points], *ends)
    edges = [point.y + sign * point.spread for point in points for sign in (-1, 1)]
    y = spanning(y_label, edges, BOTTOM, TOP, most=None)
    body = [draw_axes(x, y)]
    if band is not None:
        body.append(_draw_band(band, x, y))
    body += [draw_point(point, x, y) for point in points]
    body.append(draw_labels(points, x, y))
    return chart(title, body, list(groups))


def curve_chart(
    curves: Sequence[Curve], *, title: str, x_label: str, y_label: str, logarithmic: bool = True
) -> str:
    """Draw curves with the deviations of their points.

    Args:
        curves: At least one, each with at least one point.
        title: Above.
        x_label: Below.
        y_label: At the left.
        logarithmic: Whether the horizontal axis is.

    Returns:
        An ``<svg>`` element.
    """
    places = [value for curve in curves for value in curve.x]
    edges = [
        value + sign * spread
        for curve in curves
        for value, spread in zip(curve.y, curve.spread, strict=True)
        for sign in (-1, 1)
    ]
    x = _marked(spanning(x_label, places, LEFT, RIGHT, logarithmic=logarithmic), places)
    y = spanning(y_label, edges, BOTTOM, TOP)
    body = [draw_axes(x, y)]
    for number, curve in enumerate(curves):
        colour = number % COLOURS
        pairs = list(zip(curve.x, curve.y, curve.spread, strict=True))
        line = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b, _ in pairs)
        body.append(f'<polyline class="line s{colour}" points="{line}"/>')
        body += [
            draw_point(
                Point(x=a, y=b, spread=c, label=f"{curve.name}, {tick_text(a)}", group=number), x, y
            )
            for a, b, c in pairs
        ]
    return chart(title, body, [curve.name for curve in curves])


def _marked(axis: Axis, values: Sequence[float]) -> Axis:
    """Mark the very values, if their numbers have room beside each other."""
    marks = sorted(set(values))
    places = [axis.at(value) for value in marks]
    apart = min((b - a for a, b in itertools.pairwise(places)), default=_ROOM)
    return replace(axis, marks=tuple(marks)) if apart >= _ROOM else axis


def _draw_band(band: Band, x: Axis, y: Axis) -> str:
    def place(a: float, b: float) -> str:
        return f"{x.at(a):.1f},{y.at(b):.1f}"

    upper = [place(a, b) for a, b in zip(band.x, band.high, strict=True)]
    lower = [place(a, b) for a, b in zip(band.x[::-1], band.low[::-1], strict=True)]
    line = [place(a, b) for a, b in zip(band.x, band.line, strict=True)]
    width, height = RIGHT - LEFT, BOTTOM - TOP  # a drawing of its own cuts off what leaves it
    return (
        f'<svg x="{LEFT}" y="{TOP}" width="{width}" height="{height}" '
        f'viewBox="{LEFT} {TOP} {width} {height}">'
        f'<polygon class="band" points="{" ".join(upper + lower)}"/>'
        f'<polyline class="fit" points="{" ".join(line)}"/></svg>'
    )
