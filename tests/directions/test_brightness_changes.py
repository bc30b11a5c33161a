import pytest
import torch

from gseg.directions.colour_maps import ColourMaps


def test_each_map_is_charged_with_the_pixels_that_take_it():
    offsets = torch.tensor([-0.2, 0.1])
    weights = torch.zeros(1, 2, 3, 4)
    weights[..., :3] = torch.eye(3)
    weights[0, :, :, 3] = offsets[:, None]
    maps = ColourMaps(weights=weights, clamped=False)
    grey = torch.tensor([0.5, 0.4, 0.3, -0.6])
    colours = torch.cat([grey.expand(3, 4), torch.ones(1, 4)])
    taken = torch.tensor([0, 0, 0, 1])
    targets = (grey + offsets[taken]).expand(1, 3, 4)
    sums, counts = maps.brightness_changes(colours, targets)
    assert counts.tolist() == [[3.0, 1.0]]
    assert sums[0].tolist() == pytest.approx([-0.6, 0.1], abs=1e-3)
    ordered = maps.ordered(torch.tensor([[1, 0]]))
    assert torch.equal(ordered.weights[0, 0], weights[0, 1])
