"""Masks of generated pictures by any other model (Voynov et al. 2021, Table 5 and section 4.5).

A labeller takes the pictures of a sample set as they are and gives other masks for them:

- ``segmenter:FILE``: a trained segmenter (`gseg.segmenters.segmenter` says which files);
- ``path/to/file.py:function`` or ``package.module:function``: pictures (N, 3, R, R), float32 in
  [-1, 1], to masks (N, R, R), bool or probabilities in [0, 1], of which at least 0.5 is foreground;
- ``folder:PATH``: mask files that any program has made of the pictures that ``gseg samples export``
  wrote, under the same names; ``folder+CODING:PATH`` says what their values mean
  (`gseg.mask_coding`), if they do not.
"""

import hashlib
from pathlib import Path
from typing import Final

from gseg.mask_coding import mask_coding
from gseg.mask_files import RULES
from gseg.picture_files import PictureList, list_pictures
from gseg.samples.config import LabellerConfig
from gseg.storage.callables import absolute_callable, callable_digest
from gseg.storage.checksums import checksums, file_digest
from gseg.storage.digests import digest

MASK_SUFFIXES: Final = (".png", ".bmp", ".tif", ".tiff")
"""Of mask files; others change them."""


def labeller(name: str) -> LabellerConfig:
    """Choose who gives the masks.

    Args:
        name: ``segmenter:FILE``, ``folder:PATH``, or a function's name.

    Raises:
        ValueError: It is not there.
    """
    kind, _, rest = name.partition(":")
    kind, *words = kind.split("+")
    if kind == "segmenter":
        file = Path(rest).expanduser().absolute()
        if not file.is_file():
            raise ValueError(f"{file}: there is no such file of a segmenter.")
        return LabellerConfig(kind="segmenter", place=str(file), digest=file_digest(file))
    if kind == "folder":
        folder = Path(rest).expanduser().absolute()
        coding = mask_coding(words).words
        content = hashlib.sha256(f"masks={RULES} {' '.join(coding)}\n".encode())
        files = mask_files(folder)
        for stem, found in zip(files, checksums(list(files.values())), strict=True):
            content.update(f"{stem} {found[:20]}\n".encode())
        found = content.hexdigest()[:20]
        return LabellerConfig(kind="folder", place=str(folder), digest=found, coding=coding)
    place = absolute_callable(name)
    found = digest(place.rpartition(":")[2], callable_digest(place))
    return LabellerConfig(kind="function", place=place, digest=found)


def sample_name(seed: int, index: int) -> str:
    """Name the file of a sample's picture or mask, without its suffix.

    Args:
        seed: Of the sample set; training and held-out samples have different ones.
        index: Of the candidate.
    """
    return f"{seed}-{index:08d}"


def mask_files(folder: Path) -> dict[str, Path]:
    """List a folder's mask files by their paths below it without suffix.

    Raises:
        ValueError: There is no such folder or no mask in it, or two differ in their suffix only.
    """
    found, doubled = list_masks(folder).by_name()
    for problem in doubled.values():
        raise ValueError(f"{problem}.")
    return found


def list_masks(folder: Path) -> PictureList:
    """List a folder's mask files, and what else is there.

    Raises:
        ValueError: There is no such folder or no mask in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder of masks.")
    listed = list_pictures(folder, suffixes=frozenset(MASK_SUFFIXES))
    if not listed.files:
        others = f" {listed.left_out}." if listed.others else ""
        raise ValueError(f"{folder} holds no masks ({', '.join(MASK_SUFFIXES)}).{others}")
    return listed
