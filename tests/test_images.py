import io
import math

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError

from gseg.images import (
    UnreadableImageError,
    centre_distance,
    contact_sheet,
    encode_png,
    from_uint8,
    luminance,
    read_image,
    read_mask,
    sobel_gradients,
    to_pixels,
    to_uint8,
)


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, 5, 7), dtype=np.uint8)


def _save(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def test_luminance_weighs_the_channels():
    image = torch.tensor([0.5, -0.25, 1.0]).reshape(1, 3, 1, 1)
    expected = 0.2989 * 0.5 + 0.5870 * -0.25 + 0.1140
    assert luminance(image).item() == pytest.approx(expected, abs=1e-7)


def test_sobel_equals_a_loop_over_pixels():
    planes = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 4, 5)))
    smooth, difference = (1, 2, 1), (-1, 0, 1)
    across, down = sobel_gradients(planes)
    for n, y, x in np.ndindex(2, 4, 5):
        sums = [0.0, 0.0]
        for i in range(3):
            for j in range(3):
                value = planes[n, min(max(y + i - 1, 0), 3), min(max(x + j - 1, 0), 4)].item()
                sums[0] += smooth[i] * difference[j] * value
                sums[1] += difference[i] * smooth[j] * value
        assert across[n, y, x].item() == pytest.approx(sums[0], abs=1e-12)
        assert down[n, y, x].item() == pytest.approx(sums[1], abs=1e-12)


def test_every_byte_survives_the_way_to_floats_and_back():
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    floats = from_uint8(every)
    assert floats.dtype == torch.float32
    assert (floats.min(), floats.max()) == (-1, 1)
    assert torch.equal(to_uint8(floats), every)


def test_bytes_that_are_floats_already_are_left_as_they_were():
    given = torch.tensor([0.0, 127.5, 255.0])
    assert from_uint8(given).tolist() == [-1, 0, 1]
    assert given.tolist() == [0, 127.5, 255]


def test_what_leaves_the_range_is_clamped():
    assert to_uint8(torch.tensor([-7.0, -1.0, 0.0, 1.0, 3.5])).tolist() == [0, 0, 128, 255, 255]


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


def test_every_form_of_picture_can_be_shown():
    picture = torch.zeros(3, 4, 4, dtype=torch.uint8)
    assert to_pixels(picture) is picture
    assert torch.equal(to_pixels(torch.full((3, 4, 4), -1.0)), picture)
    assert torch.equal(to_pixels(torch.zeros(4, 4, dtype=torch.bool)), picture)
    assert to_pixels(torch.ones(4, 4, dtype=torch.bool)).unique().tolist() == [255]
    assert to_pixels(torch.full((4, 4), 0.5)).unique().tolist() == [128]


def test_a_contact_sheet_places_pictures_in_cells():
    red = torch.zeros(3, 8, 8, dtype=torch.uint8)
    red[0] = 255
    wide = torch.zeros(6, 12, dtype=torch.bool)
    sheet = contact_sheet([[red, wide], [wide, red]], tile=24, columns=("a", "b"), labels=("x",))
    width, height = sheet.size
    assert height == 20 + 2 * 28 + 4
    left, top = width - 2 * 28, 24
    assert sheet.getpixel((left + 12, top + 12)) == (255, 0, 0)
    assert sheet.getpixel((left + 28 + 12, top + 28 + 12)) == (255, 0, 0)
    assert sheet.getpixel((left + 28 + 12, top + 12)) == (0, 0, 0)
    assert sheet.getpixel((left + 28 + 12, top + 3)) == (255, 255, 255)  # a wide picture's margin


def test_the_distance_from_the_centre_is_one_in_the_corners():
    distance = centre_distance(5, 9)
    assert distance[2, 4] == 0
    corners = distance[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners == pytest.approx(1)
    assert distance[0, 4] == pytest.approx(2 / math.hypot(2, 4))
    assert centre_distance(1, 1).tolist() == [[0.0]]
