"""One way into all command lines: options from signatures, and in one line what is wrong.

A command is a function whose parameters are its options and whose docstring is their help; options
that several share are a frozen dataclass whose fields are flattened (`Parameter(name="*")`). Its
code imports what is heavy when it runs, so that ``--help`` is there at once.
"""

import inspect
import math
import re
import sys
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter, Token
from cyclopts.exceptions import (
    ConsumeMultipleError,
    CycloptsError,
    MissingArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)
from cyclopts.help import DefaultFormatter, InlineText
from rich.console import Console
from rich.text import Text

from gseg.words import nearest

WRONG_USE: Final = 2
"""Exit status after a user's mistake."""
INTERRUPTED: Final = 130
HELP_ALL: Final = "--help-all"
PIPED_WIDTH: Final = 200
"""Columns of tables that go to a file or a pipe."""
_WORDS: Final[ContextVar[Sequence[str]]] = ContextVar("words of the command line", default=())
# Options that were called otherwise before, and are still in people's scripts.
_RENAMED: Final = {
    "--drawers": "--actors",
    "--min-drawers": "--min-actors",
    "--grid": "--preset",
    "--processes": "--concurrency",
}


def words() -> Sequence[str]:
    """Give the words of the command line that is run; help shows what they ask for."""
    return _WORDS.get()


def is_option(word: str) -> bool:
    """Say whether a word of a command line names an option."""
    return word.startswith("--")


def flowed(text: str) -> str:
    """Join the lines of each paragraph, as docstrings have them; indented lines stay."""
    return re.sub(r"(?<=\S)\n(?=[^\s])", " ", inspect.cleandoc(text))


def _told_entry(entry: Any) -> Any:  # noqa: ANN401 cyclopts' own
    """Let the text of an option flow; a switch that is off and an empty list are no news."""
    text = str(getattr(entry.description, "primary_renderable", entry.description) or "")
    default = entry.default or ""
    if default.startswith("("):
        default = re.sub("[(),']", "", default)  # a list as people type it
    return entry.copy(
        description=InlineText(Text(flowed(text).replace("`", ""))),
        default=None if default in ("", "False") else default,
    )


class _Help(DefaultFormatter):
    """Help that shows a command's main options; the others where all are asked for."""

    def __init__(self, first: Collection[str], about: Callable[[], str] | None) -> None:
        super().__init__()
        self._first, self._about = frozenset(first), about

    def __call__(self, console: Any, options: Any, panel: Any) -> None:  # noqa: ANN401 cyclopts' own
        entries = [
            _told_entry(each) for each in panel.entries if self._is_shown(panel.format, each)
        ]
        # Of a command without others, only --help is left to list: nobody needs it, who reads this.
        if entries and {name for each in entries for name in each.names} != {"--help", HELP_ALL}:
            super().__call__(console, options, panel.copy(entries=entries))

    def _is_shown(self, kind: str, entry: Any) -> bool:  # noqa: ANN401
        if not self._first or HELP_ALL in words() or kind != "parameter":
            return True
        return bool(self._first & {*entry.names}) or not any(map(is_option, entry.names))

    def render_description(self, console: Any, options: Any, description: Any) -> None:  # noqa: ANN401
        text = (
            str(getattr(description, "primary_renderable", ""))
            if self._about is None
            else self._about()
        )
        super().render_description(console, options, Text(f"{flowed(text)}\n"))


def make_app(
    name: str,
    about: str | Callable[[], str],
    *,
    first: Collection[str] = (),
    **more: Any,  # noqa: ANN401 of `cyclopts.App`
) -> App:
    """Make a command line.

    Args:
        name: Of the program or command.
        about: What ``--help`` says first; a function where that depends on the `words`; empty for
            the default command's docstring.
        first: Options that ``--help`` shows; all for none. ``--help-all`` shows the rest.
        more: Of `cyclopts.App`.
    """
    more.setdefault("version_flags", ())
    return App(
        name=name,
        help=(about if isinstance(about, str) else " ") or None,
        help_format="plaintext",
        help_flags=("--help", "-h", HELP_ALL),
        help_formatter=_Help(first, None if isinstance(about, str) else about),
        # A list takes all that follows it, --epsilon 0.5 1 2; switches have no --no-... twin.
        default_parameter=Parameter(negative=(), consume_multiple=(1, None)),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        **more,
    )


