"""gseg/picture_files.py: what is read, and how damage is named."""

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

import gseg
from gseg.mask_files import read_mask
from gseg.picture_files import (
    UnreadableImageError,
    encode_png,
    list_pictures,
    picture_size,
    picture_suffixes,
    read_image,
)


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


def _frames(path, count=2, **options):
    frames = [Image.new("L", (8, 6), 40 * k) for k in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    return path


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
@pytest.mark.parametrize("read", [read_image, read_mask, lambda p: picture_size(p, upright=True)])
def test_several_pictures_in_a_file_are_refused_with_how_to_split_it(tmp_path, read, name):
    with pytest.raises(UnreadableImageError, match="holds 2 pictures, expected one: split it"):
        read(_frames(tmp_path / name))


def test_a_smaller_copy_of_the_picture_is_no_second_picture(tmp_path):
    large, small = Image.new("L", (8, 6), 200), Image.new("L", (4, 3), 200)
    smaller = TiffImagePlugin.ImageFileDirectory_v2()
    smaller[254] = 1

    def write(name, *pages):
        with TiffImagePlugin.AppendingTiffWriter(tmp_path / name, new=True) as file:
            for page, facts in pages:
                page.save(file, format="TIFF", tiffinfo=facts)
                file.newFrame()
        return tmp_path / name

    plain = TiffImagePlugin.ImageFileDirectory_v2()
    assert read_image(write("preview.tif", (large, plain), (small, smaller))).shape == (3, 6, 8)
    with pytest.raises(UnreadableImageError, match="holds 2 pictures"):
        read_image(write("thumbnail.tif", (small, smaller), (large, plain)))
    path = tmp_path / "phone.jpg"  # an MPO: the photograph, and a second view of it
    large.save(path, format="MPO", save_all=True, append_images=[small])
    assert read_image(path).shape == (3, 6, 8)


DEEP = np.arange(48).reshape(6, 8)


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ((DEEP * 1300).astype(np.uint16), "a.png"),
        ((DEEP * 1300).astype(np.uint16), "a.tif"),
        ((DEEP * 1300).astype(np.int32), "a.tif"),
    ],
)
def test_pictures_of_16_bits_show_their_upper_8(tmp_path, stored, name):
    shown = read_image(_save(tmp_path / name, stored))
    assert np.array_equal(shown.numpy(), np.stack([(DEEP * 1300) // 256] * 3))


def test_pictures_of_32_bits_and_floats_are_shown_by_their_range(tmp_path):
    for number, (stored, shown) in enumerate(
        [
            (DEEP.astype(np.int32) * 5, DEEP * 5),
            (DEEP.astype(np.uint16) * 5, DEEP * 5),
            ((DEEP / 47).astype(np.float32), np.rint(DEEP / 47 * 255)),
            ((DEEP * 5).astype(np.float32), DEEP * 5),
        ]
    ):
        found = read_image(_save(tmp_path / f"{number}.tif", stored))
        assert np.array_equal(found.numpy(), np.stack([shown] * 3))


def _nan():
    stored = (DEEP / 47).astype(np.float32)
    stored[2, 3] = np.nan
    return stored


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (DEEP.astype(np.uint16) * 50, "largest value is not 65535, but 2350"),
        (DEEP.astype(np.int32) * 100_000, "values go from 0 to 4.7e"),
        (DEEP.astype(np.int32) - 3, "values go from -3 to 44"),
        ((DEEP / 47 - 0.5).astype(np.float32), "values go from -0.5 to 0.5"),
        ((DEEP * 10).astype(np.float32), "values go from 0 to 470"),
        (_nan(), "value at row 2, column 3 is nan"),
    ],
)
def test_pictures_whose_white_nobody_knows_are_refused(tmp_path, stored, message):
    path = _save(tmp_path / "a.tif", stored)
    with pytest.raises(UnreadableImageError, match=f"a.tif.*{message}"):
        read_image(path)


def test_coloured_pictures_of_16_bits_are_read_by_their_depth_or_refused(tmp_path):
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 65536, (6, 8, 3), dtype=np.uint16)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), stored[..., ::-1])
    assert np.array_equal(read_image(path).numpy(), stored.transpose(2, 0, 1) // 256)
    cv2.imwrite(str(path), stored % 256)
    with pytest.raises(UnreadableImageError, match="largest value is not 16 bits"):
        read_image(path)


def test_a_file_is_read_by_content_but_only_of_known_formats(tmp_path, pixels):
    path = tmp_path / "a.jpg"
    path.write_bytes(encode_png(torch.from_numpy(pixels)))
    assert np.array_equal(read_image(path).numpy(), pixels)
    Image.new("RGB", (8, 8)).save(path, format="EPS")
    with pytest.raises(UnreadableImageError, match="cannot identify"):
        read_image(path)
    for suffix in (".jfif", ".jpe", ".jp2", ".avif"):
        assert suffix in picture_suffixes()
        Image.new("RGB", (16, 16), "white").save(tmp_path / f"b{suffix}")
        assert read_image(tmp_path / f"b{suffix}").min() > 250


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UnreadableImageError, match="it is no file"):
        read_image(tmp_path / "a.png")


def test_lists_hold_pictures_and_say_what_is_left_out(tmp_path):
    taken = ["A.JPG", "a.jfif", "b.png", "sub/deep/c.webp"]
    left = ["x.heic", "y.heic", "z.psd", "notes"]
    hidden = [".d.png", "._b.png", "Thumbs.db", "__MACOSX/b.png", ".ipynb_checkpoints/b.png"]
    hidden += ["@eaDir/b.png"]
    for name in (*taken, *left, *hidden):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "sub" / "round").symlink_to(tmp_path)
    listed = list_pictures(tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in listed.files] == taken
    assert listed.left_out == (
        f"{tmp_path}: 4 files left out: 2 .heic (install gseg[heic]), 1 without suffix, 1 .psd"
    )
    by_name, doubled = listed.by_name()
    assert list(by_name) == ["A", "a", "b", "sub/deep/c"]
    assert not doubled


def test_names_given_twice_are_no_names(tmp_path):
    for name in ("a.jpg", "a.png", "b.png", "sub/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, doubled = list_pictures(tmp_path).by_name()
    assert list(found) == ["b", "sub/a"]
    assert list(doubled.values()) == [
        f"{tmp_path / 'a.png'} has the same name as a.jpg but for the suffix"
    ]


def _saying(width, height):
    """A PNG that says so of itself, and has not one pixel."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


@pytest.mark.parametrize("reader", [read_image, read_mask, lambda p: picture_size(p, upright=True)])
def test_one_limit_of_pixels_by_what_the_header_says(reader, tmp_path):
    (tmp_path / "bomb.png").write_bytes(_saying(2**14, 2**14 + 1))
    with pytest.raises(
        UnreadableImageError, match=r"bomb\.png.*16384 x 16385 pixels, more than 268,435,456"
    ):
        reader(tmp_path / "bomb.png")
    (tmp_path / "large.png").write_bytes(_saying(2**14, 2**14))
    assert picture_size(tmp_path / "large.png", upright=True) == (2**14, 2**14)


def test_one_place_opens_pictures():
    package = Path(gseg.__file__).parent
    found = [each for each in package.rglob("*.py") if "Image.open(" in each.read_text()]
    assert found == [package / "picture_files.py"]
