"""gseg/scores/benchmarks.py and folders.py: what is read, and how bad folders are named."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from shared_folder import SHARED

from gseg.picture_files import UnreadableImageError
from gseg.scenes.pictures import HELD_OUT_FIRST, render
from gseg.scores.batches import square_pairs
from gseg.scores.benchmarks import (
    BenchmarkPart,
    FolderBenchmark,
    ScenesBenchmark,
    open_benchmark,
)
from gseg.scores.protocol import merge_scores, score

HORSES = SHARED / "data" / "weizmann_horse"


def write_pair(folder, stem, height=20, width=30, suffix=".jpg", seed=0):
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 255
    Image.fromarray(picture).save(folder / "images" / f"{stem}{suffix}")
    Image.fromarray(mask).save(folder / "masks" / f"{stem}.png")


@pytest.fixture
def folder(tmp_path):
    for number, suffix in enumerate((".jpg", ".png", ".BMP", ".jpeg")):
        write_pair(tmp_path / "set", f"p{number}", suffix=suffix, width=30 + number, seed=number)
    return tmp_path / "set"


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def test_scenes_are_the_held_out_pictures():
    benchmark = ScenesBenchmark(260)
    scenes = render(range(HELD_OUT_FIRST, HELD_OUT_FIRST + 260))
    assert len(benchmark) == 260
    for index in (0, 249, 250, 259, 3):
        example = benchmark[index]
        assert example.id == str(HELD_OUT_FIRST + index)
        assert torch.equal(example.picture, scenes.pictures[index])
        assert torch.equal(example.mask, scenes.masks[index])
    with pytest.raises(IndexError):
        benchmark[260]


def test_scenes_are_named_by_what_they_are():
    assert open_benchmark("scenes").name == open_benchmark("scenes2").name == "scenes2"
    assert open_benchmark("scenes:1000").identity == open_benchmark("scenes").identity
    assert open_benchmark("scenes:20").name == "scenes2:20"
    assert ScenesBenchmark(20, 5).identity != ScenesBenchmark(20).identity
    assert ScenesBenchmark().working_size == 32


def test_folder_matches_by_stem_whatever_the_suffix(folder):
    (folder / "images" / "notes.txt").write_text("no picture")
    (folder / "masks" / ".hidden.png").write_bytes(b"")
    benchmark = open_benchmark(f"folder:{folder}")
    assert [benchmark[index].id for index in range(len(benchmark))] == ["p0", "p1", "p2", "p3"]
    example = benchmark[1]
    assert example.picture.shape == (3, 20, 31)
    assert example.picture.dtype == torch.uint8
    assert example.mask[7, 10]
    assert example.mask.sum() == 5 * 8
    with Image.open(folder / "images" / "p1.png") as file:
        np.testing.assert_array_equal(example.picture.permute(1, 2, 0), np.asarray(file))
    assert benchmark.name == "folder:set"
    assert benchmark.working_size == 128
    assert benchmark.bad == ()


def test_identity_follows_the_files(folder):
    before = FolderBenchmark(folder).identity
    assert FolderBenchmark(folder).identity == before
    write_pair(folder, "p9")
    assert FolderBenchmark(folder).identity != before


def test_identity_is_content_and_not_names_and_sizes(folder, tmp_path):
    """Two folders of one name whose masks are inverted had one identity, and so one score."""
    Image.open(folder / "masks" / "p0.png").save(folder / "masks" / "p0.bmp")
    (folder / "masks" / "p0.png").unlink()
    second = tmp_path / "v2" / "set"
    shutil.copytree(folder, second)
    before = FolderBenchmark(folder)
    assert FolderBenchmark(second).identity == before.identity
    mask = second / "masks" / "p0.bmp"
    size = mask.stat().st_size
    Image.fromarray(255 - np.asarray(Image.open(mask))).save(mask)
    assert mask.stat().st_size == size
    other = FolderBenchmark(second)
    assert other.identity != before.identity
    assert other.older_identity == before.older_identity
    # The same pictures under another folder's name.
    renamed = shutil.copytree(folder, tmp_path / "elsewhere")
    assert FolderBenchmark(renamed).identity == before.identity
    # In place, and with the times set back.
    times = mask.stat()
    shutil.copyfile(folder / "masks" / "p0.bmp", mask)
    os.utime(mask, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert FolderBenchmark(second).identity == before.identity


def test_pictures_are_told_by_their_content(folder, tmp_path):
    first = FolderBenchmark(folder)
    names = [first.content(index) for index in range(len(first))]
    assert len(set(names)) == 4
    for kind, name in (("images", "p0.jpg"), ("masks", "p0.png")):
        (tmp_path / "other" / kind).mkdir(parents=True)
        shutil.copyfile(folder / kind / name, tmp_path / "other" / kind / f"q{name[2:]}")
    assert FolderBenchmark(tmp_path / "other").content(0) == names[0]
    scenes = ScenesBenchmark(20), ScenesBenchmark(20, HELD_OUT_FIRST + 5)
    assert scenes[0].content(5) == scenes[1].content(0) != scenes[0].content(0)


def test_turned_photograph_is_compared_upright(tmp_path):
    write_pair(tmp_path, "turned", height=20, width=30)
    exif = Image.Exif()
    exif[0x0112] = 6
    rng = np.random.default_rng(0)
    sideways = Image.fromarray(rng.integers(0, 256, (30, 20, 3), dtype=np.uint8))
    sideways.save(tmp_path / "images" / "turned.jpg", exif=exif)
    example = FolderBenchmark(tmp_path)[0]
    assert example.picture.shape[1:] == example.mask.shape == (20, 30)


def without_mask(folder):
    (folder / "masks" / "p2.png").unlink()
    return "p2.BMP has no mask"


def without_picture(folder):
    (folder / "images" / "p0.jpg").unlink()
    return "p0.png has no picture"


def of_other_size(folder):
    Image.new("L", (7, 5)).save(folder / "masks" / "p3.png")
    return "p3.png is 7x5, its picture p3.jpeg 33x20"


def no_picture_at_all(folder):
    (folder / "images" / "p1.png").write_bytes(b"not a picture")
    return "p1.png cannot be read"


def twice(folder):
    Image.new("RGB", (30, 20)).save(folder / "images" / "p0.png")
    return "p0.png has the same name as p0.jpg"


@pytest.mark.parametrize(
    "spoil", [without_mask, without_picture, of_other_size, no_picture_at_all, twice]
)
def test_bad_files_are_named_or_skipped(folder, spoil):
    message = spoil(folder)
    with pytest.raises(ValueError, match=message) as caught:
        FolderBenchmark(folder)
    assert "1 bad" in str(caught.value)
    assert "--skip-bad" in str(caught.value)
    benchmark = open_benchmark(f"folder:{folder}", skip_bad=True)
    assert len(benchmark) == 3  # which of two of one name is meant, nobody knows
    assert len(benchmark.bad) == 1
    assert message in benchmark.bad[0]


def test_a_folder_of_bad_files_is_an_error_even_when_skipping(folder):
    for mask in (folder / "masks").iterdir():
        mask.unlink()
    with pytest.raises(ValueError, match="4 bad, 0 good"):
        FolderBenchmark(folder, skip_bad=True)


@pytest.mark.parametrize("name", ["images/p0.jpg", "masks/p1.png"])
def test_truncated_file_is_named_when_it_is_read(folder, name):
    truncate(folder / name)
    with pytest.raises(UnreadableImageError, match=name):
        # Headers are whole; of masks a few are read when it is opened.
        list(FolderBenchmark(folder))


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"No folder .*nowhere"):
        FolderBenchmark(tmp_path / "nowhere")
    (tmp_path / "image").mkdir()
    with pytest.raises(ValueError, match=r"no subfolder images/ \(image/ is there"):
        FolderBenchmark(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="no subfolder masks/"):
        FolderBenchmark(tmp_path)
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match="No pictures"):
        FolderBenchmark(tmp_path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("scene", "did you mean 'scenes'"),
        ("sceness:50", "did you mean 'scenes:50'"),
        ("foder:/x", "did you mean 'folder:/x'"),
        ("zzz", "Expected 'scenes', 'scenes:COUNT' or 'folder:PATH'"),
        ("", "Unknown benchmark ''"),
        ("scenes:", "number of pictures"),
        ("scenes:0", "number of pictures"),
        ("scenes:many", "number of pictures"),
        ("folder:", "needs a path"),
    ],
)
def test_unknown_benchmarks_suggest_the_nearest(spec, message):
    with pytest.raises(ValueError, match=message):
        open_benchmark(spec)


def test_a_path_without_its_kind_is_recognised(folder):
    with pytest.raises(ValueError, match=f"did you mean 'folder:{folder}'"):
        open_benchmark(str(folder))


def save_mask(folder, name, pixels):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(folder / "masks" / name)


def test_pairs_are_made_by_relative_path(tmp_path):
    write_pair(tmp_path, "a", seed=1)
    for part in ("x", "y"):
        (tmp_path / "images" / part).mkdir()
        (tmp_path / "masks" / part).mkdir()
        write_pair(tmp_path, f"{part}/a", seed=ord(part))
    benchmark = FolderBenchmark(tmp_path)
    assert [example.id for example in benchmark] == ["a", "x/a", "y/a"]
    write_pair(tmp_path, "b")
    (tmp_path / "masks" / "b.png").rename(tmp_path / "masks" / "x" / "b.png")
    with pytest.raises(ValueError, match=r"images/b\.jpg has no mask"):
        FolderBenchmark(tmp_path)


def test_files_that_are_left_out_and_codings_are_told(folder):
    (folder / "images" / "p7.heic").touch()
    (folder / "images" / "._p0.jpg").touch()
    write_pair(folder, "p8")
    save_mask(folder, "p8.png", np.arange(600).reshape(20, 30) < 300)
    assert FolderBenchmark(folder).notes == (
        f"{folder / 'images'}: 1 file left out: 1 .heic (install gseg[heic])",
        f"{folder / 'masks'}: read as 4 black and white, 1 0 and 1",
    )


@pytest.mark.parametrize("kind", ["background", "foreground"])
def test_masks_that_are_all_empty_or_all_full_are_an_error(tmp_path, kind):
    for number in range(20):
        write_pair(tmp_path, f"p{number:02d}")
        save_mask(tmp_path, f"p{number:02d}.png", np.full((20, 30), 255 * (kind == "foreground")))
    with pytest.raises(ValueError, match=f"all 20 masks are all {kind}"):
        FolderBenchmark(tmp_path)
    # A single one that is not among the few that are read first is enough.
    write_pair(tmp_path, "p03")
    assert len(FolderBenchmark(tmp_path)) == 20


def labels(void=True):
    found = np.zeros((20, 30), np.uint8)
    found[4:12, 5:15] = 1
    found[4:6, 5:15] = 255 if void else 0
    return found


def test_void_of_a_folder_is_not_scored(tmp_path):
    write_pair(tmp_path, "a")
    save_mask(tmp_path, "a.png", labels())
    [example] = FolderBenchmark(tmp_path)
    assert torch.equal(example.mask, torch.from_numpy(labels() == 1))
    assert torch.equal(example.scored, torch.from_numpy(labels() != 255))
    scores = score(lambda images: (images[:, 0] * 0) + 0.9, FolderBenchmark(tmp_path))
    assert scores.codings == {"0, 1 and void 255": 1}
    # 60 of the 580 pixels that count are foreground, and all are found to be.
    assert scores.aggregates["voynov2021"].iou == pytest.approx(60 / 580, abs=0.01)


def test_a_mask_that_is_all_void_is_a_bad_file(tmp_path):
    for name in "ab":
        write_pair(tmp_path, name)
        save_mask(tmp_path, f"{name}.png", labels())
    save_mask(tmp_path, "b.png", np.full((20, 30), 7))
    benchmark = open_benchmark(f"folder+foreground=1+void=7,255:{tmp_path}", skip_bad=True)
    with pytest.raises(UnreadableImageError, match=r"b\.png is all void"):
        benchmark[1]


def test_255_is_not_void_in_one_mask_and_foreground_in_another(tmp_path):
    for number in range(40):
        write_pair(tmp_path, f"{number:02d}")
        save_mask(tmp_path, f"{number:02d}.png", labels(void=False))
    assert len(list(FolderBenchmark(tmp_path))) == 40
    save_mask(tmp_path, "00.png", labels())
    save_mask(tmp_path, "01.png", labels(void=False) * 255)
    # What is seen when it is opened says what the others may be ...
    with pytest.raises(
        UnreadableImageError, match=r"01\.png: some masks read as '0, 1 and void 255'"
    ):
        list(FolderBenchmark(tmp_path))
    # ... and what is seen later is found when the scores are put together.
    save_mask(tmp_path, "00.png", labels(void=False))
    save_mask(tmp_path, "03.png", labels())
    benchmark = FolderBenchmark(tmp_path)
    parts = [BenchmarkPart(benchmark, part, 20) for part in range(20)]

    def half(images):
        return images[:, 0] * 0 + 0.5

    scores = [score(half, part) for part in parts]
    with pytest.raises(UnreadableImageError, match="255 is void in one"):
        merge_scores(scores)
    with pytest.raises(UnreadableImageError, match="255 is void in one"):
        square_pairs(benchmark, np.arange(4), 16)
    # Said, there is nothing to guess.
    assert len(list(open_benchmark(f"folder+foreground=1+void=255:{tmp_path}"))) == 40


def test_a_coding_is_part_of_name_and_identity(tmp_path):
    write_pair(tmp_path, "a")
    save_mask(tmp_path, "a.png", labels(void=False) * 2)
    with pytest.raises(
        UnreadableImageError, match=r"a\.png: it holds the values 0, 2.*foreground=2"
    ):
        open_benchmark(f"folder:{tmp_path}")
    one, other = (
        open_benchmark(f"folder+{word}:{tmp_path}") for word in ("foreground=2", "foreground=0")
    )
    assert one.name == f"folder+foreground=2:{tmp_path.name}"
    assert one.identity != other.identity
    assert torch.equal(one[0].mask, ~other[0].mask)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_parts_are_the_whole(folder, parts):
    (folder / "masks" / "p0.png").unlink()
    whole = FolderBenchmark(folder, skip_bad=True)
    shares = [BenchmarkPart(whole, part, parts) for part in range(parts)]
    ids = [share[index].id for share in shares for index in range(len(share))]
    assert ids == ["p1", "p2", "p3"]
    assert sum((share.bad for share in shares), ()) == whole.bad
    with pytest.raises(ValueError, match="part from 0"):
        BenchmarkPart(whole, parts, parts)


@pytest.mark.skipif(not HORSES.is_dir(), reason="no horse photographs beside the repository")
def test_real_photographs_open():
    benchmark = open_benchmark(f"folder:{HORSES}")
    assert len(benchmark) == 327
    example = benchmark[100]
    assert example.picture.shape[1:] == example.mask.shape
    assert 0.01 < example.mask.float().mean() < 0.9
