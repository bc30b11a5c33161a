"""Writing files where there is no room for them; what users put into an object store."""

import errno
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from gseg.generators.weights import weights_digest
from gseg.picture_files import encode_png
from gseg.scores.benchmarks import open_benchmark
from gseg.scores.specs import absolute_spec
from gseg.storage import mirror
from gseg.storage.files import (
    DiskFullError,
    fetch_input,
    fetch_inputs,
    file_name,
    find_inputs,
    format_bytes,
    read_text,
    replacing,
    write_atomically,
)
from gseg.storage.mirror import StorageError, client, storage_folder

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
    told = re.search(
        rf"^The disk of {small_disk} is full: big needs more than the (\d+) KiB that are left\. "
        r"Make room there; the same command goes on from here\.$",
        str(raised.value),
    )
    assert told is not None
    assert 150 <= int(told[1]) <= 200
    assert path.read_bytes() == b"old"
    assert [file.name for file in small_disk.iterdir()] == ["big"]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_quota_that_is_used_up_is_none_of_the_disks(tmp_path):
    with (
        pytest.raises(DiskFullError, match=f"Your quota on the disk of {tmp_path} is used up: "),
        replacing(tmp_path / "rows.parquet"),
    ):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "0.98 KiB"),
        (18_000, "18 KiB"),
        (3.2 * 2**20, "3.2 MiB"),
        (999.7 * 2**20, "0.98 GiB"),
        (71.2 * 2**30, "71 GiB"),
        (2_500 * 2**40, "2,500 TiB"),
    ],
)
def test_amounts_have_two_or_three_digits_and_a_unit(count, told):
    assert format_bytes(count) == told


@pytest.fixture
def put(bucket):
    """Upload objects; gives their folder."""

    def upload(**objects: bytes) -> Path:
        for name, content in objects.items():
            key = f"inputs/{name.replace('__', '.')}"
            client().put_object(Bucket=bucket.removeprefix("s3://"), Key=key, Body=content)
        return storage_folder(f"{bucket}/inputs")

    return upload


@pytest.fixture
def later(monkeypatch):
    """As in another command, or this one after a while: the store is asked again."""
    monkeypatch.setattr("gseg.storage.files._ASK_AGAIN_SECONDS", 0.0)


def test_a_file_is_fetched_once(put, monkeypatch):
    folder = put(x__pth=b"one")
    path = folder / "x.pth"
    assert find_inputs(folder, "x.") == [path]
    assert fetch_input(path)
    monkeypatch.setattr("gseg.storage.files._fetch", None)
    assert fetch_input(path)
    assert path.read_bytes() == b"one"
    assert not mirror.exists(folder / "absent")


def test_an_object_that_changed_is_fetched_again(put, later):
    """It was never looked at again."""
    folder = put(x__pth=b"one")
    path = folder / "x.pth"
    assert fetch_input(path)
    put(x__pth=b"two")
    assert fetch_input(path)
    assert path.read_bytes() == b"two"
    (folder / "own.pth").write_bytes(b"was never in the store")
    assert fetch_input(folder / "own.pth")
    discard_object(path)
    assert not fetch_input(path)
    assert not path.exists()
    assert not fetch_input(folder / "absent")


def discard_object(path):
    place = mirror.place_of(path)
    client().delete_object(Bucket=place.bucket, Key=place.key)


def test_what_was_interrupted_goes_on_and_is_whole_in_the_end(put, monkeypatch):
    folder = put(a__png=b"a", b__png=b"b", c__png=b"c")
    fetched, fetch = [], mirror.fetch

    def interrupted(path, **more):
        if path.name == "b.png" and not fetched.count(path.name):
            fetched.append(path.name)
            raise StorageError("the object store is silent")
        fetched.append(path.name)
        return fetch(path, **more)

    monkeypatch.setattr(mirror, "fetch", interrupted)
    with pytest.raises(StorageError):
        fetch_inputs(folder)
    assert fetch_inputs(folder)
    assert fetched == ["a.png", "b.png", "b.png", "c.png"]
    assert sorted(path.read_bytes() for path in folder.glob("*.png")) == [b"a", b"b", b"c"]


def test_a_copy_of_an_older_version_is_looked_at_again(put, later):
    folder = put(x__pth=b"one", y__pth=b"why")
    folder.mkdir(parents=True)
    (folder / "x.pth").write_bytes(b"old")
    (folder / "gone.pth").write_bytes(b"gone")
    (folder / ".complete").touch()
    assert fetch_inputs(folder)
    assert sorted(path.name for path in folder.glob("*.pth")) == ["x.pth", "y.pth"]
    assert (folder / "x.pth").read_bytes() == b"one"


