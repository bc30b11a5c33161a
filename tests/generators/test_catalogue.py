"""The catalogue: names, cards, generators of the user's own, and what is said on mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gseg.generators import cards, catalogue
from gseg.generators.cards import GeneratorCard
from gseg.generators.catalogue import (
    check_known,
    find_card,
    find_weights,
    list_generators,
    load_generator,
    own_file,
    register_generator,
    use_weights,
    weights_folder,
)
from gseg.generators.contract import Generator
from gseg.generators.studiogan import ResNetConfig, ResNetGenerator
from gseg.generators.weights import weights_digest

NUMBERS = {"latent_dim": 8, "resolution": 16, "channels": [8, 8, 4], "num_classes": 3}
TABLE_2 = [
    "acgan.tinyimagenet64",
    "biggan.tinyimagenet64",
    "ggan.tinyimagenet64",
    "sagan.tinyimagenet64",
    "sngan.tinyimagenet64",
    "sagan.imagenet128",
    "sngan.imagenet128",
    "contragan.imagenet128",
    "uncondgan.imagenet128",
    "selfcondgan.imagenet128",
    "biggan.imagenet128",
    "bigbigan.imagenet128",
]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResNetGenerator:
    """A package whose only embedded generator is a small one."""
    torch.manual_seed(0)
    network = ResNetGenerator(ResNetConfig(**NUMBERS)).eval()
    card = {"family": "SNGAN", "paper": "Miyato et al. 2018", "supervision": "class labels"}
    save_file(
        {
            key: value.half() if value.is_floating_point() else value
            for key, value in network.state_dict().items()
        },
        tmp_path / "tiny.scenes16.safetensors",
        metadata={
            "architecture": "resnet",
            "config": json.dumps(NUMBERS),
            "card": json.dumps(card),
        },
    )
    monkeypatch.setattr(cards, "shipped_folder", lambda: tmp_path)
    return network


def test_embedded_generator_is_the_network_that_was_saved(shipped: ResNetGenerator) -> None:
    (card,) = list_generators("embedded")
    assert (card.name, card.family, card.resolution) == ("tiny.scenes16", "SNGAN", 16)
    assert (card.latent_dim, card.code_dim, card.num_classes) == (8, 8, 3)
    assert card.supervision == "class labels"
    generator = load_generator("tiny.scenes16")
    z, y = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        pictures = generator(generator.code(z), y)
        torch.testing.assert_close(pictures, shipped(z, y), atol=0.02, rtol=0)
    assert pictures.dtype == torch.float32


def test_embedded_generator_takes_no_checkpoint(shipped: ResNetGenerator, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ships with gseg"):
        load_generator("tiny.scenes16", tmp_path / "other.pth")


def test_published_cards_follow_the_table() -> None:
    cards = list_generators("published")
    assert [card.name for card in cards[:12]] == TABLE_2
    names = [card.name for card in list_generators()]
    assert len(set(names)) == len(names)
    conditional = {card.name for card in cards[:12] if card.num_classes > 0}
    assert conditional.isdisjoint(
        {"ggan.tinyimagenet64", "uncondgan.imagenet128", "bigbigan.imagenet128"}
    )
    assert len(conditional) == 9
    assert all(card.fid_protocol for card in cards if card.published_fid is not None)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("bigan.imagenet128", "biggan.imagenet128"), ("sagan.tinyimagenet", "sagan.tinyimagenet64")],
)
def test_unknown_name_is_answered_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"Unknown generator '{name}'; did you mean '{meant}'"):
        load_generator(name)


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="kind must be"):
        list_generators("shipped")


def test_missing_weights_say_where_they_are_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GSEG_WEIGHTS", raising=False)
    with pytest.raises(ValueError, match=r"GSEG_WEIGHTS; the file is BigBiGAN_x1\.pth"):
        load_generator("bigbigan.imagenet128")


def test_weights_are_found_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSEG_WEIGHTS", str(tmp_path))
    assert find_weights("sngan.imagenet128") is None
    (tmp_path / "sngan.imagenet128.part").touch()
    assert find_weights("sngan.imagenet128") is None
    (tmp_path / "sngan.imagenet128.pth").write_text("<html>")
    with pytest.raises(ValueError, match="web page"):
        load_generator("sngan.imagenet128")


def test_a_chosen_folder_comes_first_and_leaves_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSEG_WEIGHTS", str(tmp_path / "theirs"))
    use_weights(None)
    assert weights_folder() == tmp_path / "theirs"
    use_weights(tmp_path / "ours")
    use_weights(None)
    assert weights_folder() == tmp_path / "ours"
    assert os.environ["GSEG_WEIGHTS"] == str(tmp_path / "theirs")


def test_analytic_generator_by_name() -> None:
    assert load_generator("analytic.ellipses16").card.resolution == 16


class Flat(nn.Module):
    """Pictures of one colour."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 3)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return torch.tanh(self.linear(z))[:, :, None, None].expand(-1, -1, 8, 8)


