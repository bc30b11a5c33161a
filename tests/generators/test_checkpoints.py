"""Public checkpoints: outputs as published programs give them, strict and safe loading."""

import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_folder import SHARED

from gseg.generators.cards import FAMILY_MODULES
from gseg.generators.checkpoints import from_checkpoint

CPU = torch.device("cpu")
OTHERS = ("stylegan2", "biggandeep")  # whose files are of another kind
CARRIED = Path(__file__).parents[1] / "data" / "generators" / "cases"
CASES = (
    "acgan-tinyimagenet64-studiogan-current",
    "acgan-tinyimagenet64-studiogan-legacy",
    "bigbigan-imagenet128-biggan_pytorch",
    "bigbigan-imagenet128-biggan_pytorch-stale_u",
    "biggan-imagenet128-studiogan-legacy",
    "biggan-tinyimagenet64-studiogan-current",
    "biggan-tinyimagenet64-studiogan-legacy",
    "contragan-imagenet128-studiogan-current",
    "contragan-imagenet128-studiogan-legacy",
    "ggan-tinyimagenet64-studiogan-current",
    "ggan-tinyimagenet64-studiogan-legacy",
    "sagan-imagenet128-studiogan-current",
    "sagan-imagenet128-studiogan-legacy",
    "sagan-tinyimagenet64-studiogan-current",
    "sagan-tinyimagenet64-studiogan-legacy",
    "selfcondgan-imagenet128-resnet2",
    "sngan-imagenet128-studiogan-current",
    "sngan-imagenet128-studiogan-legacy",
    "sngan-tinyimagenet64-studiogan-current",
    "sngan-tinyimagenet64-studiogan-legacy",
    "uncondgan-imagenet128-resnet2",
)


def find_case(name: str) -> Path:
    """Find a case in the repository (there without the complete picture "x") or beside it."""
    for folder in (CARRIED / name, SHARED / "conformance" / "cases" / name):
        if folder.is_dir():
            return folder
    pytest.skip(f"{name} is not in the repository, and there is no folder shared beside it")


class Case:
    """A case of a public program; what goes in is on the device, what came out on the CPU."""

    def __init__(self, name: str, device: torch.device = CPU) -> None:
        self.folder = find_case(name)
        self.config = json.loads((self.folder / "config.json").read_text())
        self.file = self.folder / self.config["checkpoint"]["file"]
        with np.load(self.folder / "reference.npz") as arrays:
            self.arrays = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
        self.z = self.arrays["z"].to(device)
        self.y = self.arrays["y"].to(device) if "y" in self.arrays else None


def assert_fair(pictures: torch.Tensor, expected: torch.Tensor) -> None:
    difference = (pictures.cpu() - expected).abs()
    assert difference.max() <= 1e-4
    assert difference.mean() <= 1e-5


# Tests that take `each_device` run on the CPU and, as `pytest.mark.gpu`, on a card.
@pytest.mark.parametrize("name", CASES)
def test_gives_what_the_public_program_gives(name: str, each_device: torch.device) -> None:
    case = Case(name, each_device)
    generator = from_checkpoint(case.file, case.config, device=each_device)
    with torch.no_grad():
        pictures = generator(generator.code(case.z), case.y)
        if "x" in case.arrays:
            assert_fair(pictures[:1], case.arrays["x"])
        assert_fair(pictures[:, :, ::4, ::4], case.arrays["x_stride4"])
        if "shift" in case.arrays:
            shift = case.arrays["shift"].to(each_device)
            shifted = generator(generator.code(case.z[:1]) + shift)
            assert_fair(shifted[:, :, ::4, ::4], case.arrays["x_shifted_stride4"])
    assert generator.card.num_classes == {"ggan": 0, "uncondgan": 0, "bigbigan": 0}.get(
        case.config["family"], case.config["config"].get("num_classes", 7)
    )
    told = from_checkpoint(case.file, {"family": case.config["family"]}, device=each_device)
    with torch.no_grad():
        assert torch.equal(told(case.z, case.y), pictures), "sizes read off the file differ"


