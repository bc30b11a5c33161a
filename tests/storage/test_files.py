"""Writing files where there is no room for them."""

import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from gseg.storage.files import replacing, write_atomically
from gseg.storage.objects import StorageError

_NUMBERS = 100_000


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A disk of 200 KiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may make a small disk, on Linux")
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _tensors(part):
    save_file({"x": torch.zeros(_NUMBERS)}, part)


def _table(part):
    pd.DataFrame({"x": np.random.default_rng(0).random(_NUMBERS)}).to_parquet(part)


def _bytes(part):
    part.write_bytes(b"\1" * 8 * _NUMBERS)


@pytest.mark.parametrize("write", [_tensors, _table, _bytes])
def test_a_full_disk_is_told_with_the_file_and_the_room_that_is_left(small_disk, write):
    path = small_disk / "big"
    write_atomically(path, b"old")
    with pytest.raises(StorageError) as raised, replacing(path) as part:
        write(part)
    told = re.search(rf"full: {path} needs more than the ([\d.]+) MiB that are left", str(raised))
    assert told is not None
    assert 0.15 <= float(told[1]) <= 0.2
    assert path.read_bytes() == b"old"
    assert [file.name for file in small_disk.iterdir()] == ["big"]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
