"""Weights by URL and sha256: fetched once into the cache folder, and never believed without the hash."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from harness.base.folders import cache_folder
from harness.base.text import whole_number
from harness.errors import BadWeights
from model_zoo.loading.weights_file import sha256_of

TIMEOUT_SECONDS = 30
_HASH_LENGTH = 64


def fetch(url: str, sha256: str, name: str, console: Console | None = None) -> Path:
    """The file at `url`, from the cache or downloaded into it with a progress bar.

    Args:
        url: http or https.
        sha256: of the whole file, in hex; it is also the file's name in the cache.
        name: what is fetched, for bar and messages.
        console: where the bar goes; standard error by default.

    Raises:
        BadWeights: no hash, another scheme, no connection, or the answer is a web page, too short, or of another hash.
            Nothing of it is kept.
    """
    digest = sha256.lower()
    if len(digest) != _HASH_LENGTH or set(digest) - set("0123456789abcdef"):
        raise BadWeights(f"weights of {name}: sha256 is {sha256!r}; a URL needs the 64 hex digits of its file")
    if not url.startswith(("https://", "http://")):
        raise BadWeights(f"weights of {name}: url is {url!r}; give http:// or https://")
    target = cache_folder() / "weights" / f"{digest}.safetensors"
    if target.is_file() and sha256_of(target) == digest:
        return target
    partial = target.with_name(f"{digest}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            _download(url, digest, name, stream, console or Console(stderr=True))
        partial.replace(target)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise BadWeights(f"weights of {name} cannot be fetched from {url}: {reason}") from None
    finally:
        with contextlib.suppress(OSError):  # the folder may be none
            partial.unlink(missing_ok=True)
    return target


def _download(url: str, digest: str, name: str, stream: IO[bytes], console: Console) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    found, size, first = hashlib.sha256(), 0, b""
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer, Progress(*columns, console=console) as bar:
        length = answer.headers.get("Content-Length")
        total = whole_number(length or "")
        task = bar.add_task(f"weights of {name}", total=total)
        try:
            while block := answer.read(1 << 18):
                first = first or block[:512]
                found.update(block)
                stream.write(block)
                size += len(block)
                bar.update(task, completed=size)
        except http.client.IncompleteRead as error:
            size += len(error.partial)
        kind = answer.headers.get_content_type()
    if total is not None and size < total:
        raise BadWeights(f"weights of {name}: {url} broke off after {size} of {total} bytes; try again")
    if found.hexdigest() != digest:
        if kind == "text/html" or first.lstrip().startswith(b"<"):
            raise BadWeights(f"weights of {name}: {url} answers with a web page, not with a file; check the address")
        raise BadWeights(
            f"weights of {name}: {url} gives sha256 {found.hexdigest()[:16]}..., the card says {digest[:16]}...;"
            " the file is incomplete or not the one the card names"
        )
