"""Charts: points with a line and its confidence band, curves, and heat maps, drawn by Matplotlib.

A page takes a chart as SVG. Its colours are variables of the page's style sheet, so that it follows
light, dark and print, and a point's numbers appear when one points at it. Nothing here changes
Matplotlib's state: figures are not pyplot's, and settings end with `drawing`.
"""

import hashlib
import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from gseg.reports.statistics import Band
from gseg.storage.files import replacing

_STYLE: Final = mpl.rc_params_from_file(
    Path(__file__).parent / "templates" / "charts.mplstyle", use_default_template=False
)
_COLOURS: Final[list[str]] = _STYLE["axes.prop_cycle"].by_key()["color"]
_DIM: Final[str] = _STYLE["xtick.labelcolor"]
# A chart's colours in light, and the page's variables in their place: see style.css.
_VARIABLES: Final = {_STYLE["text.color"]: "ink", _DIM: "dim", _STYLE["grid.color"]: "rule"} | {
    colour: f"c{number}" for number, colour in enumerate(_COLOURS)
}
_MARKERS: Final = "osD^"
_WIDTH, _HEIGHT = 460, 310
# Pixels between two marks of an axis whose numbers do not touch.
_APART: Final = 42
# Where a point's label may begin: pixels right and up.
_BESIDE: Final = ((7, 0), (-7, 0), (0, 6), (0, -6), (5, 5), (5, -5), (-5, 5), (-5, -5))


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A point of a chart.

    Attributes:
        x: Place.
        y: Place.
        label: Written beside it.
        group: Number of its kind, which decides colour and shape.
        spread: Deviation of y; 0 draws none.
    """

    x: float
    y: float
    label: str = ""
    group: int = 0
    spread: float = 0.0


def scatter_chart(
    points: Sequence[Point],
    *,
    title: str,
    x_label: str,
    y_label: str,
    band: Band | None = None,
    groups: Sequence[str] = (),
) -> str:
    """Draw labelled points; small x stand at the right, as in Figure 4 of Melas 2022.

    Args:
        points: At least one.
        title: Above.
        x_label: Below.
        y_label: At the left.
        band: A line with its confidence band.
        groups: Names of the points' groups, for a legend.

    Returns:
        An ``<svg>`` element.
    """
    with _chart(title, x_label, y_label, groups) as (figure, axes):
        _draw_points(axes, points)
        if band is not None:
            # It widens far beyond the points and is cut off where they end.
            axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
            grey: dict[str, Any] = {"color": _DIM, "gid": "band|"}
            axes.fill_between(band.x, band.low, band.high, alpha=0.16, linewidth=0, **grey)
            axes.plot(band.x, band.line, "--", linewidth=1.4, **grey)
        _lay_out(figure)
        _draw_labels(axes, points)
        return _to_svg(figure, title)


def scatter_picture(
    path: Path,
    panels: Mapping[tuple[str, str], Sequence[Point]],
    *,
    title: str,
    x_label: str,
    groups: Sequence[str],
) -> None:
    """Draw what `scatter_chart` draws as a PNG file of several panels.

    Args:
        path: The file.
        panels: What y is and the heading of each panel, and its points.
        title: Above.
        x_label: Below.
        groups: Names of the points' groups, for a legend.
    """
    with drawing(6 * len(panels), 5.6, title) as figure:
        _draw_legend(figure, groups)
        every = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, ((y_label, heading), points) in zip(every, panels.items(), strict=True):
            axes.set(xlabel=x_label, ylabel=y_label, title=heading)
            _draw_points(axes, points)
        _lay_out(figure)
        for axes, points in zip(every, panels.values(), strict=True):
            _draw_labels(axes, points)
        save_picture(figure, path)


def curve_chart(
    curves: Mapping[str, Sequence[Point]], *, title: str, x_label: str, y_label: str
) -> str:
    """Draw curves with the deviations of their points over a logarithmic axis.

    Args:
        curves: At least one: its name, and its points in order; their labels are not written.
        title: Above.
        x_label: Below.
        y_label: At the left.

    Returns:
        An ``<svg>`` element.
    """
    with _chart(title, x_label, y_label, list(curves)) as (figure, axes):
        set_logarithmic(axes)
        for group, (name, points) in enumerate(curves.items()):
            colour = _look(group)["color"]
            x, y = [point.x for point in points], [point.y for point in points]
            axes.plot(x, y, color=colour, linewidth=1.6, gid="curve|")
            for point in points:
                _draw_point(axes, point, group, f"{name}, {_tick_text(point.x)}")
        _lay_out(figure)
        # The measured sizes themselves, where their numbers do not touch.
        marks = sorted({point.x for points in curves.values() for point in points})
        if (np.diff(axes.transData.transform([(x, 0) for x in marks])[:, 0]) >= _APART).all():
            axes.set_xticks(marks)
        return _to_svg(figure, title)


def heat_chart(values: pd.DataFrame, *, title: str, x_label: str, y_label: str) -> str:
    """Draw numbers with three digits in coloured cells, the first row above; NaN stays empty.

    Args:
        values: Its index and columns, numbers, are written beside the cells.
        title: Above.
        x_label: What the columns are.
        y_label: What the rows are.

    Returns:
        An ``<svg>`` element.
    """
    numbers = values.to_numpy(dtype=np.float64)
    height = 76 + min(len(numbers) * 56, 240)
    with _chart(title, x_label, y_label, height=height) as (figure, axes):
        cells = axes.pcolormesh(np.ma.masked_invalid(numbers), cmap="viridis")
        for (row, column), number in np.ndenumerate(numbers):
            if not np.isnan(number):
                # Dark letters on bright cells: luma as in Rec. 601.
                bright = np.dot(cells.to_rgba(number)[:3], (0.299, 0.587, 0.114)) > 0.55
                shown: dict[str, Any] = {"color": "#000" if bright else "#fff", "gid": "cell|"}
                place = (column + 0.5, row + 0.5)
                axes.text(*place, f"{number:.3f}", ha="center", va="center", **shown)
        for axis, names in ((axes.xaxis, values.columns), (axes.yaxis, values.index)):
            axis.set_ticks(np.arange(len(names)) + 0.5, [f"{name:g}" for name in names])
        axes.grid(visible=False)
        axes.invert_yaxis()
        _lay_out(figure)
        return _to_svg(figure, title)


@contextmanager
def drawing(width: float, height: float, title: str = "") -> Iterator[Figure]:
    """Begin a figure of so many inches in the charts' style, which holds inside the block."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        if title:
            figure.suptitle(title, weight="bold")
        yield figure


