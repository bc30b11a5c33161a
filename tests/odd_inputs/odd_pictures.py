"""Pictures and masks, wherever commands read them, and the lists of data sets."""

import functools
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from damages import FINITE, REFUSED, SAFE, SAME, TOLD
from odd_base import (
    Kind,
    Like,
    Special,
    Unlike,
    distance_of,
    fid,
    finished,
    gseg_run,
    mask_of,
    picture_of,
    pixels_of,
    quietly,
    rows_of,
    said_in,
    scenes,
    segmenter_file,
    shelf,
    specials_of,
    sweep,
    text_special,
)
from PIL import Image

_OUT: Final = "result"


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.array(file)


def _again(
    path: Path, image: Image.Image | list[Image.Image], suffix: str = "", **options: object
) -> Path:
    """Write another file in a picture's place."""
    path.unlink()
    path = path.with_suffix(suffix or path.suffix)
    first, *more = image if isinstance(image, list) else [image]
    form = {".jfif": "JPEG", ".mpo": "MPO"}.get(suffix)
    several = {"save_all": True, "append_images": more} if more else {}
    first.save(path, form, **several, **options)
    return path


def _as(suffix: str, mode: str = "RGB", **options: object) -> Callable[[Path], Path]:
    return lambda path: _again(
        path, Image.fromarray(_pixels(path)).convert(mode), suffix, **options
    )


def _disguised(suffix: str) -> Callable[[Path], None]:
    """The file of another format under the old name."""

    def change(path: Path) -> None:
        other = _again(path, Image.fromarray(_pixels(path)), suffix)
        other.rename(path)

    return change


def _grey(dtype: type, factor: float, suffix: str = ".png") -> Callable[[Path], Path]:
    """Grey levels of another type: 0 to 255 times the factor."""

    def change(path: Path) -> Path:
        levels = np.asarray(Image.open(path).convert("L")).astype(np.float64) * factor
        return _again(path, Image.fromarray(levels.astype(dtype)), suffix)

    return change


def _several(suffix: str, **options: object) -> Callable[[Path], Path]:
    def change(path: Path) -> Path:
        first = Image.fromarray(_pixels(path)).convert("RGB")
        second = first.transpose(Image.Transpose.ROTATE_90)
        return _again(path, [first, second], suffix, **options)

    return change


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, colours: int = 2, bits: int = 8, data: bytes = b"\0" * 99):
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(data)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _float_with(value: float) -> Callable[[Path], Path]:
    def change(path: Path) -> Path:
        levels = np.asarray(Image.open(path).convert("L")).astype(np.float32) / 255
        levels[3, 4] = value
        return _again(path, Image.fromarray(levels), ".tif")

    return change


