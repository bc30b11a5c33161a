"""The published benchmarks of both papers: which pictures count, and where to get them.

Caltech-UCSD Birds-200-2011 (Wah et al. 2011): both papers take ReDO's split (Chen et al. 2019):
10,000 pictures for training, 788 for validation and 1,000 for testing. It is read from the data
set's folder, where ReDO wants it.

Oxford Flowers-102 (Nilsback and Zisserman): ReDO trains on the data set's own test part and tests
on its training part, ``trnid`` of ``setid.mat``: the 1,020 pictures of Melas-Kyriazi et al. 2022,
Table 5.

DUT-OMRON (Yang et al. 2013), the test part of DUTS (Wang et al. 2017) and ECSSD (Shi et al. 2016):
saliency, whole photographs. The layouts in which they are distributed are also those of the
official program. Their masks are black and white.

PASCAL VOC 2012 (Everingham et al.): the validation pictures, any class against background.
Melas-Kyriazi et al. 2022 score classes on it (Table 3), from masks of foreground.

CelebAMask-HQ (Lee et al. 2020): 1,000 faces, foreground is the whole person. Melas-Kyriazi et al.
2022, Table 12, and the work that they compare with take 1,000 pictures at random and name no list.
Ours is published here, and anybody can draw it again: faces 0 to 29999 are ordered by the BLAKE2b
digest (8 bytes) of the text ``celebamask_hq NUMBER``, and the first 1,000 count.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gseg import mask_files
from gseg.downloads import why_unreadable
from gseg.scores.datasets import layouts
from gseg.scores.datasets.layouts import DataSet, Layout, Listing, Pair
from gseg.storage.files import read_text

# Drawn at random, and a file of ReDO's program, which may not be passed on for commercial use: so
# it is not part of this package, but recognised by its digest.
SPLIT_FILE: Final = "train_val_test_split.txt"
SPLIT_ADDRESS: Final = (
    f"https://raw.githubusercontent.com/mickaelChen/ReDO/master/datasplits/cub/{SPLIT_FILE}"
)
_CUB_TEST: Final = "2"
_CUB_PICTURES: Final = 1000
# BLAKE2b, 8 bytes, of the numbers of the test pictures in ascending order, joined by spaces.
_CUB_DIGEST: Final = "7ba2cc7f06d23e5c"


def read_split(path: Path) -> list[str]:
    """Read the numbers of the test pictures, ascending.

    Args:
        path: ReDO's file: on each line a picture's number, and 0, 1 or 2 for its part.

    Raises:
        ValueError: The file has another form, or it names 1,000 test pictures that are not ReDO's.
    """
    fields = [line.split() for line in read_text(path).splitlines() if line.strip()]
    if any(len(field) != 2 or not field[0].isdecimal() for field in fields):
        raise ValueError(f"{path} is no split of CUB; get it from {SPLIT_ADDRESS}.")
    chosen = sorted((number for number, part in fields if part == _CUB_TEST), key=int)
    digest = hashlib.blake2b(" ".join(chosen).encode(), digest_size=8).hexdigest()
    # Of another number the benchmark itself complains, unless "+subset" allows it.
    if len(chosen) == _CUB_PICTURES and digest != _CUB_DIGEST:
        raise ValueError(
            f"The 1,000 test pictures of {path} are not those of ReDO; get its file from "
            f"{SPLIT_ADDRESS}."
        )
    return chosen


def _cub_pairs(parts: Mapping[str, Path]) -> Listing:
    lines = (line.strip().partition(" ") for line in read_text(parts["list"]).splitlines())
    names = {number: file.rpartition(".")[0] for number, _, file in lines}
    chosen = read_split(parts["split"])
    unknown = [number for number in chosen if number not in names]
    if unknown:
        raise ValueError(f"{parts['list']} has no picture {unknown[0]}, which the split names.")
    return layouts.two_folders(parts, [names[number] for number in chosen])


CUB: Final = DataSet(
    name="cub",
    title="CUB-200-2011",
    pictures=_CUB_PICTURES,
    crop=True,
    split=f"ReDO's test pictures (part {_CUB_TEST} of {SPLIT_FILE})",
    folders=("CUB_200_2011", "CUB_200_2011/CUB_200_2011", "CUB-200-2011", "CUB", "cub"),
    layouts=(
        Layout(
            name=layouts.PROGRAM,
            parts={"pictures": ("test_images",), "masks": ("test_segmentations",)},
            read_mask=mask_files.votes_mask,
        ),
        Layout(
            parts={
                "pictures": ("images",),
                "masks": ("segmentations", "../segmentations"),
                "list": ("images.txt",),
                "split": (SPLIT_FILE, f"../{SPLIT_FILE}"),
            },
            pairs=_cub_pairs,
            read_mask=mask_files.votes_mask,
        ),
    ),
    address="https://data.caltech.edu/records/65de6-vp158 (images), "
    "https://data.caltech.edu/records/w9d68-gec53 (segmentations), "
    f"{SPLIT_ADDRESS} (into the folder of images.txt)",
)

_FLOWERS_TEST: Final = "trnid"
_PICTURE, _MASK = "image_", "segmim_"


def _flowers_pairs(parts: Mapping[str, Path]) -> Listing:
    """Pair all pictures, or those of the list if the layout has one."""
    pictures = layouts.files_by_stem(parts["pictures"], strip=_PICTURE)
    masks = layouts.files_by_stem(parts["masks"], strip=_MASK)
    # The official program has its masks renamed after the pictures.
    masks = {name.removeprefix(_PICTURE): file for name, file in masks.items()}
    names = _flowers_names(parts["list"]) if "list" in parts else None
    return layouts.pair_by_name(parts, pictures, masks, names)


def _flowers_names(path: Path) -> list[str]:
    import numpy as np
    from scipy.io import loadmat  # takes long to import
    from scipy.io.matlab import MatReadError

    try:
        lists = loadmat(path, variable_names=[_FLOWERS_TEST])
    # Of a file that is none, the reader looks for its version beyond the end.
    except (OSError, ValueError, TypeError, IndexError, NotImplementedError, MatReadError) as error:
        raise ValueError(f"Cannot read the split {path}: {why_unreadable(path, error)}") from error
    if _FLOWERS_TEST not in lists:
        raise ValueError(f"{path} holds no {_FLOWERS_TEST!r}; expected the split of Flowers-102.")
    numbers = np.asarray(lists[_FLOWERS_TEST]).reshape(-1)
    whole = numbers.dtype.kind in "iuf" and np.isfinite(numbers).all() and len(numbers)
    if not whole or (numbers != np.round(numbers)).any():
        raise ValueError(f"{_FLOWERS_TEST!r} of {path} is no list of pictures' numbers.")
    return [f"{int(number):05d}" for number in np.sort(numbers)]


FLOWERS: Final = DataSet(
    name="flowers",
    title="Oxford Flowers-102",
    pictures=1020,
    crop=True,
    split=f"ReDO's inverted split ({_FLOWERS_TEST} of setid.mat)",
    folders=("Flowers", "flowers-102", "flowers102", "oxford-102-flowers", "flowers"),
    layouts=(
        Layout(
            name=layouts.PROGRAM,
            parts={"pictures": ("test_images",), "masks": ("test_segmentations",)},
            pairs=_flowers_pairs,
        ),
        Layout(
            parts={"pictures": ("jpg",), "masks": ("segmim",), "list": ("setid.mat",)},
            pairs=_flowers_pairs,
            # Made by a program; many are empty, which stays so and is counted.
            read_mask=mask_files.flower_mask,
        ),
    ),
    address="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/ (102flowers.tgz, "
    "102segmentations.tgz, setid.mat)",
)

DUT_OMRON: Final = DataSet(
    name="dut_omron",
    title="DUT-OMRON",
    pictures=5168,
    split="all pictures with pixelwise masks",
    folders=("DUT_OMRON", "DUT-OMRON", "DUTS-OMRON", "dut_omron"),
    layouts=(
        Layout(
            parts={
                "pictures": ("DUT-OMRON-image", "DUT-OMRON-image/DUT-OMRON-image"),
                # Each archive may have been unpacked into a folder of its own name.
                "masks": (
                    "pixelwiseGT-new-PNG",
                    "DUT-OMRON-gt-pixelwise/pixelwiseGT-new-PNG",
                    "DUT-OMRON-gt-pixelwise.zip/pixelwiseGT-new-PNG",
                ),
            }
        ),
    ),
    address="http://saliencydetection.net/dut-omron/ (DUT-OMRON-image.zip, "
    "DUT-OMRON-gt-pixelwise.zip.zip)",
)

DUTS: Final = DataSet(
    name="duts",
    title="DUTS-TE",
    pictures=5019,
    split="the test part",
    folders=("DUTS/DUTS-TE", "DUTS-TE", "duts/DUTS-TE"),
    layouts=(Layout(parts={"pictures": ("DUTS-TE-Image",), "masks": ("DUTS-TE-Mask",)}),),
    address="http://saliencydetection.net/duts/ (DUTS-TE.zip)",
)

ECSSD: Final = DataSet(
    name="ecssd",
    title="ECSSD",
    pictures=1000,
    split="all pictures",
    folders=("ECSSD", "ecssd"),
    layouts=(
        Layout(
            parts={
                "pictures": ("images",),
                "masks": ("ground_truth_mask", "ground_truth_mask/ground_truth_mask"),
            }
        ),
    ),
    address="https://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/dataset.html (images.zip, "
    "ground_truth_mask.zip)",
)

VOC2012: Final = DataSet(
    name="voc2012",
    title="PASCAL VOC 2012",
    pictures=1449,
    split="the validation part of the segmentation task",
    folders=("VOCdevkit/VOC2012", "VOC2012", "voc2012"),
    layouts=(
        Layout(
            parts={
                "pictures": ("JPEGImages",),
                "masks": ("SegmentationClass",),
                "list": ("ImageSets/Segmentation/val.txt",),
            },
            pairs=layouts.names_in_list,
            # Void pixels, the borders of objects and what the annotators found too hard, are not
            # scored, as in VOC's own rules.
            read_mask=mask_files.label_mask,
        ),
    ),
    address="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ (VOCtrainval_11-May-2012.tar)",
    licence="photographs under Flickr's terms of use",
)

# Clothes, hats and jewellery included: the paper's appendix B.2 counts the person's body.
FACE_PARTS: Final = (
    *("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth"),
    *("u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
"""All parts that the data set marks; a face has those of them that can be seen."""

_FACES: Final = 1000
_ALL_FACES: Final = 30_000
_FACES_PER_FOLDER: Final = 2000


def chosen_faces(numbers: list[int]) -> list[int]:
    """Choose, of the faces that there are, the 1,000 first by digest, and sort them by number."""

    # By digest, not by a generator of random numbers: anybody can draw it again in any language.
    def rank(number: int) -> bytes:
        return hashlib.blake2b(f"celebamask_hq {number}".encode(), digest_size=8).digest()

    return sorted(sorted(numbers, key=rank)[:_FACES])


def _face_pairs(parts: Mapping[str, Path]) -> Listing:
    pictures = layouts.files_by_stem(parts["pictures"])
    numbers = [int(name) for name in pictures if name.isdecimal()]
    pairs, problems = [], []
    for number in chosen_faces(numbers):
        folder = parts["masks"] / str(number // _FACES_PER_FOLDER)
        # Asked for by name: the folder holds up to 18 files for each of 2,000 faces.
        files = (folder / f"{number:05d}_{part}.png" for part in FACE_PARTS)
        masks = tuple(file for file in files if file.exists())
        picture = pictures[str(number)]
        if masks:
            pairs.append(Pair(id=str(number), picture=picture, masks=masks))
        else:
            problems.append(f"{picture} has no mask ({folder}/{number:05d}_*.png)")
    incomplete = (
        f"{parts['pictures']} holds {len(numbers):,} of the {_ALL_FACES:,} faces among which the "
        f"{_FACES:,} are chosen"
    )
    return Listing(
        pairs=tuple(pairs),
        problems=tuple(problems),
        incomplete=incomplete if len(numbers) != _ALL_FACES else "",
    )


CELEBAMASK_HQ: Final = DataSet(
    name="celebamask_hq",
    title="CelebAMask-HQ",
    pictures=_FACES,
    split=f"{_FACES:,} of {_ALL_FACES:,} faces, chosen by digest (docs/benchmarks.md)",
    folders=("CelebAMask-HQ", "celebamask_hq"),
    layouts=(
        Layout(
            parts={"pictures": ("CelebA-HQ-img",), "masks": ("CelebAMask-HQ-mask-anno",)},
            pairs=_face_pairs,
            read_mask=mask_files.union_mask,
        ),
    ),
    address="https://github.com/switchablenorms/CelebAMask-HQ (CelebAMask-HQ.zip)",
    licence="non-commercial research only",
    mask_scale=0.5,
)

# In the order of the papers' tables.
PAPERS_DATA_SETS: Final = (CUB, FLOWERS, DUT_OMRON, DUTS, ECSSD, VOC2012, CELEBAMASK_HQ)
