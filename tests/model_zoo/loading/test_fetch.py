"""Weights by URL, against a server on this machine that gives right and wrong answers."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console
from zoo import make_checkpoint, with_weights

from harness.errors import BadWeights
from model_zoo.loading.fetch import fetch
from model_zoo.loading.from_card import load_card

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
asked: list[str] = []


class Answers(BaseHTTPRequestHandler):
    """One path for each kind of answer."""

    files: ClassVar[dict[str, bytes]] = {"/good": CONTENT, "/wrong": CONTENT[::-1]}

    def do_GET(self) -> None:
        asked.append(self.path)
        if self.path in self.files:
            self._send(self.files[self.path], len(self.files[self.path]))
        elif self.path == "/truncated":
            self._send(CONTENT[:300_000], len(CONTENT))
        elif self.path == "/short":
            self._send(CONTENT[:300_000], 300_000)
        elif self.path == "/page":
            self._send(b"<!doctype html><p>Sign in", 25, "text/html; charset=utf-8")
        elif self.path == "/page-as-file":
            self._send(b"\n <html>quota exceeded</html>", 29)
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
        else:
            self.send_error(404, "Not Found")

    def _send(self, body: bytes, length: int, kind: str = "application/octet-stream") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    asked.clear()
    return tmp_path / "weights"


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.mark.parametrize("path", ["/good", "/moved"])
def test_it_is_fetched_once(server: str, path: str) -> None:
    first = fetch(server + path, SHA256, "tiny", quiet())
    assert first.read_bytes() == CONTENT
    requests = len(asked)
    assert fetch(server + path, SHA256.upper(), "tiny", quiet()) == first
    assert len(asked) == requests


def test_a_damaged_cache_is_fetched_again(server: str) -> None:
    path = fetch(server + "/good", SHA256, "tiny", quiet())
    path.write_bytes(CONTENT[:-1])
    assert fetch(server + "/good", SHA256, "tiny", quiet()).read_bytes() == CONTENT
    assert asked == ["/good", "/good"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/truncated", "broke off after 300000 of 1024000 bytes"),
        ("/short", "gives sha256 .* incomplete or not the one"),
        ("/wrong", "gives sha256 .* the card says"),
        ("/page", "answers with a web page"),
        ("/page-as-file", "answers with a web page"),
        ("/absent", "cannot be fetched from .*Not Found"),
    ],
)
def test_wrong_answers_are_refused_and_not_kept(server: str, cache: Path, path: str, message: str) -> None:
    with pytest.raises(BadWeights, match=message):
        fetch(server + path, SHA256, "tiny", quiet())
    assert list(cache.iterdir()) == []


def test_no_server_is_a_clear_error() -> None:
    with pytest.raises(BadWeights, match=r"cannot be fetched from http://127\.0\.0\.1:9"):
        fetch("http://127.0.0.1:9/x", SHA256, "tiny", quiet())


@pytest.mark.parametrize(
    ("url", "sha256", "message"),
    [
        ("file:///etc/hostname", SHA256, "give http"),
        ("http://127.0.0.1/x", "", "64 hex digits"),
        ("http://127.0.0.1/x", "g" * 64, "64 hex digits"),
    ],
)
def test_neither_other_schemes_nor_missing_hashes(url: str, sha256: str, message: str) -> None:
    with pytest.raises(BadWeights, match=message):
        fetch(url, sha256, "tiny", quiet())


def test_progress_is_shown(server: str) -> None:
    text = io.StringIO()
    fetch(server + "/good", SHA256, "tiny", Console(file=text, force_terminal=True))
    assert "weights of tiny" in text.getvalue()


def test_a_card_with_a_url_loads(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = make_checkpoint(tmp_path / "tiny")
    weights = tmp_path / "tiny" / "weights.safetensors"
    monkeypatch.setitem(Answers.files, "/tiny", weights.read_bytes())
    weights.unlink()
    loaded = load_card(with_weights(card, url=f"{server}/tiny"))
    assert loaded.weights_sha256 == card.weights["sha256"]
    assert asked == ["/tiny"]