def _turned(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _again(path, Image.open(path).transpose(Image.Transpose.ROTATE_90), exif=exif)


def _transparent(path: Path) -> Path:
    picture = Image.fromarray(_pixels(path)).convert("P")
    return _again(path, picture, transparency=0)


def _many(path: Path) -> None:
    """One of the pictures of a TIFF is a small preview, and the first."""
    first = Image.fromarray(_pixels(path)).convert("RGB")
    _again(path, [first.resize((8, 8)), first], ".tif").rename(path)


_EPS: Final = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"
    b"(/tmp/gseg_odd_canary) (w) file closefile showpage\n%%EOF\n"
)
_AS_GREY: Final = Like(change=_as(".png", "L"))
ONE_PICTURE: Final = specials_of(
    bmp=(_as(".bmp"), SAME),
    tiff=(_as(".tiff"), SAME),
    tiff_with_lzw=(_as(".tif", compression="tiff_lzw"), SAME),
    ppm=(_as(".ppm"), SAME),
    webp_without_loss=(_as(".webp", lossless=True), SAME),
    jpeg_2000_without_loss=(_as(".jp2"), Like(change=_as(".png"))),
    avif=(_as(".avif"), FINITE),
    jfif=(_as(".jfif", quality=95), Like(change=_as(".jpg", quality=95))),
    suffix_in_capitals=(lambda path: path.rename(path.with_suffix(".PNG")), SAME),
    a_bmp_called_png=(_disguised(".bmp"), SAFE),
    a_jpeg_called_png=(_disguised(".jpg"), FINITE),
    eps_called_png=text_special(_EPS, REFUSED),
    svg_called_png=text_special("<svg xmlns='http://www.w3.org/2000/svg'/>", REFUSED),
    pdf_called_png=text_special("%PDF-1.4\n1 0 obj <<>> endobj\n", REFUSED),
    psd_called_png=text_special(b"8BPS\0\1" + b"\0" * 40, REFUSED),
    heic_called_png=text_special(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99, REFUSED),
    grey=(_as(".png", "L"), FINITE),
    one_bit=(_as(".png", "1"), Like(change=lambda path: _as(".png", "L")(_as(".png", "1")(path)))),
    grey_of_16_bit=(_grey(np.uint16, 257), _AS_GREY),
    grey_of_16_bit_as_tiff=(_grey(np.uint16, 257, ".tif"), _AS_GREY),
    grey_of_32_bit=(_grey(np.int32, 257, ".tif"), _AS_GREY),
    grey_of_32_bit_up_to_255=(_grey(np.int32, 1, ".tif"), _AS_GREY),
    float_up_to_1=(_grey(np.float32, 1 / 255, ".tif"), _AS_GREY),
    float_up_to_255=(_grey(np.float32, 1, ".tif"), _AS_GREY),
    float_up_to_1000=(_grey(np.float32, 4, ".tif"), REFUSED),
    float_below_0=(_float_with(-1), REFUSED),
    float_with_nan=(_float_with(np.nan), REFUSED),
    float_with_infinity=(_float_with(np.inf), REFUSED),
    opaque_alpha=(_as(".png", "RGBA"), SAME),
    palette=(_as(".png", "P"), FINITE),
    palette_with_transparency=(_transparent, FINITE),
    cmyk=(_as(".tif", "CMYK"), FINITE),
    lab=(_as(".tif", "LAB"), FINITE),
    turned_by_exif=(_turned, SAFE),
    gif_of_two=(_several(".gif"), REFUSED),
    webp_of_two=(_several(".webp"), REFUSED),
    apng_of_two=(_several(".png"), REFUSED),
    tiff_of_two=(_several(".tif"), REFUSED),
    preview_first=(_many, REFUSED),
    photograph_with_preview=(
        lambda path: _several(".mpo")(path).rename(path.with_suffix(".jpg")),
        Like(change=_as(".jpg")),
    ),
    says_60000_pixels=text_special(_png(60_000, 60_000), REFUSED),
    says_12000_pixels=text_special(_png(12_000, 12_000), REFUSED),
    says_2_billion_pixels=text_special(_png(2**31 - 1, 2**31 - 1), REFUSED),
    says_0_pixels=text_special(_png(0, 0), REFUSED),
    no_data=text_special(_png(32, 32, data=b""), REFUSED),
    a_gif_of_65535=text_special(
        b"GIF89a\xff\xff\xff\xff\x80\0\0" + b"\0" * 6 + b",\0\0\0\0\xff\xff\xff\xff\0\2\1\0;",
        REFUSED,
    ),
)


def _beside(name: str, content: bytes | None = None) -> Callable[[Path], None]:
    """Put a file into the folder; None for a copy of the picture."""

    def change(path: Path) -> None:
        other = path.parent / name
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(path.read_bytes() if content is None else content)

    return change


IN_A_FOLDER: Final = specials_of(
    fork_of_a_mac_beside=(_beside("._p100.png", b"\0\5\x16\7junk"), SAME),
    archive_of_a_mac_beside=(_beside("__MACOSX/._p100.png", b"\0\5\x16\7junk"), SAME),
    checkpoint_of_a_notebook=(_beside(".ipynb_checkpoints/p100-checkpoint.png"), SAME),
    thumbnails_of_a_nas=(_beside("@eaDir/SYNOPHOTO_THUMB_S.png"), SAME),
    thumbs_db_beside=(_beside("Thumbs.db", b"\xd0\xcf\x11\xe0"), SAME),
    ds_store_beside=(_beside(".DS_Store", b"\0\0\0\1Bud1"), SAME),
    heic_beside=(_beside("extra.heic", b"\0\0\0\x18ftypheic"), TOLD),
    psd_beside=(_beside("extra.psd", b"8BPS\0\1"), TOLD),
    raw_beside=(_beside("extra.CR2", b"II*\0"), TOLD),
    nothing_in_a_file_beside=(_beside("zero.png", b""), REFUSED),
)
_ONE: Final = {"the same without its suffix": (lambda p: p.rename(p.with_suffix("")), SAFE)}

