import hashlib
import os
from importlib.resources import files

import pytest

from gseg.generators.identity import weights_digest


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


def test_a_generator_of_the_user_s_own_is_its_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def make(): ...\n")
    assert weights_digest(f"{path}:make") == _sha(path.read_bytes())
    with pytest.raises(ValueError, match=r"absent\.py: there is no such file"):
        weights_digest(f"{tmp_path}/absent.py:make")