def test_moving_average_of_a_self_conditioned_generator(each_device: torch.device) -> None:
    case = Case("selfcondgan-imagenet128-resnet2", each_device)
    config = {**case.config, "checkpoint": {"weights_at": "generator_test"}}
    with torch.no_grad():
        pictures = from_checkpoint(case.file, config, device=each_device)(case.z, case.y)
    assert_fair(pictures[:, :, ::4, ::4], case.arrays["x_generator_test_stride4"])


def test_wrapped_modules_are_unwrapped(tmp_path: Path) -> None:
    case = Case("acgan-tinyimagenet64-studiogan-current")
    content = torch.load(case.file, weights_only=True)
    content["state_dict"] = {f"module.{k}": v for k, v in content["state_dict"].items()}
    torch.save(content, tmp_path / "wrapped.pth")
    with torch.no_grad():
        pictures = from_checkpoint(tmp_path / "wrapped.pth", case.folder / "config.json")(
            case.z, case.y
        )
    assert_fair(pictures[:, :, ::4, ::4], case.arrays["x_stride4"])


def altered(case: Case, path: Path, **tensors: torch.Tensor | None) -> Path:
    """Write the case's file with some tensors replaced, added, or (None) left out."""
    content = torch.load(case.file, weights_only=True)["state_dict"]
    content.update(tensors)
    torch.save({"state_dict": {k: v for k, v in content.items() if v is not None}}, path)
    return path


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"bn4.running_mean": None}, r"missing: bn4\.running_mean \[2\]"),
        ({"bn9.weight": torch.zeros(5)}, r"not expected: bn9\.weight \[5\]"),
        ({"conv2d5.bias": torch.zeros(4)}, r"conv2d5\.bias is \[4\], expected \[3\]"),
    ],
)
def test_loading_is_strict(
    tmp_path: Path, tensors: dict[str, torch.Tensor | None], message: str
) -> None:
    case = Case("acgan-tinyimagenet64-studiogan-current")
    file = altered(case, tmp_path / "file.pth", **tensors)
    with pytest.raises(ValueError, match=message) as caught:
        from_checkpoint(file, case.config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", [f for f in FAMILY_MODULES if f not in OTHERS])
def test_wrong_family_says_what_was_found(family: str) -> None:
    if family in ("acgan", "sngan"):
        pytest.skip("these families share their generator with the file")
    case = Case("acgan-tinyimagenet64-studiogan-current")
    other = {
        "ggan": {"conditional_strategy": "no"},
        "sagan": {"attention": True, "attention_after_nth_gen_block": 3},
    }.get(family, {})
    architecture = "big_resnet" if family in ("biggan", "contragan") else "resnet"
    config = {"family": family, "architecture": architecture, "config": other}
    with pytest.raises(ValueError, match="looks like a StudioGAN generator") as caught:
        from_checkpoint(case.file, config)
    assert "64 px, 11 classes" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_resolution_says_what_was_found() -> None:
    case = Case("acgan-tinyimagenet64-studiogan-current")
    config = {**case.config, "config": {**case.config["config"], "img_size": 128}}
    with pytest.raises(ValueError, match=r"missing: blocks\.4.*64 px, 11 classes"):
        from_checkpoint(case.file, config)


class Hostile:
    """Would make a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    target = tmp_path / "executed"
    torch.save({"state_dict": {}, "optimizer": Hostile(target)}, tmp_path / "hostile.pth")
    with pytest.raises(ValueError, match="refused"):
        from_checkpoint(tmp_path / "hostile.pth", {"family": "sngan"})
    (tmp_path / "hostile.pkl").write_bytes(pickle.dumps(Hostile(target), protocol=2))
    with pytest.raises(ValueError, match=r"refused|damaged"):
        from_checkpoint(tmp_path / "hostile.pkl", {"family": "sngan"})
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n<!DOCTYPE html><html><body>Sign in", "web page"),
        (b"", "empty"),
        (b"PK\x03\x04 and then nothing", "damaged or cut short"),
        (b"garbage", "refused|damaged"),
    ],
)
def test_files_that_are_not_weights(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "file.pth"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        from_checkpoint(file, {"family": "sagan"})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["acgan-tinyimagenet64-studiogan-current", "uncondgan-imagenet128-resnet2"]
)
def test_truncated_file(tmp_path: Path, name: str) -> None:
    case = Case(name)
    file = tmp_path / "cut.pth"
    file.write_bytes(case.file.read_bytes()[:30_000])
    with pytest.raises(ValueError, match="damaged or cut short") as caught:
        from_checkpoint(file, case.config)
    assert "\n" not in str(caught.value)


def test_other_mistakes(tmp_path: Path) -> None:
    case = Case("acgan-tinyimagenet64-studiogan-current")
    with pytest.raises(ValueError, match="no such file"):
        from_checkpoint(tmp_path / "nowhere.pth", case.config)
    with pytest.raises(ValueError, match="family 'wgan', expected one of acgan"):
        from_checkpoint(case.file, {"family": "wgan"})
    with pytest.raises(ValueError, match="acgan has no truncation"):
        from_checkpoint(case.file, case.config, truncation=0.5)
    with pytest.raises(ValueError, match="no entry 'generator'"):
        from_checkpoint(case.file, {**case.config, "checkpoint": {"weights_at": "generator"}})
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        from_checkpoint(case.file, tmp_path / "config.json")


@pytest.mark.parametrize(
    "name",
    [
        "acgan-tinyimagenet64-studiogan-current",
        "biggan-tinyimagenet64-studiogan-current",
        "uncondgan-imagenet128-resnet2",
    ],
)
def test_a_tensor_that_is_not_finite_is_named(name: str, tmp_path: Path) -> None:
    case = Case(name)
    whole = torch.load(case.file, map_location="cpu", weights_only=True)
    tensors = whole.get("state_dict", whole)
    tensors = tensors.get("generator", tensors)
    key = [key for key, each in tensors.items() if each.is_floating_point()][-1]
    tensors[key].view(-1)[0] = float("nan")
    torch.save(whole, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=rf"w\.pth: '{re.escape(key)}' holds NaN"):
        from_checkpoint(tmp_path / "w.pth", case.config)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tensor: tensor.long(), "holds torch.int64"),
        (lambda tensor: tensor > 0, "holds torch.bool"),
        (lambda tensor: tensor + 0j, "holds torch.complex64"),
        (lambda tensor: tensor.sum(), "does not fit"),
    ],
)
@pytest.mark.parametrize(
    "name", ["acgan-tinyimagenet64-studiogan-current", "uncondgan-imagenet128-resnet2"]
)
def test_every_tensor_of_another_kind_is_named(name: str, change, told, tmp_path: Path) -> None:
    case = Case(name)
    whole = torch.load(case.file, map_location="cpu", weights_only=True)
    tensors = whole.get("state_dict", whole)
    tensors = tensors.get("generator", tensors)
    for key in [key for key, each in tensors.items() if each.is_floating_point()][:6]:
        entry = case.config["checkpoint"]["weights_at"]
        torch.save({**whole, entry: {**tensors, key: change(tensors[key])}}, tmp_path / "w")
        with pytest.raises(ValueError, match=r"w(:| does not fit| holds)") as caught:
            from_checkpoint(tmp_path / "w", case.config)
        assert re.search(told, str(caught.value))
        assert "\n" not in str(caught.value)


def test_tensors_have_names(tmp_path: Path) -> None:
    torch.save({1: torch.zeros(3)}, tmp_path / "w")
    with pytest.raises(ValueError, match="w holds more than tensors"):
        from_checkpoint(tmp_path / "w", {"family": "acgan"})


@pytest.mark.parametrize("content", [b"x", b"\0" * 99, b"version of mine\n"])
def test_what_is_no_file_of_weights_is_told_without_advice_to_run_it(content, tmp_path) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(ValueError, match=r"no file of torch\.save") as caught:
        from_checkpoint(tmp_path / "w", {"family": "acgan"})
    assert "weights_only" not in str(caught.value)
    assert len(str(caught.value)) < 400
