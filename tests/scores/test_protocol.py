"""gseg/scores/protocol.py and batches.py: what is predicted, at which size it is scored."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.filters import threshold_otsu

from gseg.images import from_uint8
from gseg.metrics.counts import pixel_histogram
from gseg.metrics.profiles import PROFILES, metric_profile
from gseg.metrics.sums import MetricSums
from gseg.picture_files import UnreadableImageError
from gseg.scenes.pictures import render
from gseg.scores.baselines import centre_disc, otsu
from gseg.scores.batches import begin_mask_size, equal_shapes, prepare, working_shape
from gseg.scores.benchmarks import BenchmarkPart, Example, FolderBenchmark, ScenesBenchmark
from gseg.scores.protocol import COLUMNS, bootstrap_intervals, merge_scores, score
from gseg.scores.specs import SCORES

FIRST = 1_500_000  # validation scenes: tests make no use of held-out ones


def brightness(images):
    """A segmenter whose probability is a smooth function of the pixel."""
    return images.mean(1).add(1).div(2).clamp(0, 1)


@pytest.fixture
def photographs(tmp_path):
    """Smooth pictures of four shapes with masks, and a mask of one value among them."""
    shapes = [(40, 60), (60, 40), (40, 60), (48, 48), (40, 60), (33, 71)]
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number, (height, width) in enumerate(shapes):
        y, x = np.mgrid[:height, :width]
        wave = np.stack([128 + 120 * np.sin((x + number) / (9 + c) + y / 7) for c in range(3)], -1)
        Image.fromarray(wave.astype(np.uint8)).save(tmp_path / "images" / f"{number}.png")
        mask = (x - width / 2) ** 2 + (y - height / 2) ** 2 < 150 * (number != 3)
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "masks" / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("name", PROFILES)
def test_scenes_are_scored_as_the_metrics_say(name):
    got = score(brightness, ScenesBenchmark(70, FIRST), profiles=[name], batch=16)
    scenes = render(range(FIRST, FIRST + 70))
    histogram = pixel_histogram(brightness(from_uint8(scenes.pictures)), scenes.masks)
    sums = MetricSums(profile=metric_profile(name))
    per_image = sums.update(histogram)
    assert repr(got.aggregates) == repr({name: sums.compute()})
    assert got.aggregates[name].images == len(got.table) == 70
    assert list(got.table.columns) == list(COLUMNS)
    assert list(got.table["id"]) == [str(FIRST + index) for index in range(70)]
    for column in ("accuracy", "iou", "f_beta", "max_f_beta"):
        np.testing.assert_array_equal(got.table[column], getattr(per_image, column))
    assert got.table["degenerate"].dtype == bool


@pytest.mark.parametrize("protocol", ["text", "melas_program", "voynov_program"])
def test_by_otsu_each_picture_is_cut_where_scikit_image_cuts_it(photographs, protocol):
    """At the size of the scores; all of them are those of the masks."""
    benchmark, options = FolderBenchmark(photographs), {"working_size": 24, "profiles": ["sod"]}
    got = score(brightness, benchmark, protocol=f"{protocol}+otsu", **options)
    assert got.protocol == f"{protocol}+otsu"
    table = got.table.set_index("id")
    for number in range(len(benchmark)):
        each = prepare(benchmark[number], number, protocol, 24)
        found = brightness(from_uint8(each.picture[None]))
        found = begin_mask_size(found, tuple(each.mask.shape), protocol)()[0].numpy()
        mask, truth = found > threshold_otsu(found), each.mask.numpy()
        assert table.loc[each.id, "accuracy"] == pytest.approx((mask == truth).mean(), abs=0.01)
        assert table.loc[each.id, "mae"] == pytest.approx((mask != truth).mean(), abs=0.01)


@pytest.mark.parametrize("protocol", ["text", "melas_program"])
@pytest.mark.parametrize("size", [24, 40, 80])
def test_folder_equals_one_picture_at_a_time_with_pillow(photographs, protocol, size):
    benchmark = FolderBenchmark(photographs)
    got = score(
        brightness, benchmark, protocol=protocol, working_size=size, batch=2,
        profiles=["melas2022_program"],
    )  # fmt: skip
    expected = []
    for index in range(len(benchmark)):
        with Image.open(photographs / "images" / f"{index}.png") as image:
            scale = size / min(image.size)
            small = (int(image.width * scale + 1e-9), int(image.height * scale + 1e-9))
            picture = np.asarray(image.resize(small, Image.Resampling.BILINEAR))
        with Image.open(photographs / "masks" / f"{index}.png") as image:
            own = image.size
            sized = image.resize(small, Image.Resampling.NEAREST) if protocol == "text" else image
            mask = np.asarray(sized) > 0
        pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]
        probability = brightness(from_uint8(pixels))
        if protocol == "melas_program":
            back = Image.fromarray(probability[0].numpy()).resize(own, Image.Resampling.BILINEAR)
            probability = torch.from_numpy(np.array(back))[None].clamp(0, 1)
        sums = MetricSums(profile=metric_profile("melas2022_program"))
        sums.update(pixel_histogram(probability, torch.from_numpy(mask)[None]))
        expected.append(sums.compute())
    assert got.working_size == size
    for index, entry in enumerate(expected):
        # Making probabilities smaller is antialiased in Pillow only.
        shrunk = protocol == "melas_program" and size > min(benchmark[index].mask.shape)
        for column in ("accuracy", "iou", "f_beta"):
            want = pytest.approx(getattr(entry, column), abs=0.06 if shrunk else 1e-3)
            assert got.table[column][index] == want
    assert list(got.table["id"]) == [str(index) for index in range(6)]
    assert got.table["degenerate"].tolist() == [False, False, False, True, False, False]
    assert got.aggregates["melas2022_program"].degenerate_masks == 1


def test_pictures_of_equal_shape_are_predicted_together(photographs):
    seen = []

    def predict(images):
        seen.append(tuple(images.shape))
        assert images.dtype == torch.float32
        assert images.min() >= -1
        assert images.max() <= 1
        return brightness(images)

    score(predict, FolderBenchmark(photographs), working_size=20, batch=8)
    assert sorted(seen) == [(1, 3, 20, 20), (1, 3, 20, 43), (1, 3, 30, 20), (3, 3, 20, 30)]


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
@pytest.mark.parametrize("protocol", ["text", "melas_program"])
def test_batching_changes_nothing(photographs, batch, protocol):
    benchmark = FolderBenchmark(photographs)
    one = score(brightness, benchmark, batch=1, working_size=20, protocol=protocol)
    more = score(brightness, benchmark, batch=batch, working_size=20, protocol=protocol)
    pd.testing.assert_frame_equal(one.table, more.table)
    assert repr(one.aggregates) == repr(more.aggregates)


def test_few_pictures_of_rare_shapes_are_held():
    class Rare:
        name, identity, working_size, skip_bad, bad = "rare", "rare", 8, False, ()
        crop, from_files = False, False
        reads = 0

        def __len__(self):
            return 100

        def __getitem__(self, index):
            self.reads += 1
            shape = (8, 8 + index)
            return Example(
                id=str(index),
                picture=torch.zeros(3, *shape, dtype=torch.uint8),
                mask=torch.zeros(shape, dtype=torch.bool),
            )

    rare = Rare()
    groups = equal_shapes(rare, [], protocol="text", size=8, batch=2)
    next(groups)
    assert 16 <= rare.reads <= 21  # sixteen wait, and one reader is four ahead
    assert sum(len(group) for group in groups) == 99


def test_parts_merge_into_the_whole(photographs):
    benchmark = FolderBenchmark(photographs)
    whole = score(brightness, benchmark, working_size=20)
    for count in (2, 3, 8):
        parts = [
            score(brightness, BenchmarkPart(benchmark, part, count), working_size=20)
            for part in range(count)
        ]
        merged = merge_scores(parts)
        pd.testing.assert_frame_equal(merged.table, whole.table)
        assert repr(merged.aggregates) == repr(whole.aggregates)
        assert merged.benchmark == whole.benchmark
    other = score(brightness, benchmark, working_size=21)
    with pytest.raises(ValueError, match="parts of one scoring"):
        merge_scores([whole, other])


def test_truncated_file_ends_the_scoring_or_is_listed(photographs):
    file = photographs / "images" / "2.png"
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(UnreadableImageError, match=r"images/2\.png"):
        score(brightness, FolderBenchmark(photographs), working_size=20)
    (photographs / "masks" / "5.png").unlink()
    seen = []
    got = score(
        brightness,
        FolderBenchmark(photographs, skip_bad=True),
        working_size=20,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert got.aggregates["voynov2021"].images == 4
    assert [any(name in line for line in got.skipped) for name in ("2.png", "5.png")] == [True] * 2
    assert len(got.skipped) == 2
    assert seen[-1] == (5, 5)


def test_baselines_beat_each_other_as_expected_on_scenes():
    benchmark = ScenesBenchmark(300, FIRST)
    found = {
        name: score(predict, benchmark).aggregates["melas2022_program"]
        for name, predict in (("otsu", otsu), ("disc", centre_disc))
    }
    assert 0.4 < found["otsu"].iou < 0.75
    assert 0.35 < found["disc"].iou < 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "txt"}, "did you mean 'text'"),
        ({"profiles": ["melas2022"]}, "did you mean 'melas2022_"),
        ({"profiles": []}, "each once"),
        ({"profiles": ["voynov2021", "voynov2021"]}, "each once"),
        ({"working_size": 0}, "at least 1"),
        ({"batch": 0}, "at least 1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        score(brightness, ScenesBenchmark(2, FIRST), **options)


def test_segmenter_of_other_form_is_named():
    with pytest.raises(ValueError, match=r"one probability for each pixel, \(2, 32, 32\)"):
        score(lambda images: images, ScenesBenchmark(2, FIRST))
    with pytest.raises(ValueError, match="apply softmax"):
        score(lambda images: images[:, 0] * 9, ScenesBenchmark(2, FIRST))


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((40, 60), 20, (20, 30)), ((71, 33), 20, (43, 20)), ((10, 10), 32, (32, 32))],
)
def test_shorter_side_gets_the_working_size(shape, size, expected):
    assert working_shape(*shape, size) == expected


def test_everything_travels_to_workers_and_back(photographs):
    benchmark = pickle.loads(pickle.dumps(BenchmarkPart(FolderBenchmark(photographs), 1, 2)))
    scores = score(brightness, benchmark, working_size=20)
    back = pickle.loads(pickle.dumps(scores))
    assert repr(back.aggregates) == repr(scores.aggregates)
    pd.testing.assert_frame_equal(merge_scores([back, scores]).table[:3], scores.table[:3])


FIRST = 1_500_000
PICTURES = 30


@pytest.fixture(scope="module")
def scores():
    return score(brightness, ScenesBenchmark(PICTURES, FIRST), profiles=list(PROFILES))


@pytest.mark.parametrize("name", PROFILES)
def test_limits_are_those_of_aggregates_drawn_again(scores, name):
    benchmark = ScenesBenchmark(PICTURES, FIRST)
    singles = []
    for index in range(PICTURES):
        example = benchmark[index]
        image = example.picture[None].float() / 127.5 - 1
        singles.append(pixel_histogram(brightness(image), example.mask[None]))
    rng = np.random.default_rng(4)
    drawn = []
    for chosen in rng.integers(0, PICTURES, (40, PICTURES)):
        sums = MetricSums(profile=metric_profile(name))
        for index in chosen:
            sums.update(singles[index])
        drawn.append([getattr(sums.compute(), score) for score in SCORES])
    found = bootstrap_intervals(scores, resamples=40, seed=4)[name]
    for score_name, values in zip(SCORES, np.array(drawn).T, strict=True):
        low, high = np.quantile(values, [0.025, 0.975])
        assert found[score_name] == pytest.approx((low, high), abs=1e-6)
        assert low < high


def test_intervals_hold_the_score_and_shrink_with_more_pictures(scores):
    few = bootstrap_intervals(scores)["voynov2021"]
    many = bootstrap_intervals(
        score(brightness, ScenesBenchmark(16 * PICTURES, FIRST), profiles=["voynov2021"])
    )["voynov2021"]
    means = scores.aggregates["voynov2021"]
    for name in SCORES:
        low, high = few[name]
        assert low < getattr(means, name) < high
        assert (many[name][1] - many[name][0]) / (high - low) == pytest.approx(0.25, abs=0.12)


def test_splits_over_workers_change_no_limit(scores):
    whole = ScenesBenchmark(PICTURES, FIRST)
    parts = [
        score(brightness, BenchmarkPart(whole, p, 3), profiles=list(PROFILES)) for p in range(3)
    ]
    assert bootstrap_intervals(merge_scores(parts)) == bootstrap_intervals(scores)


def test_an_undefined_iou_has_no_interval():
    class Empty:
        name, identity, working_size, skip_bad, bad = "empty", "empty", 8, False, ()
        crop, from_files = False, False

        def __len__(self):
            return 3

        def __getitem__(self, index):
            example = ScenesBenchmark(3, FIRST)[index]
            return type(example)(id="", picture=example.picture, mask=example.mask & (index > 0))

    nothing = score(lambda images: torch.zeros_like(images[:, 0]), Empty(), profiles=["voynov2021"])
    limits = bootstrap_intervals(nothing, resamples=10)["voynov2021"]
    assert np.isnan(limits["iou"]).all()
    assert not np.isnan(limits["accuracy"]).any()
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_intervals(nothing, resamples=0)
