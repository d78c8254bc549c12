"""Links to files of the repository outside of docs/ are text on the site, where those files are not."""

import re

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")


def on_page_markdown(markdown, **_):
    """Called by mkdocs for each page."""
    return _OUTSIDE.sub(r"\1", markdown)
