"""Oxford Flowers-102 (Nilsback and Zisserman) with the inverted split of ReDO.

ReDO (Chen et al. 2019) trains on the data set's own test part and tests on its training part,
``trnid`` of ``setid.mat``: the 1,020 pictures of Melas-Kyriazi et al. 2022, Table 5. The masks were
made by a program; many are empty, which stays so and is counted.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gseg.scores.datasets.layouts import (
    DISTRIBUTED,
    PROGRAM,
    DataSet,
    Layout,
    Listing,
    files_by_stem,
    pair_by_name,
)
from gseg.scores.datasets.masks import flower_mask

_TEST: Final = "trnid"
_PICTURE, _MASK = "image_", "segmim_"


def _distributed(parts: Mapping[str, Path]) -> Listing:
    return pair_by_name(
        *_files(parts), [f"{number:05d}" for number in _test_numbers(parts["list"])]
    )


def _program(parts: Mapping[str, Path]) -> Listing:
    return pair_by_name(*_files(parts))


def _files(parts: Mapping[str, Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    pictures = files_by_stem(parts["pictures"], strip=_PICTURE)
    masks = files_by_stem(parts["masks"], strip=_MASK)
    return pictures, {name.removeprefix(_PICTURE): file for name, file in masks.items()}


def _test_numbers(path: Path) -> list[int]:
    from scipy.io import loadmat  # takes long to import
    from scipy.io.matlab import MatReadError

    try:
        lists = loadmat(path, variable_names=[_TEST])
    except (OSError, ValueError, NotImplementedError, MatReadError) as error:
        raise ValueError(f"Cannot read the split {path}: {error}") from error
    if _TEST not in lists:
        raise ValueError(f"{path} holds no {_TEST!r}; expected the split of Flowers-102.")
    return sorted(int(number) for number in lists[_TEST].reshape(-1))


FLOWERS: Final = DataSet(
    name="flowers",
    title="Oxford Flowers-102",
    pictures=1020,
    crop=True,
    split=f"ReDO's inverted split ({_TEST} of setid.mat)",
    folders=("Flowers", "flowers-102", "flowers102", "oxford-102-flowers", "flowers"),
    layouts=(
        Layout(
            name=PROGRAM,
            parts={"pictures": ("test_images",), "masks": ("test_segmentations",)},
            pairs=_program,
        ),
        Layout(
            name=DISTRIBUTED,
            parts={"pictures": ("jpg",), "masks": ("segmim",), "list": ("setid.mat",)},
            pairs=_distributed,
            read_mask=flower_mask,
        ),
    ),
    address="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/ (102flowers.tgz, "
    "102segmentations.tgz, setid.mat)",
)
