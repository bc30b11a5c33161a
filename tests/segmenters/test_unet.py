"""The U-Net against the public program's key list and outputs."""

import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gseg.segmenters.unet import UNet, blank_unet, initialise, load_strictly

FACTS = Path(__file__).parents[1] / "data" / "segmenters"
MANIFEST = json.loads((FACTS / "unet_manifest.json").read_text())
EXPECTED = json.loads((FACTS / "unet_expected.json").read_text())


def rule_tensor(key: str, shape: list[int]) -> Tensor:
    """The manifest's fill rule, which stands in for shipped weights."""
    draw = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal
    if key.endswith("num_batches_tracked"):
        return torch.tensor(1)
    noise = np.asarray(draw(shape))
    if key.endswith("running_mean") or key.endswith("bias"):
        values = 0.1 * noise
    elif key.endswith("running_var"):
        values = np.exp(0.2 * noise)
    elif len(shape) == 4:
        values = np.sqrt(2) * noise / np.sqrt(np.prod(shape[1:]))
    else:
        values = 1 + 0.1 * noise
    return torch.from_numpy(values.astype(np.float32))


@pytest.fixture(scope="module")
def filled() -> UNet:
    network = UNet()
    state = {key: rule_tensor(key, shape) for key, shape, _ in MANIFEST["state_dict"]}
    for key, (total, largest) in EXPECTED["weight_checks_sum_and_absmax"].items():
        assert state[key].double().sum().item() == pytest.approx(total, rel=1e-6, abs=1e-6)
        assert state[key].abs().max().item() == pytest.approx(largest)
    load_strictly(network, state, source="the fill rule")
    return network.eval()


def test_names_shapes_and_order_are_those_of_the_public_program():
    network = UNet()
    listed = [
        [key, list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
        for key, tensor in network.state_dict().items()
    ]
    assert listed == MANIFEST["state_dict"]
    assert sum(p.numel() for p in network.parameters()) == MANIFEST["parameters"]
    assert sum(b.numel() for b in network.buffers()) == MANIFEST["buffers"]


@pytest.mark.parametrize("case", [0, 1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_outputs_are_those_of_the_public_program(filled, case, layout, each_device):
    expected = EXPECTED["cases"][case]
    with np.load(FACTS / "unet_case.npz") as arrays:
        images = torch.from_numpy(arrays[f"input_{case}"])
        at = tuple(torch.from_numpy(arrays[f"positions_{case}"]).T)
        values = torch.from_numpy(arrays[f"values_{case}"])
        complete = torch.from_numpy(arrays["logits_0"]) if case == 0 else None
    with torch.no_grad():
        network = filled.to(each_device, memory_format=layout)
        logits = network(images.to(each_device)).cpu()
    assert list(logits.shape) == expected["output_shape"]
    assert torch.allclose(logits[at], values, rtol=0, atol=1e-4)
    if complete is not None:
        assert torch.allclose(logits, complete, rtol=0, atol=1e-4)
    assert logits.mean((0, 2, 3)).tolist() == pytest.approx(expected["channel_mean"], abs=1e-5)
    margins = logits[:, 1] - logits[:, 0]
    # Another device may tip the pixels that are undecided within the tolerance of two logits.
    undecided = 0 if each_device.type == "cpu" else int((margins.abs() <= 2e-4).sum())
    assert abs(int((margins > 0).sum()) - expected["foreground_pixels"]) <= undecided


@pytest.mark.parametrize(("width", "depth", "side"), [(4, 4, 32), (4, 3, 33), (2, 1, 5)])
def test_width_and_depth_are_free(width, depth, side):
    network = UNet(width=width, depth=depth)
    logits = network(torch.zeros(2, 3, side, side + 1))
    assert logits.shape == (2, 2, side, side + 1)
    bottom = network.get_submodule(f"down{depth}.maxpool_conv.1.double_conv.0")
    assert bottom.out_channels == width * 2 ** (depth - 1)


def test_gradients_are_those_of_plain_upsampling(monkeypatch):
    network = UNet(width=4, depth=2).double().to(memory_format=torch.channels_last)
    initialise(network, 0)
    images = torch.rand(2, 3, 9, 12, dtype=torch.float64)

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(network(images).square().sum(), network.parameters()))

    ours = gradients()
    monkeypatch.setattr("gseg.segmenters.unet._DenseGradient.apply", lambda features: features)
    for one, other in zip(ours, gradients(), strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)


def step_gradients(device, dtype, width, count, side) -> dict[str, Tensor]:
    """Gradients of one training step, as float64 on the CPU.

    Without the biases before a batch normalisation: theirs are zero but for rounding.
    """
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, side, side, generator=draw) * 2 - 1
    targets = torch.randint(2, (count, side, side), generator=draw)
    network = UNet(width=width)
    initialise(network, 0)
    network.to(device, dtype, memory_format=torch.channels_last)
    F.cross_entropy(network(images.to(device, dtype)), targets.to(device)).backward()
    return {
        name: parameter.grad.double().cpu()
        for name, parameter in network.named_parameters()
        if not re.search(r"conv\.[03]\.bias$", name)
    }


@pytest.mark.gpu
def test_gradients_on_a_device_are_as_near_to_the_exact_ones_as_the_cpu_s(device):
    # The paper's width on a card. An H100 gave at most .11 and .0081 in the median, the CPU .10
    # and .0078, relative to each tensor's largest gradient: ReLUs that flip are most of it.
    size = (64, 8, 128) if device.type == "cuda" else (8, 2, 32)
    exact = step_gradients(device, torch.float64, *size)

    def errors(where) -> Tensor:
        found = step_gradients(where, torch.float32, *size)
        assert found.keys() == exact.keys()
        return torch.stack(
            [(found[name] - g).abs().max() / g.abs().max() for name, g in exact.items()]
        )

    here, there = errors(torch.device("cpu")), errors(device)
    assert 0 < here.median() < 0.02
    assert there.median() <= 1.5 * here.median()
    assert there.max() <= 2 * here.max()


def test_wrong_pictures_and_sizes_are_explained():
    network = UNet(width=2)
    with pytest.raises(ValueError, match=r"at least 16 x 16 pixels, got 15 x 40"):
        network(torch.zeros(1, 3, 15, 40))
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\), got \(1, 1, 32, 32\)"):
        network(torch.zeros(1, 1, 32, 32))
    with pytest.raises(ValueError, match="at least 1"):
        UNet(width=0)


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
