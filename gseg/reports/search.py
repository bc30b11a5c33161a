"""What a search found: a table of its best points, and a picture of all of them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from rich.table import Table

from gseg.reports.charts import drawing, save_picture, set_logarithmic
from gseg.search.objectives import Objective
from gseg.search.records import Record, best_points
from gseg.search.space import Parameter, Space

_MOST_LINES: Final = 10
_COLUMNS: Final = 3
_MARGIN: Final = 0.04


def search_table(
    records: Sequence[Record], space: Space, objectives: Sequence[Objective], title: str
) -> Table:
    """Lay out the best points.

    Args:
        records: Points of the search.
        space: Its settings, a column each.
        objectives: A column each.
        title: Above.

    Returns:
        The ten best by one objective, or all points that no other beats in several.
    """
    best = best_points(records, objectives)
    table = Table(title=title)
    names = [name.replace("_", " ") for name in space.names]
    for heading in ("point", *names, *map(_heading, objectives), "seconds"):
        table.add_column(heading, justify="right")
    # Of points that no other beats in several, all are as good as the first.
    for record in best if len(objectives) > 1 else best[:_MOST_LINES]:
        settings = [_shown(record.parameters.get(name)) for name in space.names]
        values = [f"{record.values[each.name]:.4f}" for each in objectives]
        table.add_row(f"#{record.number}", *settings, *values, f"{record.seconds:,.0f}")
    return table


def _heading(objective: Objective) -> str:
    return f"{objective.name.replace('_', ' ')} ({objective.goal})"


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def draw_search(
    path: Path,
    records: Sequence[Record],
    space: Space,
    objectives: Sequence[Objective],
    *,
    title: str,
) -> bool:
    """Draw each objective over each setting, and two objectives against each other.

    Points that were stopped early stand as crosses at the bottom: their objective is not known.

    Args:
        path: PNG file.
        records: Points of the search.
        space: Its settings.
        objectives: What it looked for.
        title: Above.

    Returns:
        Whether there was anything to draw.
    """
    complete = best_points(records, objectives[:1])
    if not complete:
        return False
    panels = [(objective, parameter) for objective in objectives for parameter in space.parameters]
    fronts = int(len(objectives) == 2)
    columns = min(_COLUMNS, len(panels) + fronts)
    rows = math.ceil((len(panels) + fronts) / columns)
    with drawing(3.4 * columns, 2.9 * rows + 0.3, title) as figure:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        if fronts:
            _draw_front(axes[0], complete, *objectives)
        for panel, (objective, parameter) in zip(axes[fronts:], panels, strict=False):
            _draw_panel(panel, records, objective, parameter)
        for panel in axes[fronts + len(panels) :]:
            panel.set_axis_off()
        save_picture(figure, path)
    return True


def _draw_panel(
    axes: Axes, records: Sequence[Record], objective: Objective, parameter: Parameter
) -> None:
    name = parameter.name
    known = [each for each in records if name in each.parameters]
    complete = best_points(known, [objective])
    pruned = [each for each in known if each.state == "pruned"]
    # As text: the values of a setting may be words and numbers.
    places: list[Any] = sorted({each.parameters[name] for each in (*complete, *pruned)}, key=str)
    at = dict(zip(places, places, strict=True))
    if any(isinstance(place, str) for place in places):
        # Not Matplotlib's own axis of words, which is in the order of appearance.
        at = dict(zip(places, range(len(places)), strict=True))
        axes.set_xticks(range(len(places)), list(map(str, places)), rotation=30, ha="right")
    elif not parameter.choices:
        _show_range(axes, parameter)
    found = [(at[each.parameters[name]], each.values[objective.name]) for each in complete]
    if found:
        axes.scatter([x for x, _ in found], [y for _, y in found], s=22, color="C0")
        # The first one is the best.
        axes.scatter(*found[0], s=90, edgecolor="C3", facecolor="none", linewidth=1.5)
    crosses = [at[each.parameters[name]] for each in pruned]
    bottom = axes.get_xaxis_transform()
    look: dict[str, Any] = {"marker": "x", "s": 20, "color": "0.5", "clip_on": False}
    axes.scatter(crosses, [0.02] * len(crosses), transform=bottom, **look)
    axes.set(xlabel=name.replace("_", " "), ylabel=_heading(objective))


def _show_range(axes: Axes, parameter: Parameter) -> None:
    """Lay out an axis over the whole range of a setting."""
    if parameter.scale == "log":
        set_logarithmic(axes)
    # On the axis' own scale: margins of a logarithmic one are equal, too.
    low, high = axes.transScale.transform([(parameter.low, 1), (parameter.high, 1)])[:, 0]
    margin = (high - low) * _MARGIN
    ends = [(low - margin, 0), (high + margin, 0)]
    axes.set_xlim(axes.transScale.inverted().transform(ends)[:, 0].tolist())


def _draw_front(
    axes: Axes, complete: Sequence[Record], first: Objective, second: Objective
) -> None:
    both = [each for each in complete if second.name in each.values]
    front = best_points(both, [first, second])
    for points, look, colour in ((both, "o", "0.6"), (front, "o-", "C3")):
        x, y = ([each.values[goal.name] for each in points] for goal in (first, second))
        axes.plot(x, y, look, color=colour, markersize=5, linewidth=1)
    axes.set(title="not beaten in both", xlabel=_heading(first), ylabel=_heading(second))
