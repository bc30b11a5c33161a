import re

import numpy as np
import pytest

from gseg.search.space import Parameter, Space, parse_space


def test_lists_and_ranges_are_read():
    weight, epsilon, size, kind, steps = parse_space(
        [
            "contrast_weight=log:1:20",
            "epsilon=.5,1,2",
            "data_size=choice:100,1000",
            "mask_kind=lighter,both",
            "train_steps=uniform:100:300",
        ]
    )
    assert weight == Parameter(name="contrast_weight", low=1.0, high=20.0, scale="log")
    assert epsilon.choices == (0.5, 1.0, 2.0)
    assert size.choices == (100, 1000)
    assert kind.choices == ("lighter", "both")
    assert steps == Parameter(name="train_steps", low=100.0, high=300.0, whole=True)
    assert steps.limits == (100, 300)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("contrast_weigth=1,2", "did you mean 'contrast_weight'?"),
        ("epsilon", "expected NAME=choice:A,B,..., uniform:LOW:HIGH or log:LOW:HIGH"),
        ("epsilon=", "Cannot read 'epsilon='"),
        ("epsilon=a,b", "'a' is no value of epsilon: expected a number"),
        ("epsilon=log:1", "needs two ends, as in epsilon=log:1:20; got '1'"),
        ("epsilon=log:1:2:3", "needs two ends"),
        ("epsilon=uniform:2:1", "the smaller first; got 2 and 1"),
        ("epsilon=uniform:1:1", "the smaller first; got 1 and 1"),
        ("epsilon=uniform:1:inf", "needs two numbers"),
        ("epsilon=log:0:1", "must begin above 0; got 0 and 1"),
        ("data_size=1.5", "'1.5' is no value of data_size: expected a whole number"),
        ("mask_kind=brighter", "'brighter' is no mask_kind: expected one of lighter, darker, both"),
        (
            "mask_kind=log:1:2",
            "mask_kind is a word and has no range: list its values, such as",
        ),
        ("generator=a,,b", "A value of generator is empty"),
        ("epsilon=1,1.0", "A value of epsilon is given twice"),
    ],
)
def test_a_mistake_is_told(word, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_space([word])


def test_a_space_needs_settings_given_once():
    with pytest.raises(ValueError, match="Nothing to search over"):
        Space(parameters=())
    with pytest.raises(ValueError, match="Given twice in the space: epsilon"):
        Space(parameters=parse_space(["epsilon=1,2", "epsilon=3"]))


def test_a_grid_has_every_combination_and_no_range():
    space = Space(parameters=parse_space(["epsilon=1,2", "mask_kind=lighter,both"]))
    assert space.points() == [
        {"epsilon": 1.0, "mask_kind": "lighter"},
        {"epsilon": 1.0, "mask_kind": "both"},
        {"epsilon": 2.0, "mask_kind": "lighter"},
        {"epsilon": 2.0, "mask_kind": "both"},
    ]
    with pytest.raises(ValueError, match="but epsilon has a range: write epsilon=choice:"):
        Space(parameters=parse_space(["epsilon=uniform:1:2"])).points()


def test_draws_fill_the_space():
    space = Space(
        parameters=parse_space(
            ["contrast_weight=log:1:100", "epsilon=uniform:1:3", "data_size=log:10:1000"]
        )
    )
    random = np.random.default_rng(0)
    drawn = [space.draw(random) for _ in range(2000)]
    by_name = {each.name: each for each in space.parameters}
    assert all(set(point) == set(by_name) for point in drawn)
    assert all(value in by_name[name] for point in drawn for name, value in point.items())
    assert 0.45 < np.mean([point["contrast_weight"] < 10 for point in drawn]) < 0.55
    assert 0.45 < np.mean([point["epsilon"] < 2 for point in drawn]) < 0.55
    assert all(isinstance(point["data_size"], int) for point in drawn)
    assert 3.5 not in by_name["epsilon"]
    assert 10.5 not in by_name["data_size"]
