"""gseg/downloads.py: what lies in a file's place is named by every reader of binary files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
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


@pytest.mark.parametrize("name", ["rows.parquet", "trials.parquet"])
def test_a_table_of_far_more_rows_than_its_file_holds_is_not_read(name, tmp_path):
    """A column of one value takes no room in a file, however many rows there are."""
    half = pa.nulls(2**22, pa.int8()).dictionary_encode()
    names = ("experiment", "benchmark", "eval_protocol", "metric_profile", "method", "state")
    table = pa.table(dict.fromkeys(names, half))
    with pq.ParquetWriter(tmp_path / name, table.schema) as file:
        for _ in range(8):
            file.write_table(table)
    assert (tmp_path / name).stat().st_size < 2**20
    with pytest.raises(
        ValueError, match=rf"{name}.* bytes unpack to 1,610,612,736|is no whole"
    ) as caught:
        READERS[name](tmp_path / name)
    assert "\n" not in str(caught.value)
