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
from gseg.scores.benchmarks import (
    BenchmarkPart,
    FolderBenchmark,
    ScenesBenchmark,
    open_benchmark,
)

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
    assert open_benchmark("scenes").name == "scenes"
    assert open_benchmark("scenes:1000").identity == open_benchmark("scenes").identity
    assert open_benchmark("scenes:20").name == "scenes:20"
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
    assert len(benchmark) == (4 if spoil is twice else 3)
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
    benchmark = FolderBenchmark(folder)  # headers are whole
    with pytest.raises(UnreadableImageError, match=name):
        [benchmark[index] for index in range(4)]


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
