"""Tiny trees in the layouts of the published data sets, made up here."""

import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from shared_folder import SHARED

from gseg.scores import benchmarks
from gseg.scores.specs import DATA_SETS

HEIGHT, WIDTH = 24, 36


def truth(number):
    """(24, 36) bool: a disc whose place and size depend on the number; empty for 3."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    radius = 0 if number == 3 else 5 + number
    return (y - 10 - number) ** 2 + (x - 16 + number) ** 2 < radius**2


def picture(number):
    """(24, 36, 3) uint8: smooth, so that JPEG keeps it nearly."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [128 + 100 * np.sin((x + 3 * number) / (8 + c) + y / 9) for c in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def save_mask(path, number):
    save(path, truth(number).astype(np.uint8) * 255)


def cub(root, numbers):
    folder = root / "CUB_200_2011"
    lines, split = [], []
    for number in range(max(numbers) + 2):
        kind = f"{number % 2 + 1:03d}.Bird"
        name = f"{kind}/Bird_{number:04d}"
        save(folder / "images" / f"{name}.jpg", picture(number), quality=95)
        votes = np.where(truth(number), 204, 51).astype(np.uint8)
        save(root / "segmentations" / f"{name}.png", votes)
        lines.append(f"{number + 1} {name}.jpg\n")
        split.append(f"{number + 1} {2 if number in numbers else number % 2}\n")
    (folder / "images.txt").write_text("".join(lines))
    (folder / "train_val_test_split.txt").write_text("".join(split))
    return [f"{number % 2 + 1:03d}.Bird/Bird_{number:04d}" for number in sorted(numbers)]


def cub_program(root, numbers):
    folder = root / "CUB_200_2011"
    for number in numbers:
        save(folder / "test_images" / f"Bird_{number:04d}.jpg", picture(number), quality=95)
        save_mask(folder / "test_segmentations" / f"Bird_{number:04d}.png", number)
    return [f"Bird_{number:04d}" for number in sorted(numbers)]


def flowers(root, numbers):
    folder = root / "flowers-102"
    for number in range(max(numbers) + 2):
        save(folder / "jpg" / f"image_{number:05d}.jpg", picture(number), quality=95)
        shown = np.where(truth(number)[..., None], [200, 120, 60], [0, 0, 254]).astype(np.uint8)
        path = folder / "segmim" / f"segmim_{number:05d}.jpg"
        save(path, shown, quality=100, subsampling=0)
    others = [n for n in range(max(numbers) + 2) if n not in numbers]
    lists = {"trnid": [numbers[::-1]], "valid": [others[:1]], "tstid": [others[1:]]}
    savemat(folder / "setid.mat", lists)
    return [f"{number:05d}" for number in sorted(numbers)]


def flowers_program(root, numbers):
    folder = root / "Flowers"
    for number in numbers:
        save(folder / "test_images" / f"image_{number:05d}.jpg", picture(number), quality=95)
        save_mask(folder / "test_segmentations" / f"segmim_{number:05d}.png", number)
    return [f"{number:05d}" for number in sorted(numbers)]


def two_folders(images, masks):
    def build(root, numbers):
        for number in numbers:
            save(root / images / f"im{number:03d}.jpg", picture(number), quality=95)
            save_mask(root / masks / f"im{number:03d}.png", number)
        (root / images / "Thumbs.db").write_bytes(b"")
        return [f"im{number:03d}" for number in sorted(numbers)]

    return build


def voc(root, numbers):
    folder = root / "VOCdevkit" / "VOC2012"
    for number in range(max(numbers) + 2):
        save(folder / "JPEGImages" / f"2007_{number:06d}.jpg", picture(number), quality=95)
        labels = truth(number) * np.uint8(number + 1)
        labels[:2] = 255
        image = Image.fromarray(labels.astype(np.uint8)).convert("P")
        image.putpalette([channel for level in range(256) for channel in (level, 255 - level, 7)])
        path = folder / "SegmentationClass" / f"2007_{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.putdata(labels.reshape(-1).tolist())
        image.save(path)
    (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
    names = [f"2007_{number:06d}" for number in sorted(numbers)]
    (folder / "ImageSets" / "Segmentation" / "val.txt").write_text("\n".join(names) + "\n")
    return names


def celeba(root, numbers):
    folder = root / "CelebAMask-HQ"
    for number in numbers:
        large = picture(number).repeat(2, 0).repeat(2, 1)
        save(folder / "CelebA-HQ-img" / f"{number}.jpg", large, quality=95)
        whole = truth(number)
        left, right = whole.copy(), whole.copy()
        left[:, 16:], right[:, :14] = False, False  # parts overlap
        for part, mask in (("skin", left), ("cloth", right)):
            path = folder / "CelebAMask-HQ-mask-anno" / "0" / f"{number:05d}_{part}.png"
            save(path, (mask[..., None] * np.ones(3)).astype(np.uint8) * 255)
    return [str(number) for number in sorted(numbers)]


TREES = {
    "cub": cub,
    "cub, official program": cub_program,
    "flowers": flowers,
    "flowers, official program": flowers_program,
    "dut_omron": two_folders("DUT_OMRON/DUT-OMRON-image", "DUT_OMRON/pixelwiseGT-new-PNG"),
    "dut_omron, archives": two_folders(
        "DUT-OMRON/DUT-OMRON-image", "DUT-OMRON/DUT-OMRON-gt-pixelwise.zip/pixelwiseGT-new-PNG"
    ),
    "duts": two_folders("DUTS/DUTS-TE/DUTS-TE-Image", "DUTS/DUTS-TE/DUTS-TE-Mask"),
    "duts, alone": two_folders("DUTS-TE/DUTS-TE-Image", "DUTS-TE/DUTS-TE-Mask"),
    "ecssd": two_folders("ECSSD/images", "ECSSD/ground_truth_mask"),
    "voc2012": voc,
    "celebamask_hq": celeba,
}


@pytest.fixture
def trees():
    """Builders of trees by title: build(root, numbers) -> names of the pictures in order."""
    return TREES


@pytest.fixture
def made_up():
    """The pictures and masks that the trees hold: functions of a picture's number."""
    return picture, truth


@pytest.fixture
def counts(monkeypatch):
    """Set how many pictures are published of each data set."""

    def publish(pictures):
        few = {name: replace(each, pictures=pictures) for name, each in DATA_SETS.items()}
        monkeypatch.setattr(benchmarks, "DATA_SETS", few)

    return publish


@pytest.fixture(autouse=True)
def no_root(monkeypatch):
    monkeypatch.delenv("GSEG_BENCHMARKS", raising=False)
    assert "GSEG_BENCHMARKS" not in os.environ


@pytest.fixture
def redo_split():
    """ReDO's own file, where the reference material is at hand."""
    path = SHARED / "data" / "lists" / "redo" / "cub" / "train_val_test_split.txt"
    if not path.is_file():
        pytest.skip("no split of ReDO beside the repository")
    return path
