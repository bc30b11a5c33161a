"""gseg/mask_files.py, mask_coding.py: what values of mask files mean, what nobody can know."""

import numpy as np
import pytest
import torch
from PIL import Image

from gseg.mask_coding import MaskCoding, mask_coding
from gseg.mask_files import check_codings, coded_mask, read_mask
from gseg.picture_files import UnreadableImageError, encode_png

TRUE = np.zeros((20, 24), bool)
TRUE[5:15, 6:18] = True
RING = np.zeros_like(TRUE)
RING[4:16, 5:19] = True
RING &= ~TRUE
GREY = np.zeros(TRUE.shape, np.uint8)
VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), *[(9, 9, 9)] * 251, (224, 224, 192)]


def palette(indices, colours):
    image = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
    image.putpalette([value for colour in colours for value in colour])
    return image


def levels(background, foreground, ring=None, dtype=np.uint8):
    found = np.where(TRUE, foreground, background)
    return Image.fromarray((found if ring is None else np.where(RING, ring, found)).astype(dtype))


def with_alpha(colours, alpha):
    return Image.fromarray(np.dstack([colours, alpha]).astype(np.uint8))


def coloured(foreground, background=(0, 0, 0)):
    return Image.fromarray(np.where(TRUE[..., None], foreground, background).astype(np.uint8))


PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (*TRUE.shape, 3))
BLACK = np.zeros_like(PHOTOGRAPH)
ALPHA = np.where(TRUE, 255, 0)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize(
    ("image", "coding", "void"),
    [
        (levels(0, 255), "black and white", False),
        (levels(0, 255).convert("1"), "black and white", False),
        (levels(0, 255).convert("RGB"), "black and white", False),
        (levels(0, 1), "0 and 1", False),
        (levels(0, 1, 255), "0, 1 and void 255", True),
        (palette(np.where(RING, 255, TRUE * 1), VOC), "palette indices", True),
        (palette(np.where(RING, 255, TRUE * 3), VOC), "palette indices", True),
        (palette(TRUE * 1, [(250, 250, 240), (255, 200, 200)]), "palette indices", False),
        (palette(~TRUE * 1, [(255, 255, 255), (0, 0, 0)]), "black and white", False),
    ],
)
def test_codings_are_seen_from_the_file(tmp_path, image, coding, void, suffix):
    path = tmp_path / f"a{suffix}"
    image.save(path)
    found = coded_mask(path)
    assert np.array_equal(found.mask, TRUE)
    assert found.coding == coding
    assert np.array_equal(~found.scored, RING) if void else found.scored is None


@pytest.mark.parametrize(
    ("image", "coding"),
    [
        (levels(0, 255, dtype=np.uint16), "black and white"),
        (levels(0, 65535, dtype=np.uint16), "black and white"),
        (levels(0, 1, dtype=np.uint16), "0 and 1"),
        (levels(0, 255, dtype=np.int32), "black and white"),
        (levels(0, 65535, dtype=np.int32), "black and white"),
        (levels(0, 2**31 - 1, dtype=np.int32), "black and white"),
        (levels(0.05, 0.95, dtype=np.float32), "soft edges, cut at half"),
        (levels(0, 1, dtype=np.float32), "black and white"),
        (levels(0, 255, dtype=np.float32), "black and white"),
        (levels(0, 1, 255, dtype=np.float32), "0, 1 and void 255"),
        (with_alpha(BLACK, ALPHA), "alpha"),
        (with_alpha(PHOTOGRAPH, ALPHA), "alpha"),
        (with_alpha(BLACK + 255, ALPHA), "alpha"),
        (Image.merge("LA", [levels(255, 255), levels(0, 255)]), "alpha"),
        (levels(0, 255).convert("CMYK"), "black and white"),
    ],
)
def test_deep_files_are_read_by_their_scale_and_alpha_is_a_mask(tmp_path, image, coding):
    path = tmp_path / "a.tif"
    image.save(path)
    found = coded_mask(path)
    assert np.array_equal(found.mask, TRUE)
    assert found.coding == coding


