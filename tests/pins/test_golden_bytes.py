"""What small trials leave in an empty storage stays where it is, and stays the same."""

import golden
import pinned
import pytest

ADVICE = "Where that is meant: python tests/pins/write.py bytes, and raise the stage's version."


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """A folder with the inputs, which stays the working directory."""
    made = tmp_path_factory.mktemp("golden")
    with pinned.inputs(made):
        yield made


@pytest.fixture(scope="module")
def found(folder):
    return golden.left_behind(folder / "storage")


@pytest.fixture(scope="module")
def expected():
    return pinned.read("golden")


@pytest.fixture
def same_machine(expected):
    here = golden.machine()
    differing = [name for name, value in expected["machine"].items() if here[name] != value]
    if differing:
        pytest.skip(f"bits are pinned on another machine, which differs in {differing}")


def test_files_are_where_they_were(found, expected):
    before, now = expected["files"], found["files"]
    gone = [f"{before[path][2]}: {path}" for path in sorted(set(before) - set(now))]
    new = [f"{now[path][2]}: {path}" for path in sorted(set(now) - set(before))]
    assert not gone, f"{len(gone)} of {len(before)} files are elsewhere, {gone[:3]}; {ADVICE}"
    assert not new, f"{len(new)} files are new, {new[:3]}; {ADVICE}"


def test_settings_in_manifests_stay(found, expected):
    changed = [
        f"{trial}: {path}"
        for path, (settings, _, trial) in expected["files"].items()
        if path in found["files"] and found["files"][path][0] != settings
    ]
    assert not changed, f"{len(changed)} files say something else, {changed[:3]}; {ADVICE}"


def test_words_in_rows_stay(found, expected):
    _compare_rows(found, expected, lambda value: isinstance(value, str))


def test_names_without_work_are_those_of_the_folders(found):
    """What `test_pinned_names` pins is what a run leaves; scores there are of another benchmark."""
    recorder = pinned.Recorder()
    trials = golden.trials().values()
    named = {name for each in trials for name in pinned.trial_stages(each, "cpu", recorder)}
    named |= set(pinned.embeddings_stages("cpu", recorder))
    folders = {" ".join(path.split("/")[:2]) for path in found["files"]}
    assert {name for name in folders if not name.startswith("scores ")} <= named
    made = {name for name in named if not name.startswith(("scores ", "embeddings "))}
    assert made <= folders


@pytest.mark.usefixtures("same_machine")
def test_content_of_files_stays(found, expected):
    changed = [
        f"{trial}: {path}"
        for path, (_, content, trial) in expected["files"].items()
        if path in found["files"] and found["files"][path][1] != content
    ]
    assert not changed, f"{len(changed)} files hold something else, {changed[:3]}; {ADVICE}"


@pytest.mark.usefixtures("same_machine")
def test_numbers_in_rows_stay(found, expected):
    _compare_rows(found, expected, lambda value: not isinstance(value, str))


def _compare_rows(found, expected, kept):
    """Compare the columns that there were; new ones may come."""
    assert sorted(found["rows"]) == sorted(expected["rows"])
    changed = []
    for trial, rows in expected["rows"].items():
        assert len(found["rows"][trial]) == len(rows), trial
        for before, now in zip(rows, found["rows"][trial], strict=True):
            changed += [
                f"{trial}, {column}: {value!r}, now {now.get(column)!r}"
                for column, value in before.items()
                if kept(value) and now.get(column) != value
            ]
    assert not changed, f"{len(changed)} values, {changed[:5]}; {ADVICE}"
