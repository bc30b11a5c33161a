"""gseg/scores/datasets: every published data set is read in its layouts, and checked."""

import hashlib
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from gseg.picture_files import UnreadableImageError
from gseg.scores import benchmarks
from gseg.scores.baselines import centre_disc
from gseg.scores.benchmarks import open_benchmark
from gseg.scores.datasets.published import chosen_faces, read_split
from gseg.scores.datasets.verify import verify
from gseg.scores.protocol import score
from gseg.scores.specs import DATA_SETS

NUMBERS = [1, 2, 3, 5]
PUBLISHED = {
    "cub": (1000, True),
    "flowers": (1020, True),
    "dut_omron": (5168, False),
    "duts": (5019, False),
    "ecssd": (1000, False),
    "voc2012": (1449, False),
    "celebamask_hq": (1000, False),
}


def name_of(title):
    return title.partition(",")[0]


@pytest.fixture(
    params=[
        "cub",
        "cub, official program",
        "flowers",
        "flowers, official program",
        "dut_omron",
        "dut_omron, archives",
        "duts",
        "duts, alone",
        "ecssd",
        "voc2012",
        "celebamask_hq",
    ]
)
def tree(request, trees, tmp_path):
    """A data set's name, the root of its tree, and the names of its pictures."""
    return name_of(request.param), tmp_path, trees[request.param](tmp_path, NUMBERS)


def test_numbers_and_crops_are_the_papers():
    assert {name: (each.pictures, each.crop) for name, each in DATA_SETS.items()} == PUBLISHED


def test_every_layout_is_read(tree, made_up):
    name, root, names = tree
    picture, truth = made_up
    benchmark = open_benchmark(f"{name}+subset:{root}")
    assert benchmark.name == f"{name}+subset"
    assert benchmark.working_size == 128
    assert benchmark.crop == (name in ("cub", "flowers"))
    assert [benchmark[index].id for index in range(len(benchmark))] == names
    for index, number in enumerate(NUMBERS):
        example = benchmark[index]
        scored = example.scored.numpy() if name == "voc2012" else np.ones((24, 36), bool)
        assert (example.scored is None) == (name != "voc2012")
        wrong = (example.mask.numpy() != truth(number)) & scored
        # JPEG may blur the colours that mark a flower's edge.
        assert wrong.sum() <= (8 if (name, names[0]) == ("flowers", "00001") else 0)
        shown = example.picture.permute(1, 2, 0).numpy()
        if name == "celebamask_hq":
            shown = shown[::2, ::2]
        assert np.abs(shown.astype(int) - picture(number)).mean() < 4
    if name == "voc2012":
        assert not benchmark[0].scored[:2].any()
        assert benchmark[0].scored[2:].all()


@pytest.mark.parametrize("protocol", ["text", "melas_program", "voynov_program"])
def test_every_tree_is_scored(tree, protocol):
    name, root, names = tree
    found = score(
        centre_disc, open_benchmark(f"{name}+subset:{root}"), protocol=protocol, working_size=16
    )
    assert list(found.table["id"][: len(names)]) == names
    assert 0.3 < found.aggregates["melas2022_program"].iou < 0.9
    empty = found.table[found.table.profile == "melas2022_program"].foreground == 0
    assert empty.tolist() == [False, False, True, False]


def test_the_number_of_pictures_is_checked(tree, counts):
    name, root, _ = tree
    complete = {"celebamask_hq": "holds 4 of the 30,000 faces"}
    message = complete.get(name, rf"holds 4 pictures .* are {PUBLISHED[name][0]:,}")
    with pytest.raises(ValueError, match=message) as caught:
        open_benchmark(f"{name}:{root}")
    assert f"'{name}+subset'" in str(caught.value)
    if name != "celebamask_hq":
        counts(4)
        benchmark = open_benchmark(f"{name}:{root}")
        assert (benchmark.name, len(benchmark)) == (name, 4)


def test_a_data_set_is_found_from_its_own_folder_and_from_the_root(tree, monkeypatch):
    name, root, _ = tree
    whole = open_benchmark(f"{name}+subset:{root}")
    own = open_benchmark(f"{name}+subset:{whole.place.folder}")
    monkeypatch.setenv("GSEG_BENCHMARKS", str(root))
    there = open_benchmark(f"{name}+subset")
    assert whole.identity == own.identity == there.identity


