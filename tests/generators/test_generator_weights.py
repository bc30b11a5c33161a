"""What weights a name stands for, and fetching them from a server on this machine."""

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from gseg.generators import weights
from gseg.generators.catalogue import list_generators
from gseg.generators.weights import _own_digest, fetch_weights, weights_digest

CONTENT = bytes(range(256)) * 20_000
NAME = "uncondgan.imagenet128"


class Server(ThreadingHTTPServer):
    content = CONTENT
    cut_at: int | None = None
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        asked = self.headers.get("Range", "")
        server.asked.append(asked)
        start = int(re.findall(r"\d+", asked)[0]) if asked else 0
        if start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut_at])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    running.asked = []
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    (card,) = [card for card in list_generators("published") if card.name == NAME]
    address = f"http://127.0.0.1:{running.server_port}/weights/file.pt?dl=1"
    monkeypatch.setattr(weights, "_find", lambda name: replace(card, address=address))
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def test_fetches_once_and_records_the_checksum(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    path = fetch_weights(NAME, tmp_path / "new", progress=lambda *step: steps.append(step))
    assert path == tmp_path / "new" / f"{NAME}.pt"
    assert path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    record = path.with_name(f"{NAME}.pt.sha256").read_text().strip()
    assert record == hashlib.sha256(CONTENT).hexdigest()
    assert fetch_weights(NAME, tmp_path / "new") == path
    assert server.asked == [""]


def test_continues_after_an_interruption(server: Server, tmp_path: Path) -> None:
    server.cut_at = 2_000_000
    with pytest.raises(ValueError, match="Run the same again"):
        fetch_weights(NAME, tmp_path)
    assert not (tmp_path / f"{NAME}.pt").exists()
    server.cut_at = None
    assert fetch_weights(NAME, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["", "bytes=2000000-"]


def test_complete_part_is_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.pt.part").write_bytes(CONTENT)
    assert fetch_weights(NAME, tmp_path).read_bytes() == CONTENT


def test_changed_file_is_refused(server: Server, tmp_path: Path) -> None:
    fetch_weights(NAME, tmp_path).unlink()
    server.content = b"something else"
    with pytest.raises(ValueError, match="changed at its source"):
        fetch_weights(NAME, tmp_path)
    assert not list(tmp_path.glob("*.part"))


def test_web_page_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = b"<!doctype html>confirm your download"
    with pytest.raises(ValueError, match="web page"):
        fetch_weights(NAME, tmp_path)
    assert not list(tmp_path.iterdir())


def test_unreachable_server(server: Server, tmp_path: Path) -> None:
    server.content = b""
    with pytest.raises(ValueError, match="could not be fetched from"):
        fetch_weights(NAME, tmp_path)


def test_what_cannot_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no direct address.*by hand.*PyTorch-StudioGAN"):
        fetch_weights("sagan.imagenet128", tmp_path)
    with pytest.raises(ValueError, match=r"did you mean 'bigbigan\.imagenet128'"):
        fetch_weights("bigbigan.imagnet", tmp_path)


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

from gseg.generators.cards import GeneratorCard
from gseg.generators.contract import Generator

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
    path, stored = tmp_path / "mine.py", tmp_path / "mine.pt"
    path.write_text(OWN)
    found = set()
    for number in range(2):
        torch.manual_seed(number)
        torch.save(torch.nn.Linear(5, 3).state_dict(), stored)
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