_ENCODER: Final = ("--encoder", "bigbigan.scenes32-large")


def _segment(home: Path, path: Path, *words: object) -> int:
    return gseg_run("segment", path, "--out", home / _OUT, "--model", segmenter_file(), *words)


def _embedded(home: Path) -> list[float]:
    return np.load(home / "result.npy").tolist()


_SCENES: Final = ("--benchmark", "scenes:4")


def _folder(home: Path) -> str:
    return f"folder:{home / 'birds'}"


_PICTURES: Final = [
    Kind(
        name="picture: segment",
        make=picture_of,
        run=_segment,
        result=lambda home: pixels_of(home / _OUT),
        soft=FINITE,
        specials={**ONE_PICTURE, **_ONE},
    ),
    Kind(
        name="picture: segment a folder",
        make=picture_of,
        run=lambda home, _: _segment(home, home / "birds" / "images"),
        result=lambda home: pixels_of(home / _OUT),
        soft=FINITE,
        expected={"missing": FINITE, "a directory": FINITE},
        specials={**IN_A_FOLDER, **ONE_PICTURE},
    ),
    Kind(
        name="picture: fid",
        make=picture_of,
        run=lambda home, _: fid(home, home / "birds" / "images"),
        result=distance_of,
        soft=FINITE,
        expected={"missing": FINITE, "a directory": FINITE},
        free=False,
        specials={**ONE_PICTURE, **IN_A_FOLDER},
    ),
    Kind(
        name="picture: embed",
        make=picture_of,
        run=lambda home, _: gseg_run(
            "embed", home / "birds" / "images", "--out", home / "result.npy", *_ENCODER
        ),
        result=_embedded,
        soft=FINITE,
        expected={"missing": FINITE, "a directory": FINITE},
        free=False,
        specials={**ONE_PICTURE, **IN_A_FOLDER},
    ),
    Kind(
        name="picture: folder benchmark",
        make=picture_of,
        run=lambda home, _: sweep(home, "--benchmark", _folder(home)),
        result=rows_of,
        soft=FINITE,
        pairs=("masks",),
        specials={**ONE_PICTURE, **IN_A_FOLDER},
    ),
    Kind(
        name="picture: --nearest",
        make=picture_of,
        run=lambda home, _: sweep(
            *(home, *_SCENES, "--nearest", home / "birds" / "images", "--nearest-candidates", 16)
        ),
        result=rows_of,
        soft=FINITE,
        expected={"missing": FINITE, "a directory": FINITE},
        free=False,
        specials=IN_A_FOLDER,
    ),
]


def _recoded(code: Callable[[np.ndarray, Path], Image.Image], suffix: str = "", **options: object):
    """Write all masks of the folder in another coding."""

    def change(path: Path) -> Path:
        found = path
        for mask in sorted(path.parent.iterdir()):
            pixels = _pixels(mask) > 0
            new = _again(mask, code(pixels, mask), suffix, **options)
            found = new if mask == path else found
        return found

    return change


def _levels(dtype: type, black: float, white: float) -> Callable[[np.ndarray, Path], Image.Image]:
    return lambda mask, _: Image.fromarray(np.where(mask, white, black).astype(dtype))


def _palette(colours: list[int]) -> Callable[[np.ndarray, Path], Image.Image]:
    def code(mask: np.ndarray, _: Path) -> Image.Image:
        image = Image.fromarray(mask.astype(np.uint8)).copy()
        image.putpalette(colours + [128] * (768 - len(colours)))
        return image

    return code


def _void(levels: tuple[int, ...]) -> Callable[[np.ndarray, Path], Image.Image]:
    """Background, foreground, and the ring between them."""

    def code(mask: np.ndarray, _: Path) -> Image.Image:
        ring = np.roll(mask, 1, 0) ^ mask
        return Image.fromarray(np.array(levels, np.uint8)[np.where(ring, 2, mask)])

    return code


