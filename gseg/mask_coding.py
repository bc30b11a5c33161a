"""What values of mask files mean, in words: ``foreground=1,2``, ``void=255``, ``colour``, ...

They are part of a benchmark's name (``folder+foreground=1+void=255:PATH``) and of the command line
(``--mask-coding foreground=1 void=255``); `gseg.mask_files` reads by them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from gseg.words import nearest

_MOST_LEVELS: Final = 65535
Rule = Literal["colour", "alpha", "threshold"]
_LEVELS: Final = ("foreground", "background", "void")
_INVERTED: Final = "inverted"
CODING_WORDS: Final = (*(f"{name}=LEVELS" for name in _LEVELS), *get_args(Rule), _INVERTED)
"""What a coding is said in; LEVELS are whole numbers with commas between."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskCoding:
    """What the values of mask files mean, where they do not say it themselves.

    Attributes:
        foreground: Levels, or indices of a palette, that are foreground; all others are background,
            unless `background` is given too.
        background: Levels that are background; all others are foreground, unless `foreground` is
            given too.
        void: Levels of pixels of which nobody knows the truth; they are not scored.
        rule: "colour": any colour but black is foreground; "alpha": alpha is the mask; "threshold":
            any grey is cut at half of the file's scale. None to see from the file.
        inverted: Whether what would be foreground is background.

    Raises:
        ValueError: A level is out of range or means two things, or rules exclude each other.
    """

    foreground: tuple[int, ...] = ()
    background: tuple[int, ...] = ()
    void: tuple[int, ...] = ()
    rule: Rule | None = None
    inverted: bool = False

    def __post_init__(self) -> None:
        levels = (*self.foreground, *self.background, *self.void)
        if not all(0 <= level <= _MOST_LEVELS for level in levels):
            raise ValueError(f"Levels of a mask are 0 to {_MOST_LEVELS}, got {self.words}.")
        if len(set(levels)) < len(levels):
            raise ValueError(f"A level of a mask has one meaning, got {self.words}.")
        if levels and self.rule:
            raise ValueError(f"{self.rule!r} of a mask's coding goes without levels: {self.words}.")
        if self.inverted and (self.foreground or self.background):
            raise ValueError(
                f"{_INVERTED!r} goes without foreground and background, got {self.words}: name the "
                "levels as they are meant."
            )

    @property
    def words(self) -> tuple[str, ...]:
        """The words that say it, always in one order; none for a coding that files say."""
        levels = ((name, getattr(self, name)) for name in _LEVELS)
        told = [f"{name}={','.join(map(str, each))}" for name, each in levels if each]
        return (*told, *((self.rule,) if self.rule else ()), *((_INVERTED,) * self.inverted))

    @property
    def named_levels(self) -> bool:
        """Whether levels say what is foreground."""
        return bool(self.foreground or self.background)


def mask_coding(words: Iterable[str]) -> MaskCoding:
    """Make a coding of its words.

    Args:
        words: Of `CODING_WORDS`, such as "foreground=1,2" and "void=255".

    Raises:
        ValueError: A word is unknown, given twice, or contradicts another.
    """
    levels: dict[str, tuple[int, ...]] = {}
    rules: list[str] = []
    for word in words:
        name, given, numbers = word.partition("=")
        if given and name in _LEVELS and name not in levels:
            listed = numbers.split(",")
            if not all(each.isascii() and each.isdecimal() for each in listed):
                raise ValueError(
                    f"{word!r} needs whole numbers, such as '{name}=1' or '{name}=1,2'."
                )
            levels[name] = tuple(sorted(map(int, listed)))
        elif word in (*get_args(Rule), _INVERTED) and word not in rules:
            rules.append(word)
        elif name in levels or word in rules:
            raise ValueError(f"{word!r} of a mask's coding: {name} is given twice.")
        else:
            near = nearest(name, [each.partition("=")[0] for each in CODING_WORDS])
            hint = f"; did you mean {near!r}?" if near else "."
            known = ", ".join(CODING_WORDS)
            raise ValueError(f"Unknown word {word!r} of a mask's coding{hint} There are {known}.")
    chosen = [rule for rule in rules if rule != _INVERTED]
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)} exclude each other; a mask has one coding.")
    rule: Any = chosen[0] if chosen else None
    return MaskCoding(rule=rule, inverted=_INVERTED in rules, **levels)


FROM_FILE: Final = MaskCoding()
