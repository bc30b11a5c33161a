"""Axes of a chart: where values lie in the drawing, and round numbers beside them."""

import math
from dataclasses import dataclass
from html import escape

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One axis.

    Attributes:
        label: What is measured.
        low: Value at `start`.
        high: Value at `stop`.
        start: Place in the drawing.
        stop: Place in the drawing; smaller than `start` for an axis that runs the other way.
        logarithmic: Equal distances are equal ratios.
        marks: Values that are marked; none for round ones.
    """

    label: str
    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False
    marks: tuple[float, ...] = ()

    def at(self, value: float) -> float:
        """Give a value's place."""
        low, high, value = (self._scaled(each) for each in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Give the marks, or round values inside the axis."""
        if self.marks:
            return list(self.marks)
        if self.logarithmic:
            exponents = range(
                math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1
            )
            decades = [10.0**exponent for exponent in exponents]
            fine = [factor * decade for decade in decades for factor in (1, 2, 5)]
            inside = [value for value in decades if self.low <= value <= self.high]
            return inside if len(inside) > 2 else [v for v in fine if self.low <= v <= self.high]
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value


def spanning(
    label: str,
    values: list[float],
    start: float,
    stop: float,
    *,
    logarithmic: bool = False,
    least: float | None = None,
    most: float | None = None,
) -> Axis:
    """Make an axis that shows all values with a margin.

    Args:
        label: What is measured.
        values: At least one.
        start: Place of the axis' low end.
        stop: Place of its high end.
        logarithmic: Equal distances are equal ratios; the values are positive.
        least: The values' own lower bound, which the margin does not cross.
        most: Their upper bound.

    Returns:
        The axis.
    """
    low, high = min(values), max(values)
    if logarithmic:
        ratio = max((high / low) ** 0.06, 1.15)
        low, high = low / ratio, high * ratio
    else:
        margin = max((high - low) * 0.08, abs(high) * 0.01, 1e-6)
        low, high = low - margin, high + margin
    low = low if least is None else max(low, least)
    high = high if most is None else min(high, most)
    return Axis(label=label, low=low, high=high, start=start, stop=stop, logarithmic=logarithmic)


def tick_text(value: float) -> str:
    """Write a tick's value."""
    if value != 0 and abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.6g}"


def draw_axes(x: Axis, y: Axis) -> str:
    """Draw two axes with grid lines, ticks and labels.

    Args:
        x: Below.
        y: At the left.

    Returns:
        SVG elements.
    """
    parts = []
    for value in x.ticks():
        place = x.at(value)
        parts.append(
            f'<line class="grid" x1="{place:.1f}" x2="{place:.1f}" y1="{y.start}" y2="{y.stop}"/>'
        )
        parts.append(
            f'<text class="tick" x="{place:.1f}" y="{y.start + 16:.1f}" '
            f'text-anchor="middle">{tick_text(value)}</text>'
        )
    for value in y.ticks():
        place = y.at(value)
        parts.append(
            f'<line class="grid" x1="{x_left(x)}" x2="{x_right(x)}" y1="{place:.1f}" '
            f'y2="{place:.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{x_left(x) - 6:.1f}" y="{place + 4:.1f}" '
            f'text-anchor="end">{tick_text(value)}</text>'
        )
    middle = (x.start + x.stop) / 2
    parts.append(
        f'<text class="name" x="{middle:.1f}" y="{y.start + 34:.1f}" '
        f'text-anchor="middle">{escape(x.label)}</text>'
    )
    height = (y.start + y.stop) / 2
    left = x_left(x) - 44
    parts.append(
        f'<text class="name" x="{left:.1f}" y="{height:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 {left:.1f} {height:.1f})">{escape(y.label)}</text>'
    )
    return "".join(parts)


def x_left(axis: Axis) -> float:
    """Give the left end of a horizontal axis, whichever way it runs."""
    return min(axis.start, axis.stop)


def x_right(axis: Axis) -> float:
    """Give the right end of a horizontal axis."""
    return max(axis.start, axis.stop)


def _round_step(rough: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9))
