import errno
from dataclasses import dataclass
from pathlib import Path

import pytest

from gseg.storage.digests import digest
from gseg.storage.files import replacing, write_atomically
from gseg.storage.objects import StorageError
from gseg.storage.store import Store


@dataclass(frozen=True)
class _Config:
    rate: float = 0.5
    widths: tuple[int, ...] = (1, 2)


def test_digest_depends_on_content_only():
    assert digest(_Config(), {"a": 1, "b": None}) == digest(_Config(), {"b": None, "a": 1})
    assert digest(_Config()) != digest(_Config(rate=0.25))
    assert digest("a", "b") != digest("ab")


def test_digest_is_the_same_on_every_machine():
    assert digest("direction", 1, _Config(), []) == "10d3ddf4acf4e22033ae"


def test_digest_refuses_what_it_cannot_name():
    with pytest.raises(TypeError, match="Cannot name object"):
        digest(object())


def test_make_runs_once(tmp_path):
    store = Store(tmp_path)
    calls = []

    def build(folder: Path):
        calls.append(folder)
        write_atomically(folder / "x.txt", b"hello")
        return {"count": 3}

    first = store.make("stage", version=1, config=_Config(), parents=["p"], build=build)
    again = store.make("stage", version=1, config=_Config(), parents=["p"], build=build)
    assert len(calls) == 1
    assert (first.reused, again.reused) == (False, True)
    assert again.facts == {"count": 3}
    assert again.manifest["parents"] == ["p"]
    assert sorted(path.name for path in again.folder.iterdir()) == ["manifest.json", "x.txt"]


def test_a_new_code_version_or_parent_is_another_artifact(tmp_path):
    store = Store(tmp_path)
    made = [
        store.make("stage", version=version, config={}, parents=parents, build=lambda folder: {})
        for version, parents in ((1, []), (2, []), (1, ["p"]))
    ]
    assert len({artifact.digest for artifact in made}) == 3


def test_a_failed_build_leaves_no_manifest_and_no_lease(tmp_path):
    store = Store(tmp_path)

    def fail(folder: Path):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        store.make("stage", version=1, config={}, parents=[], build=fail)
    made = store.make("stage", version=1, config={}, parents=[], build=lambda folder: {"ok": True})
    assert made.facts == {"ok": True}
    assert not (made.folder / "lease.json").exists()


def test_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    write_atomically(path, b"old")
    with pytest.raises(FileNotFoundError), replacing(path) as part:
        part.write_bytes(b"half")
        (tmp_path / "missing").read_bytes()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_one_clear_line(tmp_path):
    with pytest.raises(StorageError, match="disk is full"), replacing(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_check_names_a_storage_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(StorageError, match=f"Cannot write to the storage {file}"):
        Store(file).check()


def test_a_read_only_store_makes_nothing(tmp_path):
    store = Store(tmp_path, read_only=True)
    with pytest.raises(AssertionError):
        store.make("stage", version=1, config={}, parents=[], build=lambda folder: {})
    assert list(tmp_path.iterdir()) == []
