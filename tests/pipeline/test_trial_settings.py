"""pipeline/settings.py: a line there is all that a setting takes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gseg.pipeline.experiment import Experiment
from gseg.pipeline.settings import SETTINGS, axes, columns, setting_values
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import all_gans
from gseg.recipes.trials import RECIPE_AXES, point_trials, turned
from gseg.samples.latents import near_embeddings
from gseg.segmenters.config import native_precision

NAME = "analytic.ellipses32"
OTHER = {
    "generator": "analytic.ellipses20",
    "direction": "affine_ratio",
    "candidates": "pca",
    "contrast_weight": 2.5,
    "epsilon": 0.7,
    "epsilon_sample": 0.6,
    "search_steps": 7,
    "search_learning_rate": 0.01,
    "mask_kind": "both",
    "mask_threshold": "otsu",
    "data_size": 77,
    "truncation": 0.5,
    "alpha": 0.3,
    "filters": "none",
    "min_share": 0.01,
    "max_share": 0.4,
    "component_share": 0.1,
    "min_contrast": 0.02,
    "min_roundness": 0.3,
    "train_learning_rate": 2e-3,
    "train_steps": 15,
    "train_batch": 8,
    "train_width": 4,
    "train_depth": 2,
    # The other one than the machine's own, which the embedded settings take.
    "train_precision": "float32" if native_precision("cpu") == "bfloat16" else "bfloat16",
    "rule": "otsu",
    "seed": 5,
}
UNTOLD = {
    # How a direction is chosen beyond its rule, its candidates and their kind.
    *("search.keep", "search.least_share", "search.pictures"),
    *("search.affine", "search.candidates", "search.epsilon_std", "search.epsilon_min"),
    # Rules of the filters that no command changes one at a time: their preset is told.
    *("samples.filters", "samples.latents", "samples.mask_kind"),
    *("samples.batch", "samples.blocks_per_shard", "samples.picture_format"),
    # Of the training; what is measured beside it and how fast it runs.
    *("training.decay_factor", "training.threads"),
    *("training.validate_every", "training.shuffle_window", "training.compiled"),
    *("validation_size", "labelled.side", "selection.features"),
    *("labeller.kind", "labeller.digest", "labeller.place", "distance"),
}
"""Fields that rows do not tell, each for a reason."""


@pytest.fixture
def grid():
    return grids()["smoke"]


@pytest.fixture
def embeddings(tmp_path):
    np = pytest.importorskip("numpy")
    np.save(tmp_path / "e.npy", np.zeros((3, 8), np.float32))
    return near_embeddings(tmp_path / "e.npy")


def point(grid, **values):
    return point_trials(grid, {"generator": NAME, "data_size": 100, **values}, (3,), "search")[0]


@pytest.mark.parametrize("name", [name for name in axes() if name not in ("alpha", "rule", "seed")])
def test_every_axis_is_read_as_it_was_turned_and_changes_the_experiment(grid, name):
    if name == "candidates":
        grid = replace(grid, direction="affine_ratio")
    setting, before = axes()[name], point(grid)
    after = point(grid, **{name: OTHER[name]})
    assert setting.value(before) != OTHER[name]
    assert setting.value(after) == OTHER[name]
    assert before.digest != after.digest
    assert after.training.seed == 3
    assert after.recipe == "search"
    same = setting.value(before)
    if same is not None:
        assert point(grid, **{name: same}).digest == before.digest


def test_the_seed_is_that_of_all_stages(grid):
    made = all_gans(grid, {"generator": (NAME,), "seed": (5,)})[0]
    assert {made.search.seed, made.samples.seed, made.training.seed} == {5}
    assert axes()["seed"].value(made) == 5


def test_noise_means_something_near_embeddings_alone(grid, embeddings):
    assert not axes()["alpha"].stands_in(point(grid, alpha=0.3))
    near = replace(grid, samples=replace(grid.samples, latents=embeddings))
    assert axes()["alpha"].value(point(near, alpha=0.3)) == 0.3


def test_every_axis_has_a_test_value():
    assert set(OTHER) == set(axes())


def test_one_epsilon_for_search_and_masks_or_one_for_the_masks_alone(grid):
    both = point(grid, epsilon=0.7)
    assert (both.search.epsilon, both.samples.epsilon) == (0.7, 0.7)
    alone = point(grid, epsilon=0.7, epsilon_sample=0.5)
    assert (alone.search.epsilon, alone.samples.epsilon) == (0.7, 0.5)


def test_what_means_nothing_is_told_by_sweeps_and_left_out_of_points(grid):
    chosen = replace(grid, direction="affine_ratio")
    with pytest.raises(ValueError, match="--search-steps 7 belongs to optimised directions"):
        turned(chosen, {"search_steps": 7})
    with pytest.raises(ValueError, match=r"--alpha 0\.3 .* name their file"):
        turned(grid, {"alpha": 0.3})
    assert point(chosen, search_steps=7, contrast_weight=2.0) == point(chosen)


def test_the_rate_decays_at_the_same_share_of_the_steps(grid):
    assert (grid.training.steps, grid.training.decay_at) == (30, 20)
    changed = turned(grid, {"train_steps": 60})
    assert (changed.training.steps, changed.training.decay_at) == (60, 40)
    assert changed.curve_training.steps == 60
    assert changed.train_preset == "own"


def test_a_value_out_of_range_is_told(grid):
    with pytest.raises(ValueError, match="epsilon must be a positive number, got -1"):
        point(grid, epsilon=-1.0)


def test_columns_and_axes_stand_once():
    assert len(columns()) == sum(bool(each.column) for each in SETTINGS)
    assert len(axes()) == sum(bool(each.axis) for each in SETTINGS)
    assert set(RECIPE_AXES) <= set(axes())
    assert all(each.meaning.endswith((".", ")")) for each in SETTINGS)


def test_baselines_have_no_settings_but_their_name():
    values = setting_values(Experiment(method="otsu", recipe="x"))
    told = {name: value for name, value in values.items() if value is not None}
    assert told == {"method": "otsu", "recipe": "x", "generator": ""}


def _fields(config, path=""):
    for name in type(config).__dataclass_fields__:
        value, here = getattr(config, name), f"{path}{name}"
        if hasattr(type(value), "__dataclass_fields__") and here not in UNTOLD:
            yield from _fields(value, f"{here}.")
        else:
            yield here


def test_every_field_of_an_experiment_is_told_by_a_column_or_has_a_reason(grid):
    chosen = replace(grid, direction="affine_ratio")
    there = {name for each in (point(grid), point(chosen)) for name in _fields(each)}
    told = {path for each in SETTINGS for path in (each.path, each.or_path)}
    whole = {"selection", "labelled", "labeller", "recipe"}
    assert there - told - UNTOLD - whole == set()


_PROGRAM = """
from gseg.pipeline import settings
settings.SETTINGS += (
    settings.Setting(
        path="training.threads", column="made_up", heading="threads", axis="made_up", digits=0
    ),
)
import pandas as pd
from parsed_options import parsed_options
from gseg.pipeline.rows import COLUMNS, make_row
from gseg.pipeline.row_values import identity_values
from gseg.recipes.melas2022 import all_gans
from gseg.reports.sweep import trial_labels
from gseg.reports.settings import DIGITS, HEADINGS, varying
from gseg.search.records import records_schema
from gseg.search.space import parse_space

words = ["--preset", "smoke", "--generators", "analytic.ellipses32", "--made-up", "1", "2"]
options = parsed_options(*words)
axes = options.varied()
trials = [each for grid in options.grids(axes) for each in all_gans(grid, axes)]
trials = [each for each in trials if each.generator]
rows = pd.DataFrame([make_row(identity_values(each, "cpu")) for each in trials])
print("option", axes["made_up"])
print("trials", [each.training.threads for each in trials])
print("column", COLUMNS["made_up"][0], COLUMNS["made_up"][1][:24])
print("row", rows["made_up"].tolist())
print("label", trial_labels(trials)[1])
print("difference", varying(rows), HEADINGS["made_up"], DIGITS["made_up"])
print("space", parse_space(["made_up=1,3"])[0].choices, records_schema().field("made_up").type)
"""


def test_a_made_up_setting_is_everywhere_by_one_line():
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{root}:{root}/tests"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "option (1, 2)",
        "trials [1, 2]",
        "column int64 Of PyTorch on a CPU whil",
        "row [1, 2]",
        "label analytic.ellipses32 N=100 threads=2",
        "difference ['made_up'] threads 0",
        "space (1, 3) int64",
    ]
