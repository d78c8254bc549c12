"""``python -m harness.cli.reference``: the page on the command line, generated from the commands themselves."""

from __future__ import annotations

import re
import sys

import typer

from harness.cli import ABOUT, build

_HEAD = f"""# Command line

{ABOUT} This page is written by `python -m harness.cli.reference`.

Exit codes: 0 done; 1 the answer is no; 2 bad input, usage or a refused model, with one line that says what to do;
3 finished with missing cells. Results go to stdout, progress to stderr. `--debug` shows the traceback behind a line.
"""


def markdown() -> str:
    """The page: every command with its arguments and options, their defaults and help."""
    program = typer.main.get_command(build())
    parts = [_HEAD]
    for name, command in sorted(program.commands.items()):  # type: ignore[attr-defined]  # a group
        words = " ".join((command.help or "").split())
        rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
        parts.append(f"## harness {name}\n\n{words}\n\n| | default | |\n|---|---|---|\n" + "".join(rows))
    return "\n".join(parts)


def _row(parameter: object) -> str:
    names = [*getattr(parameter, "opts", ()), *getattr(parameter, "secondary_opts", ())]
    argument = type(parameter).__name__.endswith("Argument")
    shown = f"`{str(getattr(parameter, 'name', '')).upper()}`" if argument else ", ".join(f"`{name}`" for name in names)
    default = getattr(parameter, "default", None)
    if getattr(parameter, "required", False):
        text = "required"
    elif default is None or default is False or callable(default) or default == []:
        text = ""
    else:
        text = f"`{default}`"
    words = re.sub(r"\s+", " ", getattr(parameter, "help", None) or "").replace("|", "\\|")
    return f"| {shown} | {text} | {words} |\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
