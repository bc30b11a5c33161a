"""Storage on an object store, as several machines see it: each has a cache of its own."""

import os
import time
from pathlib import Path

import pytest

from gseg.storage import mirror
from gseg.storage.files import replacing, write_atomically
from gseg.storage.manifests import told_doubts
from gseg.storage.mirror import (
    StorageError,
    client,
    describe,
    discard,
    exists,
    fetch,
    listed_files,
    place_of,
    storage_folder,
)
from gseg.storage.store import Store


@pytest.fixture
def machines(bucket, tmp_path, monkeypatch):
    """The folders of one storage on two machines."""
    folders = []
    for name in ("here", "there"):
        monkeypatch.setenv("GSEG_CACHE", str(tmp_path / name))
        folders.append(storage_folder(f"{bucket}/some/prefix"))
    return folders


def keys(bucket: str) -> list[str]:
    listed = client().list_objects_v2(Bucket=bucket.removeprefix("s3://"))
    return [item["Key"] for item in listed.get("Contents", ())]


def test_an_address_becomes_a_folder_that_says_where_it_belongs(monkeypatch, tmp_path):
    monkeypatch.setenv("GSEG_CACHE", str(tmp_path))
    folder = storage_folder("s3://bucket/some/prefix/")
    assert folder == tmp_path / "s3:" / "bucket" / "some" / "prefix"
    assert describe(folder / "x") == "s3://bucket/some/prefix/x"
    assert str(place_of(Path("s3://bucket/x"))) == "s3://bucket/x"
    assert storage_folder("storage") == Path("storage")
    assert place_of(tmp_path / "x") is None
    assert describe(tmp_path) == str(tmp_path)


@pytest.mark.parametrize("address", ["gs://bucket/x", "s3://", "http://host/x", "a\0b"])
def test_other_addresses_are_refused(address):
    with pytest.raises(ValueError, match="Cannot use"):
        storage_folder(address)


def test_what_is_written_on_one_machine_is_there_on_the_other(machines):
    here, there = (folder / "stage" / "x.bin" for folder in machines)
    write_atomically(here, b"hello")
    assert not there.exists()
    assert exists(there)
    assert fetch(there)
    assert there.read_bytes() == b"hello"
    write_atomically(here, b"again")
    assert fetch(there)
    assert there.read_bytes() == b"hello"
    assert fetch(there, again=True)
    assert there.read_bytes() == b"again"


def test_what_is_not_there_is_not_fetched(machines):
    path = machines[0] / "absent"
    assert not exists(path)
    assert not fetch(path)
    assert list(path.parent.iterdir()) == []
    path.write_bytes(b"stale")
    assert not fetch(path, again=True)
    assert not path.exists()


def test_a_failed_write_uploads_nothing(machines, bucket):
    with pytest.raises(RuntimeError), replacing(machines[0] / "x") as part:
        part.write_bytes(b"half")
        raise RuntimeError
    assert keys(bucket) == []


def test_what_is_not_shared_stays_here(machines, bucket):
    write_atomically(machines[0] / "progress.json", b"{}", shared=False)
    assert keys(bucket) == []


def test_files_and_folders_are_discarded_everywhere(machines, bucket):
    for name in ("a", "folder/b", "folder/c/d", "folderx"):
        write_atomically(machines[0] / name, b"1")
    discard(machines[0] / "a")
    discard(machines[0] / "folder")
    discard(machines[0] / "absent")
    assert keys(bucket) == ["some/prefix/folderx"]
    assert [path.name for path in machines[0].iterdir()] == ["folderx"]


def make(root: Path, calls: list[Path]):
    def build(folder: Path):
        calls.append(folder)
        write_atomically(folder / "x.txt", b"hello")
        (folder / "deep").mkdir()
        (folder / "deep" / "y.txt").write_text("written without care")
        return {"count": 3}

    return Store(root).make("stage", version=1, config={}, parents=[], build=build)


def test_an_artifact_is_made_once_for_all_machines(machines, bucket):
    calls: list[Path] = []
    first, again = make(machines[0], calls), make(machines[1], calls)
    assert calls == [first.folder]
    assert (first.reused, again.reused) == (False, True)
    assert again.manifest == first.manifest
    assert (again.folder / "x.txt").read_bytes() == b"hello"
    assert (again.folder / "deep" / "y.txt").read_text() == "written without care"
    names = [key.rpartition(f"{first.digest}/")[2] for key in keys(bucket)]
    assert names == ["deep/y.txt", "manifest.json", "x.txt"]


def test_an_artifact_without_a_manifest_is_not_there(machines, bucket):
    made = make(machines[0], [])
    discard(made.folder / "manifest.json")
    assert Store(machines[1]).find("stage", made.digest) is None


def test_a_damaged_copy_is_not_taken(machines, bucket):
    made = make(machines[0], [])
    mirror.publish(made.folder / "manifest.json", made.folder / "x.txt")
    assert Store(machines[1]).find("stage", made.digest) is None
    assert "/x.txt is damaged" in told_doubts()[0]
    assert not (machines[1] / "stage" / made.digest / "manifest.json").exists()


def test_a_broken_copy_here_is_replaced(machines):
    made = make(machines[0], [])
    half = machines[1] / "stage" / made.digest / "x.txt"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"hel")
    found = Store(machines[1]).find("stage", made.digest)
    assert found is not None
    assert half.read_bytes() == b"hello"


def test_a_storage_that_cannot_be_used_costs_one_line(bucket):
    with pytest.raises(StorageError, match="Cannot use s3://no-such-bucket/x") as failure:
        Store(storage_folder("s3://no-such-bucket/x")).check()
    assert "\n" not in str(failure.value)
    Store(storage_folder(f"{bucket}/x")).check()
    assert keys(bucket) == []


def test_to_find_a_copy_does_not_make_it_look_changed(machines):
    """Its checksum would have to be taken again each time."""
    folder, _ = machines
    write_atomically(folder / "x.bin", b"x")
    os.utime(folder / "x.bin", (0, 0))
    before = (folder / "x.bin").stat()
    assert mirror.is_here(folder / "x.bin")
    after = (folder / "x.bin").stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)
    assert time.time() - mirror.last_use(folder / "x.bin") < 60


def test_files_are_listed_with_size_and_time_wherever_they_are(machines, tmp_path):
    here, there = machines
    write_atomically(there / "stage" / "name" / "a", b"123")
    write_atomically(here / "only here", b"1", shared=False)
    assert {name: size for name, (size, _) in listed_files(here).items()} == {"stage/name/a": 3}
    assert [*listed_files(here, here=True)] == ["only here"]
    assert abs(listed_files(here)["stage/name/a"][1] - time.time()) < 60
    folder = tmp_path / "plain"
    assert listed_files(folder) == {}
    for name in ("b", "in/the/depth", ".hidden"):
        write_atomically(folder / name, b"12")
    os.utime(folder / "b", (5, 7))
    Path(folder / "itself").symlink_to(folder / "itself")
    Path(folder / "in" / "loop").symlink_to(folder)
    found = listed_files(folder)
    assert found["b"] == (2, 7.0)
    assert set(found) == {"b", "in/the/depth", ".hidden"}
