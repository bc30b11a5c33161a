"""One way into all command lines: options from signatures, and in one line what is wrong.

A command is a function whose parameters are its options and whose docstring is their help; options
that several share are a frozen dataclass whose fields are flattened (`Parameter(name="*")`). Its
code imports what is heavy when it runs, so that ``--help`` is there at once.
"""

import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from io import TextIOWrapper
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

from gseg.commands.given import LARGEST, check_needs, check_words, misnamed
from gseg.interruptions import INTERRUPTED, Interruption
from gseg.storage.manifests import told_doubts
from gseg.words import nearest

WRONG_USE: Final = 2
"""Exit status after a user's mistake."""
_LONGEST: Final = 240  # characters of a word that a message repeats
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
        default_parameter=Parameter(
            negative=(), consume_multiple=(1, None), json_list=False, json_dict=False
        ),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        config=(check_words,),
        **more,
    )


def run(app: App, given: Sequence[str] | None = None) -> int:
    """Run a command line; a user's mistake and an interruption are told in a line.

    Args:
        app: From `make_app`.
        given: Words of the command line; those of the process for None, which then ends at once
            if it is interrupted.

    Returns:
        The exit status: the command's own, 2 for wrong use, 130 if interrupted.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started this
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 for good
    for stream in (sys.stdout, sys.stderr):
        # A terminal or file that cannot show a letter of some name ends no command.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    interruption = Interruption(app.name[0], ends_process=given is None)
    name, given = app.name[0], sys.argv[1:] if given is None else list(given)
    _WORDS.set(given)
    told_doubts()  # of an earlier command line in this process
    try:
        with interruption:
            return _carry_out(app, given)
        return INTERRUPTED
    except CycloptsError as error:
        return _complain(f"{' '.join((name, *(error.command_chain or ())))}: {_told(error)}")
    except (ValueError, OSError, MemoryError) as error:
        return _complain(f"{name}: {_reason(error)}")


def _carry_out(app: App, given: Sequence[str]) -> int:
    command, bound, _ = app.parse_args(given, exit_on_error=False, print_error=False)
    check_needs(command)
    status = command(*bound.args, **bound.kwargs)
    if status is None and not any(word.startswith("-") for word in given):
        return WRONG_USE  # a command of this one is missing; help was shown, which names them
    for line in told_doubts():
        _complain(line)
    return int(status or 0)


def _reason(error: Exception) -> str:
    """Say in a line what went wrong."""
    if isinstance(error, UnicodeEncodeError):
        return _misnamed(error.object)
    if isinstance(error, MemoryError):
        return "there is not enough memory; ask for less at once."
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}"
    return str(error)


def _misnamed(text: str) -> str:
    """Say of a text which name in it is none in UTF-8; Python has surrogates for such bytes."""
    found = re.search(r"[^\s\"']*[\ud800-\udfff][^\s\"']*", text)
    return f"{misnamed(found[0] if found else text)}."


def _complain(message: str, status: int = WRONG_USE) -> int:
    # In one line, whatever the words are that it repeats.
    for word in words():
        for part in (word, word.partition("=")[2]):
            if part and (len(part) > _LONGEST or not part.isprintable()):
                message = message.replace(part, _shown(part))
    error = Console(stderr=True, highlight=False, soft_wrap=True)
    error.print(message, markup=False)
    return status


def _shown(word: str) -> str:
    """Write a word so that it can stand in a line."""
    text = word if word.isprintable() else repr(word)[1:-1]
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}...{text[-half:]}"


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


def _whole(low: float = -math.inf, high: int = LARGEST) -> Callable[[type, Sequence[Token]], int]:
    """Read whole numbers; cyclopts itself would round 1.5."""

    def convert(_: type, tokens: Sequence[Token]) -> int:
        text = tokens[0].value
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            bound = "" if math.isinf(low) else f" >= {low}"
            bound += f", at most {high:,}" if value is not None and value > high else ""
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


Count = Annotated[int, Parameter(converter=_whole(1, 10**9))]
"""How many, from 1."""
Number = Annotated[int, Parameter(converter=_whole(0))]
"""A whole number from 0, such as a seed."""
Side = Annotated[int, Parameter(converter=_whole(8, 4096))]
"""Side of a picture in pixels."""


def _output(*, folder: bool = False, suffix: str = "") -> Callable[[type, Path | None], None]:
    """Check, before any work starts, where something is to be written."""

    def check(_: type, path: Path | None) -> None:
        from gseg.storage.files import check_output

        if path is None:
            return
        if path.suffix.lower() != suffix and suffix:
            raise ValueError(f"expected a file name that ends in {suffix}, got {path.name!r}")
        check_output(path, folder=folder)

    return check


OutFolder = Annotated[Path, Parameter(validator=_output(folder=True))]
"""A folder to write to, made if missing."""
OutFile = Annotated[Path, Parameter(validator=_output())]
"""A file to write."""
OutPicture = Annotated[Path, Parameter(validator=_output(suffix=".png"))]
"""A PNG file to write."""
OutArray = Annotated[Path, Parameter(validator=_output(suffix=".npy"))]
"""A NumPy file to write."""
OutStatistics = Annotated[Path, Parameter(validator=_output(suffix=".npz"))]
"""A file of statistics to write."""
Place = Annotated[Path, Parameter(converter=_place)]
"""A folder, or an address on S3, which a folder here mirrors."""
OutPlace = Annotated[Path, Parameter(converter=_place, validator=_output(folder=True))]
"""A place to write to."""
Here = Annotated[Path, Parameter(converter=_here, validator=_output(folder=True))]
"""A folder of this machine to write to."""