CARD = GeneratorCard(
    name="flat.colours8",
    family="Flat",
    architecture="flat",
    dataset="colours",
    resolution=8,
    num_classes=0,
    latent_dim=5,
    code_dim=5,
)
FILE = """
from torch import nn
from gseg.generators.cards import GeneratorCard
from gseg.generators.contract import Generator

class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3)

    def forward(self, z, y=None):
        return self.linear(z)[:, :, None, None].expand(-1, -1, 8, 8)

def make():
    return Generator(Flat(), GeneratorCard(
        name="flat.colours8", family="Flat", architecture="flat", dataset="colours",
        resolution=8, num_classes=0, latent_dim=5, code_dim=5))

def bare():
    return Flat()

def larger():
    return Generator(Flat(), GeneratorCard(
        name="flat.colours16", family="Flat", architecture="flat", dataset="colours",
        resolution=16, num_classes=0, latent_dim=5, code_dim=5))
"""


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_registered", {})


def test_registered_generator_loads_by_name() -> None:
    network = Flat()
    register_generator(CARD, lambda: network)
    generator = load_generator("flat.colours8")
    assert generator.card == CARD
    assert CARD in list_generators()
    assert CARD not in list_generators("published") + list_generators("embedded")
    assert generator(torch.randn(2, 5)).shape == (2, 3, 8, 8)
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_generator_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    name = f"{tmp_path / 'mine.py'}:make"
    assert own_file(name) == tmp_path / "mine.py"
    assert load_generator(name)(torch.randn(2, 5)).shape == (2, 3, 8, 8)


def test_a_file_may_hold_dataclasses_whose_annotations_are_read_late(tmp_path: Path) -> None:
    config = "\n@dataclass\nclass Config:\n    width: ClassVar[int] = 5\n"
    start = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    (tmp_path / "mine.py").write_text(f"{start}from typing import ClassVar\n{config}{FILE}")
    assert load_generator(f"{tmp_path / 'mine.py'}:make")(torch.randn(2, 5)).shape == (2, 3, 8, 8)


def test_mistakes_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    with pytest.raises(ValueError, match="no such file"):
        load_generator(f"{tmp_path / 'other.py'}:make")
    with pytest.raises(ValueError, match="no function 'build'"):
        load_generator(f"{tmp_path / 'mine.py'}:build")
    with pytest.raises(ValueError, match=r"gave a Flat.*Generator\(network, card\)"):
        load_generator(f"{tmp_path / 'mine.py'}:bare")
    with pytest.raises(ValueError, match=r"shape \(4, 3, 8, 8\).*resolution of 16"):
        load_generator(f"{tmp_path / 'mine.py'}:larger")
    with pytest.raises(ValueError, match="must not be empty"):
        register_generator(
            GeneratorCard(
                **{**{field: getattr(CARD, field) for field in CARD.__slots__}, "name": ""}
            ),
            Flat,
        )


@pytest.mark.parametrize("name", ["bigan.scenes32", "sngan.scenes32.pth", "sagan.imagenet"])
def test_an_unknown_name_is_no_missing_file(name: str) -> None:
    for wanted in (weights_digest, load_generator, find_card, check_known):
        with pytest.raises(ValueError, match=f"Unknown generator '{name}'; did you mean '"):
            wanted(name)
    with pytest.raises(ValueError, match=r"did you mean 'analytic\.ellipses32'"):
        weights_digest("analytic.elipses32")


def test_what_was_looked_for_is_said_of_missing_weights(tmp_path: Path, monkeypatch) -> None:
    name, files = "sagan.imagenet128", r"has no file sagan\.imagenet128\.pth \(\.pt, \.pkl,"
    for wanted in (weights_digest, load_generator):
        monkeypatch.delenv("GSEG_WEIGHTS", raising=False)
        with pytest.raises(ValueError, match="are not here: no folder was named"):
            wanted(name)
        monkeypatch.setenv("GSEG_WEIGHTS", str(tmp_path))
        with pytest.raises(ValueError, match=f"are not here: {tmp_path} {files}"):
            wanted(name)
        monkeypatch.setenv("GSEG_WEIGHTS", str(tmp_path / "gone"))
        with pytest.raises(ValueError, match=f"gone, which is not there, {files}"):
            wanted(name)


@pytest.mark.parametrize("suffix", [".PTH", ".pth.tar", ".Pt", ".ckpt", ".SAFETENSORS"])
def test_weights_are_found_by_any_suffix_in_any_case(suffix, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GSEG_WEIGHTS", str(tmp_path))
    (tmp_path / f"sagan.imagenet128{suffix}").write_bytes(b"x")
    (tmp_path / "sagan.imagenet128.pth.part").write_bytes(b"x")
    found = find_weights("sagan.imagenet128")
    assert found == tmp_path / f"sagan.imagenet128{suffix}"
    (tmp_path / "sagan.imagenet128.pkl").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"has several weights of sagan\.imagenet128 \(sagan"):
        find_weights("sagan.imagenet128")


def test_cards_are_known_without_pytorch() -> None:
    program = (
        "import sys; from gseg.generators.catalogue import find_card, list_generators; "
        "find_card('sngan.scenes32'); list_generators(); import gseg.generators.weights; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_network_without_parameters_is_where_its_buffers_are() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("colour", torch.zeros(3, device="meta"))

    assert Generator(Constant(), CARD).device.type == "meta"
    assert Generator(nn.Identity(), CARD).device.type == "cpu"