def test_a_checksum_beside_it_must_hold(put):
    right = hashlib.sha256(b"weights").hexdigest()
    folder = put(x__pth=b"weights", x__pth__sha256=f"{right}  x.pth\n".encode())
    assert fetch_input(folder / "x.pth")
    put(y__pth=b"cut off", y__pth__sha256=right.encode())
    with pytest.raises(StorageError, match=r"s3://.*/y\.pth has the checksum .*, expected"):
        fetch_input(folder / "y.pth")
    assert not (folder / "y.pth").exists()


def test_weights_of_a_published_generator_come_from_the_store(put, monkeypatch):
    folder = put(sagan__imagenet128__pth=b"not looked into here")
    monkeypatch.setenv("GSEG_WEIGHTS", str(folder))
    assert len(weights_digest("sagan.imagenet128")) == 20
    assert (folder / "sagan.imagenet128.pth").read_bytes() == b"not looked into here"
    with pytest.raises(ValueError, match=r"weights of sngan\.imagenet128 are not here"):
        weights_digest("sngan.imagenet128")


def test_a_benchmark_comes_from_the_store(bucket, tmp_path, later):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for number in range(2):
            picture = torch.zeros((3, 8, 8), dtype=torch.uint8)
            picture[:, : 2 + number] = 255
            path = tmp_path / kind / f"{number}.png"
            path.write_bytes(encode_png(picture))
            key = f"sets/mine/{kind}/{path.name}"
            client().upload_file(str(path), bucket.removeprefix("s3://"), key)
    spec = absolute_spec(f"folder:{bucket}/sets/mine")
    assert len(open_benchmark(spec)) == 2
    folder = storage_folder(f"{bucket}/sets/mine")
    assert fetch_inputs(folder)
    before = open_benchmark(spec).identity
    for kind in ("images", "masks"):
        discard_object(folder / kind / "0.png")
    changed = open_benchmark(spec)
    assert len(changed) == 1
    other = torch.zeros((3, 8, 8), dtype=torch.uint8)
    other[:, :5] = 255
    key = "sets/mine/masks/1.png"
    client().put_object(Bucket=bucket.removeprefix("s3://"), Key=key, Body=encode_png(other))
    assert len({before, changed.identity, open_benchmark(spec).identity}) == 3
    with pytest.raises(ValueError, match="absent"):
        open_benchmark(absolute_spec(f"folder:{bucket}/sets/absent"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_is_read_in_the_encodings_of_editors(tmp_path, encoding, end):
    path = tmp_path / "list.txt"
    path.write_bytes(f"vögel/1.jpg{end}雀.jpg{end}".encode(encoding))
    assert read_text(path) == "vögel/1.jpg\n雀.jpg\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a\nvögel".encode("latin-1"), "no text in UTF-8 .line 2 is not."),
        ("vögel".encode("utf-16")[:-1], "line 1 is not"),
        ("vogel".encode("utf-16-le"), "it holds zeros"),
        (bytes(range(256)), "no text in UTF-8"),
    ],
)
def test_other_encodings_are_refused_with_the_line(tmp_path, content, said):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is {said}" if said[0] == "n" else said):
        read_text(path)


def test_names_of_files_are_safe_and_distinct():
    assert file_name("scores_folder:birds_text_sod") == "scores_folder-birds_text_sod"
    odd = ["a b", "a-b", "a/b", "a\nb", "a?b", "x" * 300, "x" * 301, "日" * 90, "a\udcffb", "a:b c"]
    found = [file_name(f"scores_{name}") for name in odd]
    assert len(set(found)) == len(odd)
    assert all(re.fullmatch(r"[\w.-]+", name) and len(name.encode()) < 200 for name in found)


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """A power cut after the rename finds the content, and the name."""
    done = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor):
        done.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def noted_replace(path, target):
        done.append(("rename", target.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_atomically(tmp_path / "x.json", b"{}")
    (first, part), *others = done
    assert (first, part[:8]) == ("fsync", ".x.json.")
    assert others == [("rename", "x.json"), ("fsync", tmp_path.name)]


def test_folders_that_cannot_be_brought_to_the_disk_are_no_error(tmp_path, monkeypatch):
    fsync = os.fsync

    def only_files(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    write_atomically(tmp_path / "x.json", b"{}")
    assert (tmp_path / "x.json").read_bytes() == b"{}"
