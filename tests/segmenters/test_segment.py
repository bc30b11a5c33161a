"""Masks for files as users have them: odd sizes, alpha, grey, turned, broken, of one name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from gseg.mask_files import read_mask
from gseg.picture_files import read_image
from gseg.segmenters.segment import segment_files, segment_picture
from gseg.segmenters.segmenter import Ensemble, Segmenter
from gseg.segmenters.unet import UNet


class Bright:
    """Finds bright pixels, so that the right answer is known."""

    resolution = 16
    smallest_side = 4

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def probability(self, images: Tensor) -> Tensor:
        self.shapes.append(tuple(images.shape))
        return images.mean(1) / 2 + 0.5


def half_white(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Black above, white below."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[height // 2 :] = 255
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("RGB", "a.png"),
        ("RGB", "a.jpg"),
        ("L", "a.png"),
        ("1", "a.png"),
        ("P", "a.gif"),
        ("RGBA", "a.png"),
        ("LA", "a.png"),
        ("CMYK", "a.tif"),
    ],
)
@pytest.mark.parametrize("size", [(40, 40), (37, 53), (3, 6), (1, 2)])
def test_masks_have_the_size_of_the_picture(tmp_path, mode, name, size):
    half_white(*size, mode).save(tmp_path / name)
    result = segment_files(Bright(), [tmp_path / name], tmp_path / "out")
    assert result.masks == {tmp_path / name: tmp_path / "out" / "a.png"}
    assert result.skipped == {}
    mask = read_mask(tmp_path / "out" / "a.png")
    width, height = size
    assert mask.shape == (height, width)
    assert not mask[: height // 2].any() or height < 8
    assert mask[(height + 1) // 2 + height // 8 :].all()


def test_the_network_sees_its_own_side(tmp_path):
    segmenter = Bright()
    for size in ((64, 32), (16, 16), (5, 7), (9000, 3)):
        half_white(*size).save(tmp_path / "a.png")
        segment_files(segmenter, [tmp_path / "a.png"], tmp_path / "out")
        segment_files(segmenter, [tmp_path / "a.png"], tmp_path / "out", working_size=4)
    assert [shape[2:] for shape in segmenter.shapes] == [
        (16, 32), (4, 8), (16, 16), (4, 4), (22, 16), (6, 4), (16, 256), (4, 64),
    ]  # fmt: skip


def test_downscaling_averages(tmp_path):
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(checks.astype(np.uint8)).save(tmp_path / "a.png")
    probability = segment_picture(Bright(), read_image(tmp_path / "a.png"))
    assert probability.shape == (64, 64)
    assert (probability - 0.5).abs().max() < 0.1


def test_turned_photographs_are_read_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rows run from right to left, columns from top to bottom
    half_white(40, 30).save(tmp_path / "a.jpg", exif=exif)
    segment_files(Bright(), [tmp_path / "a.jpg"], tmp_path / "out")
    mask = read_mask(tmp_path / "out" / "a.png")
    assert mask.shape == (40, 30)
    assert mask[:, :12].all()
    assert not mask[:, 18:].any()


def test_unreadable_files_are_listed_and_the_others_done(tmp_path):
    half_white(40, 40).save(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("hello")
    paths = [tmp_path / n for n in ("cut.png", "absent.png", "good.png", "text.jpg", "good.png")]
    seen: list[tuple[int, int]] = []
    result = segment_files(
        Bright(), paths, tmp_path / "out", progress=lambda *counts: seen.append(counts)
    )
    assert list(result.masks) == [tmp_path / "good.png"]
    assert list(result.skipped) == [tmp_path / n for n in ("cut.png", "absent.png", "text.jpg")]
    assert all(str(path) in reason for path, reason in result.skipped.items())
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


def test_no_two_pictures_share_a_mask(tmp_path):
    names = ["x/cat.jpg", "x/cat.png", "y/cat.png", "x/dog.png", "x/Dog.bmp", "x/cat.png-2.png"]
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        half_white(10 + number, 10).save(tmp_path / name)
    result = segment_files(Bright(), [tmp_path / name for name in names], tmp_path / "out")
    assert [path.name for path in result.masks.values()] == [
        "cat.jpg.png", "cat.png.png", "cat.png-3.png", "dog.png.png", "Dog.bmp.png",
        "cat.png-2.png",
    ]  # fmt: skip
    for number, mask in enumerate(result.masks.values()):
        assert read_mask(mask).shape == (10, 10 + number)


def test_pictures_are_never_replaced(tmp_path):
    half_white(10, 10).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    for inputs, out in ((["a.png"], "."), (["a.png"], "../" + tmp_path.name)):
        with pytest.raises(ValueError, match="would replace one of the pictures"):
            segment_files(Bright(), [tmp_path / name for name in inputs], tmp_path / out)
    assert (tmp_path / "a.png").read_bytes() == before


def test_overlays_and_threshold(tmp_path):
    Image.new("RGB", (20, 20), (100, 120, 140)).save(tmp_path / "a.png")
    share = 120 / 255
    for threshold, found in ((share - 0.01, True), (share + 0.01, False)):
        result = segment_files(
            Bright(), [tmp_path / "a.png"], tmp_path / "out", threshold=threshold, overlay=True
        )
        assert read_mask(result.masks[tmp_path / "a.png"]).float().mean() == found
        overlay = read_image(tmp_path / "out" / "overlays" / "a.png")
        assert overlay[:, 0, 0].tolist() == ([177, 92, 102] if found else [50, 60, 70])


def test_otsu_splits_each_picture_by_its_own_probabilities(tmp_path):
    pixels = np.full((2, 12, 12, 3), 30, np.uint8)  # nowhere near half
    pixels[0, 3:9, 2:7] = 60
    pixels[1] = 200
    pixels[1, :4] = 250
    for name, each in zip("ab", pixels, strict=True):
        Image.fromarray(each).save(tmp_path / f"{name}.png")
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    result = segment_files(Bright(), files, tmp_path / "out", threshold="otsu", working_size=12)
    for path, each in zip(files, pixels, strict=True):
        expected = each[..., 0] > each[..., 0].min()
        np.testing.assert_array_equal(read_mask(result.masks[path]).numpy(), expected)


def test_real_networks_fit_in(tmp_path):
    half_white(33, 21).save(tmp_path / "a.png")
    network = Segmenter(UNet(width=2, depth=3), {"resolution": 8})
    for predictor in (network, Ensemble([network, network])):
        result = segment_files(predictor, [str(tmp_path / "a.png")], tmp_path / "out")
        assert read_mask(result.masks[Path(tmp_path / "a.png")]).shape == (21, 33)


def test_wrong_options_are_explained(tmp_path):
    with pytest.raises(ValueError, match="no pictures to segment"):
        segment_files(Bright(), [], tmp_path)
    with pytest.raises(ValueError, match=r"a probability in \[0, 1\) or 'otsu', got 1"):
        segment_files(Bright(), ["a.png"], tmp_path, threshold=1)
    with pytest.raises(ValueError, match=r"or 'otsu', got 'half'"):
        segment_files(Bright(), ["a.png"], tmp_path, threshold="half")
    with pytest.raises(ValueError, match="working size of at least 4 pixels, got 3"):
        segment_files(Bright(), ["a.png"], tmp_path, working_size=3)
