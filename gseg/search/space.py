"""Spaces of settings, and how they are written on a command line.

``NAME=VALUES``, where VALUES is a list (``choice:0.5,1,2``, or the values alone), or for numbers a
range, ends included: ``uniform:LOW:HIGH``, or ``log:LOW:HIGH`` for one whose logarithm is even.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from gseg.pipeline.settings import Setting, Value, axes
from gseg.words import unknown

if TYPE_CHECKING:
    import numpy as np

_FORMS: Final = "choice:A,B,..., uniform:LOW:HIGH or log:LOW:HIGH"
Scale = Literal["uniform", "log"]


def searched_axes() -> dict[str, Setting]:
    """Give the settings that a search may vary, by name; what others depend on comes first."""
    return {name: setting for name, setting in axes().items() if setting.searched}


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One setting and the values that it may take.

    Attributes:
        name: Of the setting, see `searched_axes`.
        choices: Values; empty for a range.
        low: Least value of a range.
        high: Greatest value of a range.
        scale: How values of a range are drawn.
        whole: Whether values of a range are whole numbers.
    """

    name: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    scale: Scale = "uniform"
    whole: bool = False

    def __post_init__(self) -> None:
        if self.choices:
            if len(set(self.choices)) < len(self.choices):
                raise ValueError(f"A value of {self.name} is given twice in the space.")
            return
        ends = f"{self.low:g} and {self.high:g}"
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"The range of {self.name} needs two numbers, the smaller first; got {ends}."
            )
        if self.scale == "log" and self.low <= 0:
            raise ValueError(
                f"The range of {self.name} is logarithmic and must begin above 0; got {ends}."
            )

    def __contains__(self, value: object) -> bool:
        """Whether this is one of the values."""
        if self.choices:
            return value in self.choices
        # Whoever writes 100.0 for a count means 100.
        if isinstance(value, str) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.whole or float(value).is_integer())

    @property
    def limits(self) -> tuple[Value, Value]:
        """Least and greatest value of a range."""
        return (round(self.low), round(self.high)) if self.whole else (self.low, self.high)

    def draw(self, random: "np.random.Generator") -> Value:
        """Draw a value."""
        if self.choices:
            return self.choices[int(random.integers(len(self.choices)))]
        if self.scale == "log":
            drawn = math.exp(random.uniform(math.log(self.low), math.log(self.high)))
        else:
            drawn = random.uniform(self.low, self.high)
        # exp(log(high)) may be a last bit above high.
        drawn = min(max(drawn, self.low), self.high)
        return round(drawn) if self.whole else drawn


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """Settings that vary, each with its values.

    Attributes:
        parameters: At least one, names unique.
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        names = self.names
        if not names:
            such = next(name for name, each in searched_axes().items() if each.kind == "number")
            raise ValueError(
                f"Nothing to search over: name settings with --space, such as {such}=log:1:20, "
                "or give several values to options such as --epsilon 0.5 1 2."
            )
        # --space and an option may name the same setting.
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"Given twice in the space: {', '.join(twice)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the settings."""
        return tuple(parameter.name for parameter in self.parameters)

    def draw(self, random: "np.random.Generator") -> dict[str, Value]:
        """Draw a point, all settings independently."""
        return {parameter.name: parameter.draw(random) for parameter in self.parameters}

    def points(self) -> list[dict[str, Value]]:
        """List all points.

        Raises:
            ValueError: A setting has a range.
        """
        ranges = [parameter.name for parameter in self.parameters if not parameter.choices]
        if ranges:
            raise ValueError(
                f"A grid needs lists of values, but {', '.join(ranges)} has a range: write "
                f"{ranges[0]}=choice:A,B,..., or search with --search random or tpe."
            )
        lists = [parameter.choices for parameter in self.parameters]
        return [dict(zip(self.names, point, strict=True)) for point in itertools.product(*lists)]


def parse_space(words: Sequence[str]) -> tuple[Parameter, ...]:
    """Read settings as they are written on a command line, ``NAME=VALUES`` each.

    Raises:
        ValueError: A word is not understood; the message says why and what is expected.
    """
    return tuple(_parameter(word) for word in words)


def _parameter(word: str) -> Parameter:
    name, equals, values = word.partition("=")
    if not equals or not values:
        raise ValueError(f"Cannot read {word!r} in the space: expected NAME={_FORMS}.")
    known = searched_axes()
    if name not in known:
        raise ValueError(unknown("setting of a space", name, known))
    found = known[name]
    form, colon, rest = values.partition(":")
    if colon and form in ("uniform", "log"):
        return _range(name, found, form, rest)  # type: ignore[arg-type]
    # A value may hold a colon itself (a generator of one's own, FILE.py:FUNCTION).
    listed = rest if colon and form == "choice" else values
    choices = tuple(_value(name, found, each) for each in listed.split(","))
    return Parameter(name=name, choices=choices)


def _range(name: str, found: Setting, scale: Scale, ends: str) -> Parameter:
    if found.kind == "word":
        such = ",".join(found.known_words[:2])
        known = f", such as {name}=choice:{such}" if such else ""
        raise ValueError(f"{name} is a word and has no range: list its values{known}.")
    parts = ends.split(":")
    if len(parts) != 2:
        raise ValueError(
            f"The range of {name} needs two ends, as in {name}={scale}:1:20; got {ends!r}."
        )
    low, high = (_value(name, found, part) for part in parts)
    whole = found.kind == "count"
    return Parameter(name=name, low=float(low), high=float(high), scale=scale, whole=whole)


def _value(name: str, found: Setting, text: str) -> Value:
    """Read one value."""
    if found.kind == "word":
        words = found.known_words
        if words and text not in words:
            raise ValueError(f"{text!r} is no {name}: expected one of {', '.join(words)}.")
        if not text:
            raise ValueError(f"A value of {name} is empty.")
        return text
    try:
        return int(text) if found.kind == "count" else float(text)
    except ValueError:
        expected = "a whole number" if found.kind == "count" else "a number"
        raise ValueError(
            f"{text!r} is no value of {name}: expected {expected} ({_FORMS})."
        ) from None
