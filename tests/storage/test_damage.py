"""What is damaged is put aside and made again."""

import json
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from gseg.storage import checksums, manifests
from gseg.storage.checksums import checksum
from gseg.storage.damage import DAMAGED, put_aside
from gseg.storage.files import write_atomically
from gseg.storage.manifests import recheck, told_doubts
from gseg.storage.mirror import StorageError, client, place_of, storage_folder
from gseg.storage.store import Store, bring_here, count_builds

OTHER = {"stage": "stage", "version": 1, "config": {"seed": 7}, "parents": [], "files": {}}


def make(store, seed=0, built=None):
    def build(folder):
        if built is not None:
            built.append(folder)
        write_atomically(folder / "x.txt", f"content {seed}".encode())
        write_atomically(folder / "images.parquet", b"rows")
        return {"iou": 0.5}

    return store.make("stage", version=1, config={"seed": seed}, parents=[], build=build)


@pytest.fixture
def store(tmp_path):
    """A storage with an artifact, as another process finds it."""
    made = Store(tmp_path / "storage")
    make(made)
    manifests._believed.clear()
    told_doubts()
    return made


def _replaced(name, content):
    def change(folder):
        (folder / name).write_bytes(content)

    return change


def _folder_instead(folder):
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()


DAMAGES = {
    "empty manifest": (_replaced("manifest.json", b""), "manifest.json"),
    "cut manifest": (_replaced("manifest.json", b'{"stage": "sta'), "manifest.json"),
    "list": (_replaced("manifest.json", b"[]"), "manifest.json"),
    "no text": (_replaced("manifest.json", b"\xff\xfe\x00\x80"), "manifest.json"),
    "another's": (_replaced("manifest.json", json.dumps(OTHER).encode()), "manifest.json"),
    "a folder": (_folder_instead, "manifest.json"),
    "missing file": (lambda folder: (folder / "images.parquet").unlink(), "images.parquet"),
    "flipped byte": (_replaced("x.txt", b"contenu 0"), "x.txt"),
    "empty file": (_replaced("x.txt", b""), "x.txt"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_artifact_is_made_again(store, damage):
    change, file = DAMAGES[damage]
    (folder,) = (store.root / "stage").iterdir()
    change(folder)
    left = {path.name for path in folder.iterdir()}
    made = make(store)
    assert not made.reused
    assert (folder / "x.txt").read_text() == "content 0"
    assert sorted(path.name for path in folder.iterdir()) == [
        "images.parquet",
        "manifest.json",
        "x.txt",
    ]
    (aside,) = (store.root / DAMAGED).iterdir()
    assert aside.name == f"stage-{folder.name}-0"
    assert {path.name for path in aside.iterdir()} == left
    (line,) = told_doubts()
    assert f"{folder}/{file}" in line
    assert f"put aside in {store.root}/damaged" in line
    assert make(store).reused
    assert told_doubts() == []


def test_damage_of_the_same_thing_is_put_beside_the_former(store):
    (folder,) = (store.root / "stage").iterdir()
    for _ in range(2):
        (folder / "x.txt").write_text("damaged")
        make(store)
    names = sorted(path.name for path in (store.root / DAMAGED).iterdir())
    assert names == [f"stage-{folder.name}-{n}" for n in (0, 1)]


def test_who_only_looks_leaves_what_is_damaged(store):
    (folder,) = (store.root / "stage").iterdir()
    (folder / "x.txt").write_text("damaged")
    before = sorted(store.root.rglob("*"))
    assert Store(store.root, read_only=True).find("stage", folder.name) is None
    assert sorted(store.root.rglob("*")) == before
    assert f"{folder}/x.txt is damaged" in told_doubts()[0]


def test_of_several_that_see_the_damage_one_makes_it_again(store):
    (folder,) = (store.root / "stage").iterdir()
    (folder / "manifest.json").write_text("")
    built, found = [], []
    threads = [
        threading.Thread(target=lambda: found.append(make(store, built=built))) for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(built) == 1
    assert [each.facts for each in found] == [{"iou": 0.5}] * 4
    assert len(list((store.root / DAMAGED).iterdir())) == 1


def test_many_are_told_of_in_one_line(store):
    for seed in range(5):
        make(store, seed)
    for folder in (store.root / "stage").iterdir():
        (folder / "manifest.json").write_text("")
    for seed in range(5):
        make(store, seed)
    (line,) = told_doubts()
    assert line.startswith("5 artifacts or files are damaged, such as this one: ")
    assert "manifest.json is damaged: it is no manifest." in line


def test_what_cannot_be_put_aside_is_named(store):
    (folder,) = (store.root / "stage").iterdir()
    (folder / "x.txt").write_text("damaged")
    (store.root / DAMAGED).write_text("a file")
    with pytest.raises(StorageError, match=rf"x\.txt is damaged.*: move {folder} away"):
        make(store)
    assert (folder / "x.txt").read_text() == "damaged"


def test_what_is_gone_by_now_is_no_error(tmp_path):
    file = tmp_path / "storage" / "samples" / ("0" * 20) / "shard-000000.parquet"
    file.parent.mkdir(parents=True)
    put_aside(file, "It is damaged.")
    told_doubts()


def test_a_reader_s_error_makes_all_be_compared_again(store):
    made = make(store)
    assert recheck() == []
    assert make(store).reused
    (made.folder / "x.txt").write_text("damaged")
    assert make(store).reused  # it has been believed
    assert [each.split(" is ")[0] for each in recheck()] == [str(made.folder / "x.txt")]
    assert not make(store).reused


def test_a_remembered_checksum_may_be_the_damaged_one(store, monkeypatch):
    (folder,) = (store.root / "stage").iterdir()
    path = folder / "x.txt"
    monkeypatch.setattr(checksums, "_YOUNG_NS", -(10**15))
    checksum(path)
    with sqlite3.connect(checksums.cache_folder() / "checksums.sqlite") as memory:
        memory.execute("UPDATE files SET sha256 = ?", ("0" * 64,))
    checksums._known.clear()
    assert checksum(path) == "0" * 64
    assert make(store).reused
    checksums._known.clear()
    assert checksum(path) != "0" * 64


@pytest.fixture
def published(bucket):
    """The same in an object store, with this machine's copy."""
    made = Store(storage_folder(f"{bucket}/storage"))
    make(made)
    manifests._believed.clear()
    told_doubts()
    return made


@pytest.mark.parametrize("name", ["manifest.json", "x.txt"])
@pytest.mark.parametrize("copied", [True, False])
def test_a_damaged_object_is_made_again(published, name, copied):
    (folder,) = (published.root / "stage").iterdir()
    place = place_of(folder / name)
    client().put_object(Bucket=place.bucket, Key=place.key, Body=b"")
    shutil.rmtree(folder)
    if copied:
        assert Store(published.root, read_only=True).find("stage", folder.name) is None
    made = make(published)
    assert not made.reused
    assert client().get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
    (aside,) = (published.root / DAMAGED).iterdir()
    assert (aside / name).read_bytes() == b""
    shutil.rmtree(folder)
    manifests._believed.clear()
    assert make(published).reused
    assert count_builds(published.root)["stage", folder.name] == 2
    objects = client().list_objects_v2(Bucket=place.bucket)["Contents"]
    assert not [each["Key"] for each in objects if DAMAGED in each["Key"]]


def test_a_damaged_copy_of_a_whole_object_is_fetched_again(published):
    (folder,) = (published.root / "stage").iterdir()
    (folder / "x.txt").write_text("damaged")
    assert make(published).reused
    assert (folder / "x.txt").read_text() == "content 0"
    assert not (published.root / DAMAGED).exists()


def test_a_worker_is_told_what_is_damaged(store):
    (folder,) = (store.root / "stage").iterdir()
    (folder / "x.txt").write_text("damaged")
    with pytest.raises(StorageError, match=rf"^{folder}/x.txt is damaged"):
        bring_here(folder)


def test_an_unreadable_place_of_the_disk_is_damage(store, monkeypatch):
    (folder,) = (store.root / "stage").iterdir()
    read = Path.read_bytes

    def broken(path):
        if path.name == "manifest.json" and time.time() < until:
            raise OSError(5, "Input/output error", str(path))
        return read(path)

    until = time.time() + 60
    monkeypatch.setattr(Path, "read_bytes", broken)
    assert store.find("stage", folder.name) is None
    assert "manifest.json is damaged: it cannot be read (Input/output error)" in told_doubts()[0]
