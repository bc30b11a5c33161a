"""What is said about a word that is not known: which one may be meant, and which there are."""

import difflib
from collections.abc import Iterable
from typing import Final

_CUTOFF: Final = 0.4


def nearest(word: str, known: Iterable[str]) -> str:
    """Give the known word that is most like this one; empty if none is."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=_CUTOFF)), "")


def unknown(what: str, word: str, known: Iterable[str], *, among: str = "") -> str:
    """Say that a word is not known, which one may be meant, and which there are.

    Args:
        what: What the word should name, such as "objective".
        word: As it was given.
        known: The words that there are.
        among: How these are listed; by default one after the other.
    """
    known = list(known)
    near = nearest(word, known)
    hint = f"; did you mean {near!r}?" if near else "."
    return f"Unknown {what} {word!r}{hint} There are {among or ', '.join(known)}."