def save_picture(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write a figure as a PNG file."""
    with replacing(path) as part, warnings.catch_warnings():
        # Names of files and folders may hold what the font does not: it is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(part, format="png", dpi=dpi)


def _lay_out(figure: Figure) -> None:
    """Place what has been drawn; what comes later moves nothing."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    # Saving would do it once more, and draw everything twice for that.
    figure.set_layout_engine(None)


def _draw_legend(figure: Figure, names: Sequence[str]) -> None:
    """Write the names of groups 0, 1, ... with their markers below a figure's panels."""
    looks = [{"label": name, **_look(group)} for group, name in enumerate(names)]
    handles = [Line2D([], [], **look) for look in looks]
    columns = _legend_columns(names)
    if names:
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, handletextpad=0.2)


def _draw_points(axes: Axes, points: Sequence[Point]) -> None:
    """Draw points without their labels, see `scatter_chart`."""
    for point in points:
        _draw_point(axes, point, point.group, f"{point.label}: {point.x:.6g}")
    axes.locator_params(nbins=6)
    axes.invert_xaxis()


def _draw_labels(axes: Axes, points: Sequence[Point]) -> None:
    """Write labels beside points, each where it covers least of what is there already.

    The figure is laid out: only then it is known where the points lie.
    """
    taken = []
    for point in points:
        ends = [(point.x, point.y + sign * point.spread) for sign in (-1, 1)]
        low, high = axes.transData.transform(ends)
        # The bar of the deviation, and the marker.
        taken += [Bbox([low, high]).padded(2), Bbox([(low + high) / 2] * 2).padded(5)]
    for point in points:
        place = (point.x, point.y)
        label = axes.annotate(point.label, place, (0, 0), textcoords="offset points", gid="label|")
        costs = [_cost(_put(label, beside), taken, axes.bbox) for beside in _BESIDE]
        # Of equally good places the first one, at the right.
        taken.append(_put(label, _BESIDE[costs.index(min(costs))]))


