"""A field marked with `since` renames nothing while it has its default: no storage is orphaned."""

from dataclasses import dataclass, replace

import pytest
import torch

from gseg.directions.config import SearchConfig
from gseg.pipeline.experiment import Context
from gseg.pipeline.plan import make_plan
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import all_gans
from gseg.samples.config import FilterConfig, SampleConfig
from gseg.segmenters.config import FitConfig
from gseg.segmenters.fit import Run, fit_source
from gseg.segmenters.pairs import InMemoryPairs
from gseg.storage.digests import digest, since


@dataclass(frozen=True, kw_only=True, slots=True)
class YoungerFit(FitConfig):
    """Attributes: younger: Made up."""

    younger: int = since("9.0", 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class YoungerSearch(SearchConfig):
    younger: str | None = since("9.0", None)


@dataclass(frozen=True, kw_only=True, slots=True)
class YoungerFilters(FilterConfig):
    younger: float = since("9.0", 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class YoungerSamples(SampleConfig):
    younger: bool = since("9.0", False)


def _as(kind, config, **changes):
    fields = {name: getattr(config, name) for name in type(config).__dataclass_fields__}
    return kind(**{**fields, **changes})


@pytest.fixture
def trial():
    return all_gans(grids()["smoke"], {"generator": ("ggan.scenes32",)})[0]


def _younger(trial, **changes):
    """Give the trial with a younger field in the configs of every stage."""
    filters = _as(YoungerFilters, trial.samples.filters, **changes.get("filters", {}))
    return replace(
        trial,
        search=_as(YoungerSearch, trial.search, **changes.get("search", {})),
        samples=_as(YoungerSamples, trial.samples, filters=filters, **changes.get("samples", {})),
        training=_as(YoungerFit, trial.training, **changes.get("training", {})),
    )


def _stages(trial, folder):
    return list(make_plan([trial], Context(storage=folder), "cpu").missing)


def test_names_stay_while_younger_fields_have_their_default(trial, tmp_path):
    assert _younger(trial).digest == trial.digest
    stages = _stages(trial, tmp_path)
    assert {stage for stage, _ in stages} >= {"direction", "samples", "segmenter", "scores"}
    assert _stages(_younger(trial), tmp_path) == stages


@pytest.mark.parametrize(
    ("where", "value", "first"),
    [
        ("search", "x", "direction"),
        ("samples", True, "samples"),
        ("filters", 0.25, "samples"),
        ("training", 1, "segmenter"),
    ],
)
def test_another_value_is_another_name_from_its_stage_on(trial, tmp_path, where, value, first):
    other = _younger(trial, **{where: {"younger": value}})
    assert other.digest != trial.digest
    before, after = _stages(trial, tmp_path), _stages(other, tmp_path)
    differing = [old[0] for old, new in zip(before, after, strict=True) if old != new]
    assert differing[0] == first
    assert differing[-1] == "scores"


def test_a_training_that_was_interrupted_before_the_field_came_goes_on(tmp_path):
    pictures = torch.randint(0, 255, (12, 3, 8, 8), dtype=torch.uint8)
    source = InMemoryPairs(pictures, pictures[:, 0] > 100)
    config = FitConfig(steps=6, batch=4, width=2, depth=1, decay_at=None)
    file = tmp_path / "checkpoint.safetensors"

    def stop(step, _):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_source(source, config, run=Run(checkpoint=file, checkpoint_seconds=0, progress=stop))
    steps = []
    run = Run(checkpoint=file, progress=lambda step, _: steps.append(step))
    resumed = fit_source(source, _as(YoungerFit, config), run=run)
    assert steps == [4, 5, 6]
    assert resumed.segmenter.digest == fit_source(source, config).segmenter.digest
    fresh = _as(YoungerFit, config, younger=1)
    with pytest.raises(ValueError, match="belongs to another training"):
        fit_source(source, fresh, run=run)


def test_only_the_default_is_left_out():
    assert digest(YoungerFit()) == digest(FitConfig())
    assert digest(YoungerFit(younger=1)) != digest(FitConfig())
