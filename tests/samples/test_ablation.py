"""The filters of Voynov et al. 2021, one by one (Table 4)."""

from dataclasses import replace

from gseg.samples.filters import ablation, filter_preset, filter_preset_name


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