def set_logarithmic(axes: Axes) -> None:
    """Make equal distances of x equal ratios, and write its numbers as people do."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick_text(value)))
    axes.xaxis.set_minor_locator(NullLocator())


@contextmanager
def _chart(
    title: str, x_label: str, y_label: str, names: Sequence[str] = (), height: float = _HEIGHT
) -> Iterator[tuple[Figure, Axes]]:
    """Begin a chart with one panel, whose legend makes it higher."""
    height += 17 * math.ceil(len(names) / _legend_columns(names))
    with drawing(_WIDTH / 72, height / 72) as figure:
        _draw_legend(figure, names)
        axes = figure.subplots()
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        yield figure, axes


def _legend_columns(names: Sequence[str]) -> int:
    letters = max(map(len, names), default=0)
    return max(1, min(len(names), 58 // (letters + 6)))


def _look(group: int) -> dict[str, Any]:
    """Give a group's colour and shape, so that colour alone decides nothing."""
    # The ninth group has the first colour again, but another shape.
    marker = _MARKERS[(group // len(_COLOURS) + group) % len(_MARKERS)]
    return {"color": _COLOURS[group % len(_COLOURS)], "marker": marker, "linestyle": ""}


def _draw_point(axes: Axes, point: Point, group: int, about: str) -> None:
    """Draw a point with its deviation, and its numbers for whoever points at it."""
    told = f"{about}, {point.y:.3f}" + (f" ± {point.spread:.3f}" if point.spread else "")
    look = {**_look(group), "markersize": 7, "elinewidth": 1.2, "gid": f"point|{told}"}
    axes.errorbar(point.x, point.y, point.spread or None, **look)


def _put(label: Annotation, beside: tuple[int, int]) -> Bbox:
    """Move a label, and say what it covers then."""
    right, up = np.sign(beside)
    sides = {"ha": ("center", "left", "right")[right], "va": ("center", "bottom", "top")[up]}
    label.set(position=beside, **sides)
    return label.get_window_extent()


def _cost(box: Bbox, taken: Sequence[Bbox], panel: Bbox) -> float:
    """Add up the pixels that a label covers, and by how many it leaves the panel."""
    common = [Bbox.intersection(box, other) for other in taken]
    covered = sum(each.width * each.height for each in common if each is not None)
    # What leaves the panel is cut off: worse than to cover another label.
    inside = Bbox.intersection(box, panel.expanded(1.04, 1.1))
    return covered + 100 * (box.width - (inside.width if inside else 0))


def _tick_text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.6g}"


def _to_svg(figure: Figure, title: str) -> str:
    """Write a figure for a page: colours as variables, and no id that another chart may have."""
    file = io.StringIO()
    # A date or a version would make the same page another file.
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = re.sub(r"\s+", " ", file.getvalue().partition("<svg")[2]).replace("> <", "><").strip()
    # The style would hold for the whole page; empty groups and turns by nothing are many.
    svg = re.sub(r'<style.*?</style>|<g id="[^"]*"/>| transform="rotate\(-0 [^"]*\)"', "", svg)
    # What was drawn with the id "kind|title" gets that class and a tooltip.
    svg = re.sub(r'<g id="(\w+)\|([^"]*)">', r'<g class="\1"><title>\2</title>', svg)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg).replace("<title></title>", "")
    # Charts give the same ids to different things; in one page they must not meet.
    salt = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{salt}", svg)
    for colour, variable in _VARIABLES.items():
        # The colour itself stays behind: an SVG taken out of its page has no variables.
        svg = svg.replace(colour, f"var(--{variable},{colour})")
    size = re.compile(r' width="[\d.]+pt" height="[\d.]+pt"')
    return f'<svg role="img" aria-label="{escape(title)}" {size.sub("", svg, count=1)}'
