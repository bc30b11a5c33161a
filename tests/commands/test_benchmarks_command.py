"""gseg benchmarks: the list, and checking a folder."""

import numpy as np
import pytest
from PIL import Image

from gseg.cli import main
from gseg.scores.specs import DATA_SETS


@pytest.fixture(autouse=True)
def no_root(monkeypatch):
    monkeypatch.delenv("GSEG_BENCHMARKS", raising=False)


@pytest.fixture
def root(tmp_path):
    """ECSSD with three pictures, the second without foreground."""
    for number in range(3):
        for folder, suffix in (("images", "jpg"), ("ground_truth_mask", "png")):
            path = tmp_path / "ECSSD" / folder / f"{number:04d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.zeros((12, 16), np.uint8)
            pixels[3:9, 4:8] = 255 * (number != 1)
            Image.fromarray(pixels).save(path)
    return tmp_path


def test_the_list_names_every_data_set_and_where_to_get_it(capsys, root):
    assert main(["benchmarks"]) == 0
    shown = capsys.readouterr().out
    for dataset in DATA_SETS.values():
        for part in (dataset.name, dataset.title, f"{dataset.pictures:,}", dataset.address):
            assert part in shown
        assert dataset.licence in shown
    assert "set GSEG_BENCHMARKS or give --root DIR" in shown


def test_the_list_says_what_is_there(capsys, root, monkeypatch):
    (root / "DUTS" / "DUTS-TE" / "DUTS-TE-Image").mkdir(parents=True)
    monkeypatch.setenv("GSEG_BENCHMARKS", str(root))
    assert main(["benchmarks"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["ecssd"].rstrip().endswith("yes, as distributed")
    assert "not complete" in lines["duts"]
    assert lines["dut_omron"].rstrip().endswith("no")


def test_a_good_folder_is_verified(capsys, root):
    assert main(["benchmarks", "verify", str(root), "ecssd+subset"]) == 0
    shown = capsys.readouterr().out
    assert "ecssd+subset: 3 of 3 in good order" in shown
    assert "1 without foreground, 0 without background, 0 with grey" in shown


def test_what_is_not_as_published_fails(capsys, root):
    assert main(["benchmarks", "verify", str(root)]) == 1
    shown = capsys.readouterr().out
    assert "ecssd: " in shown
    assert "holds 3 pictures of ECSSD, published are 1,000" in shown
    assert "cub: not here" in shown


def test_bad_files_are_listed(capsys, root):
    mask = root / "ECSSD" / "ground_truth_mask" / "0001.png"
    mask.write_bytes(mask.read_bytes()[:40])
    (root / "ECSSD" / "images" / "0000.jpg").unlink()
    assert main(["benchmarks", "verify", str(root), "ecssd+subset"]) == 1
    shown = capsys.readouterr().out
    assert "ecssd+subset: 1 of 3 in good order" in shown
    assert "2 bad:" in shown
    assert "0000.png has no picture" in shown
    assert "0001.png" in shown


def test_a_folder_of_one_s_own_is_verified(capsys, tmp_path):
    for number, value in enumerate((1, 1, 255, 0)):
        for folder in ("images", "masks"):
            path = tmp_path / folder / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            pixels = np.zeros((12, 16), np.uint8)
            pixels[3:9, 4:8] = value
            Image.fromarray(pixels).save(path)
    (tmp_path / "images" / "x.heic").touch()
    assert main(["benchmarks", "verify", f"folder:{tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert f"folder:{tmp_path}: 4 of 4 in good order in {tmp_path}; " in shown
    assert "1 without foreground, 0 without background" in shown
    assert "read as 2 0 and 1, 1 black and white, 1 all background" in shown
    assert "1 file left out: 1 .heic" in shown
    Image.new("L", (16, 12), 7).save(tmp_path / "masks" / "3.png")
    assert main(["benchmarks", "verify", f"folder:{tmp_path}"]) == 1
    assert "3.png: it holds the values 7, expected" in capsys.readouterr().out
    assert main(["benchmarks", "verify", f"folder+foreground=1,255:{tmp_path}"]) == 0
    assert "read as 4 foreground=1,255" in capsys.readouterr().out


def test_a_named_data_set_that_is_missing_fails(capsys, root):
    assert main(["benchmarks", "verify", str(root), "ecssd+subset", "cub"]) == 1
    assert "cub: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{root}/nowhere"], "there is no folder"),
        (["{root}/ECSSD/images"], "holds none of cub"),
        (["{root}", "ecsd"], "did you mean 'ecssd'"),
        (["{root}", "scenes"], "is no data set to verify"),
        (["folder:{root}", "cub"], "is one set of pictures: leave cub out"),
        (["folder+color:{root}"], "did you mean 'colour'"),
    ],
)
def test_wrong_use_is_told(capsys, root, words, message):
    words = [word.format(root=root) for word in words]
    assert main(["benchmarks", "verify", *words]) == 2
    assert message in capsys.readouterr().err
