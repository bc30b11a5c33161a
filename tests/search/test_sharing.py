from dataclasses import replace

from gseg.commands.run import all_gans
from gseg.pipeline.experiment import Experiment, SelectionConfig
from gseg.pipeline.trial import sample_nodes
from gseg.recipes.grids import grids
from gseg.search.source import sharing_groups


def experiments(**axes):
    names = ("analytic.ellipses16", "analytic.ellipses32")
    return all_gans(grids()["smoke"], {"generator": names, **axes})


def test_a_trial_needs_a_training_and_a_held_out_set_for_each_network():
    one = experiments(mask_kind=("ensemble",))[0]
    nodes = sample_nodes(one, "cpu")
    sets = [node.samples for node in nodes]
    assert [each.mask_kind for each in sets] == ["lighter", "lighter", "darker", "darker"]
    assert [node.count for node in nodes] == [100, 32, 100, 32]
    assert sets[0].seed == one.samples.seed != sets[1].seed
    assert sets[0].candidates_key == sets[2].candidates_key != sets[1].candidates_key
    assert len(sample_nodes(replace(one, validation_size=0), "cpu")) == 2
    chosen = replace(one, selection=SelectionConfig(folder="x", candidates=400))
    assert [node.count for node in sample_nodes(chosen, "cpu")] == [400, 32, 400, 32]
    assert sample_nodes(Experiment(method="otsu"), "cpu") == ()


def groups(trials, processes):
    found = sharing_groups(trials, processes)
    return {frozenset({number, *others}) for number, others in enumerate(found)}


def test_trials_of_the_same_candidates_draw_together():
    trials = experiments(contrast_weight=(1.0, 2.0, 3.0), epsilon=(1.0, 2.0))
    assert len(trials) == 13  # and the ceiling
    wanted = [
        {number for number, each in enumerate(trials) if each.generator == name}
        for name in ("analytic.ellipses16", "analytic.ellipses32")
    ]
    assert groups(trials, 1) == {*map(frozenset, wanted), frozenset({12})}
    assert groups(trials, 2) == groups(trials, 1)
    assert sharing_groups(trials, 1)[12] == ()


def test_more_processes_than_groups_split_them():
    trials = experiments(contrast_weight=(1.0, 2.0, 3.0, 4.0))
    split = groups(trials, 4)
    assert sorted(len(group) for group in split) == [1, 2, 2, 2, 2]
    # Trials that start at the same time are in different groups.
    for group in split:
        assert not {0, 1, 2, 3} < group
        assert len(group & {0, 1, 2, 3}) <= 1


def test_other_seeds_are_other_candidates():
    trials = experiments(seed=(0, 1), generator=("analytic.ellipses16",))
    assert all(len(group) == 1 for group in groups(trials, 1))
