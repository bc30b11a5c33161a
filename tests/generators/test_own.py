"""A user's own generator: registered, or named by its file."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gseg.generators import own
from gseg.generators.catalogue import list_generators, load_generator
from gseg.generators.contract import Generator, GeneratorCard
from gseg.generators.own import own_file, register_generator


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
from gseg.generators.contract import Generator, GeneratorCard

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
    monkeypatch.setattr(own, "_REGISTERED", {})


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
    with pytest.raises(ValueError, match=r"shape \(1, 3, 8, 8\).*resolution of 16"):
        load_generator(f"{tmp_path / 'mine.py'}:larger")
    with pytest.raises(ValueError, match="must not be empty"):
        register_generator(
            GeneratorCard(
                **{**{field: getattr(CARD, field) for field in CARD.__slots__}, "name": ""}
            ),
            Flat,
        )


def test_a_network_without_parameters_is_where_its_buffers_are() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("colour", torch.zeros(3, device="meta"))

    assert Generator(Constant(), CARD).device.type == "meta"
    assert Generator(nn.Identity(), CARD).device.type == "cpu"
