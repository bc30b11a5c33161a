"""Fetching published weights, from a server on this machine."""

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gseg.generators import fetching
from gseg.generators.catalogue import list_generators
from gseg.generators.fetching import fetch_weights

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
    monkeypatch.setattr(fetching, "_find", lambda name: replace(card, address=address))
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
