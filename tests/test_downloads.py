"""gseg/downloads.py: what lies in a file's place is named by every reader of binary files."""

from pathlib import Path

import pytest

from gseg.arrays import load_numpy, load_torch
from gseg.directions.candidates import load_candidates
from gseg.directions.direction import Direction, read_official_vector
from gseg.downloads import misfetched
from gseg.features.named import open_features
from gseg.generators.checkpoints import from_checkpoint
from gseg.picture_files import picture_size, read_image
from gseg.pipeline.rows import read_rows
from gseg.samples.shards import Shard
from gseg.search.records import read_records
from gseg.segmenters.checkpoint import read_curve
from gseg.segmenters.segmenter import Segmenter

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGES = [b"\n <!DOCTYPE html><p>Sign in", b"<HTML>", b"<?xml version='1.0'?><Error/>"]
LEFT = [(b"", "is empty"), (b" \n", "is empty"), (POINTER, "git lfs pull")]
LEFT += [(page, "is a web page") for page in PAGES]


def _direction(path: Path) -> None:
    Direction.load(path.parent)


READERS = {
    "w.npz": load_numpy,
    "w.npy": lambda path: load_numpy(path, mapped=True),
    "w.pth": load_torch,
    "d.pth": read_official_vector,
    "inception.pth": lambda path: open_features(f"inception:{path}"),
    "acgan.pth": lambda path: from_checkpoint(path, {"family": "acgan"}),
    "cats.pkl": lambda path: from_checkpoint(path, {"family": "stylegan2"}),
    "segmenter.safetensors": Segmenter.load,
    "segmenter.ckpt": Segmenter.load,
    "state.safetensors": read_curve,
    "direction.safetensors": _direction,
    "candidates.safetensors": lambda path: load_candidates(path.parent),
    "p.png": read_image,
    "q.jpg": lambda path: picture_size(path, upright=True),
    "rows.parquet": lambda path: read_rows(path.parent),
    "trials.parquet": lambda path: read_records(path.parent),
    "shard-000000.parquet": Shard.load,
}


@pytest.mark.parametrize(("content", "told"), LEFT)
@pytest.mark.parametrize("name", READERS)
def test_every_reader_names_what_a_download_left(name, content, told, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=told) as caught:
        READERS[name](tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 400


def test_files_of_data_and_what_is_no_file_are_none_of_these(tmp_path):
    (tmp_path / "a").write_bytes(b"PK\x03\x04")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path, tmp_path / "a", tmp_path / "loop", tmp_path / "absent"):
        assert misfetched(path) == ""
