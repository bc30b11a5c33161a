"""A segmenter as a file and as a predictor."""

import argparse
import json
import os
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from gseg.segmenters.segmenter import Ensemble, Segmenter, load_public_unet
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


@pytest.fixture
def network() -> UNet:
    network = UNet(width=4, depth=3)
    initialise(network, 1)
    return network.eval()


class Refused:
    def __reduce__(self):
        return os.mkdir, ("run_by_the_loader",)


class PassedOver:
    def __reduce__(self):
        return shutil.copy, ("x.ckpt", "run_by_the_loader")


@pytest.mark.parametrize("prefix", ["", "net.", "module.", "net.module.", "module.net."])
@pytest.mark.parametrize("nested", [True, False])
def test_both_containers_give_the_same_network(network, tmp_path, prefix, nested):
    state = {prefix + key: tensor for key, tensor in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state} if nested else state, tmp_path / "x.ckpt")
    loaded = load_public_unet(tmp_path / "x.ckpt")
    assert not loaded.training
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[key])


def test_settings_of_foreign_classes_are_passed_over(network, tmp_path):
    settings = argparse.Namespace(lr=1e-3, nested=argparse.Namespace(a=1))
    torch.save(
        {"state_dict": network.state_dict(), "hyper_parameters": settings}, tmp_path / "x.ckpt"
    )
    assert torch.equal(
        load_public_unet(tmp_path / "x.ckpt").outc["conv"].bias, network.outc["conv"].bias
    )


@pytest.mark.parametrize("attack", [Refused, PassedOver])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_the_file_is_never_run(network, tmp_path, monkeypatch, attack, zipped):
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": network.state_dict(), "callbacks": attack()}
    torch.save(content, "x.ckpt", _use_new_zipfile_serialization=zipped)
    if zipped and attack is PassedOver:
        load_public_unet("x.ckpt")
    else:
        with pytest.raises(ValueError, match=r"x\.ckpt is (refused: it asks for|damaged)"):
            load_public_unet("x.ckpt")
    assert not (tmp_path / "run_by_the_loader").exists()


def test_files_that_are_no_checkpoint_are_named(network, tmp_path):
    with pytest.raises(ValueError, match=r"There is no checkpoint at .*absent"):
        load_public_unet(tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.pth is damaged"):
        load_public_unet(tmp_path / "text.pth")
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.pth cannot be read: it is empty"):
        load_public_unet(tmp_path / "empty.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="holds no U-Net"):
        load_public_unet(tmp_path / "other.pth")
    torch.save(torch.zeros(1), tmp_path / "tensor.pth")
    with pytest.raises(ValueError, match="where a state dict"):
        load_public_unet(tmp_path / "tensor.pth")
    state = dict(network.state_dict())
    del state["up1.conv.double_conv.0.bias"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(ValueError, match=r"missing 'up1\.conv\.double_conv\.0\.bias'"):
        load_public_unet(tmp_path / "less.pth")
    whole = tmp_path / "whole.pth"
    torch.save(network.state_dict(), whole)
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"cut\.pth is damaged"):
        load_public_unet(tmp_path / "cut.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".pth"])
def test_weights_that_are_not_finite_are_named(tmp_path, suffix):
    path, segmenter = tmp_path / f"s{suffix}", make()
    segmenter.network.outc.conv.bias.data[1] = float("inf")
    segmenter.save(path)
    state = segmenter.network.state_dict()
    if suffix == ".ckpt":
        torch.save({"state_dict": {f"net.{key}": each for key, each in state.items()}}, path)
    elif suffix == ".pth":
        torch.save(state, path)
    with pytest.raises(ValueError, match=rf"s{suffix}: 'outc\.conv\.bias' holds NaN or infinity"):
        Segmenter.load(path)
