"""The parser of all command lines: a mistake costs one line, which suggests what was meant."""

import argparse
import difflib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from gseg.storage.mirror import storage_folder

WRONG_USE: Final = 2
"""Exit status after a user's mistake."""
_CUTOFF: Final = 0.4
_RENAMED: Final = {"--drawers": "--actors", "--min-drawers": "--min-actors"}
"""Options that were called otherwise before, and are still in people's scripts."""


def at_least(low: int) -> Callable[[str], int]:
    """Make an option's type: whole numbers from `low`."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"expected a whole number >= {low}, got {text!r}")
        return value

    return number


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong, and suggests the nearest option."""

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """Parse a command line.

        Args:
            arguments: Its words; those of the process for None.

        Returns:
            The options. A mistake ends the process with status 2.
        """
        words = sys.argv[1:] if arguments is None else list(arguments)
        # Unknown options come first: argparse would rather complain that what they were meant to
        # say is missing.
        command, known = self._command_of(words)
        for word in words[: words.index("--") if "--" in words else None]:
            if word.startswith("--") and word.partition("=")[0] not in known:
                command.error(_unknown(word, known))
        options, rest = self.parse_known_args(words)
        if rest:
            command.error(_unknown(rest[0], known))
        return options

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave."""
        self.exit(WRONG_USE, f"{self.prog}: {message}\n")

    def _command_of(self, words: Sequence[str]) -> tuple["Parser", set[str]]:
        """Follow the words down to the command that they name; also give the options on the way."""
        command, known = self, set(self._option_string_actions)
        for word in words:
            found = command._commands().get(word)
            if found is not None:
                command = found
                known |= set(found._option_string_actions)
        return command, known

    def _commands(self) -> Mapping[str, "Parser"]:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return action.choices
        return {}


def _unknown(word: str, known: Collection[str]) -> str:
    """Say that a word has no meaning here."""
    if not word.startswith("-"):
        return f"unknown argument {word}; see --help."
    new = _RENAMED.get(word.partition("=")[0])
    if new in known:
        return f"{word.partition('=')[0]} is called {new} now."
    near = difflib.get_close_matches(word.partition("=")[0], known, n=1, cutoff=_CUTOFF)
    return f"unknown option {word}{f'; did you mean {near[0]}?' if near else '; see --help.'}"


def place(text: str) -> Path:
    """Make an option's type: a folder, or an address on S3.

    Args:
        text: What the user wrote.

    Returns:
        The folder, or the one that mirrors the address.

    Raises:
        argparse.ArgumentTypeError: The address is of another kind, or names no bucket.
    """
    try:
        return storage_folder(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
