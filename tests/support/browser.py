"""A real browser for the page's tests: Chromium through playwright, listening for errors and requests.

Playwright's calls and the tests that make them run in a thread of their own: it switches greenlets, and on Python 3.11
a later ``sys.settrace`` in the same thread (AutoAttack's check of the model) then never returns.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-default-apps", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
_THREAD = ThreadPoolExecutor(1, "browser")


def in_browser(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in the browser's thread."""

    @functools.wraps(test)
    def run(*args: Any, **options: Any) -> None:
        _THREAD.submit(test, *args, **options).result()

    return run


@contextmanager
def chromium() -> Iterator[Any]:
    """A started browser, for tests that are `in_browser`."""
    from playwright.sync_api import sync_playwright

    tool = _THREAD.submit(lambda: sync_playwright().start()).result()
    try:
        browser = _THREAD.submit(tool.chromium.launch, executable_path=CHROMIUM, args=list(ARGUMENTS)).result()
        yield browser
        _THREAD.submit(browser.close).result()
    finally:
        _THREAD.submit(tool.stop).result()


@dataclass
class Visit:
    """One opened page, and what went wrong on it."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def drawn(self, where: str = "body") -> None:
        """Wait until every visible chart under `where` has a drawing."""
        self.page.wait_for_function(
            "where => [...document.querySelectorAll(where + ' .chart')].filter(e => e.clientWidth)"
            ".every(e => e.querySelector('svg'))",
            arg=where,
        )


@contextmanager
def visit(browser: Any, path: Path, **options: Any) -> Iterator[Visit]:
    """Open a file; at the end there may be no error and no warning, and nothing but the file been asked for."""
    page = browser.new_page(**options)
    page.set_default_timeout(60_000)
    found = Visit(page)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on("console", lambda message: found.errors.append(message.text) if message.type != "log" else None)
    page.on("request", lambda request: found.requests.append(request.url))
    page.goto(path.as_uri())
    found.drawn()
    yield found
    assert not found.errors, found.errors
    assert [url for url in found.requests if not url.startswith("data:")] == [path.as_uri()]
    page.close()
