"""gseg/generators/own.py: programs that would spoil results are refused, others are not."""

import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from gseg.generators.cards import GeneratorCard
from gseg.generators.catalogue import full_name, list_generators, load_generator, register_generator
from gseg.generators.contract import Generator
from gseg.generators.own import try_own

CARD = GeneratorCard(
    name="mine.disks8",
    family="Mine",
    architecture="mine",
    dataset="disks",
    resolution=8,
    num_classes=3,
    latent_dim=5,
    code_dim=5,
)


class Plain(nn.Module):
    """Bands of colours that depend on the latent and the class."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 5 * 24).mul(40).reshape(5, 24).sin())
        self.register_buffer("classes", torch.linspace(-0.5, 0.5, 9).reshape(3, 3))

    def forward(self, code, y):
        bands = (code @ self.weight).reshape(-1, 3, 8, 1) + self.classes[y][:, :, None, None]
        return torch.tanh(bands).expand(-1, -1, -1, 8)


def made(wrong=lambda pictures, code, y: pictures, *, card=CARD, network=Plain):
    class Wrong(network):
        def forward(self, code, y):
            return wrong(super().forward(code, y), code, y)

    return Generator(Wrong(), card)


def of_the_batch(pictures, *_):
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    return (pictures + 0.3 * noise).clamp(-1, 1)


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.plain, self.norm = Plain(), nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, code, y):
        return torch.tanh(self.norm(self.plain(code, y)))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda x, *_: (x + 1) / 2, r"from 0 to 1, expected about -1 .*\(2 \* x - 1\)"),
        (lambda x, *_: (x + 1) * 127.5, r"from \d.* to 2\d\d.*, expected .*\(x / 127\.5 - 1"),
        (lambda x, *_: x * 128, r"from -1.* to 1\d\d.*127\.5"),
        (lambda x, *_: ((x + 1) * 127.5).byte(), "made torch.uint8 of shape"),
        (lambda x, *_: torch.where(x > 0.9, torch.nan, x), "'pictures' holds NaN .* of 4"),
        (lambda x, *_: x + 1e-6 * torch.randn(()), "other pictures of the same latents each time"),
        (lambda x, *_: nn.functional.dropout(x), "buffers beside the weights"),
        (of_the_batch, "of a latent by itself than among 4 .* independent of its neighbours"),
        (lambda x, *_: x[:, :1], r"of shape \(4, 1, 8, 8\)"),
        (lambda x, *_: x[:, :, ::2, ::2], r"of shape \(4, 3, 4, 4\), .* resolution of 8"),
        (lambda x, *_: x[:1], r"of shape \(1, 3, 8, 8\)"),
        (lambda x, *_: (x, x), "made a tuple"),
        (lambda x, *_: x.permute(0, 2, 3, 1), r"of shape \(4, 8, 8, 3\)"),
        (lambda x, code, y: x + code[:, :2] @ x.mean(), "fails on latents of shape .*RuntimeError"),
        (lambda x, *_: sys.exit(3), "SystemExit: 3"),
        (lambda x, *_: x.imag, r"TypeError: imag"),
    ],
)
def test_what_would_spoil_results_is_refused(wrong, told):
    with pytest.raises(ValueError, match=f"gen.py:make.*{told}") as caught:
        try_own("gen.py:make", made(wrong))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        lambda pictures, code, y: (pictures, None),
        lambda pictures, code, y: [code, y, pictures],
        lambda pictures, code, y: {"image": pictures, "w": code, "small": pictures[..., :4]},
    ],
)
def test_pictures_beside_other_things_are_taken(given):
    plain, several = made(), made(given)
    try_own("mine", several)
    z, y = torch.randn(2, 5), torch.tensor([0, 2])
    assert torch.equal(several(z, y), plain(z, y))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda pictures, code, y: (pictures, pictures), "a tuple with 2 tensors of pictures"),
        (lambda pictures, code, y: {"w": code}, "a dict with 0 tensors of pictures"),
        (lambda pictures, code, y: [], "a list with 0 tensors of pictures"),
    ],
)
def test_which_pictures_are_meant_is_not_guessed(given, told):
    with pytest.raises(ValueError, match=f"mine made {told} .4, 3, 8, 8., expected one"):
        try_own("mine", made(given))


def test_statistics_of_the_batch_are_refused():
    with pytest.raises(ValueError, match="of a latent by itself than among 4"):
        try_own("gen.py:make", Generator(Normalised(), CARD))


def test_labels_that_the_network_does_not_use_are_told():
    def blind(_x, code, _y):
        return Plain()(code, torch.zeros(len(code), dtype=torch.int64))

    with pytest.raises(ValueError, match=r"same picture of the classes .* num_classes=3"):
        try_own("gen.py:make", made(blind))
    try_own("gen.py:make", made(lambda x, c, y: blind(x, c, y), card=replace(CARD, num_classes=1)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"latent_dim": 6, "code_dim": 6}, r"latents of shape \(4, 6\).*mat1 and mat2"),
        ({"code_dim": 7}, r"takes codes of shape \(N, 7\), got \(4, 5\)"),
        ({"num_classes": 9}, "IndexError: index .* out of"),
    ],
)
def test_widths_that_the_card_does_not_say_rightly_are_told(change, told):
    with pytest.raises(ValueError, match=told):
        try_own("gen.py:make", made(card=replace(CARD, **change)))


@pytest.mark.parametrize(
    "fine",
    [
        lambda x, *_: x * 1.4,  # no tanh at the end
        lambda x, *_: (x * 1.5).clamp(-1, 1),  # clipped
        lambda x, *_: x * 0.2 - 0.8,  # dark
        lambda x, *_: x * 0.5 + 0.45,  # bright
        lambda x, *_: x.bfloat16(),
        lambda x, *_: x.double(),
        lambda x, *_: x.mean(1, keepdim=True).expand(-1, 3, -1, -1),  # grey
    ],
)
def test_unusual_pictures_are_fine(fine):
    try_own("gen.py:make", made(fine))


def test_every_embedded_generator_would_pass():
    for card in list_generators("embedded"):
        try_own(card.name, load_generator(card.name))


FILE = """
from pathlib import Path
import torch
from torch import nn
from gseg.generators.cards import GeneratorCard
from gseg.generators.contract import Generator

