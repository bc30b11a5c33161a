"""The shipped segmenter on real photographs, where they are at hand."""

import numpy as np
import pytest
from PIL import Image
from shared_folder import SHARED

from gseg.cli import main

HORSES = SHARED / "data" / "weizmann_horse"
NUMBER = 327


def opened(path):
    with Image.open(path) as file:
        return np.array(file.convert("L")) > 127


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    if not HORSES.is_dir():
        pytest.skip(f"photographs of horses are not in {HORSES}")
    out = tmp_path_factory.mktemp("horses") / "masks"
    assert main(["segment", str(HORSES / "images"), "--out", str(out)]) == 0
    return out


def test_every_photograph_gets_a_mask_of_its_size(masks):
    pictures = sorted((HORSES / "images").iterdir())
    assert len(pictures) == NUMBER
    assert sorted(path.stem for path in masks.iterdir()) == [path.stem for path in pictures]
    for path in pictures:
        with Image.open(path) as picture, Image.open(masks / f"{path.stem}.png") as mask:
            assert mask.size == picture.size
            assert mask.mode == "1"


def test_masks_find_more_of_the_horses_than_a_guess(masks):
    """Trained on rendered shapes alone, it is no good segmenter of horses, but it is none of luck.

    Taking everything for foreground scores the horses' share of the pictures, a quarter.
    """
    ious, everything = [], []
    for path in sorted((HORSES / "masks").iterdir()):
        truth, found = opened(path), opened(masks / f"{path.stem}.png")
        ious.append((truth & found).sum() / (truth | found).sum())
        everything.append(truth.mean())
    assert np.mean(everything) == pytest.approx(0.25, abs=0.02)
    assert np.mean(ious) > 0.4
