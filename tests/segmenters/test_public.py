"""Reading public checkpoints: prefixes, foreign settings, and files that are none."""

import argparse
import os
import shutil

import pytest
import torch

from gseg.segmenters.public import load_public_unet
from gseg.segmenters.unet import UNet, initialise


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
        with pytest.raises(ValueError, match="Cannot read checkpoint"):
            load_public_unet("x.ckpt")
    assert not (tmp_path / "run_by_the_loader").exists()


def test_files_that_are_no_checkpoint_are_named(network, tmp_path):
    with pytest.raises(ValueError, match=r"There is no checkpoint at .*absent"):
        load_public_unet(tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ValueError, match=r"Cannot read checkpoint .*text\.pth"):
        load_public_unet(tmp_path / "text.pth")
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"Cannot read checkpoint .*empty\.pth"):
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
    with pytest.raises(ValueError, match=r"Cannot read checkpoint .*cut\.pth"):
        load_public_unet(tmp_path / "cut.pth")
