"""Names that storages of today are found by: they are to stay, whatever moves."""

import pinned
import pytest

SOURCES = ("embedded", "smoke", "paper", "turned", "search")
ADVICE = (
    "another name orphans what users have made. Where that is meant: python tests/pins/write.py "
    "names, and raise the stage's version."
)


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    """All trials, made in a folder with the inputs, which stays the working directory."""
    with pinned.inputs(tmp_path_factory.mktemp("inputs")):
        yield pinned.all_trials()


@pytest.fixture(scope="module")
def recorder():
    return pinned.Recorder()


@pytest.fixture(scope="module")
def stages(trials, recorder):
    return pinned.stage_names(trials, recorder)


@pytest.mark.parametrize("source", SOURCES)
def test_digests_of_trials_stay_in_their_order(trials, source):
    expected, found = pinned.read(f"digests_{source}"), pinned.digests(trials[source])
    assert sorted(found) == sorted(expected)
    for name, lines in expected.items():
        before, now = ([line[0] for line in each] for each in (lines, found[name]))
        changed = [
            f"{was[1]}: {was[0]}, now {now_is[1]}: {now_is[0]}"
            for was, now_is in zip(lines, found[name], strict=False)
            if was[0] != now_is[0]
        ]
        message = (
            f"{source}, {name}: {len(changed)} of {len(before)} differ, {changed[:3]}; {ADVICE}"
        )
        assert now == before, message


def test_names_of_all_stages_stay(trials, stages):
    expected = pinned.read("stages")
    labels = {
        each.digest: f"{source}, {name}: {pinned.told(each)}"
        for source, named in trials.items()
        for name, some in named.items()
        for each in some
    }
    gone = [labels.get(key.split()[1], key) for key in sorted(set(stages) ^ set(expected))]
    assert not gone, f"{len(gone)} trials have other digests than were pinned: {gone[:3]}; {ADVICE}"
    changed = [
        f"{key.split()[0]}, {labels.get(key.split()[1], key)}: "
        f"{sorted(set(names) - set(stages[key]))}, now {sorted(set(stages[key]) - set(names))}"
        for key, names in expected.items()
        if names != stages[key]
    ]
    assert not changed, f"{len(changed)} of {len(expected)}: {changed[:2]}; {ADVICE}"


def test_settings_of_each_stage_stay(stages, recorder):
    assert stages
    expected = pinned.read("stage_examples")
    assert sorted(recorder.examples) == sorted(expected)
    for kind, example in expected.items():
        assert recorder.examples[kind] == example, f"{kind}; {ADVICE}"