def _colours(*colours: tuple[int, ...]) -> Callable[[np.ndarray, Path], Image.Image]:
    return lambda mask, _: Image.fromarray(np.array(colours, np.uint8)[mask.astype(int)])


def _cut_out(mask: np.ndarray, path: Path) -> Image.Image:
    """The picture itself, transparent where it is background."""
    picture = Image.open(next((path.parents[1] / "images").glob(f"{path.stem}.*"))).convert("RGBA")
    picture.putalpha(Image.fromarray(mask.astype(np.uint8) * 255))
    return picture


def _edges(mask: np.ndarray, _: Path) -> Image.Image:
    """Soft edges that half cuts where the mask ends."""
    ring = (np.roll(mask, 1, 0) ^ mask) & ~mask
    soft = 20 + 7 * (np.arange(mask.size).reshape(mask.shape) % 13)
    return Image.fromarray(np.where(mask, 255, np.where(ring, soft, 0)).astype(np.uint8))


def _one_of_them(change: Callable[[Path], object]) -> Callable[[Path], None]:
    return lambda path: change(path) and None


def _invert(path: Path) -> Path:
    return _recoded(lambda mask, _: Image.fromarray((~mask).astype(np.uint8) * 255), ".bmp")(path)


_BLACK: Final = _recoded(_levels(np.uint8, 0, 0))
_VOC: Final = [0, 0, 0, 128, 0, 0]
# A Like or Unlike of a coding, for the commands' results with the masks of the folder.
_NOT_BLACK: Final = Unlike(change=_BLACK, what="all background")
CODINGS: Final = specials_of(
    zero_and_one=(_recoded(_levels(np.uint8, 0, 1)), SAME),
    one_bit=(_recoded(lambda mask, _: Image.fromarray(mask)), SAME),
    bmp=(_recoded(_levels(np.uint8, 0, 255), ".bmp"), SAME),
    tiff=(_recoded(_levels(np.uint8, 0, 255), ".tif"), SAME),
    palette_of_voc=(_recoded(_palette(_VOC)), SAME),
    palette_of_light_colours=(_recoded(_palette([250, 250, 200, 200, 250, 250])), SAFE),
    palette_of_white_and_black=(
        _recoded(_palette([255, 255, 255, 0, 0, 0])),
        Like(change=_invert),
    ),
    palette_of_black_and_white=(_recoded(_palette([0, 0, 0, 255, 255, 255])), SAME),
    void_in_zero_and_one=(_recoded(_void((0, 1, 255))), _NOT_BLACK),
    zero_and_two=(_recoded(_levels(np.uint8, 0, 2)), REFUSED),
    trimap=(_recoded(_void((2, 1, 3))), REFUSED),
    labels_up_to_7=(_recoded(_void((0, 5, 7))), REFUSED),
    red_on_black=(_recoded(_colours((0, 0, 0), (255, 0, 0))), REFUSED),
    blue_on_white=(_recoded(_colours((255, 255, 255), (0, 0, 255))), REFUSED),
    white_on_black_in_rgb=(_recoded(_colours((0, 0, 0), (255, 255, 255))), SAME),
    sixteen_bit_up_to_255=(_recoded(_levels(np.uint16, 0, 255)), SAFE),
    sixteen_bit_up_to_65535=(_recoded(_levels(np.uint16, 0, 65535)), SAME),
    sixteen_bit_zero_and_one=(_recoded(_levels(np.uint16, 0, 1)), SAFE),
    int32=(_recoded(_levels(np.int32, 0, 255), ".tif"), SAFE),
    float_up_to_1=(_recoded(_levels(np.float32, 0, 1), ".tif"), SAFE),
    float_of_05_and_95=(_recoded(_levels(np.float32, 0.05, 0.95), ".tif"), SAFE),
    float_up_to_255=(_recoded(_levels(np.float32, 0, 255), ".tif"), SAFE),
    float_up_to_7=(_recoded(_levels(np.float32, 0, 7), ".tif"), SAFE),
    float_with_nan=(_recoded(_levels(np.float32, np.nan, 1), ".tif"), REFUSED),
    float_below_0=(_recoded(_levels(np.float32, -1, 1), ".tif"), REFUSED),
    mask_in_alpha=(_recoded(_colours((255, 255, 255, 0), (255, 255, 255, 255))), SAME),
    mask_in_alpha_of_black=(_recoded(_colours((0, 0, 0, 0), (0, 0, 0, 255))), SAME),
    mask_in_alpha_of_grey=(_recoded(_colours((128, 0), (128, 255))), SAME),
    cut_out=(_recoded(_cut_out), SAME),
    opaque_alpha=(_recoded(_colours((0, 0, 0, 255), (255, 255, 255, 255))), SAME),
    jpeg=(_recoded(_levels(np.uint8, 0, 255), ".jpg", quality=95), SAFE),
    soft_edges=(_recoded(_edges), SAME),
    all_empty=(_BLACK, REFUSED),
    all_full=(_recoded(_levels(np.uint8, 255, 255)), REFUSED),
    all_one=(_recoded(_levels(np.uint8, 1, 1)), REFUSED),
    one_is_empty=(_one_of_them(lambda p: Image.new("L", (32, 32)).save(p)), FINITE),
    one_of_another_size=(_one_of_them(lambda p: Image.new("L", (31, 32), 255).save(p)), REFUSED),
    one_is_coloured=(
        _one_of_them(lambda p: shutil.copy(p.parents[1] / "images" / p.name, p)),
        REFUSED,
    ),
    one_is_animated=(
        _one_of_them(
            lambda p: Image.open(p).save(
                p, save_all=True, append_images=[Image.new("L", (32, 32), 255)]
            )
        ),
        REFUSED,
    ),
    says_60000_pixels=text_special(_png(60_000, 60_000, 0), REFUSED),
    suffix_in_capitals=(lambda path: path.rename(path.with_suffix(".PNG")), SAME),
    two_of_one_stem=(_beside("p100.bmp"), REFUSED),
    fork_of_a_mac_beside=(_beside("._p100.png", b"\0\5\x16\7junk"), SAME),
    thumbs_db_beside=(_beside("Thumbs.db", b"\xd0\xcf\x11\xe0"), SAME),
)