def test_a_transparent_index_is_alpha(tmp_path):
    image = palette(TRUE * 1, [(250, 250, 240), (255, 200, 200)])
    image.save(tmp_path / "a.png", transparency=0)
    assert coded_mask(tmp_path / "a.png").coding == "alpha"
    assert np.array_equal(read_mask(tmp_path / "a.png").numpy(), TRUE)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (levels(0, 2), "values 0, 2,.*foreground=2 "),
        (levels(1, 2, 3), "values 1, 2, 3,.*foreground=1 "),
        (levels(0, 7, 255), "values 0, 7, 255,.*foreground=7 void=255"),
        (levels(0, 255, 128), "values 0, 128, 255"),
        (levels(0, 128), "values 0, 128,"),
        (levels(3, 255), "values 3, 255,"),
        (levels(0, 1000, dtype=np.uint16), "values 0, 1000,"),
        (levels(0, 200, dtype=np.uint16), "values 0, 200,"),
        (levels(0, -1, dtype=np.int32), "holds -1"),
        (levels(0, 1.5, dtype=np.float32), "from 0 to 1.5"),
        (levels(0, np.nan, dtype=np.float32), "row 5, column 6 is nan"),
        (levels(-0.5, 0.5, dtype=np.float32), "from -0.5 to 0.5"),
        (levels(0, 0.4, dtype=np.float32), "values 0, 0.4,"),
        (palette(TRUE * 2, [(0, 0, 0), (9, 9, 9), (200, 0, 0)]), "palette's indices 0, 2,"),
        (coloured((255, 0, 0)), "coloured"),
        (coloured((0, 0, 1)), "coloured"),
        (coloured((255, 255, 255), (0, 0, 40)), "coloured"),
        (Image.fromarray(PHOTOGRAPH.astype(np.uint8)), "coloured"),
        (with_alpha(BLACK + 200, BLACK[..., 0]), "transparent all over"),
        (
            with_alpha(np.where(TRUE[..., None], 255, BLACK), np.where(RING, 0, 255)),
            "its alpha is a mask, and",
        ),
        (Image.fromarray(PHOTOGRAPH[..., 0].astype(np.uint8)), "of its pixels are grey"),
    ],
)
def test_what_nobody_can_know_is_refused_with_what_to_say(tmp_path, image, message):
    path = tmp_path / "a.tif"
    image.save(path)
    with pytest.raises(UnreadableImageError, match=f"a.tif: .*{message}") as caught:
        coded_mask(path)
    assert len(str(caught.value)) < 400


def soft_disc():
    rows, columns = np.mgrid[:200, :200]
    edge = np.clip(80 - np.hypot(rows - 100, columns - 100) + 0.5, 0, 1)
    return Image.fromarray(np.rint(255 * edge).astype(np.uint8)), edge > 0.5


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_soft_edges_and_noise_of_codecs_are_cut_at_half(tmp_path, name):
    image, true = soft_disc()
    image.save(tmp_path / name)
    found = coded_mask(tmp_path / name)
    assert (found.mask != true).mean() < 0.003
    assert found.coding == "soft edges, cut at half"
    assert found.grey > 0


def test_a_stray_grey_pixel_is_no_label(tmp_path):
    pixels = np.asarray(levels(0, 255)).copy()
    pixels[5, 6] = 119
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert coded_mask(tmp_path / "a.png").mask.sum() == TRUE.sum() - 1


@pytest.mark.parametrize("value", [0, 255])
def test_empty_and_full_masks_are_no_error_by_themselves(tmp_path, value):
    for name, image in {
        "a.png": Image.new("L", (8, 6), value),
        "b.png": Image.new("RGB", (8, 6), (value,) * 3),
        "c.jpg": Image.new("L", (8, 6), value),
        "d.gif": Image.new("L", (8, 6), value),
        "e.png": Image.new("1", (8, 6), value),
        "f.tif": Image.new("F", (8, 6), value),
    }.items():
        image.save(tmp_path / name)
        assert (read_mask(tmp_path / name).numpy() == bool(value)).all(), name


