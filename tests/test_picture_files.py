"""gseg/picture_files.py: what is read, and how damage is named."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError

from gseg.picture_files import UnreadableImageError, encode_png, read_image, read_mask


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, 5, 7), dtype=np.uint8)


def _save(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def test_a_picture_is_read_as_it_was_written(tmp_path, pixels):
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(torch.from_numpy(pixels)))
    assert np.array_equal(read_image(path).numpy(), pixels)


def test_a_grey_picture_gets_three_channels(tmp_path, pixels):
    path = _save(tmp_path / "a.png", pixels[0])
    assert np.array_equal(read_image(path).numpy(), np.stack([pixels[0]] * 3))


def test_transparency_shows_white(tmp_path):
    rgba = np.zeros((2, 2, 4), dtype=np.uint8)
    rgba[0] = (10, 20, 30, 255)
    shown = read_image(_save(tmp_path / "a.png", rgba))
    assert shown[:, 0, 0].tolist() == [10, 20, 30]
    assert shown[:, 1, 1].tolist() == [255, 255, 255]


def test_pictures_and_masks_are_turned_upright(tmp_path):
    stored = np.zeros((8, 16, 3), dtype=np.uint8)
    stored[:, :8] = 255  # stored: white at the left; turned by 90 degrees clockwise: at the top
    exif = Image.Exif()
    exif[0x0112] = 6
    path = _save(tmp_path / "a.jpg", stored, exif=exif, quality=95)
    picture, mask = read_image(path), read_mask(path)
    assert picture.shape == (3, 16, 8)
    assert picture[:, :6].min() > 200
    assert picture[:, 10:].max() < 50
    assert mask[:6].all()
    assert not mask[10:].any()


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.uint8([[0, 127, 128, 255]]), [False, False, True, True]),
        (np.uint8([[0, 1, 1, 0]]), [False, True, True, False]),
        (np.uint8([[0, 1, 2, 0]]), [False, False, False, False]),
        (np.uint8([[0, 0, 0, 0]]), [False, False, False, False]),
        (np.uint16([[0, 32767, 32768, 65535]]), [False, False, True, True]),
        (np.uint16([[0, 1, 0, 1]]), [False, True, False, True]),
    ],
)
def test_foreground_is_half_of_full_scale_or_more(tmp_path, stored, expected):
    assert read_mask(_save(tmp_path / "a.png", stored)).tolist() == [expected]


def test_masks_of_one_bit_and_of_colours(tmp_path):
    mask = torch.tensor([[True, False], [False, True]])
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(mask))
    assert Image.open(path).mode == "1"
    assert torch.equal(read_mask(path), mask)
    coloured = np.where(mask.numpy()[..., None], np.uint8(255), np.uint8([0, 0, 40]))
    assert torch.equal(read_mask(_save(tmp_path / "b.png", coloured)), mask)


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_what_cannot_be_read_is_named(tmp_path, read, pixels):
    good = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).resize((64, 64)).save(good, "PNG")
    damaged = {
        "missing.png": None,
        "empty.png": b"",
        "text.png": b"not a picture at all",
        "truncated.png": good.getvalue()[:2000],
    }
    for name, content in damaged.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableImageError, match=name) as caught:
            read(tmp_path / name)
        assert isinstance(caught.value.__cause__, OSError | UnidentifiedImageError)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_damage_never_escapes_as_another_error(tmp_path, kind):
    rng = np.random.default_rng(2)
    whole = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (16, 17, 3), dtype=np.uint8)).save(whole, kind)
    path = tmp_path / "a"
    for _ in range(60):
        broken = bytearray(whole.getvalue())
        for place in rng.integers(0, len(broken), 4):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken[: rng.integers(1, len(broken) + 1)])
        for read in (read_image, read_mask):
            try:
                read(path)
            except UnreadableImageError as error:
                assert str(path) in str(error)  # noqa: PT017