def _to_subfolders(path: Path) -> Path:
    """Pictures and masks in folders of classes, pictures of one name in two of them."""
    for part in ("images", "masks"):
        folder = path.parents[1] / part
        for number, file in enumerate(sorted(folder.iterdir())):
            (folder / f"class{number % 2}").mkdir(exist_ok=True)
            file.rename(folder / f"class{number % 2}" / f"p{number // 2}{file.suffix}")
    return path.parents[1] / path.parent.name / "class1" / f"p0{path.suffix}"


def _inverted_at_the_same_size(path: Path) -> None:
    """Scored before with other masks in files of the same names and sizes."""
    home = path.parents[2]
    _recoded(_levels(np.uint8, 0, 255), ".bmp")(path)
    quietly(lambda: sweep(home, "--benchmark", _folder(home)))
    shutil.rmtree(home / _OUT)
    for mask in path.parent.iterdir():
        pixels = _pixels(mask)
        Image.fromarray(255 - pixels).save(mask)


def _labelled(home: Path, _: Path) -> int:
    return sweep(home, *_SCENES, "--labelled", _folder(home), "--labelled-count", 4)


@functools.cache
def _samples_to_label() -> Path:
    """Pictures of the samples of a sweep, whose masks any other program may make."""

    folder = shelf() / "exported"
    for place in sorted((finished() / "samples").iterdir()):
        quietly(
            lambda place=place: gseg_run("samples", "export", place, "--out", folder / "images")
        )
    (folder / "masks").mkdir()
    for file in (folder / "images").iterdir():
        mask = np.asarray(Image.open(file).convert("L")) > 128
        mask[4:8, 4:9] = True
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / file.name)
    return folder


def _sample_mask(home: Path) -> Path:
    shutil.copytree(_samples_to_label(), home / "birds")
    return sorted((home / "birds" / "masks").iterdir())[1]


def _strip(home: Path, _: Path) -> int:
    birds = home / "birds"
    words = ("--truth", birds / "masks", "--strip", home / "shown" / "strip.png")
    return _segment(home, birds / "images", *words)


def _strip_result(home: Path) -> list[object]:
    """The strip shows true masks and IoU."""
    return pixels_of(home / "shown")


