"""What all charts share: the frame with title and legend, markers, and labels that keep apart.

The classes ``c0`` to ``c7``, ``grid``, ``tick``, ``name``, ``band``, ... get their colours from
`gseg.reports.style`, so that a chart follows light, dark and print. A point's numbers appear when
one points at it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from gseg.reports.axes import Axis

LEFT, RIGHT, TOP, BOTTOM = 62.0, 446.0, 34.0, 270.0
"""The area of the values."""
COLOURS: Final = 8
_WIDTH: Final = 460
_LEGEND_LINE: Final = 16
_LETTER, _CAPITAL = 6.6, 8.2
"""Widths of letters of labels."""
_SHAPES: Final = ("circle", "square", "diamond", "triangle")

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A point of a scatter chart.

    Attributes:
        x: Place.
        y: Place.
        label: Written beside it.
        group: Number of its kind, which decides colour and shape.
        spread: Deviation of y; 0 draws none.
    """

    x: float
    y: float
    label: str
    group: int = 0
    spread: float = 0.0


def chart(title: str, body: Sequence[str], legend: Sequence[str], bottom: float = BOTTOM) -> str:
    """Put a title above and a legend below.

    Args:
        title: Above; what the chart is called for those who do not see it.
        body: SVG elements of the chart.
        legend: Names of groups 0, 1, ...; none for no legend.
        bottom: Where the values' area ends.

    Returns:
        An ``<svg>`` element.
    """
    entries, lines = _legend(legend, bottom + 54)
    height = bottom + 46 + (lines * _LEGEND_LINE + 4 if legend else 0)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>'
        f"{''.join(body)}{entries}</svg>"
    )


def _legend(names: Sequence[str], top: float) -> tuple[str, int]:
    """Write markers with names in as many lines as they need."""
    parts = []
    x, line = LEFT, 0
    for number, name in enumerate(names):
        width = 28 + _width(name)
        if x > LEFT and x + width > RIGHT:
            x, line = LEFT, line + 1
        y = top + line * _LEGEND_LINE
        parts.append(marker(x + 5, y - 4, number))
        parts.append(f'<text class="tick" x="{x + 14:.1f}" y="{y:.1f}">{escape(name)}</text>')
        x += width
    return "".join(parts), line + 1


def draw_point(point: Point, x: Axis, y: Axis) -> str:
    """Draw a point with its deviation, and its numbers for whoever points at it.

    Args:
        point: The point; its label is not written.
        x: Horizontal axis.
        y: Vertical axis.

    Returns:
        An SVG element.
    """
    a, b = x.at(point.x), y.at(point.y)
    about = f"{point.label}: {point.x:.6g}, {point.y:.3f}"
    bar = ""
    if point.spread > 0:
        about += f" ± {point.spread:.3f}"
        top, bottom = y.at(point.y + point.spread), y.at(point.y - point.spread)
        colour = point.group % COLOURS
        bar = (
            f'<line class="spread s{colour}" x1="{a:.1f}" x2="{a:.1f}" '
            f'y1="{top:.1f}" y2="{bottom:.1f}"/>'
        )
    return f"<g><title>{escape(about)}</title>{bar}{marker(a, b, point.group)}</g>"


def marker(x: float, y: float, group: int) -> str:
    """Draw a point in its group's colour and shape, so that colour alone decides nothing."""
    colour = group % COLOURS
    shape = _SHAPES[(group // COLOURS + group) % len(_SHAPES)]
    if shape == "circle":
        return f'<circle class="c{colour}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    corners = {
        "square": ((-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)),
        "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
        "triangle": ((0, -5), (4.6, 3.6), (-4.6, 3.6)),
    }[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="c{colour}" points="{points}"/>'


def draw_labels(points: Sequence[Point], x: Axis, y: Axis) -> str:
    """Write labels beside the points, each where it covers least of what is there already."""
    taken = [box for point in points for box in _boxes(point, x, y)]
    parts = []
    for point in points:
        a, b, width = x.at(point.x), y.at(point.y), _width(point.label)
        places = [(a + 7, b + 4), (a - 7 - width, b + 4), (a - width / 2, b - 8)]
        places += [(a - width / 2, b + 16), (a + 6, b - 6), (a + 6, b + 14)]
        places += [(a - 6 - width, b - 6), (a - 6 - width, b + 14)]
        left, base = min(places, key=lambda place: _cost(place, width, taken))
        taken.append((left, base - 9, left + width, base + 2))
        parts.append(
            f'<text class="label" x="{left:.1f}" y="{base:.1f}">{escape(point.label)}</text>'
        )
    return "".join(parts)


def _width(text: str) -> float:
    return sum(_CAPITAL if letter.isupper() else _LETTER for letter in text)


def _boxes(point: Point, x: Axis, y: Axis) -> list[Box]:
    """Say what a point and the bar of its deviation cover."""
    a, b = x.at(point.x), y.at(point.y)
    top, bottom = y.at(point.y + point.spread), y.at(point.y - point.spread)
    return [(a - 5, b - 5, a + 5, b + 5), (a - 2, top, a + 2, bottom)]


def _cost(place: tuple[float, float], width: float, taken: Sequence[Box]) -> float:
    left, base = place
    right, top, bottom = left + width, base - 9, base + 2
    covered = sum(
        max(0.0, min(right, c) - max(left, a)) * max(0.0, min(bottom, d) - max(top, b))
        for a, b, c, d in taken
    )
    outside = max(0.0, LEFT - left) + max(0.0, right - _WIDTH) + max(0.0, TOP - top)
    return covered + 100 * outside