@pytest.mark.parametrize(
    ("image", "words", "void"),
    [
        (levels(0, 2), ["foreground=2"], None),
        (levels(1, 2, 3), ["foreground=2", "void=3"], RING),
        (levels(1, 2, 3), ["foreground=2", "background=1", "void=3"], RING),
        (levels(1, 2, 3), ["background=1", "void=3"], RING),
        (levels(1, 2, 3), ["background=1,3"], None),
        (levels(0, 255, 128), ["void=128"], RING),
        (levels(0, 255, 128), ["foreground=255"], None),
        (levels(255, 0), ["foreground=0"], None),
        (levels(255, 0), ["inverted"], None),
        (levels(0.9, 0.1, dtype=np.float32), ["inverted"], None),
        (levels(0, 1000, dtype=np.uint16), ["foreground=1000"], None),
        (levels(0, 200), ["threshold"], None),
        (levels(0.4, 0.6, dtype=np.float32), ["threshold"], None),
        (palette(TRUE * 2, [(0, 0, 0), (9, 9, 9), (200, 0, 0)]), ["foreground=2"], None),
        (palette(~TRUE * 1, [(255, 255, 255), (0, 0, 0)]), ["foreground=0"], None),
        (palette(TRUE * 2, [(0, 0, 0), (9, 9, 9), (200, 0, 0)]), ["colour"], None),
        (coloured((255, 0, 0)), ["colour"], None),
        (coloured((0, 0, 1)), ["colour"], None),
        (with_alpha(BLACK, ALPHA), ["alpha"], None),
        (with_alpha(np.where(TRUE[..., None], 255, BLACK), RING * 255), ["threshold"], None),
        (levels(0, 255).convert("1"), ["foreground=1"], None),
        (levels(0, 255).convert("1"), ["foreground=255"], None),
    ],
)
def test_a_coding_says_what_a_file_does_not(tmp_path, image, words, void):
    path = tmp_path / ("a.png" if image.mode == "P" else "a.tif")
    image.save(path)
    found = coded_mask(path, mask_coding(words))
    assert np.array_equal(found.mask, TRUE)
    assert found.scored is None if void is None else np.array_equal(~found.scored, void)


@pytest.mark.parametrize(
    ("image", "words", "message"),
    [
        (levels(1, 2, 3), ["foreground=2", "background=1"], "also holds 3, and"),
        (levels(0, 255), ["alpha"], "has no alpha"),
        (coloured((255, 0, 0)), ["foreground=255"], "coloured"),
        (levels(0, np.inf, dtype=np.float32), ["threshold"], "is inf"),
    ],
)
def test_a_coding_that_a_file_does_not_have_is_refused(tmp_path, image, words, message):
    image.save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImageError, match=message):
        coded_mask(tmp_path / "a.tif", mask_coding(words))


def test_levels_of_a_format_that_changes_them_are_refused(tmp_path):
    levels(0, 255).save(tmp_path / "a.jpg")
    for word in ("foreground=255", "void=255"):
        with pytest.raises(UnreadableImageError, match="format changes levels"):
            coded_mask(tmp_path / "a.jpg", mask_coding([word]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["foregruond=1"], "Unknown word 'foregruond=1'.*did you mean 'foreground'"),
        (["color"], "did you mean 'colour'"),
        (["foreground"], "Unknown word 'foreground'"),
        (["foreground="], "needs whole numbers"),
        (["foreground=1.5"], "needs whole numbers"),
        (["foreground=-1"], "needs whole numbers"),
        (["void=70000"], "Levels of a mask are 0 to 65535"),
        (["foreground=1", "foreground=2"], "given twice"),
        (["colour", "colour"], "given twice"),
        (["foreground=1", "void=1"], "one meaning"),
        (["foreground=1,1"], "one meaning"),
        (["colour", "alpha"], "colour and alpha exclude each other"),
        (["colour", "foreground=1"], "goes without levels"),
        (["threshold", "void=3"], "goes without levels"),
        (["foreground=1", "inverted"], "goes without foreground"),
    ],
)
def test_words_that_say_nothing_or_two_things_are_refused(words, message):
    with pytest.raises(ValueError, match=message):
        mask_coding(words)


def test_a_coding_has_one_spelling():
    same = MaskCoding(foreground=(1, 2), void=(255,))
    assert mask_coding(["void=255", "foreground=2,1"]) == same
    assert same.words == ("foreground=1,2", "void=255")
    assert mask_coding(same.words) == same
    assert mask_coding([]) == MaskCoding()


def test_codings_of_a_folder_must_not_contradict_each_other():
    check_codings(["0 and 1", "black and white", "alpha"], "x")
    with pytest.raises(UnreadableImageError, match="255 is void in one and foreground in"):
        check_codings(["0, 1 and void 255", "black and white"], "x")


def test_masks_of_this_package_are_read_as_written(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(torch.from_numpy(TRUE)))
    assert Image.open(path).mode == "1"
    assert np.array_equal(read_mask(path).numpy(), TRUE)