# Whoever gives masks of single pictures may find nothing in all of them.
_NO_BENCHMARK: Final = {
    name: (CODINGS[name][0], FINITE) for name in ("all empty", "all full", "all one")
}
_OF_16_PIXELS: Final = specials_of(
    one_is_empty=(_one_of_them(lambda p: Image.new("L", (16, 16)).save(p)), FINITE),
    one_is_coloured=(
        _one_of_them(lambda p: shutil.copy(p.parents[1] / "images" / p.name, p)),
        REFUSED,
    ),
)
_MASKS: Final = [
    Kind(
        name="mask: folder benchmark",
        make=mask_of,
        run=lambda home, _: sweep(home, "--benchmark", _folder(home)),
        result=rows_of,
        soft=FINITE,
        pairs=("images",),
        specials={
            **CODINGS,
            **specials_of(
                inverted_at_the_same_size=(_inverted_at_the_same_size, Like(change=_invert)),
                in_subfolders=(_to_subfolders, SAME),
                truth_is_told_apart=(_invert, Unlike(change=lambda path: None, what="the old")),
            ),
        },
    ),
    Kind(
        name="mask: --labelled",
        make=mask_of,
        run=_labelled,
        result=rows_of,
        soft=FINITE,
        free=False,  # the order of names is that of the training
        specials={**CODINGS, "in subfolders": (_to_subfolders, FINITE)},
    ),
    Kind(
        name="mask: segment --truth",
        make=mask_of,
        run=_strip,
        result=_strip_result,
        soft=FINITE,
        pairs=("images",),
        specials={**CODINGS, **_NO_BENCHMARK, "in subfolders": (_to_subfolders, SAFE)},
        expected={"missing": FINITE, "a directory": FINITE},
    ),
    Kind(
        name="mask: --labeller folder:",
        make=_sample_mask,
        run=lambda home, _: sweep(
            *(home, *_SCENES, "--labeller", f"folder:{home / 'birds' / 'masks'}")
        ),
        result=rows_of,
        soft=FINITE,
        free=False,
        # Beside masks of samples any file is of no sample.
        specials={
            **{name: each for name, each in CODINGS.items() if name != "two of one stem"},
            **_NO_BENCHMARK,
            **_OF_16_PIXELS,
        },
    ),
]


# ---------------------------------------------------------------- lists of data sets


def _lines(change: Callable[[str], str], encoding: str = "utf-8") -> Callable[[Path], None]:
    return lambda path: path.write_bytes(change(path.read_text()).encode(encoding)) and None


def _verified(home: Path, name: str) -> int:
    return gseg_run("benchmarks", "verify", home, f"{name}+subset")


def _listed(name: str, file: str, build: Callable[[Path], None], more: dict[str, Special]) -> Kind:
    def make(home: Path) -> Path:
        build(home)
        return home / file

    specials = specials_of(
        byte_order_mark=(_lines(str, "utf-8-sig"), SAME),
        utf_16=(_lines(str, "utf-16"), SAFE),
        utf_16_without_mark=(_lines(str, "utf-16-le"), SAFE),
        latin_1=(_lines(lambda text: text + "\n9 Vögel/Möwe\n", "latin-1"), SAFE),
        ends_of_windows=(_lines(lambda text: text.replace("\n", "\r\n")), SAME),
        ends_of_an_old_mac=(_lines(lambda text: text.replace("\n", "\r")), SAFE),
        empty_lines=(_lines(lambda text: text.replace("\n", "\n\n") + "\n \n"), SAME),
        no_last_end=(_lines(str.rstrip), SAME),
        spaces_at_ends=(_lines(lambda text: text.replace("\n", "  \n")), SAME),
        tabs=(_lines(lambda text: text.replace(" ", "\t")), SAFE),
        zero_in_it=(_lines(lambda text: text.replace("\n", "\0\n", 1)), REFUSED),
        a_name_that_is_not_there=(_lines(lambda text: text + "77 none/none.jpg\n"), SAFE),
        out_of_the_folder=(_lines(lambda text: text + "8 ../../../etc/passwd\n"), SAFE),
        a_comment=(_lines(lambda text: f"# made by hand\n{text}"), SAFE),
        twice=(_lines(lambda text: text + text), SAFE),
        **more,
    )
    return Kind(
        name=f"list: {file.rpartition('/')[2]} of {name}",
        make=make,
        run=lambda home, _: _verified(home, name),
        result=said_in,
        soft=FINITE,
        expected=dict.fromkeys(("cut at 50 %", "cut at 90 %", "cut at 99 %"), FINITE),
        free=False,
        specials=specials,
    )


