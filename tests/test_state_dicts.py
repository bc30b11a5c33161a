"""gseg/state_dicts.py: weights are found in what trainers write around them, or none are taken."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gseg.generators.checkpoints import from_checkpoint
from gseg.segmenters.segmenter import Segmenter
from gseg.segmenters.unet import UNet, initialise

CASES = Path(__file__).parent / "data" / "generators" / "cases"
ACGAN = CASES / "acgan-tinyimagenet64-studiogan-current" / "model=G-best-weights-step=13000.pth"
OTHER = {f"layer{number}.weight": torch.ones(2) for number in range(20)}


@pytest.fixture(scope="module")
def acgan():
    return torch.load(ACGAN, weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def unet():
    network = UNet(width=4, depth=2)
    initialise(network, 5)
    return network.state_dict()


def begun(state, beginning):
    return {f"{beginning}{name}": tensor for name, tensor in state.items()}


def of_generator(path):
    network = from_checkpoint(path, {"family": "acgan"}).network
    return torch.cat([each.flatten() for each in network.state_dict().values()])


def of_segmenter(path):
    network = Segmenter.load(path).network
    return torch.cat([each.flatten() for each in network.state_dict().values()])


KINDS = [("acgan", of_generator), ("unet", of_segmenter)]
AROUND = {
    "alone": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": [{}]}},
    "ema beside another": lambda state: {"g_ema": state, "d": OTHER, "args": Namespace(size=32)},
    "nested twice": lambda state: {"step": 4, "state": {"net": state, "opt": [1]}},
    "replicas": lambda state: {"state_dict": begun(state, "module.")},
    "replicas of a part": lambda state: {"params_ema": begun(state, "module.generator.")},
    "all in one": lambda state: {
        "state_dict": {**begun(state, "net."), **begun(OTHER, "loss."), "steps": torch.ones(())}
    },
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(("kind", "weights"), KINDS)
def test_weights_are_found_in_what_trainers_write(kind, weights, around, tmp_path, request):
    state = request.getfixturevalue(kind)
    torch.save(state, tmp_path / "plain.pth")
    torch.save(AROUND[around](state), tmp_path / "w.pth")
    assert torch.equal(weights(tmp_path / "w.pth"), weights(tmp_path / "plain.pth"))


@pytest.mark.parametrize("name", ["W.PTH", "w.pth.tar", "w.CKPT", "w", "w.safetensors"])
@pytest.mark.parametrize(("kind", "weights"), KINDS)
def test_what_a_file_is_its_content_says(kind, weights, name, tmp_path, request):
    state = request.getfixturevalue(kind)
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"state_dict": state}, tmp_path / name)
    assert torch.equal(weights(tmp_path / name), weights(tmp_path / "plain.pth"))


def test_safetensors_by_any_name(acgan, tmp_path):
    contiguous = {name: tensor.contiguous() for name, tensor in acgan.items()}
    save_file(contiguous, tmp_path / "w.pth")
    assert torch.equal(of_generator(tmp_path / "w.pth"), of_generator(ACGAN))
    network = UNet(width=4, depth=2)
    initialise(network, 5)
    Segmenter(network).save(tmp_path / "S.SAFETENSORS")
    (tmp_path / "S.SAFETENSORS").rename(tmp_path / "s.pth")
    assert torch.equal(
        of_segmenter(tmp_path / "s.pth"),
        torch.cat([each.flatten() for each in network.state_dict().values()]),
    )


@pytest.mark.parametrize(("kind", "weights"), KINDS)
def test_several_that_fit_are_named_and_none_is_taken(kind, weights, tmp_path, request):
    state = request.getfixturevalue(kind)
    other = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"g": state, "g_ema": other}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth holds 2 state dicts that fit \(g, g_ema\)"):
        weights(tmp_path / "w.pth")


def test_an_entry_that_is_named_is_taken(acgan, tmp_path):
    other = {name: tensor + 1 for name, tensor in acgan.items()}
    content = {"g": other, "nets": {"ema": begun(acgan, "module."), "now": other}}
    torch.save(content, tmp_path / "w.pth")
    stated = {"family": "acgan", "checkpoint": {"weights_at": "nets.ema"}}
    network = from_checkpoint(tmp_path / "w.pth", stated).network
    found = torch.cat([each.flatten() for each in network.state_dict().values()])
    assert torch.equal(found, of_generator(ACGAN))
    stated["checkpoint"]["weights_at"] = "nets.best"
    with pytest.raises(ValueError, match=r"no entry 'nets\.best': it has ema, now"):
        from_checkpoint(tmp_path / "w.pth", stated)


@pytest.mark.parametrize(("kind", "weights"), KINDS)
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"model": OTHER, "ema": {"a": torch.ones(1)}}, r"2 state dicts \(model, ema\), of which"),
        ({"epoch": 3, "lr": 0.1}, r"more than tensors \(epoch, lr\), and no state dict"),
        (torch.nn.Linear(2, 2), r"a Linear where a state dict.*network\.state_dict\(\)"),
    ],
)
def test_where_none_fits_it_is_said_what_there_is(kind, weights, content, told, tmp_path):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=rf"w\.pth holds .*{told}") as caught:
        weights(tmp_path / "w.pth")
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_entries_that_hold_each_other_end(unet, tmp_path):
    content = {"net": unet}
    content["self"] = content
    wide = {str(number): content for number in range(100)}
    torch.save({"a": wide, "b": wide}, tmp_path / "w.pth")
    assert of_segmenter(tmp_path / "w.pth").numel() > 100


@pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated")
def test_a_program_of_torchscript_is_called_so(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(str(tmp_path / "w.pt"))
    for weights in (of_generator, of_segmenter):
        with pytest.raises(ValueError, match=r"w\.pt is a program of TorchScript"):
            weights(tmp_path / "w.pt")
