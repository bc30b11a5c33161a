"""What can happen to any file: cut, flipped, replaced by something else, called something odd.

A damage takes a file and a generator of random numbers, and gives the file's path afterwards. Each
has its expectation, which a kind of file may say otherwise.
"""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

REFUSED: Final = "refused"
"""Exit status 1 or 2, and one line that names the file."""
SAME: Final = "same"
"""Exit status 0, and the result of the undamaged input."""
SAFE: Final = "refused or same"
FINITE: Final = "refused or finite"
"""For what may have become another sound input, such as a flipped bit of a pixel."""
TOLD: Final = "same, and the file is named"

_PAGE: Final = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>gone</body></html>\n"
_POINTER: Final = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)

Damage = Callable[[Path, np.random.Generator], Path]


def _content(change: Callable[[bytes, np.random.Generator], bytes]) -> Damage:
    def damage(path: Path, rng: np.random.Generator) -> Path:
        path.write_bytes(change(path.read_bytes(), rng))
        return path

    return damage


def cut(share: float) -> Damage:
    return _content(lambda old, _: old[: int(len(old) * share)])


def flip(old: bytes, rng: np.random.Generator) -> bytes:
    new, place = bytearray(old), int(rng.integers(len(old)))
    new[place] ^= 1 << int(rng.integers(8))
    return bytes(new)


def overwrite(old: bytes, rng: np.random.Generator) -> bytes:
    """Random bytes over a sixteenth of the file, as from a bad block."""
    size = max(1, len(old) // 16)
    place = int(rng.integers(max(1, len(old) - size)))
    return old[:place] + rng.bytes(size) + old[place + size :]


def _instead(put: Callable[[Path], object]) -> Damage:
    def damage(path: Path, _: np.random.Generator) -> Path:
        path.unlink()
        put(path)
        return path

    return damage


CONTENTS: Final[dict[str, tuple[Damage, str]]] = {
    "empty": (_content(lambda *_: b""), REFUSED),
    "one byte": (_content(lambda old, _: old[:1]), REFUSED),
    "cut at 10 %": (cut(0.1), REFUSED),
    "cut at 50 %": (cut(0.5), REFUSED),
    "cut at 90 %": (cut(0.9), SAFE),
    "cut at 99 %": (cut(0.99), SAFE),
    "last byte missing": (_content(lambda old, _: old[:-1]), SAFE),
    "twice": (_content(lambda old, _: old + old), SAFE),
    "random bytes": (_content(lambda old, rng: rng.bytes(len(old))), REFUSED),
    "zero bytes": (_content(lambda old, _: bytes(len(old))), REFUSED),
    "a web page": (_content(lambda *_: _PAGE), REFUSED),
    "a pointer of Git LFS": (_content(lambda *_: _POINTER), REFUSED),
    "gzip of it": (_content(lambda old, _: gzip.compress(old, mtime=0)), SAFE),
    "a directory": (_instead(Path.mkdir), REFUSED),
    "a dangling link": (_instead(lambda path: path.symlink_to("gone")), REFUSED),
    "a link to itself": (_instead(lambda path: path.symlink_to(path.name)), REFUSED),
    "missing": (_instead(lambda path: None), REFUSED),
}
"""By name: what is done to the content, and what is expected."""

SEEDED: Final[dict[str, Damage]] = {
    "flipped bit": _content(flip),
    "bad block": _content(overwrite),
    "cut anywhere": _content(lambda old, rng: old[: int(rng.integers(len(old)))]),
}
"""Another place for each seed; the expectation is the kind's."""

NAMES: Final[dict[str, Callable[[str], str]]] = {
    "spaces": lambda stem: f" {stem} of  mine ",
    "newline": lambda stem: f"{stem}\nx",
    "punctuation": lambda stem: f"{stem}#%41?<b>|&'\"*;$(x)`[1]{{0}}\\",
    "colon and plus": lambda stem: f"{stem}:a+b,c=d",
    "emoji": lambda stem: f"{stem}\N{PILE OF POO}é",
    "200 characters": lambda stem: stem + "n" * (200 - len(stem)),
    "leading dash": lambda stem: f"--{stem}",
    "rich markup": lambda stem: f"[red]{stem}[bold]",
    "no UTF-8": lambda stem: os.fsdecode(os.fsencode(stem) + b"\xff\xe9"),
}
"""Names that a file system allows; nothing else changes, so nothing may."""
