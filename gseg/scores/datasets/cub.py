"""Caltech-UCSD Birds-200-2011 (Wah et al. 2011) with the test split of ReDO.

Both papers take ReDO's split (Chen et al. 2019): 10,000 pictures for training, 788 for validation
and 1,000 for testing. It is read from the data set's folder, where ReDO wants it.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gseg.picture_files import votes_mask
from gseg.scores.datasets import layouts
from gseg.scores.datasets.layouts import DataSet, Layout, Listing

# Drawn at random, and a file of ReDO's program, which may not be passed on for commercial use: so
# it is not part of this package, but recognised by its digest.
SPLIT_FILE: Final = "train_val_test_split.txt"
SPLIT_ADDRESS: Final = (
    f"https://raw.githubusercontent.com/mickaelChen/ReDO/master/datasplits/cub/{SPLIT_FILE}"
)
_TEST: Final = "2"
_TEST_PICTURES: Final = 1000
# BLAKE2b, 8 bytes, of the numbers of the test pictures in ascending order, joined by spaces.
_TEST_DIGEST: Final = "7ba2cc7f06d23e5c"


def read_split(path: Path) -> list[str]:
    """Read the numbers of the test pictures, ascending.

    Args:
        path: ReDO's file: on each line a picture's number, and 0, 1 or 2 for its part.

    Raises:
        ValueError: The file has another form, or it names 1,000 test pictures that are not ReDO's.
    """
    fields = [line.split() for line in path.read_text().splitlines() if line.strip()]
    if any(len(field) != 2 or not field[0].isdecimal() for field in fields):
        raise ValueError(f"{path} is no split of CUB; get it from {SPLIT_ADDRESS}.")
    chosen = sorted((number for number, part in fields if part == _TEST), key=int)
    digest = hashlib.blake2b(" ".join(chosen).encode(), digest_size=8).hexdigest()
    # Of another number the benchmark itself complains, unless "+subset" allows it.
    if len(chosen) == _TEST_PICTURES and digest != _TEST_DIGEST:
        raise ValueError(
            f"The 1,000 test pictures of {path} are not those of ReDO; get its file from "
            f"{SPLIT_ADDRESS}."
        )
    return chosen


def _distributed(parts: Mapping[str, Path]) -> Listing:
    names = _picture_names(parts["list"])
    chosen = read_split(parts["split"])
    unknown = [number for number in chosen if number not in names]
    if unknown:
        raise ValueError(f"{parts['list']} has no picture {unknown[0]}, which the split names.")
    pictures, masks = (
        layouts.files_by_stem(parts["pictures"]),
        layouts.files_by_stem(parts["masks"]),
    )
    return layouts.pair_by_name(parts, pictures, masks, [names[number] for number in chosen])


def _picture_names(path: Path) -> dict[str, str]:
    """Read images.txt: on each line a picture's number and its file."""
    lines = (line.strip().partition(" ") for line in path.read_text().splitlines())
    return {number: file.rpartition(".")[0] for number, _, file in lines}


CUB: Final = DataSet(
    name="cub",
    title="CUB-200-2011",
    pictures=_TEST_PICTURES,
    crop=True,
    split=f"ReDO's test pictures (part {_TEST} of {SPLIT_FILE})",
    folders=("CUB_200_2011", "CUB_200_2011/CUB_200_2011", "CUB-200-2011", "CUB", "cub"),
    layouts=(
        Layout(
            name=layouts.PROGRAM,
            parts={"pictures": ("test_images",), "masks": ("test_segmentations",)},
            read_mask=votes_mask,
        ),
        Layout(
            parts={
                "pictures": ("images",),
                "masks": ("segmentations", "../segmentations"),
                "list": ("images.txt",),
                "split": (SPLIT_FILE, f"../{SPLIT_FILE}"),
            },
            pairs=_distributed,
            read_mask=votes_mask,
        ),
    ),
    address="https://data.caltech.edu/records/65de6-vp158 (images), "
    "https://data.caltech.edu/records/w9d68-gec53 (segmentations), "
    f"{SPLIT_ADDRESS} (into the folder of images.txt)",
)
