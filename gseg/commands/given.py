"""What was typed: checked alike for every command, before any of it runs.

Whole numbers fit into a row, other numbers are finite, paths name something, ``~`` is somebody's
home, and no value is given twice. Which options mean something only beside others is declared at
each command (`needs`), and those that would have no effect are refused: what is typed is obeyed, or
the command does not run.
"""

import inspect
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from os.path import realpath
from pathlib import Path
from types import UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin

from cyclopts import App, ArgumentCollection, Token
from cyclopts.exceptions import ValidationError

_T = TypeVar("_T", bound=Callable[..., Any])
LARGEST: Final = 2**63 - 1
"""Whole number that a row, a file of NumPy and Arrow can hold."""
_NEEDS: Final = "option_needs"
# A home at the beginning of a path, or of what follows the kind of one.
_TILDE: Final = re.compile(r"(^|(?<=:))~[^/:]*(?=/)")
_MAY_REPEAT: Final = ("--class-weights",)


class Given:
    """The options and arguments of one command line, by name.

    Args:
        arguments: As cyclopts has parsed them.
    """

    def __init__(self, arguments: ArgumentCollection | Sequence[Any] = ()) -> None:
        self._arguments = {each.name: each for each in arguments if each.parse}

    @property
    def typed(self) -> frozenset[str]:
        """Those that were typed, whatever their value."""
        return frozenset(name for name, each in self._arguments.items() if each.tokens)

    def values(self, name: str) -> tuple[str, ...]:
        """Give the words of an option, or its default."""
        found = self._arguments.get(name)
        if found is None:
            return ()
        if found.tokens:
            return tuple(each.value for each in found.tokens)
        default = found.field_info.default
        if default in (None, (), inspect.Parameter.empty):
            return ()
        return tuple(map(str, default if isinstance(default, tuple) else (default,)))


_GIVEN: Final[ContextVar[Given]] = ContextVar("what was typed")


def typed() -> frozenset[str]:
    """Name the options that were typed, whatever their value."""
    return _GIVEN.get(Given()).typed


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What some options need, to mean something.

    Attributes:
        options: Which.
        met: Whether that is so.
        lacking: What is wrong otherwise, after "has no effect".
        instead: What to do instead of leaving it out; empty if there is nothing.
    """

    options: tuple[str, ...]
    met: Callable[[Given], bool]
    lacking: str
    instead: str = ""

    def check(self, given: Given) -> None:
        """Refuse what would have no effect.

        Raises:
            ValueError: An option is typed, but not what it needs.
        """
        idle = sorted(given.typed & set(self.options))
        if idle and not self.met(given):
            raise ValueError(no_effect(idle, self.lacking, self.instead))


def no_effect(options: Sequence[str], lacking: str, instead: str = "") -> str:
    """Say that options would have no effect; see `Needs`."""
    has, it = ("have", "them") if len(options) > 1 else ("has", "it")
    instead = f", or {instead}" if instead else ""
    return f"{' and '.join(options)} {has} no effect {lacking}: leave {it} out{instead}."


def only_with(other: str, *options: str, value: str = "") -> Needs:
    """Say that options need another one.

    Args:
        other: The option.
        options: Which need it.
        value: What to write after it, in capitals.
    """
    return Needs(
        options=options,
        met=lambda given: other in given.typed,
        lacking=f"without {other}",
        instead=f"add {other} {value}".rstrip(),
    )


def only_where(other: str, words: Sequence[str], *options: str) -> Needs:
    """Say that options need one of some values of another one, which may be its default."""
    return Needs(
        options=options,
        met=lambda given: bool(set(words) & set(given.values(other))),
        lacking=f"without {other} {' or '.join(words)}",
        instead=f"add {other} {words[0]}",
    )


def only_without(other: str, *options: str) -> Needs:
    """Say that another option makes these pointless."""
    return Needs(
        options=options,
        met=lambda given: other not in given.typed,
        lacking=f"with {other}",
        instead=f"leave {other} out",
    )


def needs(*rules: Needs) -> Callable[[_T], _T]:
    """Declare of a command what its options need."""

    def declare(command: _T) -> _T:
        setattr(command, _NEEDS, rules)
        return command

    return declare


def rules_of(command: Callable[..., Any]) -> tuple[Needs, ...]:
    """Give what was declared of a command by `needs`."""
    found: tuple[Needs, ...] = getattr(command, _NEEDS, ())
    return found


def check_needs(command: Callable[..., Any]) -> None:
    """Refuse the options that would have no effect on the command that was typed.

    Raises:
        ValueError: There is one; the message says what it needs.
    """
    for rule in rules_of(command):
        rule.check(_GIVEN.get(Given()))


def check_apart(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Make sure that nothing is written over what is read, or over what else is written.

    Args:
        outputs: Files and folders by the names of their options; None where there is none.
        inputs: Those that are read.

    Raises:
        ValueError: Two are the same place.
    """
    # Not `Path.resolve`, which a link to itself makes fail.
    taken = {realpath(each): name for name, each in inputs.items() if each is not None}
    for name, path in outputs.items():
        if path is None:
            continue
        other = taken.setdefault(realpath(path), name)
        if other != name:
            raise ValueError(f"{name} {path} would replace {other}, which is the same place.")


