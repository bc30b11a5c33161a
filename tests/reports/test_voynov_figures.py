"""Figures 2 and 3 of Voynov et al. 2021."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from gseg.directions.affine import fit_operators
from gseg.directions.colour_maps import ColourMaps
from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.reports.voynov_figures import (
    coloured_components,
    filters_sheet,
    operators_sheet,
    restored,
)
from gseg.samples.config import SampleConfig, filter_preset


@pytest.fixture(scope="module")
def found():
    generator = analytic_generator(16)
    vector = known_direction(generator)
    direction = Direction(lighter=vector, darker=-vector, provenance={})
    return generator, fit_operators(generator, direction, 2.0)


def test_every_pixel_takes_the_map_that_comes_closest():
    lighten = torch.eye(3, 4)
    lighten[:, 3] = 0.5
    darken = torch.eye(3, 4)
    darken[:, 3] = -0.25
    maps = ColourMaps(weights=torch.stack([lighten, darken])[None], clamped=False)
    originals = torch.tensor([0.0, 0.1, -0.2]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    shifted = originals + torch.tensor([0.4, -0.1, -0.9])
    approximated, mask = restored(maps, originals, shifted)
    assert mask.tolist() == [[[True, False, False]]]
    wanted = torch.tensor([0.5, -0.15, -0.45])
    torch.testing.assert_close(approximated[0, 0, 0], wanted)


def test_what_is_cut_away_is_blue():
    mask = torch.zeros(6, 6, dtype=torch.bool)
    mask[:4, :4] = True
    mask[5, 5] = True
    config = SampleConfig(filters=filter_preset("voynov2021_text"))
    shown = coloured_components(mask, config)
    assert shown[:, 0, 0].tolist() == [230, 60, 50]
    assert shown[:, 5, 5].tolist() == [50, 90, 230]
    assert shown[:, 4, 4].tolist() == [0, 0, 0]
    assert coloured_components(mask[:5, :5], config) is None


def test_sheets_are_written(found, tmp_path):
    generator, direction = found
    operators_sheet(tmp_path / "2.png", generator, direction, 2.0, count=3, tile=32)
    assert Image.open(tmp_path / "2.png").size[0] > 3 * 32
    # The analytic generator's pictures pass all usual rules: ask for a mask of next to nothing.
    filters = replace(filter_preset("voynov2021_text"), max_share=0.1, histogram=None)
    config = SampleConfig(epsilon=2.0, batch=16, filters=filters)
    shown = filters_sheet(tmp_path / "3.png", generator, direction, config, rows=2, tile=32)
    assert shown["area"] == 2
    assert shown["histogram"] == 0
    assert Image.open(tmp_path / "3.png").size[1] > 2 * 32


def test_what_is_missing_is_told(found, tmp_path):
    generator, direction = found
    with pytest.raises(ValueError, match="fit them first"):
        operators_sheet(
            tmp_path / "2.png", generator, replace(direction, operators=None), 2.0, count=1, tile=8
        )
    config = SampleConfig(epsilon=2.0, batch=16, filters=filter_preset("none"))
    with pytest.raises(ValueError, match="touch none of the first candidates"):
        filters_sheet(tmp_path / "3.png", generator, direction, config, rows=1, tile=8)