def _cub(home: Path) -> None:

    lines, split = [], []
    for number, (picture, mask) in enumerate(scenes()):
        for folder, pixels in (("images", picture), ("segmentations", mask.astype(np.uint8) * 255)):
            file = home / folder / "001.Bird" / f"Bird_{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
        lines.append(f"{number + 1} 001.Bird/Bird_{number}.jpg\n")
        split.append(f"{number + 1} {2 if number % 2 else 0}\n")
    (home / "images.txt").write_text("".join(lines))
    (home / "train_val_test_split.txt").write_text("".join(split))


def _voc(home: Path) -> None:

    names = []
    for number, (picture, mask) in enumerate(scenes()):
        labels = _palette(_VOC)(mask, home)
        for folder, image in (
            ("JPEGImages", Image.fromarray(picture)),
            ("SegmentationClass", labels),
        ):
            (home / folder).mkdir(parents=True, exist_ok=True)
            image.save(home / folder / f"2007_{number}.png")
        names.append(f"2007_{number}\n")
    (home / "ImageSets" / "Segmentation").mkdir(parents=True)
    (home / "ImageSets" / "Segmentation" / "val.txt").write_text("".join(names))


def _flowers(home: Path) -> Path:
    from scipy.io import savemat

    for number, (picture, mask) in enumerate(scenes(), start=1):
        shown = np.where(mask[..., None], [200, 120, 60], [0, 0, 254]).astype(np.uint8)
        for folder, name, pixels in (("jpg", "image", picture), ("segmim", "segmim", shown)):
            (home / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(home / folder / f"{name}_{number:05d}.png")
    savemat(home / "setid.mat", {"trnid": [[1, 3]], "valid": [[2]], "tstid": [[4]]})
    return home / "setid.mat"


def _mat(**arrays: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        from scipy.io import savemat

        form = arrays.pop("form", "5") if "form" in arrays else "5"
        savemat(path, arrays, format=form)

    return change


_MATS: Final = specials_of(
    format_of_matlab_4=(_mat(trnid=np.array([[1.0, 3.0]]), form="4"), SAME),
    numbers_as_floats=(_mat(trnid=np.array([[1.0, 3.0]])), SAME),
    a_column=(_mat(trnid=np.array([[1], [3]])), SAME),
    no_trnid=(_mat(tstid=[[1]]), REFUSED),
    nan_in_it=(_mat(trnid=np.array([[1.0, np.nan]])), REFUSED),
    infinity=(_mat(trnid=np.array([[1.0, np.inf]])), REFUSED),
    fractions=(_mat(trnid=np.array([[1.5, 3.2]])), REFUSED),
    below_zero=(_mat(trnid=np.array([[-1, 3]])), REFUSED),
    beyond_the_pictures=(_mat(trnid=np.array([[1, 99]])), REFUSED),
    complex_numbers=(_mat(trnid=np.array([[1 + 2j]])), REFUSED),
    words=(_mat(trnid=np.array(["one", "two"])), REFUSED),
    cells=(_mat(trnid=np.array([[1, "x", 2.5]], dtype=object)), REFUSED),
    a_record=(_mat(trnid={"a": 1}), REFUSED),
    none=(_mat(trnid=np.zeros((1, 0))), REFUSED),
    twice_the_same=(_mat(trnid=np.array([[1, 3, 3]])), SAFE),
    header_of_hdf5=text_special(
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\x89HDF\r\n\x1a\n" + bytes(400), REFUSED
    ),
)

_LISTS: Final = [
    _listed("cub", "images.txt", _cub, {}),
    _listed("cub", "train_val_test_split.txt", _cub, {}),
    _listed("voc2012", "ImageSets/Segmentation/val.txt", _voc, {}),
    Kind(
        name="list: setid.mat of flowers",
        make=_flowers,
        run=lambda home, _: _verified(home, "flowers"),
        result=said_in,
        soft=FINITE,
        free=False,
        specials=_MATS,
    ),
]

KINDS: Final = [*_PICTURES, *_MASKS, *_LISTS]
