import hashlib
import os
from importlib.resources import files

import pytest
import torch

from gseg.generators.identity import _own_digest, weights_digest


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


def test_a_generator_in_closed_form_has_no_weights():
    assert weights_digest("analytic.ellipses32") == "none"


def test_embedded_weights_are_those_of_the_package():
    file = files("gseg.scenes") / "weights" / "ggan.scenes32.safetensors"
    assert weights_digest("ggan.scenes32") == _sha(file.read_bytes())


def test_published_weights_are_those_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GSEG_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match=r"weights of sagan\.imagenet128 are not here"):
        weights_digest("sagan.imagenet128")
    path = tmp_path / "sagan.imagenet128.pth"
    for number, content in enumerate((b"one", b"other")):
        path.write_bytes(content)
        os.utime(path, ns=(number, number))
        assert weights_digest("sagan.imagenet128") == _sha(content)


OWN = """
from pathlib import Path

import torch
from torch import nn

from gseg.generators.contract import Generator, GeneratorCard

CARD = GeneratorCard(name="flat.colours8", family="Flat", architecture="flat", dataset="colours",
                     resolution=8, num_classes=0, latent_dim=5, code_dim=5)


class Flat(nn.Linear):
    def forward(self, z, y=None):
        return super().forward(z)[:, :, None, None].expand(-1, -1, 8, 8)


def make():
    network = Flat(5, 3)
    network.load_state_dict(torch.load(Path(__file__).with_suffix(".pt"), weights_only=True))
    return Generator(network, CARD)


def unseeded():
    return Generator(Flat(5, 3), CARD)
"""


def test_a_generator_of_the_user_s_own_is_its_file_and_its_weights(tmp_path):
    path, weights = tmp_path / "mine.py", tmp_path / "mine.pt"
    path.write_text(OWN)
    found = set()
    for number in range(2):
        torch.manual_seed(number)
        torch.save(torch.nn.Linear(5, 3).state_dict(), weights)
        _own_digest.cache_clear()  # as in a new process
        found.add(weights_digest(f"{path}:make"))
        assert weights_digest(f"{path}:make") in found
    path.write_text(f"{OWN}# changed\n")
    found.add(weights_digest(f"{path}:make"))
    assert len(found) == 3
    with pytest.raises(ValueError, match=r"absent\.py: there is no such file"):
        weights_digest(f"{tmp_path}/absent.py:make")


def test_a_generator_with_other_weights_each_time_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    with pytest.raises(ValueError, match="other weights each time"):
        weights_digest(f"{path}:unseeded")
