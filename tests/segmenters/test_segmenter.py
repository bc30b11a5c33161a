"""A segmenter as a file and as a predictor."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from gseg.segmenters.segmenter import Ensemble, Segmenter
from gseg.segmenters.unet import UNet, initialise

PROVENANCE = {"resolution": 16, "pairs": 10, "training": {"steps": 3, "decay_at": None}}


def make(seed: int = 0) -> Segmenter:
    network = UNet(width=4, depth=3)
    initialise(network, seed)
    return Segmenter(network, PROVENANCE)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(5, 3, 20, 17, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_probability_is_that_of_the_foreground_logit(images):
    segmenter = make()
    probability = segmenter.probability(images)
    assert probability.shape == (5, 20, 17)
    assert probability.dtype == torch.float32
    assert not probability.requires_grad
    expected = segmenter.network(images).softmax(1)[:, 1]
    assert torch.allclose(probability, expected, atol=1e-6)


def test_batching_changes_nothing(images, monkeypatch):
    segmenter = make()
    whole = segmenter.probability(images)
    monkeypatch.setattr("gseg.segmenters.segmenter._PIXELS_AT_ONCE", 2 * 20 * 17)
    assert torch.allclose(segmenter.probability(images), whole, atol=1e-6)
    singly = torch.cat([segmenter.probability(image[None]) for image in images])
    assert torch.allclose(singly, whole, atol=1e-6)
    assert segmenter.probability(images[:0]).shape == (0, 20, 17)


def test_a_segmenter_stays_in_evaluation_mode(images):
    network = UNet(width=4, depth=3).train()
    segmenter = Segmenter(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    segmenter.probability(images)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_one_file_holds_everything(tmp_path, images):
    segmenter = make()
    segmenter.save(tmp_path / "s.safetensors")
    state = torch.get_rng_state()
    loaded = Segmenter.load(tmp_path / "s.safetensors")
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(segmenter.probability(images), loaded.probability(images))
    assert loaded.provenance == PROVENANCE
    assert (loaded.resolution, loaded.smallest_side) == (16, 8)
    assert [path.name for path in tmp_path.iterdir()] == ["s.safetensors"]


def test_public_checkpoints_load_too(tmp_path, images):
    segmenter = make()
    torch.save(segmenter.network.state_dict(), tmp_path / "segmentation.pth")
    loaded = Segmenter.load(tmp_path / "segmentation.pth")
    assert torch.equal(segmenter.probability(images), loaded.probability(images))
    assert loaded.resolution is None


def test_files_that_are_no_segmenter_are_named(tmp_path):
    file = tmp_path / "s.safetensors"
    with pytest.raises(ValueError, match=r"There is no segmenter at .*s\.safetensors"):
        Segmenter.load(file)
    file.write_text("hello")
    with pytest.raises(ValueError, match=r"Cannot read segmenter .*s\.safetensors"):
        Segmenter.load(file)
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match=r"s\.safetensors is no segmenter"):
        Segmenter.load(file)
    make().save(file)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"Cannot read segmenter"):
        Segmenter.load(file)


def test_damaged_tensors_are_named(tmp_path):
    file = tmp_path / "s.safetensors"
    make().save(file)
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    del tensors["up2.conv.double_conv.0.bias"]
    tensors["outc.conv.weight"] = torch.zeros(2, 9, 1, 1)
    save_file(tensors, file, metadata=metadata)
    with pytest.raises(ValueError, match=r"missing 'up2\.conv\.double_conv\.0\.bias'") as caught:
        Segmenter.load(file)
    assert "'outc.conv.weight' has shape (2, 9, 1, 1) instead of (2, 4, 1, 1)" in str(caught.value)
    facts = {key: json.loads(value) for key, value in metadata.items()}
    for broken in ({"width": 4}, {"width": "x", "depth": 3, "provenance": {}}, []):
        save_file(tensors, file, metadata={key: json.dumps(broken) for key in facts})
        with pytest.raises(ValueError, match=r"s\.safetensors is no segmenter"):
            Segmenter.load(file)


def test_an_ensemble_is_the_mean_of_its_members(images):
    members = [make(seed) for seed in range(3)]
    expected = sum(member.probability(images) for member in members) / 3
    ensemble = Ensemble(members)
    assert torch.allclose(ensemble.probability(images), expected, atol=1e-6)
    assert (ensemble.resolution, ensemble.smallest_side) == (16, 8)
    odd = Segmenter(UNet(width=4, depth=4), {"resolution": 32})
    assert (Ensemble([*members, odd]).resolution, Ensemble([members[0], odd]).smallest_side) == (
        None,
        16,
    )
    with pytest.raises(ValueError, match="at least one segmenter"):
        Ensemble([])


def test_wrong_pictures_and_networks_are_explained():
    segmenter = make()
    with pytest.raises(ValueError, match=r"floating point in \[-1, 1\], got \(1, 3, 9, 9\)"):
        segmenter.probability(torch.zeros(1, 3, 9, 9, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        segmenter.probability(torch.zeros(3, 9, 9))
    with pytest.raises(ValueError, match="at least 8 x 8"):
        segmenter.probability(torch.zeros(1, 3, 9, 7))
    with pytest.raises(ValueError, match="two logits"):
        Segmenter(UNet(out_channels=1, width=2))
