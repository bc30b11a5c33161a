"""The three saliency benchmarks: whole pictures with masks of black and white.

DUT-OMRON (Yang et al. 2013), the test part of DUTS (Wang et al. 2017) and ECSSD (Shi et al. 2016).
The layouts in which they are distributed are also those of the official program. Each archive may
have been unpacked into a folder of its own name.
"""

from typing import Final

from gseg.scores.datasets.layouts import DISTRIBUTED, DataSet, Layout, two_folders

DUT_OMRON: Final = DataSet(
    name="dut_omron",
    title="DUT-OMRON",
    pictures=5168,
    crop=False,
    split="all pictures with pixelwise masks",
    folders=("DUT_OMRON", "DUT-OMRON", "DUTS-OMRON", "dut_omron"),
    layouts=(
        Layout(
            name=DISTRIBUTED,
            parts={
                "pictures": ("DUT-OMRON-image", "DUT-OMRON-image/DUT-OMRON-image"),
                "masks": (
                    "pixelwiseGT-new-PNG",
                    "DUT-OMRON-gt-pixelwise/pixelwiseGT-new-PNG",
                    "DUT-OMRON-gt-pixelwise.zip/pixelwiseGT-new-PNG",
                ),
            },
            pairs=two_folders,
        ),
    ),
    address="http://saliencydetection.net/dut-omron/ (DUT-OMRON-image.zip, "
    "DUT-OMRON-gt-pixelwise.zip.zip)",
)

DUTS: Final = DataSet(
    name="duts",
    title="DUTS-TE",
    pictures=5019,
    crop=False,
    split="the test part",
    folders=("DUTS/DUTS-TE", "DUTS-TE", "duts/DUTS-TE"),
    layouts=(
        Layout(
            name=DISTRIBUTED,
            parts={"pictures": ("DUTS-TE-Image",), "masks": ("DUTS-TE-Mask",)},
            pairs=two_folders,
        ),
    ),
    address="http://saliencydetection.net/duts/ (DUTS-TE.zip)",
)

ECSSD: Final = DataSet(
    name="ecssd",
    title="ECSSD",
    pictures=1000,
    crop=False,
    split="all pictures",
    folders=("ECSSD", "ecssd"),
    layouts=(
        Layout(
            name=DISTRIBUTED,
            parts={
                "pictures": ("images",),
                "masks": ("ground_truth_mask", "ground_truth_mask/ground_truth_mask"),
            },
            pairs=two_folders,
        ),
    ),
    address="https://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/dataset.html (images.zip, "
    "ground_truth_mask.zip)",
)
