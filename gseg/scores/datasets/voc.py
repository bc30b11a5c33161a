"""PASCAL VOC 2012 (Everingham et al.): the validation pictures, any class against background.

Melas-Kyriazi et al. 2022 score classes on it (Table 3), from masks of foreground. Void pixels, the
borders of objects and what the annotators found too hard, are not scored, as in VOC's own rules.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gseg.scores.datasets.layouts import (
    DISTRIBUTED,
    DataSet,
    Layout,
    Listing,
    files_by_stem,
    pair_by_name,
)
from gseg.scores.datasets.masks import label_mask


def _listed(parts: Mapping[str, Path]) -> Listing:
    names = [line.strip() for line in parts["list"].read_text().splitlines() if line.strip()]
    pictures, masks = files_by_stem(parts["pictures"]), files_by_stem(parts["masks"])
    return pair_by_name(pictures, masks, names)


VOC2012: Final = DataSet(
    name="voc2012",
    title="PASCAL VOC 2012",
    pictures=1449,
    crop=False,
    split="the validation part of the segmentation task",
    folders=("VOCdevkit/VOC2012", "VOC2012", "voc2012"),
    layouts=(
        Layout(
            name=DISTRIBUTED,
            parts={
                "pictures": ("JPEGImages",),
                "masks": ("SegmentationClass",),
                "list": ("ImageSets/Segmentation/val.txt",),
            },
            pairs=_listed,
            read_mask=label_mask,
        ),
    ),
    address="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ (VOCtrainval_11-May-2012.tar)",
    licence="photographs under Flickr's terms of use",
)