def test_identity_follows_the_files(tree):
    name, root, _ = tree
    before = open_benchmark(f"{name}+subset:{root}")
    file = before.pairs[1].picture
    pixels = np.asarray(Image.open(file))
    Image.fromarray(pixels[::-1].copy()).save(file, quality=70)
    assert open_benchmark(f"{name}+subset:{root}").identity != before.identity
    assert open_benchmark(f"{name}+subset+threshold:{root}").identity != before.identity


def test_a_wrong_root_is_named(tree, tmp_path):
    name, _, _ = tree
    title = DATA_SETS[name].title
    with pytest.raises(ValueError, match=rf"No folder .*nowhere; expected {title}"):
        open_benchmark(f"{name}:{tmp_path / 'nowhere'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=rf"does not hold {title}; expected .* itself or in"):
        open_benchmark(f"{name}:{tmp_path / 'empty'}")


def test_a_missing_half_is_named(tree):
    name, root, _ = tree
    masks = open_benchmark(f"{name}+subset:{root}").place.parts["masks"]
    shutil.rmtree(masks)
    with pytest.raises(
        ValueError, match=rf"not complete: .* there, but no .*{masks.name}"
    ) as caught:
        open_benchmark(f"{name}+subset:{root}")
    assert DATA_SETS[name].address in str(caught.value)


def test_a_missing_mask_is_named_or_skipped(tree):
    name, root, _ = tree
    pair = open_benchmark(f"{name}+subset:{root}").pairs[1]
    for mask in pair.masks:
        mask.unlink()
    message = rf"1 bad, 3 good pictures:\n  .*{pair.picture.name} has no mask"
    with pytest.raises(ValueError, match=rf"{message}(.|\n)*--skip-bad"):
        open_benchmark(f"{name}+subset:{root}")
    benchmark = open_benchmark(f"{name}+subset:{root}", skip_bad=True)
    assert len(benchmark) == 3
    assert len(benchmark.bad) == 1


def test_a_mask_of_other_size_is_named(tree):
    name, root, _ = tree
    mask = open_benchmark(f"{name}+subset:{root}").pairs[1].masks[0]
    Image.new("L", (7, 5)).save(mask)
    with pytest.raises(ValueError, match=rf"{mask.name} is 7x5, its picture"):
        open_benchmark(f"{name}+subset:{root}")


def test_a_truncated_file_is_named_when_it_is_read(tree):
    name, root, _ = tree
    benchmark = open_benchmark(f"{name}+subset:{root}")
    file = benchmark.pairs[0].picture
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(UnreadableImageError, match=file.name):
        benchmark[0]
    found = verify(benchmark)
    assert (found.pictures, len(found.problems)) == (3, 1)


BINARY = ["dut_omron", "duts", "ecssd", "cub, official program", "flowers, official program"]


def blurred(mask):
    """A mask with soft edges, the share of grey pixels as of a photograph's outline."""
    image = Image.open(mask).convert("L").resize((360, 240), Image.Resampling.NEAREST)
    return image.resize((358, 238), Image.Resampling.BILINEAR).resize((360, 240))


@pytest.fixture(params=BINARY)
def large(request, trees, tmp_path):
    """A tree whose second mask and picture are ten times as large."""
    name = name_of(request.param)
    trees[request.param](tmp_path, NUMBERS)
    pair = open_benchmark(f"{name}+subset:{tmp_path}").pairs[1]
    Image.open(pair.picture).resize((360, 240)).save(pair.picture)
    return name, tmp_path, pair


def test_a_jpeg_mask_with_grey_edges_is_refused(large):
    name, root, pair = large
    jpeg = pair.masks[0].with_suffix(".jpg")
    blurred(pair.masks[0]).save(jpeg, quality=75)
    pair.masks[0].unlink()
    with pytest.raises(ValueError, match=rf"{jpeg.name} is not binary: .* grey \(JPEG") as caught:
        open_benchmark(f"{name}+subset:{root}")
    assert "+threshold" in str(caught.value)
    benchmark = open_benchmark(f"{name}+subset+threshold:{root}")
    assert benchmark.name == f"{name}+subset+threshold"
    levels = np.asarray(Image.open(jpeg).convert("L"))
    np.testing.assert_array_equal(benchmark[1].mask.numpy(), levels >= 128)


def test_soft_edges_of_a_lossless_mask_are_cut_and_counted(large):
    name, root, pair = large
    blurred(pair.masks[0]).save(pair.masks[0])
    levels = np.asarray(Image.open(pair.masks[0]))
    grey = (levels > 0) & (levels < 255)
    assert 0 < grey.mean() < 0.1
    benchmark = open_benchmark(f"{name}+subset:{root}")
    np.testing.assert_array_equal(benchmark[1].mask.numpy(), levels >= 128)
    assert benchmark.read(1)[1].grey == grey.sum()


@pytest.mark.parametrize("name", ["dut_omron", "duts", "ecssd", "celebamask_hq"])
def test_a_photograph_among_the_masks_is_refused(name, trees, tmp_path, made_up):
    trees[name](tmp_path, NUMBERS)
    pair = open_benchmark(f"{name}+subset:{tmp_path}").pairs[1]
    Image.fromarray(made_up[0](1)[..., 0]).save(pair.masks[0])
    with pytest.raises(ValueError, match=r"not binary: 100\.0% of its pixels are grey"):
        open_benchmark(f"{name}+subset:{tmp_path}")
    Image.fromarray(np.array([[[0, 0, 254]]], np.uint8).repeat(24, 0).repeat(36, 1)).save(
        pair.masks[0]
    )
    with pytest.raises(ValueError, match="is a coloured picture"):
        open_benchmark(f"{name}+subset+threshold:{tmp_path}")


def test_masks_of_zero_and_one_are_masks(trees, tmp_path, made_up):
    trees["ecssd"](tmp_path, NUMBERS)
    pair = open_benchmark(f"ecssd+subset:{tmp_path}").pairs[1]
    for image in (made_up[1](2).astype(np.uint8), made_up[1](2)):  # grey, and one bit a pixel
        Image.fromarray(image).save(pair.masks[0])
        np.testing.assert_array_equal(
            open_benchmark(f"ecssd+subset:{tmp_path}")[1].mask.numpy(), made_up[1](2)
        )


def test_colours_of_voc_are_no_labels(trees, tmp_path):
    trees["voc2012"](tmp_path, NUMBERS)
    mask = open_benchmark(f"voc2012+subset:{tmp_path}").pairs[0].masks[0]
    Image.open(mask).convert("RGB").save(mask)
    with pytest.raises(ValueError, match="does not hold the labels 0 to 20 and 255"):
        open_benchmark(f"voc2012+subset:{tmp_path}")


def test_parts_of_a_face_have_one_size(trees, tmp_path):
    trees["celebamask_hq"](tmp_path, NUMBERS)
    benchmark = open_benchmark(f"celebamask_hq+subset:{tmp_path}")
    assert [file.name for file in benchmark.pairs[0].masks] == ["00001_skin.png", "00001_cloth.png"]
    Image.new("L", (36, 20)).save(benchmark.pairs[0].masks[1])
    with pytest.raises(UnreadableImageError, match=r"36x20 pixels, 00001_skin\.png 36x24"):
        benchmark[0]
    with pytest.raises(ValueError, match=r"expected 0\.5 times its picture's size"):
        open_benchmark(f"celebamask_hq+subset:{tmp_path}")


def test_verify_counts_empty_full_and_grey_masks(tree):
    name, root, _ = tree
    benchmark = open_benchmark(f"{name}+subset:{root}")
    heard = []
    found = verify(benchmark, lambda done, total: heard.append((done, total)))
    assert (found.pictures, found.empty, found.full) == (4, 1, 0)
    assert found.problems == ()
    votes = benchmark.place.layout.name == "as distributed" and name == "cub"
    assert found.grey == (4 if votes else 0)
    assert heard[-1] == (4, 4)


def test_splits_choose_among_more_pictures(trees, tmp_path):
    trees["cub"](tmp_path, NUMBERS)
    folder = tmp_path / "CUB_200_2011"
    assert len(list(folder.glob("images/*/*.jpg"))) == 7
    split = folder / "train_val_test_split.txt"
    assert read_split(split) == ["2", "3", "4", "6"]
    split.write_text("1 2 3\n")
    with pytest.raises(ValueError, match="is no split of CUB; get it from https://"):
        open_benchmark(f"cub+subset:{tmp_path}")
    split.write_text("9 2\n")
    with pytest.raises(ValueError, match="has no picture 9"):
        open_benchmark(f"cub+subset:{tmp_path}")
    split.write_text("".join(f"{number} 2\n" for number in range(1, 1001)))
    with pytest.raises(ValueError, match="are not those of ReDO"):
        open_benchmark(f"cub:{tmp_path}")
    split.unlink()
    with pytest.raises(ValueError, match=r"but no train_val_test_split\.txt"):
        open_benchmark(f"cub:{tmp_path}")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_that_an_editor_saved_name_the_same_pictures(trees, tmp_path, encoding):
    trees["cub"](tmp_path, NUMBERS)
    whole = len(open_benchmark(f"cub+subset:{tmp_path}"))
    for name in ("images.txt", "train_val_test_split.txt"):
        file = tmp_path / "CUB_200_2011" / name
        file.write_bytes(file.read_text().replace("\n", "\r\n").encode(encoding))
    assert len(open_benchmark(f"cub+subset:{tmp_path}")) == whole
    file.write_bytes("1 2\n".encode("utf-16-le"))
    with pytest.raises(ValueError, match=r"split\.txt is no text in UTF-8"):
        open_benchmark(f"cub+subset:{tmp_path}")


def test_the_split_of_redo_is_recognised(redo_split):
    chosen = read_split(redo_split)
    assert len(chosen) == 1000
    assert chosen[:4] == ["12", "19", "20", "23"]


def test_a_damaged_split_of_flowers_is_named(trees, tmp_path):
    trees["flowers"](tmp_path, NUMBERS)
    (tmp_path / "flowers-102" / "setid.mat").write_bytes(b"no matrix" * 40)
    with pytest.raises(ValueError, match=r"Cannot read the split .*setid\.mat"):
        open_benchmark(f"flowers+subset:{tmp_path}")


@pytest.mark.parametrize(
    "numbers", [[[1.5, 3]], [[1, np.inf]], [["one", "two"]], [[1 + 2j]], [[1, 1]], np.zeros((1, 0))]
)
def test_numbers_of_a_split_that_are_none_are_refused(trees, tmp_path, numbers):
    trees["flowers"](tmp_path, NUMBERS)
    savemat(tmp_path / "flowers-102" / "setid.mat", {"trnid": np.array(numbers)})
    with pytest.raises(ValueError, match=r"setid\.mat"):
        open_benchmark(f"flowers+subset:{tmp_path}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("2007_000001\n2007_000002\n2007_000001\n", r"val\.txt names 2007_000001 2 times"),
        (" \n", r"val\.txt names no pictures"),
        ("2007_000009\n", r"2007_000009, which .*val\.txt names, has neither picture nor mask"),
    ],
)
def test_lists_that_would_score_something_else_are_refused(trees, tmp_path, content, message):
    trees["voc2012"](tmp_path, NUMBERS)
    (path,) = tmp_path.rglob("val.txt")
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        open_benchmark(f"voc2012+subset:{tmp_path}")


def test_the_faces_are_the_published_ones():
    def rank(number):
        return hashlib.blake2b(f"celebamask_hq {number}".encode(), digest_size=8).hexdigest()

    expected = sorted(range(30_000), key=rank)[:1000]
    chosen = chosen_faces(list(range(30_000)))
    assert chosen == sorted(expected)
    assert len(set(chosen)) == 1000
    assert chosen_faces([5, 7]) == [5, 7]


def test_a_header_is_read_once(trees, tmp_path, monkeypatch):
    trees["ecssd"](tmp_path, NUMBERS)
    open_benchmark(f"ecssd+subset:{tmp_path}")
    opened = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened.append(a) or original(*a, **k))
    open_benchmark(f"ecssd+subset:{tmp_path}")
    assert len(opened) == 4  # the masks that are looked into


def test_torch_gets_what_the_files_hold(trees, tmp_path):
    trees["ecssd"](tmp_path, NUMBERS)
    example = open_benchmark(f"ecssd+subset:{tmp_path}")[0]
    assert example.picture.dtype == torch.uint8
    assert example.picture.is_contiguous()
    assert example.mask.dtype == torch.bool
    assert benchmarks.PAPERS_SIZE == 128
