from dataclasses import replace

from gseg.directions.config import SearchConfig
from gseg.pipeline.direction_trial import DirectionTrial
from gseg.pipeline.experiment import Experiment
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import all_gans
from gseg.reports.sweep import trial_labels

SMOKE = grids()["smoke"]


def test_trials_of_a_sweep_are_told_apart_by_what_differs():
    axes = {
        "generator": ("ggan.scenes32", "acgan.scenes32"),
        "contrast_weight": (2.5, 5.0),
        "data_size": (100,),
        "seed": (0, 1),
    }
    labels = trial_labels(all_gans(SMOKE, axes))
    assert len(set(labels)) == len(labels) == 10
    assert "ggan.scenes32 N=100 λ=2.5 seed=0" in labels
    assert "acgan.scenes32 N=100 λ=5 seed=1" in labels
    assert "true masks N=100 seed=1" in labels


def test_what_a_label_says_already_is_not_said_twice():
    axes = {"generator": ("ggan.scenes32",), "data_size": (50, 100), "mask_kind": ("both",)}
    labels = trial_labels(all_gans(SMOKE, axes))
    assert sorted(labels) == [
        "ggan.scenes32 N=100 both",
        "ggan.scenes32 N=50 both",
        "true masks N=100",
        "true masks N=50",
    ]


def test_filters_and_latents_are_differences_too():
    (trial, _) = all_gans(SMOKE, {"generator": ("ggan.scenes32",)})
    samples = trial.samples
    bare = replace(trial, samples=replace(samples, filters=replace(samples.filters, max_share=1.0)))
    first, second = trial_labels([trial, bare])
    assert first != second
    assert first.startswith("ggan.scenes32 N=100 filters=")


def test_equal_experiments_keep_their_label():
    otsu = Experiment(method="otsu")
    assert trial_labels([otsu, otsu]) == ["otsu", "otsu"]


def test_trials_of_directions_tell_what_their_names_do_not():
    trials = [
        DirectionTrial(generator="ggan.scenes32", search=SearchConfig(steps=steps))
        for steps in (20, 40)
    ]
    assert trial_labels(trials) == [
        "ggan.scenes32 λ=5 ε=1 seed=0 search_steps=20",
        "ggan.scenes32 λ=5 ε=1 seed=0 search_steps=40",
    ]
    assert trial_labels(trials[:1]) == ["ggan.scenes32 λ=5 ε=1 seed=0"]
