"""A setting that a search may vary."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from gseg.search.base import Base

Value = str | int | float
Kind = Literal["number", "count", "word"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Knob:
    """A setting that a search may vary.

    Attributes:
        kind: ``number``, ``count`` (a whole number) or ``word``.
        meaning: What it is, in a few words.
        read: Gives its value under some settings; None where it has none.
        turn: Gives the settings with another value.
        words: Words that are known; empty where any may be given.
        applies: Whether it means something under these settings; where not, it is left out.
    """

    kind: Kind
    meaning: str
    read: Callable[[Base], Value | None]
    turn: Callable[[Base, Any], Base]
    words: tuple[str, ...] = ()
    applies: Callable[[Base], bool] = lambda base: True
