"""Benchmarks of whole photographs: the three of saliency, and PASCAL VOC.

DUT-OMRON (Yang et al. 2013), the test part of DUTS (Wang et al. 2017) and ECSSD (Shi et al. 2016).
The layouts in which they are distributed are also those of the official program. Their masks are
black and white.

PASCAL VOC 2012 (Everingham et al.): the validation pictures, any class against background.
Melas-Kyriazi et al. 2022 score classes on it (Table 3), from masks of foreground.
"""

from typing import Final

from gseg.picture_files import label_mask
from gseg.scores.datasets.layouts import DataSet, Layout, names_in_list

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
            pairs=names_in_list,
            # Void pixels, the borders of objects and what the annotators found too hard, are not
            # scored, as in VOC's own rules.
            read_mask=label_mask,
        ),
    ),
    address="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ (VOCtrainval_11-May-2012.tar)",
    licence="photographs under Flickr's terms of use",
)
