"""gseg/scores/specs.py: names of benchmarks on the command line."""

from pathlib import Path

import pytest

from gseg.scores.benchmarks import open_benchmark
from gseg.scores.specs import Specification, absolute_spec, parse_spec, with_coding


@pytest.fixture(autouse=True)
def no_root(monkeypatch):
    monkeypatch.delenv("GSEG_BENCHMARKS", raising=False)


@pytest.mark.parametrize(
    ("spec", "kind", "options", "rest"),
    [
        ("scenes", "scenes2", (), ""),
        ("scenes:50", "scenes2", (), "50"),
        ("scenes2-sharp:50", "scenes2-sharp", (), "50"),
        ("folder:/a:b", "folder", (), "/a:b"),
        ("folder+void=9+foreground=2,1:/a+b", "folder", ("foreground=1,2", "void=9"), "/a+b"),
        ("folder+colour:/a", "folder", ("colour",), "/a"),
        ("cub", "cub", (), ""),
        ("cub:/a", "cub", (), "/a"),
        ("duts+subset+threshold:/a+b", "duts", ("subset", "threshold"), "/a+b"),
    ],
)
def test_a_name_is_taken_apart(spec, kind, options, rest):
    assert parse_spec(spec) == Specification(kind=kind, options=options, rest=rest)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cubs:/a", "did you mean 'cub:/a'"),
        ("duts+subsett:/a", "did you mean 'subset'"),
        ("duts+x", "There are subset and threshold"),
        ("voc", "did you mean 'voc2012'"),
        ("folder+color:/a", "did you mean 'colour'"),
        ("folder+foreground=1+void=1:/a", "one meaning"),
        ("scenes+colour", "Unknown benchmark 'scenes.colour'"),
        ("nothing", "a data set: cub, flowers, dut_omron, duts, ecssd, voc2012, celebamask_hq"),
    ],
)
def test_unknown_names_suggest_the_nearest(spec, message):
    with pytest.raises(ValueError, match=message):
        parse_spec(spec)


def test_a_data_set_needs_a_place():
    with pytest.raises(ValueError, match=r"Where is ECSSD\? .*--benchmarks-root, or GSEG_BENCH"):
        open_benchmark("ecssd")
    with pytest.raises(ValueError, match="Where is ECSSD"):
        absolute_spec("ecssd")


def test_a_coding_is_added_to_folders_that_say_none():
    words = ("void=9", "foreground=1")
    assert with_coding("folder:/a:b", words) == "folder+foreground=1+void=9:/a:b"
    assert with_coding("folder:/a", ()) == "folder:/a"
    for spec in ("folder+colour:/a", "scenes:5", "cub:/a"):
        assert with_coding(spec, words) == spec


def test_names_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert absolute_spec("scenes:5") == "scenes:5"
    assert absolute_spec("folder:x") == f"folder:{tmp_path / 'x'}"
    assert absolute_spec("folder+colour:x") == f"folder+colour:{tmp_path / 'x'}"
    assert absolute_spec("cub+subset:x") == f"cub+subset:{tmp_path / 'x'}"
    assert absolute_spec("cub", Path("root")) == f"cub:{tmp_path / 'root'}"
    assert absolute_spec("cub:x", Path("root")) == f"cub:{tmp_path / 'x'}"
    monkeypatch.setenv("GSEG_BENCHMARKS", "there")
    assert absolute_spec("cub") == f"cub:{tmp_path / 'there'}"
    assert absolute_spec("cub", Path("root")) == f"cub:{tmp_path / 'root'}"