def run(app: App, given: Sequence[str] | None = None) -> int:
    """Run a command line; a user's mistake and an interruption are told in a line.

    Args:
        app: From `make_app`.
        given: Words of the command line; those of the process for None.

    Returns:
        The exit status: the command's own, 2 for wrong use, 130 if interrupted.
    """
    name, given = app.name[0], sys.argv[1:] if given is None else list(given)
    _WORDS.set(given)
    try:
        status = app(given, exit_on_error=False, print_error=False)
        if status is None and not any(word.startswith("-") for word in given):
            return WRONG_USE  # a command of this one is missing; help was shown, which names them
        return int(status or 0)
    except CycloptsError as error:
        return _complain(f"{' '.join((name, *(error.command_chain or ())))}: {_told(error)}")
    except UnicodeEncodeError as error:
        return _complain(f"{name}: {_misnamed(error.object)}")
    except ValueError as error:
        return _complain(f"{name}: {error}")
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _complain(f"{name}: {error.strerror or error}{where}")
    except MemoryError:
        return _complain(f"{name}: there is not enough memory; ask for less at once.")
    except KeyboardInterrupt:
        return _complain(f"{name}: interrupted; the same command goes on from here.", INTERRUPTED)


def _misnamed(text: str) -> str:
    """Say of a text which name in it is none in UTF-8; Python has surrogates for such bytes."""
    found = re.search(r"[^\s\"']*[\ud800-\udfff][^\s\"']*", text)
    return f"{found[0] if found else text!a} is no name in UTF-8: rename that file or folder."


def _complain(message: str, status: int = WRONG_USE) -> int:
    error = Console(stderr=True, highlight=False, soft_wrap=True)
    error.print(message, markup=False)
    return status


def _told(error: CycloptsError) -> str:
    """Say what is wrong with a command line."""
    if isinstance(error, UnknownOptionError):
        word = (error.token.keyword or error.token.value).partition("=")[0]
        return _unknown(word, [name for each in error.argument_collection for name in each.names])
    if isinstance(error, UnusedCliTokensError):
        word = (error.unused_tokens or ["?"])[0]
        if error.app is not None and word in error.app:
            return f"{word} comes before the options, not after them."
        return f"unknown argument {word}; see --help."
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        if error.keyword or isinstance(error, ConsumeMultipleError):
            return f"{error.keyword or error.argument.name} needs a value; see --help."
        # An option that is spelt wrongly comes first: it may be the one that is missing.
        wrong = [word for word in error.unused_tokens or () if is_option(word)]
        if wrong:
            return _unknown(wrong[0].partition("=")[0], error.argument.names)
        return f"{error.argument.name} is missing; see --help."
    if isinstance(error, ValidationError) and error.argument is not None:
        return f"{error.argument.name}: {error.exception_message}"
    # A list of many words would bury the suggestion that follows it.
    return re.sub(r' Choose from: ("[^"]*",? ?){13,}\.', "", str(error))


def _unknown(word: str, known: Collection[str]) -> str:
    """Say that an option has no meaning here, and which one may be meant."""
    new = _RENAMED.get(word)
    if new in known:
        return f"{word} is called {new} now."
    near = nearest(word, known)
    return f"unknown option {word}{f'; did you mean {near}?' if near else '; see --help.'}"


def console(width: int = PIPED_WIDTH) -> Console:
    """Give the console that commands print to; tables keep their width in a file or a pipe."""
    piped = not sys.stdout.isatty()
    # Bound to today's standard output: what Tune prints is silenced while trials run, we are not.
    return Console(
        file=sys.stdout,
        highlight=False,
        soft_wrap=True,
        markup=False,
        width=width if piped else None,
    )


def _whole(low: float = -math.inf) -> Callable[[type, Sequence[Token]], int]:
    """Read whole numbers; cyclopts itself would round 1.5."""

    def convert(_: type, tokens: Sequence[Token]) -> int:
        text = tokens[0].value
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < low:
            bound = "" if math.isinf(low) else f" >= {low}"
            raise ValueError(f"expected a whole number{bound}, got {text!r}")
        return value

    return convert


def _place(_: type, tokens: Sequence[Token]) -> Path:
    from gseg.storage.mirror import storage_folder

    return storage_folder(tokens[0].value)


def _here(_: type, tokens: Sequence[Token]) -> Path:
    text = tokens[0].value
    if "://" in text:
        raise ValueError(
            f"expected a folder of this machine, got {text!r}. With --storage s3://... rows need "
            "no place of their own: the same command on any machine writes them from the storage."
        )
    return Path(text)


def wholes(kind: type, tokens: Sequence[Token]) -> tuple[int, ...]:
    """Read a list of whole numbers."""
    return tuple(_whole()(kind, [each]) for each in tokens)


Whole = Annotated[int, Parameter(converter=_whole())]
"""A whole number."""
Count = Annotated[int, Parameter(converter=_whole(1))]
"""A whole number from 1."""
Number = Annotated[int, Parameter(converter=_whole(0))]
"""A whole number from 0."""
Place = Annotated[Path, Parameter(converter=_place)]
"""A folder, or an address on S3, which a folder here mirrors."""
Here = Annotated[Path, Parameter(converter=_here)]
"""A folder of this machine."""
