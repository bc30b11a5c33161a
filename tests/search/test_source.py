"""Which points a search tries: the same after being killed, more when extended; a list's points."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from gseg.pipeline.experiment import Experiment, SelectionConfig
from gseg.pipeline.trial import sample_nodes
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import all_gans
from gseg.search.objectives import OBJECTIVES
from gseg.search.records import Record, best_points, heal_records, keep_records, read_records
from gseg.search.source import PointSource, Search, listed, sharing_groups
from gseg.search.space import Space, parse_space

_SPACE = ("contrast_weight=log:1:20", "epsilon=uniform:0.2:3")


def _search(*words, objectives=("held_out_loss",), **options):
    settings = {
        "space": Space(parameters=parse_space(words or _SPACE)),
        "grid": grids()["smoke"],
        "fixed": {"generator": "analytic.ellipses32", "data_size": 100},
        "objectives": tuple(OBJECTIVES[name] for name in objectives),
        "points": 12,
        "random_first": 3,
    }
    return Search(**{**settings, **options})


def _loss(parameters):
    """Best at λ = 5 and ε = 1."""
    weight = np.log(parameters.get("contrast_weight", 5.0) / 5)
    return float(weight**2 + (parameters.get("epsilon", 1.0) - 1) ** 2)


def _record(search, point, state="complete", **values):
    loss = _loss(point.parameters)
    return Record(
        number=point.number,
        parameters=point.parameters,
        experiments=search.names_of(point.parameters),
        state=state,
        values={"held_out_loss": loss, "held_out_iou": 1 - loss, **values},
    )


def _run(search, records=(), *, at_once=1, slow=(), **options):
    """Try all points; those named slow end as late as they can."""
    source = PointSource(search, list(records), at_once=at_once, **options)
    found, running = [], []
    while source.left or running:
        point = source.next()
        if point is not None:
            running.append(point)
            continue
        if not running:
            break
        ready = [each for each in running if each.number not in slow] or running
        point = ready[0]
        running.remove(point)
        record = _record(search, point)
        found.append(record)
        source.finish(record)
    return found, source


def _points(records):
    return {record.number: dict(record.parameters) for record in records}


def test_points_follow_from_the_seed():
    first, again, other = (_run(_search(seed=seed))[0] for seed in (0, 0, 1))
    assert _points(first) == _points(again)
    assert sorted(_points(first)) == list(range(12))
    assert _points(first) != _points(other)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_points_do_not_depend_on_which_trial_is_faster(sampler):
    search = _search(sampler=sampler)
    even, _ = _run(search, at_once=3)
    uneven, _ = _run(search, at_once=3, slow={1, 4, 5, 9})
    assert _points(even) == _points(uneven)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("finished", [{0, 1, 2, 3, 4}, {0, 1, 2, 4, 5}])
def test_a_search_that_was_killed_goes_on_with_the_same_points(tmp_path, sampler, finished):
    search = _search(sampler=sampler)
    whole, _ = _run(search, at_once=2)
    keep_records(tmp_path, [record for record in whole if record.number in finished])
    rest, source = _run(search, read_records(tmp_path), at_once=2)
    assert {record.number for record in rest} == set(range(12)) - finished
    assert {**_points(source.known), **_points(rest)} == _points(whole)
    assert PointSource(search, whole).left == 0


def test_the_estimator_finds_better_points_than_chance():
    def best(sampler, seed):
        search = _search(sampler=sampler, seed=seed, points=30, random_first=8)
        losses = [record.values["held_out_loss"] for record in _run(search)[0]]
        return np.mean(sorted(losses[15:])[:8])

    tpe, chance = (np.mean([best(name, seed) for seed in range(2)]) for name in ("tpe", "random"))
    assert tpe < 0.4 * chance


def test_random_points_fill_the_space():
    found, _ = _run(_search(sampler="random", points=120))
    weights = [record.parameters["contrast_weight"] for record in found]
    assert len(set(weights)) == 120
    assert 0.35 < np.mean(np.log(weights) < np.log(20) / 2) < 0.65


def test_more_points_extend_a_search():
    short, _ = _run(_search(points=8))
    more, source = _run(_search(points=12), short)
    assert sorted(_points(more)) == [8, 9, 10, 11]
    assert {**_points(short), **_points(more)} == _points(_run(_search(points=12))[0])
    assert len(source.known) == 8


def test_known_points_of_a_wider_space_are_given_to_the_estimator(monkeypatch):
    """A longer list, a wider range and a new setting; what lies outside is left out."""
    words = ("contrast_weight=log:2:10", "mask_kind=lighter,both")
    old, _ = _run(_search(*words, points=6))
    outside = _run(_search("contrast_weight=log:30:40", points=2))[0]
    outside = [replace(record, number=record.number + 20) for record in outside]
    wider = _search(
        "contrast_weight=log:1:20", "mask_kind=lighter,darker,both", "epsilon=uniform:0.2:3"
    )
    seen = []

    suggest = Search.suggest

    def spy(search, history, number):
        seen.append(list(history))
        return suggest(search, history, number)

    monkeypatch.setattr(Search, "suggest", spy)
    found, source = _run(wider, [*old, *outside])
    assert len(source.known) == 6
    assert len(found) == 6
    last = {record.number: record for record in seen[-1]}
    epsilon = wider.grid.search.epsilon
    for record in old:
        assert last[record.number].parameters == {**record.parameters, "epsilon": epsilon}
    assert not {20, 21} & set(last)
    assert not {20, 21} & {record.number for record in found}


def test_points_under_other_settings_are_not_known():
    found, _ = _run(_search(points=4))
    search = _search(points=4)
    others = replace(search, fixed={**search.fixed, "data_size": 101})
    assert search.sort_out(found) == (found, [])
    assert others.sort_out(found) == ([], [])
    assert replace(search, trial_seeds=(1,)).sort_out(found) == ([], [])


def test_points_are_known_if_all_that_is_looked_for_was_measured():
    found, _ = _run(_search(points=4))
    assert _search(objectives=("held_out_iou",)).sort_out(found) == (found, [])
    assert _search(objectives=("held_out_iou", "affine_ratio")).sort_out(found) == ([], found)


def test_points_that_are_not_finished_are_tried_again_first():
    search = _search(points=5)
    found, _ = _run(search)
    records = [
        replace(found[0], state="pruned"),
        replace(found[1], state="failed", own_fault=True),
        replace(found[2], state="failed", reason="its node ended"),
        replace(found[3], values={}),
    ]

    def tried_again(search, **options):
        known, again = search.sort_out(records, **options)
        assert {record.number for record in (*known, *again)} == {0, 1, 2, 3}
        points, _ = _run(search, records, **options)
        assert _points(points).keys() - {4} == {record.number for record in again}
        assert _points(points).items() <= {**_points(found), 4: _points(points)[4]}.items()
        assert [record.number for record in points][-1] == 4
        return [record.number for record in again]

    assert tried_again(search) == [0, 2, 3]
    assert tried_again(search, retry_failed=True) == [0, 1, 2, 3]
    assert tried_again(replace(search, watched="held_out_loss")) == [2, 3]


def test_a_grid_is_tried_once_and_extended():
    words = ("epsilon=0.5,1", "mask_kind=lighter,both")
    found, _ = _run(_search(*words, sampler="grid", points=None))
    assert [dict(record.parameters) for record in found] == _search(*words).space.points()
    wider = ("epsilon=0.5,1,2", "mask_kind=lighter,both")
    more, source = _run(_search(*wider, sampler="grid", points=None), found)
    assert source.wanted == 6
    assert [record.parameters["epsilon"] for record in more] == [2.0, 2.0]
    assert sorted(record.number for record in more) == [4, 5]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_small_space_is_exhausted_without_repeating_a_point(sampler):
    search = _search("epsilon=0.5,1", "mask_kind=lighter,both", sampler=sampler, points=9)
    found, source = _run(search, at_once=2)
    assert len({record.point for record in found}) == len(found) == 4
    assert source.is_exhausted
    assert source.left == 0


def test_a_limit_of_this_run():
    found, source = _run(_search(points=12), most=5)
    assert len(found) == 5
    assert source.wanted == 12
    assert source.left == 0


def test_settings_that_mean_nothing_make_no_further_points():
    search = _search(
        "direction=optimised,affine_ratio", "contrast_weight=1,2", sampler="grid", points=None
    )
    found, source = _run(search)
    assert [dict(record.parameters) for record in found] == [
        {"direction": "optimised", "contrast_weight": 1.0},
        {"direction": "optimised", "contrast_weight": 2.0},
        {"direction": "affine_ratio"},
    ]
    assert source.is_exhausted


def test_a_bad_value_is_found_before_any_work():
    with pytest.raises(ValueError, match=r"epsilon=-1.0 cannot be: epsilon must be a positive"):
        _search("epsilon=uniform:-1:2").check()
    _search().check()


def test_records_come_back_as_they_were(tmp_path):
    search = _search("epsilon=uniform:0.2:3", "mask_kind=lighter,both", points=3)
    found, _ = _run(search)
    found[0] = replace(found[0], state="failed", reason="it diverged", values={})
    found[1] = replace(found[1], state="pruned", percent=33, loss=0.5, iou=0.2, seconds=1.5)
    keep_records(tmp_path / "x_trials", found[1:])
    keep_records(tmp_path / "x_trials", found[:2])
    assert read_records(tmp_path / "x_trials") == found
    assert [path.name for path in (tmp_path / "x_trials").iterdir()] == ["trials.parquet"]
    assert read_records(tmp_path / "none") == []
    (tmp_path / "x_trials" / "trials.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(ValueError, match=r"trials.parquet: .*next run puts the file aside"):
        read_records(tmp_path / "x_trials")
    assert heal_records(tmp_path / "x_trials", read_only=True) == []
    assert (tmp_path / "x_trials" / "trials.parquet").exists()
    assert heal_records(tmp_path / "x_trials") == []
    assert (tmp_path / "damaged" / "x_trials-0" / "trials.parquet").exists()
    keep_records(tmp_path / "x_trials", found)
    assert read_records(tmp_path / "x_trials") == found


def test_a_pruned_point_teaches_if_it_was_watched_for_the_objective():
    search = _search(points=30)
    records = [
        replace(each, state="pruned", percent=30, loss=each.values["held_out_loss"], values={})
        for each in _run(replace(search, points=25))[0]
    ]

    def next_points(watched):
        one = replace(search, watched=watched)
        return [one.suggest(records, number) for number in range(30, 40)]

    watched, unwatched = next_points("held_out_loss"), next_points("")
    assert np.mean([_loss(each) for each in watched]) < np.mean([_loss(e) for e in unwatched])


def _valued(number, loss, score):
    return Record(
        number=number,
        parameters={},
        experiments=(str(number),),
        state="complete",
        values={"held_out_loss": loss, "stability": score},
    )


def test_best_points_by_hand():
    loss, stability = OBJECTIVES["held_out_loss"], OBJECTIVES["stability"]
    records = [
        _valued(0, 0.3, 0.9),
        _valued(1, 0.1, 0.2),
        _valued(2, 0.2, 0.1),  # worse than 1 in both
        _valued(3, 0.2, 0.5),
        _valued(4, 0.3, 0.8),  # as good as 0 in one, worse in the other
        replace(_valued(5, 0.0, 1.0), state="failed"),
    ]
    assert [each.number for each in best_points(records, [loss])] == [1, 2, 3, 0, 4]
    assert [each.number for each in best_points(records, [stability])] == [0, 4, 3, 1, 2]
    assert [each.number for each in best_points(records, [loss, stability])] == [1, 3, 0]


def test_two_objectives_lead_to_both_ends():
    search = _search(objectives=("held_out_loss", "affine_ratio"), points=40, random_first=8)

    def other(point):  # best at a large ε: against the loss
        return (point.parameters["epsilon"] - 3) ** 2

    source = PointSource(search, [], at_once=1)
    records = []
    while (point := source.next()) is not None:
        record = _record(search, point, affine_ratio=other(point))
        records.append(record)
        source.finish(record)
    front = best_points(records, search.objectives)
    assert len(front) >= 5
    assert min(each.parameters["epsilon"] for each in front) < 1.5
    assert max(each.parameters["epsilon"] for each in front) > 2.5


def test_files_without_the_newest_columns_are_read(tmp_path):
    found, _ = _run(_search(points=2))
    keep_records(tmp_path, found)
    path = tmp_path / "trials.parquet"
    table = pq.read_table(path).drop_columns(["own_fault", "train_width", "objective_mae"])
    pq.write_table(table, path)
    assert read_records(tmp_path) == found


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_a_point_that_is_given_back_comes_next_and_is_left_again(sampler):
    search = _search("epsilon=0.5,1,2", sampler=sampler, points=4)  # one more than there are
    whole, _ = _run(search)
    source, given_back = PointSource(search, []), set()
    while (point := source.next()) is not None:
        left = source.left
        if point.number in given_back:
            source.finish(_record(search, point))
            continue
        given_back.add(point.number)
        source.give_back(point)
        assert source.left == left + 1
        assert not source.is_done
    assert source.is_done
    assert source.is_exhausted
    assert _points(source.tried) == _points(whole)


def test_a_list_comes_in_its_order_with_those_that_draw_along():
    trials = _search().trials_of({}) * 3
    source = listed(trials, at_once=2)
    first, second = source.next(), source.next()
    assert source.next() is None
    assert (source.left, source.is_done) == (1, False)
    assert [first.number, second.number] == [0, 1]
    assert (tuple(first.siblings), tuple(second.siblings)) == ((2,), ())
    source.give_back(second)
    assert source.next() == second


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
