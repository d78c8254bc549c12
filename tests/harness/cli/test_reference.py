"""The page on the command line is what the code says."""

from repository import ROOT

from harness.cli.reference import markdown


def test_the_page_is_up_to_date():
    page = ROOT / "docs" / "cli.md"
    assert page.read_text(encoding="utf-8") == markdown(), "run: python -m harness.cli.reference > docs/cli.md"
