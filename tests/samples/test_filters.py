import pytest

from gseg.samples.filters import FilterConfig, filter_preset, filter_preset_name


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
def test_configs_are_checked(options, message):
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
