"""StyleGAN2: outputs, w, truncation and noise as the public program gives them; safe unpickling."""

import gzip
import json
import os
import pickle
from collections import OrderedDict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_folder import SHARED

from gseg.generators.checkpoints import from_checkpoint
from gseg.generators.reading import read_stored_module
from gseg.generators.stylegan2 import StyleGAN2Config

CARRIED = Path(__file__).parents[1] / "data" / "generators" / "cases"
COMPLETE = SHARED / "conformance" / "cases"
CASES = ("stylegan2-res64-ada_pytorch", "stylegan2-res256-ada_pytorch")


class Case:
    """A case of the public program, from the repository (without "x") or from beside it."""

    def __init__(self, name: str, tmp_path: Path) -> None:
        folder = CARRIED / name if (CARRIED / name).is_dir() else COMPLETE / name
        if not folder.is_dir():
            pytest.skip(f"{name} is not in the repository, and there is no folder shared beside it")
        self.config = json.loads((folder / "config.json").read_text())
        self.file = folder / self.config["checkpoint"]["file"]
        if not self.file.exists():
            packed = self.file.with_name(f"{self.file.name}.gz")
            self.file = tmp_path / self.file.name
            self.file.write_bytes(gzip.decompress(packed.read_bytes()))
        with np.load(folder / "reference.npz") as arrays:
            self.arrays = {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def assert_fair(pictures: torch.Tensor, expected: torch.Tensor) -> None:
    difference = (pictures.cpu() - expected).abs()
    assert difference.max() <= 1e-4
    assert difference.mean() <= 1e-5


def assert_same_code(code: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(code.cpu(), expected, atol=1e-5, rtol=0)


# Tests that take `each_device` run on the CPU and, as `pytest.mark.gpu`, on a card.
@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_gives_what_the_public_program_gives(
    name: str, tmp_path: Path, each_device: torch.device
) -> None:
    case = Case(name, tmp_path)
    z, arrays = case.arrays["z"].to(each_device), case.arrays
    load = partial(from_checkpoint, case.file, device=each_device)
    generator = load(case.config)
    w = generator.code(z)
    layers = arrays["ws"].shape[1]
    assert_same_code(w[:, None].expand(-1, layers, -1), arrays["ws"])
    pictures = generator(w)
    assert_fair(pictures[: len(arrays["x_stride4"]), :, ::4, ::4], arrays["x_stride4"])
    if "x_crop" in arrays:
        assert_fair(pictures[:1, :, 96:160, 96:160], arrays["x_crop"])
    assert torch.equal(pictures, generator(generator.code(z), z.new_zeros(len(z)).long()))
    assert_same_code(generator.code(1.5 * z), w.cpu())

    cutoff = case.config["reference"]["truncation_cutoff"]
    cut = load(case.config, truncation=(0.5, cutoff))
    w = cut.code(z)
    assert_same_code(cut.network.styles(w), arrays["ws_psi05"])
    assert_fair(cut(w[:1])[:, :, ::4, ::4], arrays["x_psi05_cutoff_stride4"])
    whole = load({"family": "stylegan2"}, truncation=0.7)
    assert_fair(whole(whole.code(z[:1]))[:, :, ::4, ::4], arrays["x_psi07_stride4"])
    silent = load({"family": "stylegan2", "config": {"noise_mode": "none"}})
    assert_fair(silent(silent.code(z[:1]))[:, :, ::4, ::4], arrays["x_noise_none_stride4"])


def test_card_declares_w(tmp_path: Path) -> None:
    case = Case(CASES[0], tmp_path)
    card = from_checkpoint(case.file, case.config).card
    assert (card.latent_dim, card.code_dim, card.resolution, card.num_classes) == (24, 16, 64, 0)


@pytest.mark.parametrize("truncation", [0.0, 1.2, -0.5])
def test_truncation_outside_its_range(truncation: float, tmp_path: Path) -> None:
    case = Case(CASES[0], tmp_path)
    with pytest.raises(ValueError, match=r"truncation must be in \(0, 1\]"):
        from_checkpoint(case.file, case.config, truncation=truncation)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    case = Case(CASES[0], tmp_path)
    for numbers, message in (
        ({"img_resolution": 128}, r"missing: synthesis\.b128"),
        ({"w_dim": 20}, r"mapping\.w_avg is \[16\], expected \[20\]"),
        ({"c_dim": 10}, "c_dim is 10; only 0"),
        ({"synthesis_kwargs": {"architecture": "resnet"}}, "architecture is resnet"),
    ):
        config = {"family": "stylegan2", "config": numbers}
        with pytest.raises(ValueError, match=message) as caught:
            from_checkpoint(case.file, config)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no network 'G_average': it has training_set_kwargs"):
        from_checkpoint(case.file, {**case.config, "checkpoint": {"weights_at": "G_average"}})


class Call:
    """Asks the unpickler to call anything."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.asked = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.asked


def test_hostile_pickle_is_refused_by_name(tmp_path: Path) -> None:
    target = tmp_path / "executed"
    file = tmp_path / "hostile.pkl"
    inner = pickle.dumps(Call(os.mkdir, str(target)), protocol=2)
    for asked, message in (
        (Call(os.mkdir, str(target)), r"asks for (posix|os|nt)\.mkdir"),
        (Call(eval, f"__import__('os').mkdir({str(target)!r})"), r"asks for builtins\.eval"),
        (Call(pickle.loads, inner), r"asks for _pickle\.loads"),
        (Call(torch.load, str(file)), r"asks for torch\.\S*load"),
        (Call(torch.storage._load_from_bytes, inner), "no StyleGAN2 pickle|refused"),
        (Call(np.dtype, "O"), "NumPy type 'O"),
    ):
        file.write_bytes(pickle.dumps({"G_ema": asked}, protocol=3))
        with pytest.raises(ValueError, match=message) as caught:
            from_checkpoint(file, {"family": "stylegan2"})
        assert "\n" not in str(caught.value)
        assert not target.exists()


def test_tensor_outside_its_storage_is_refused(tmp_path: Path) -> None:
    class Forged:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            storage = torch.zeros(2)._typed_storage()
            return torch._utils._rebuild_tensor_v2, (
                storage,
                0,
                (1000,),
                (1,),
                False,
                OrderedDict(),
            )

    file = tmp_path / "forged.pkl"
    file.write_bytes(pickle.dumps({"G_ema": Forged()}, protocol=3))
    with pytest.raises(ValueError, match="damaged"):
        read_stored_module(file, "G_ema")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"<html>", "web page"), (b"", "empty"), (b"\x80\x03}q", "damaged"), (b"PK", "damaged")],
)
def test_files_that_are_not_pickles(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "file.pkl"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        from_checkpoint(file, {"family": "stylegan2"})


ROSINALITY = {"input.input": torch.ones(1, 8, 4, 4), "conv1.conv.modulation.weight": torch.ones(8)}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"cdnnlib.tflib.network\nNetwork\n(tR.", "pickle of TensorFlow: 'python legacy.py"),
        (
            pickle.dumps({"src": "class SynthesisInput(torch.nn.Module):", "size": np.ones(2)}),
            "pickle of StyleGAN3, whose layers",
        ),
        ({"G_ema": {"synthesis.input.freqs": torch.ones(2)}}, "StyleGAN3, whose layers"),
        ({"g": ROSINALITY, "g_ema": ROSINALITY, "latent_avg": torch.ones(8)}, "model_pt2pkl"),
        (ROSINALITY, "rosinality/stylegan2-pytorch writes it: model_pt2pkl"),
    ],
)
@pytest.mark.parametrize("family", ["stylegan2", "biggan"])
def test_other_programs_files_are_called_by_name(
    content: object, told: str, family: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.pkl"
    if isinstance(content, bytes):
        file.write_bytes(content)
        family = "stylegan2"
    else:
        torch.save(content, file)
    with pytest.raises(ValueError, match=rf"file\.pkl is .*{told}") as caught:
        from_checkpoint(file, {"family": family})
    assert len(str(caught.value).replace(str(tmp_path), "")) < 400


def test_weights_alone_tell_the_same_network(tmp_path: Path) -> None:
    case = Case(CASES[0], tmp_path)
    module = read_stored_module(case.file, "G_ema")
    torch.save({"state_dict": module.tensors()}, tmp_path / "w.pth")
    whole = from_checkpoint(case.file, case.config)
    numbers = {"family": "stylegan2", "config": dict(module.state["_init_kwargs"])}
    alone = from_checkpoint(tmp_path / "w.pth", numbers)
    with torch.no_grad():
        z = torch.randn(2, whole.card.latent_dim)
        assert torch.equal(whole(whole.code(z)), alone(alone.code(z)))


def test_truncated_file(tmp_path: Path) -> None:
    case = Case(CASES[0], tmp_path)
    file = tmp_path / "cut.pkl"
    file.write_bytes(case.file.read_bytes()[:200_000])
    with pytest.raises(ValueError, match="cut short"):
        from_checkpoint(file, case.config)


def test_config_counts_its_widths() -> None:
    with pytest.raises(ValueError, match="3 widths"):
        StyleGAN2Config(latent_dim=8, style_dim=8, resolution=64, channels=(8, 8, 8))
