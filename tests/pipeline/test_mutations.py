"""No mutation of a storage gives a wrong row, or a trace; the program is `mutations`."""

import mutations
import pytest

# A few of each kind; the others take minutes, and are run with those that are marked slow.
QUICK = {
    ("direction", "two folders change places"),
    ("distance", "two manifests change places"),
    ("segmenter", "two segmenter.safetensors change places"),
    ("samples", "two shard-000000.parquet change places"),
    ("samples", "masks of another shard under its own description"),
    ("scores", "other numbers in the facts"),
    ("scores", "images.parquet: delete"),
    ("candidates", "all manifests of the storage are empty"),
    ("embeddings", "embeddings.npy: shuffle_array"),
    ("samples", "other forwards in a cost"),
    ("samples", "a smaller batch is asked for"),
    ("statistics", "parts of two unfinished sets change places"),
    ("segmenter", "checkpoints of two trainings change places"),
}
EACH = [
    pytest.param(
        number,
        id=f"{stage}, {what}",
        marks=[] if (stage, what) in QUICK else pytest.mark.slow,
    )
    for number, (stage, what, _) in enumerate(mutations.MUTATIONS)
]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutations")
    with mutations.inputs(folder):
        yield mutations.Original.make(folder)


@pytest.mark.parametrize("number", EACH)
def test_rows_are_the_same(original, number):
    assert not [each.told for each in original.mutated(number) if each.verdict == "WRONG"]


def test_forty_mutations_and_more_are_tried():
    assert len(EACH) >= 40
    assert len(QUICK) == sum(not each.marks for each in EACH)