def check_words(_app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Check the words of a command line before they are converted; cyclopts calls it.

    Raises:
        ValidationError: A value can be none of its option.
    """
    _GIVEN.set(Given(arguments))
    for argument in arguments:
        kinds = set(_kinds(argument.hint))
        try:
            argument.tokens[:] = [_checked(each, kinds) for each in argument.tokens]
            if argument.name.startswith("--") and argument.name not in _MAY_REPEAT:
                _check_repeats(argument.tokens)
        except ValueError as error:
            raise ValidationError(exception_message=str(error), argument=argument) from error


def _kinds(hint: Any) -> Iterator[Any]:  # noqa: ANN401 a type, or a form of typing's
    """Give the types that the words of an option are converted to."""
    if get_origin(hint) in (Union, UnionType, tuple):
        for each in get_args(hint):
            yield from _kinds(each)
    else:
        yield hint


def _checked(token: Token, kinds: set[Any]) -> Token:
    """Check a word by the type of what it means; a path begins at the home that it names."""
    text = token.value
    if Path in kinds:
        return token.evolve(value=_path(text))
    if str in kinds and not text.isascii() and _holds_bytes(text):
        raise ValueError(misnamed(text))
    if str in kinds:  # FILE, kind:FILE and FILE.py:FUNCTION
        return token.evolve(value=_TILDE.sub(lambda found: _path(found[0]), text))
    number = _number(text)
    if number is None:
        return token
    if float in kinds and not math.isfinite(number):
        raise ValueError(f"expected a finite number, got {text!r}")
    if int in kinds and abs(number) > LARGEST:
        raise ValueError(f"expected a whole number up to {LARGEST:,}, got {text!r}")
    return token


def misnamed(text: str) -> str:
    """Say what is wrong with a name that holds bytes, as rows cannot, and what to do."""
    try:
        os.fsencode(text).decode()
    except UnicodeDecodeError:
        return f"{text!a} is no name in UTF-8, as rows need: rename that file or folder"
    return f"{text!a} is UTF-8, but this locale is not: set PYTHONUTF8=1, or LC_ALL=C.UTF-8"


def _holds_bytes(text: str) -> bool:
    """Whether it is not what a person wrote, but a file's name in another encoding."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _path(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a path, got an empty word; the folder that you are in is '.'")
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError as error:
        raise ValueError(f"nobody's home is {text!r}; a file of that name is './{text}'") from error


def _number(text: str) -> float | int | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _check_repeats(tokens: Sequence[Token]) -> None:
    # 1 and 1.0 are one value.
    counts = Counter(each.value if (n := _number(each.value)) is None else n for each in tokens)
    again = next((word for word, count in counts.items() if count > 1), None)
    if again is not None:
        raise ValueError(f"{again} is given twice")
