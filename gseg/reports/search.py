"""What a search found: a table of its best points, and a picture of all of them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from rich.table import Table

from gseg.search.objectives import Objective
from gseg.search.records import Record, best_points
from gseg.search.space import Parameter, Space
from gseg.storage.store import replacing

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
    table.add_column("point", justify="right")
    for name in space.names:
        table.add_column(name.replace("_", " "), justify="right")
    for objective in objectives:
        table.add_column(f"{objective.name.replace('_', ' ')} ({objective.goal})", justify="right")
    table.add_column("seconds", justify="right")
    for record in best if len(objectives) > 1 else best[:_MOST_LINES]:
        settings = [_shown(record.parameters.get(name)) for name in space.names]
        values = [f"{record.values[each.name]:.4f}" for each in objectives]
        table.add_row(f"#{record.number}", *settings, *values, f"{record.seconds:,.0f}")
    return table


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
    count = len(panels) + (len(objectives) == 2)
    columns = min(_COLUMNS, count)
    rows = math.ceil(count / columns)
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(3.4 * columns, 2.9 * rows + 0.3), layout="constrained")
        figure.suptitle(title)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        if len(objectives) == 2:
            _draw_front(axes[0], complete, objectives)
        for panel, (objective, parameter) in zip(axes[count - len(panels) :], panels, strict=False):
            _draw_panel(panel, records, objective, parameter)
        for panel in axes[count:]:
            panel.set_axis_off()
        with replacing(path) as part:
            figure.savefig(part, format="png", dpi=150)
    return True


def _draw_panel(
    axes: Axes, records: Sequence[Record], objective: Objective, parameter: Parameter
) -> None:
    name = parameter.name
    complete = [each for each in best_points(records, [objective]) if name in each.parameters]
    pruned = [each for each in records if each.state == "pruned" and name in each.parameters]
    places: list[Any] = sorted({each.parameters[name] for each in (*complete, *pruned)}, key=str)
    words = any(isinstance(place, str) for place in places)
    at = {place: number for number, place in enumerate(places)} if words else None

    def x(each: Record) -> Any:  # noqa: ANN401
        return each.parameters[name] if at is None else at[each.parameters[name]]

    axes.scatter(
        [x(each) for each in complete],
        [each.values[objective.name] for each in complete],
        s=22,
        color="C0",
    )
    if complete:
        axes.scatter(
            x(complete[0]), complete[0].values[objective.name], s=90, ec="C3", fc="none", lw=1.5
        )
    if pruned:
        axes.scatter(
            [x(each) for each in pruned],
            [0.02] * len(pruned),
            marker="x",
            s=20,
            color="0.5",
            transform=axes.get_xaxis_transform(),
        )
    if at is not None:
        axes.set_xticks(list(at.values()), [str(place) for place in at], rotation=30, ha="right")
    elif not parameter.choices:
        _draw_range(axes, parameter)
    axes.set_xlabel(name.replace("_", " "))
    axes.set_ylabel(f"{objective.name.replace('_', ' ')} ({objective.goal})")


def _draw_range(axes: Axes, parameter: Parameter) -> None:
    """Lay out an axis over the whole range of a setting."""
    low, high = parameter.low, parameter.high
    if parameter.scale == "log":
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        margin = (high / low) ** _MARGIN
        axes.set_xlim(low / margin, high * margin)
    else:
        margin = (high - low) * _MARGIN
        axes.set_xlim(low - margin, high + margin)


def _draw_front(axes: Axes, complete: Sequence[Record], objectives: Sequence[Objective]) -> None:
    first, second = objectives
    both = [each for each in complete if second.name in each.values]
    axes.scatter(
        [each.values[first.name] for each in both],
        [each.values[second.name] for each in both],
        s=22,
        color="0.6",
    )
    front = best_points(both, objectives)
    axes.plot(
        [each.values[first.name] for each in front],
        [each.values[second.name] for each in front],
        "o-",
        color="C3",
        ms=5,
        lw=1,
    )
    axes.set_title("no other point is better in both", fontsize=9)
    axes.set_xlabel(f"{first.name.replace('_', ' ')} ({first.goal})")
    axes.set_ylabel(f"{second.name.replace('_', ' ')} ({second.goal})")
