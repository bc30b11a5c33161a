"""A report in a real browser: no messages, no requests, nothing wider than a phone."""

import json
import re
import shutil
import subprocess
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from PIL import Image

from gseg.reports.content import Section, write_files
from gseg.reports.galleries import make_sheet
from gseg.reports.report import build_report

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_WIDE = (
    "<script>document.title='wide '+[...document.querySelectorAll('body *')]"
    ".filter(e=>!e.closest('.scroll,svg')&&e.getBoundingClientRect().right>innerWidth+1).length"
    "</script>"
)


@pytest.fixture(scope="module")
def browser():
    found = next((path for path in map(shutil.which, _NAMES) if path), None)
    if found is None:
        pytest.skip(f"no headless browser: none of {', '.join(_NAMES)}")
    return found


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page; give what it says, what it asks the network for, and its elements."""

    def opened(page, width=390):
        log = tmp_path / "net.json"
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]
        command += ["--enable-logging=stderr", f"--log-net-log={log}", "--disable-extensions"]
        command += [
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
        ]
        with _serving(page.parent) as address:
            command.append(f"{address}/{page.name}")
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return messages, _requested(log, address, page.name), done.stdout

    return opened


@contextmanager
def _serving(folder):
    handler = partial(_Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def _requested(log, address, name):
    """List what a page asked for besides itself; the browser's own requests have other keys."""
    events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    urls = [each["url"] for each in events if "127.0.0.1" in each.get("network_isolation_key", "")]
    assert f"{address}/{name}" in urls
    return sorted(set(urls) - {f"{address}/{name}"})


@pytest.fixture
def page(frame, seeds, tmp_path):
    rows = [
        {
            "generator": name,
            "fid": fid,
            "fid_protocol": "p",
            "contrast_weight": weight,
            "epsilon_sample": epsilon,
            "data_size": size,
            "iou": 0.9 - fid / 20 + weight / 100,
            **seeds(seed),
        }
        for name, fid in (("sngan.scenes32", 2.0), ("biggan.scenes32", 1.0), ("ggan.scenes32", 5.0))
        for weight in (2.5, 5.0)
        for epsilon in (1.0, 2.0)
        for size in (100, 1_000)
        for seed in (0, 1)
    ]
    sheets = (make_sheet(Image.new("RGB", (700, 90), "red"), caption="red", of="sngan"),)
    gallery = Section(anchor="pictures", title="Pictures", parts=sheets)
    return write_files(build_report(frame(*rows), title="t", gallery=gallery), tmp_path / "report")


def test_a_report_opens_without_messages_or_requests(page, opened):
    messages, requests, elements = opened(page)
    assert messages == []
    assert requests == []
    assert elements.count("<svg") == 8
    assert "</html>" in elements


def test_nothing_is_wider_than_a_phone(page, opened):
    page.write_text(page.read_text().replace("</body>", f"{_WIDE}</body>"))
    _, _, elements = opened(page)
    assert re.search(r"<title>([^<]*)</title>", elements)[1] == "wide 0"


def test_messages_and_requests_would_be_seen(page, opened):
    far = '<img src="http://elsewhere.invalid/far.png">'
    spoilt = f'<script>console.error("wrong")</script><img src="near.png">{far}</body>'
    page.write_text(page.read_text().replace("</body>", spoilt))
    messages, requests, _ = opened(page)
    assert any("wrong" in message for message in messages)
    assert {url.rpartition("/")[2] for url in requests} == {"near.png", "far.png"}
