"""Filling a U-Net from a seed or from tensors."""

import pytest
import torch

from gseg.segmenters.unet import UNet
from gseg.segmenters.weights import blank_unet, initialise, load_strictly


def test_initialisation_depends_on_the_seed_alone():
    before = torch.get_rng_state()
    first, second, third = (blank_unet(width=4) for _ in range(3))
    initialise(first, 7)
    initialise(second, 7)
    initialise(third, 8)
    assert torch.equal(before, torch.get_rng_state())
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[key])
    weight = first.inc.double_conv[0].weight
    assert not torch.equal(weight, third.inc.double_conv[0].weight)
    assert weight.abs().max() <= 27**-0.5
    assert weight.std().item() == pytest.approx(27**-0.5 / 3**0.5, rel=0.2)


def test_loading_names_what_does_not_fit():
    network = UNet(width=2, depth=1)
    state = dict(network.state_dict())
    state["extra"] = state.pop("outc.conv.bias")
    state["inc.double_conv.0.weight"] = torch.zeros(2, 1, 3, 3)
    with pytest.raises(ValueError, match=r"missing 'outc\.conv\.bias'") as caught:
        load_strictly(network, state, source="a.safetensors")
    assert "unexpected 'extra'" in str(caught.value)
    assert "(2, 1, 3, 3) instead of (2, 3, 3, 3)" in str(caught.value)
