import json
import shutil

import pytest

from gseg.commands.app import make_app, run
from gseg.storage.files import write_atomically
from gseg.storage.manifests import is_whole, note_doubt, sealed, told_doubts
from gseg.storage.mirror import StorageError
from gseg.storage.store import Store, bring_here


@pytest.fixture
def made(tmp_path):
    """A storage with two artifacts that have the same files."""
    store = Store(tmp_path / "storage")
    told_doubts()

    def make(seed):
        def build(folder):
            write_atomically(folder / "x.txt", f"content {seed}".encode())
            return {"iou": 0.5 + seed}

        return store.make("stage", version=1, config={"seed": seed}, parents=["p"], build=build)

    return store, make(0), make(1)


def copied(store, folder):
    """The storage under another name, as another process finds it."""
    shutil.copytree(store.root, folder)
    return Store(folder)


def change(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_what_fits_is_found(made, tmp_path):
    store, first, second = made
    other = copied(store, tmp_path / "other")
    assert other.find("stage", first.digest).manifest == first.manifest
    assert other.find("stage", second.digest).facts == {"iou": 1.5}
    assert told_doubts() == []


def test_folders_that_have_changed_places_are_not_taken(made, tmp_path):
    store, first, second = made
    other = copied(store, tmp_path / "other")
    shutil.rmtree(other.folder("stage", first.digest))
    shutil.copytree(second.folder, other.folder("stage", first.digest))
    assert other.find("stage", first.digest) is None
    assert told_doubts() == [
        f"{other.folder('stage', first.digest)}/manifest.json belongs to another artifact: stage "
        f"{second.digest}. It is not used: put aside in {other.root}/damaged, and made again by "
        "the run that needs it."
    ]


def test_another_stage_s_artifact_is_not_taken(made, tmp_path):
    store, first, _ = made
    other = copied(store, tmp_path / "other")
    shutil.copytree(first.folder, other.folder("scores", first.digest))
    assert other.find("scores", first.digest) is None
    assert "belongs to another artifact" in told_doubts()[0]


@pytest.mark.parametrize(
    "values", [{"facts": {"iou": 0.9}}, {"seconds": 9.0}, {"files": {}}, {"checksum": "f" * 20}]
)
def test_a_manifest_that_was_changed_is_not_taken(made, tmp_path, values):
    store, first, _ = made
    other = copied(store, tmp_path / "other")
    change(other.folder("stage", first.digest) / "manifest.json", **values)
    assert other.find("stage", first.digest) is None
    assert "manifest.json is damaged" in told_doubts()[0]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"stage": "stage"}', '{"files": 3}'])
def test_what_is_no_manifest_is_one_line(made, tmp_path, text):
    store, first, _ = made
    other = copied(store, tmp_path / "other")
    (other.folder("stage", first.digest) / "manifest.json").write_text(text)
    assert other.find("stage", first.digest) is None
    (line,) = told_doubts()
    assert f"{first.digest}/manifest.json is damaged" in line
    assert "\n" not in line


def test_files_must_be_those_of_the_manifest(made, tmp_path):
    store, first, second = made
    other = copied(store, tmp_path / "other")
    file = other.folder("stage", first.digest) / "x.txt"
    shutil.copyfile(second.folder / "x.txt", file)
    assert other.find("stage", first.digest) is None
    with pytest.raises(StorageError, match=r"x\.txt is damaged"):
        bring_here(file.parent)
    file.unlink()
    with pytest.raises(StorageError, match=r"x\.txt is missing"):
        bring_here(file.parent)
    shutil.copyfile(first.folder / "x.txt", file)
    (file.parent / "notes.txt").write_text("of somebody's own")
    assert other.find("stage", first.digest) is not None


def test_an_older_manifest_is_taken_and_counted(made, tmp_path):
    store, *both = made
    other = copied(store, tmp_path / "other")
    for each in both:
        file = other.folder("stage", each.digest) / "manifest.json"
        told = json.loads(file.read_text())
        del told["checksum"]
        file.write_text(json.dumps(told))
        assert other.find("stage", each.digest).facts == each.facts
    (line,) = told_doubts()
    assert line.startswith(
        "2 manifests have no checksum of their own: they are of an older version"
    )
    assert told_doubts() == []
    # One whose checksum has lost its name is not of an older version.
    file.write_text(json.dumps({**told, "chexsum": "f" * 20}))
    assert other.find("stage", each.digest) is None
    assert "damaged" in told_doubts()[0]


def test_a_copy_under_a_name_of_one_s_own_is_not_compared(made, tmp_path):
    _, first, _ = made
    mine = tmp_path / "my model"
    shutil.copytree(first.folder, mine)
    (mine / "x.txt").write_text("mine")
    assert bring_here(mine) == mine


def test_a_sealed_file_says_whether_it_is_whole():
    told = json.loads(json.dumps(sealed({"seconds": 0.25, "names": ["ä", None], "n": {"1": 2}})))
    assert is_whole(told)
    assert not is_whole({**told, "seconds": 0.5})
    assert is_whole({"seconds": 0.25}) is None


def test_a_command_ends_with_what_it_took_as_it_is(tmp_path, capsys):
    app = make_app("look", "")

    @app.default
    def look() -> int:
        note_doubt("files are old", tmp_path / "a")
        note_doubt("files are old", tmp_path / "b")
        return 0

    for _ in range(2):
        assert run(app, []) == 0
        assert capsys.readouterr().err == f"2 files are old, such as {tmp_path / 'a'}.\n"
