"""Oxford Flowers-102 (Nilsback and Zisserman) with the inverted split of ReDO.

ReDO (Chen et al. 2019) trains on the data set's own test part and tests on its training part,
``trnid`` of ``setid.mat``: the 1,020 pictures of Melas-Kyriazi et al. 2022, Table 5.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gseg.picture_files import flower_mask
from gseg.scores.datasets import layouts
from gseg.scores.datasets.layouts import DataSet, Layout, Listing

_TEST: Final = "trnid"
_PICTURE, _MASK = "image_", "segmim_"


def _pairs(parts: Mapping[str, Path]) -> Listing:
    """Pair all pictures, or those of the list if the layout has one."""
    pictures = layouts.files_by_stem(parts["pictures"], strip=_PICTURE)
    masks = layouts.files_by_stem(parts["masks"], strip=_MASK)
    # The official program has its masks renamed after the pictures.
    masks = {name.removeprefix(_PICTURE): file for name, file in masks.items()}
    names = _test_names(parts["list"]) if "list" in parts else None
    return layouts.pair_by_name(parts, pictures, masks, names)


def _test_names(path: Path) -> list[str]:
    from scipy.io import loadmat  # takes long to import
    from scipy.io.matlab import MatReadError

    try:
        lists = loadmat(path, variable_names=[_TEST])
    except (OSError, ValueError, NotImplementedError, MatReadError) as error:
        raise ValueError(f"Cannot read the split {path}: {error}") from error
    if _TEST not in lists:
        raise ValueError(f"{path} holds no {_TEST!r}; expected the split of Flowers-102.")
    return [f"{number:05d}" for number in sorted(map(int, lists[_TEST].reshape(-1)))]


FLOWERS: Final = DataSet(
    name="flowers",
    title="Oxford Flowers-102",
    pictures=1020,
    crop=True,
    split=f"ReDO's inverted split ({_TEST} of setid.mat)",
    folders=("Flowers", "flowers-102", "flowers102", "oxford-102-flowers", "flowers"),
    layouts=(
        Layout(
            name=layouts.PROGRAM,
            parts={"pictures": ("test_images",), "masks": ("test_segmentations",)},
            pairs=_pairs,
        ),
        Layout(
            parts={"pictures": ("jpg",), "masks": ("segmim",), "list": ("setid.mat",)},
            pairs=_pairs,
            # Made by a program; many are empty, which stays so and is counted.
            read_mask=flower_mask,
        ),
    ),
    address="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/ (102flowers.tgz, "
    "102segmentations.tgz, setid.mat)",
)
