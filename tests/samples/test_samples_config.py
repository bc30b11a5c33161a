"""Settings of samples: filters by source, and what is refused."""

from dataclasses import replace

import pytest

from gseg.samples.config import FilterConfig, ablation, filter_preset, filter_preset_name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"histogram": "otsu"}, "text, program or None"),
        ({"connectivity": 6}, "4 or 8, got 6"),
        ({"histogram_window": 4}, "odd number"),
        ({"min_contrast": 0.0}, "above 0 or None, got 0.0"),
        ({"component_share": 1.0}, r"component_share is in \[0, 1\)"),
        ({"min_share": 0.6}, "min_share <= max_share"),
        ({"min_agreement": 0.5}, "each_direction=True"),
    ],
)
def test_filters_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        FilterConfig(**options)


def test_unknown_preset():
    with pytest.raises(ValueError, match="Unknown filter preset 'melas'; choose one of gseg, "):
        filter_preset("melas")


@pytest.mark.parametrize(
    "name", ["gseg", "voynov2021_text", "voynov2021_program", "melas2022_program", "none"]
)
def test_presets_know_their_names(name):
    assert filter_preset_name(filter_preset(name)) == name


def test_other_rules_are_custom():
    assert filter_preset_name(FilterConfig(max_share=0.4)) == "custom"
    assert filter_preset_name(FilterConfig()) == "gseg"


def test_each_step_adds_one_rule():
    none, size, histogram, whole = ablation(filter_preset("voynov2021_text"))
    assert none == filter_preset("none")
    assert (size.max_share, size.allow_empty) == (0.5, False)
    assert (size.histogram, size.component_share) == (None, 0.0)
    assert histogram == replace(size, histogram="text")
    assert whole == replace(histogram, component_share=0.2) == filter_preset("voynov2021_text")


def test_steps_have_the_names_of_the_printed_table():
    names = [filter_preset_name(each) for each in ablation(filter_preset("voynov2021_text"))]
    assert names == ["none", "size", "size and histogram", "voynov2021_text"]
    names = [filter_preset_name(each) for each in ablation(filter_preset("gseg"))]
    assert names == ["none", "size", "size and histogram (gseg)", "gseg"]
    assert filter_preset_name(replace(filter_preset("gseg"), max_share=0.4)) == "custom"
