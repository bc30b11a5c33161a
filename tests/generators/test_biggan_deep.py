"""BigGAN-deep through its package: outputs, truncation, and where its configuration comes from."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_pretrained_biggan.config import BigGANConfig
from pytorch_pretrained_biggan.model import BigGAN
from shared_folder import SHARED

from gseg.generators.checkpoints import from_checkpoint

CASE = SHARED / "conformance" / "cases" / "biggandeep-imagenet128-huggingface"
NUMBERS = {
    "output_dim": 64,
    "z_dim": 8,
    "class_embed_dim": 8,
    "channel_width": 8,
    "num_classes": 5,
    "layers": [[True, 16, 8], [True, 8, 4], [True, 4, 2], [True, 2, 1]],
    "attention_layer_position": 2,
    "eps": 1e-4,
    "n_stats": 6,
}


@pytest.fixture
def package(tmp_path: Path) -> BigGAN:
    """A small generator of the package with its two files in tmp_path."""
    torch.manual_seed(0)
    model = BigGAN(BigGANConfig.from_dict(NUMBERS))
    for module in model.modules():
        if hasattr(module, "running_means"):
            module.running_means.normal_()
            module.running_vars.uniform_(0.5, 2)
    torch.nn.init.normal_(model.generator.bn.weight)
    torch.nn.init.normal_(model.generator.bn.bias)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(NUMBERS))
    return model.eval()


@pytest.mark.parametrize("truncation", [None, 0.4, 0.415, 0.1])
@torch.no_grad()
def test_gives_what_the_package_gives(
    package: BigGAN, tmp_path: Path, truncation: float | None
) -> None:
    generator = from_checkpoint(tmp_path, {"family": "biggandeep"}, truncation=truncation)
    z, y = torch.randn(3, 8), torch.tensor([4, 0, 2])
    value = 1.0 if truncation is None else truncation
    expected = package(z * value, torch.nn.functional.one_hot(y, 5).float(), value)
    torch.testing.assert_close(generator(generator.code(z), y), expected, atol=1e-5, rtol=0)
    card = generator.card
    assert (card.num_classes, card.latent_dim, card.code_dim) == (5, 8, 8)


def test_package_needs_its_configuration(package: BigGAN, tmp_path: Path) -> None:
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"config\.json in the same folder"):
        from_checkpoint(tmp_path / "pytorch_model.bin", {"family": "biggandeep"})
    numbers = {**NUMBERS, "num_classes": 6}
    with pytest.raises(ValueError, match=r"embeddings\.weight is \[8, 5\], expected \[8, 6\]"):
        from_checkpoint(tmp_path, {"family": "biggandeep", "config": numbers})
    with pytest.raises(ValueError, match="truncation must be"):
        from_checkpoint(tmp_path, {"family": "biggandeep", "config": NUMBERS}, truncation=0.0)


# Tests that take `each_device` run on the CPU and, as `pytest.mark.gpu`, on a card.
@torch.no_grad()
def test_case_of_the_package(each_device: torch.device) -> None:
    if not CASE.is_dir():
        pytest.skip("there is no folder shared beside the repository")
    config = json.loads((CASE / "config.json").read_text())
    with np.load(CASE / "reference.npz") as arrays:
        found = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    generator = from_checkpoint(CASE / "pytorch_model.bin", config, device=each_device)
    z, y = found["z"].to(each_device), found["y"].to(each_device)
    for number, truncation in enumerate(found["truncations"].tolist()):
        generator.network.truncation = round(truncation, 6)
        pictures = generator(generator.code(z), y).cpu()
        if number == 0:
            assert (pictures[:1] - found["x"]).abs().max() <= 1e-4
            assert (pictures[:1] - found["x"]).abs().mean() <= 1e-5
        expected = found["x_stride4" if number == 0 else f"x_stride4_t{number}"]
        difference = (pictures[: len(expected), :, ::4, ::4] - expected).abs()
        assert difference.max() <= 1e-4
        assert difference.mean() <= 1e-5


def test_file_in_the_package_folder_is_found(package: BigGAN, tmp_path: Path) -> None:
    shutil.move(tmp_path / "pytorch_model.bin", tmp_path / "biggan-deep-128-pytorch_model.bin")
    shutil.move(tmp_path / "config.json", tmp_path / "biggan-deep-128-config.json")
    file = tmp_path / "biggan-deep-128-pytorch_model.bin"
    assert from_checkpoint(file, {"family": "biggandeep"}).card.resolution == 64
