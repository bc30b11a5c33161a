"""CelebAMask-HQ (Lee et al. 2020): 1,000 faces, foreground is the whole person.

Melas-Kyriazi et al. 2022, Table 12, and the work that they compare with take 1,000 pictures at
random and name no list. Ours is published here, and anybody can draw it again: faces 0 to 29999 are
ordered by the BLAKE2b digest (8 bytes) of the text ``celebamask_hq NUMBER``, and the first 1,000
count.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gseg.picture_files import union_mask
from gseg.scores.datasets.layouts import DataSet, Layout, Listing, Pair, files_by_stem

# Clothes, hats and jewellery included: the paper's appendix B.2 counts the person's body.
PARTS: Final = (
    *("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth"),
    *("u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
"""All parts that the data set marks; a face has those of them that can be seen."""

_CHOSEN: Final = 1000
_ALL: Final = 30_000
_PER_FOLDER: Final = 2000


def chosen_faces(numbers: list[int]) -> list[int]:
    """Choose, of the faces that there are, the 1,000 first by digest, and sort them by number."""

    # By digest, not by a generator of random numbers: anybody can draw it again in any language.
    def rank(number: int) -> bytes:
        return hashlib.blake2b(f"celebamask_hq {number}".encode(), digest_size=8).digest()

    return sorted(sorted(numbers, key=rank)[:_CHOSEN])


def _distributed(parts: Mapping[str, Path]) -> Listing:
    pictures = files_by_stem(parts["pictures"])
    numbers = [int(name) for name in pictures if name.isdecimal()]
    pairs, problems = [], []
    for number in chosen_faces(numbers):
        folder = parts["masks"] / str(number // _PER_FOLDER)
        # Asked for by name: the folder holds up to 18 files for each of 2,000 faces.
        files = (folder / f"{number:05d}_{part}.png" for part in PARTS)
        masks = tuple(file for file in files if file.exists())
        picture = pictures[str(number)]
        if masks:
            pairs.append(Pair(id=str(number), picture=picture, masks=masks))
        else:
            problems.append(f"{picture} has no mask ({folder}/{number:05d}_*.png)")
    incomplete = (
        f"{parts['pictures']} holds {len(numbers):,} of the {_ALL:,} faces among which the "
        f"{_CHOSEN:,} are chosen"
    )
    return Listing(
        pairs=tuple(pairs),
        problems=tuple(problems),
        incomplete=incomplete if len(numbers) != _ALL else "",
    )


CELEBAMASK_HQ: Final = DataSet(
    name="celebamask_hq",
    title="CelebAMask-HQ",
    pictures=_CHOSEN,
    split=f"{_CHOSEN:,} of {_ALL:,} faces, chosen by digest (docs/benchmarks.md)",
    folders=("CelebAMask-HQ", "celebamask_hq"),
    layouts=(
        Layout(
            parts={"pictures": ("CelebA-HQ-img",), "masks": ("CelebAMask-HQ-mask-anno",)},
            pairs=_distributed,
            read_mask=union_mask,
        ),
    ),
    address="https://github.com/switchablenorms/CelebAMask-HQ (CelebAMask-HQ.zip)",
    licence="non-commercial research only",
    mask_scale=0.5,
)