class Flat(nn.Linear):
    def forward(self, z, y=None):
        with Path(__file__).with_name("calls").open("a") as calls:
            calls.write(f"{len(z)} ")
        return super().forward(z)[:, :, None, None].expand(-1, -1, 8, 8).tanh()

def make():
    torch.manual_seed(0)
    return Generator(Flat(5, 3), GeneratorCard(
        name="flat.colours8", family="Flat", architecture="flat", dataset="colours",
        resolution=8, num_classes=0, latent_dim=5, code_dim=5))
"""


def test_a_process_tries_it_once_for_each_content(tmp_path):
    file, calls = tmp_path / "mine.py", tmp_path / "calls"
    for number in range(2):
        file.write_text(f"{FILE}# {number}\n")
        for _ in range(2):
            load_generator(f"{file}:make")
    assert calls.read_text() == "4 4 1 " * 2


def test_weights_that_are_not_finite_are_named(tmp_path):
    (tmp_path / "mine.py").write_text(
        f"{FILE}\ndef broken():\n    g = make()\n    g.network.weight[1, 2] = torch.inf\n"
        "    return g\n"
    )
    with pytest.raises(ValueError, match=r"mine\.py:broken: 'network\.weight' holds NaN or inf"):
        load_generator(f"{tmp_path}/mine.py:broken")


def test_a_registered_generator_is_tried_too(monkeypatch):
    monkeypatch.setattr("gseg.generators.catalogue._registered", {})
    register_generator(CARD, lambda: made(lambda x, *_: (x + 1) / 2).network)
    with pytest.raises(ValueError, match=r"mine\.disks8 makes pictures whose values go from 0"):
        load_generator(CARD.name)
    register_generator(CARD, Plain)
    assert load_generator(CARD.name).card == CARD


def test_a_file_has_one_name_wherever_it_is_said(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    assert full_name("mine.py:make") == f"{tmp_path}/mine.py:make"
    monkeypatch.chdir(tmp_path / "below")
    assert full_name("../mine.py:make") == f"{tmp_path}/mine.py:make"
    assert full_name("biggan.scenes32") == "biggan.scenes32"
    with pytest.raises(ValueError, match="names no function"):
        full_name("mine.py:")
