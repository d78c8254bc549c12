"""The command line: commands come by entry points, errors are one line, exit codes are a contract.

0 done; 1 the answer is no; 2 bad input or usage; 3 finished with missing cells.
"""

from __future__ import annotations

import gc
import sys
import time
import traceback

import typer

from harness.base.deadline import process_began
from harness.base.text import printable
from harness.errors import HarnessError
from harness.inputs.registry import Registry

EXIT_DONE, EXIT_NO, EXIT_USAGE, EXIT_MISSING = 0, 1, 2, 3
INTERRUPTED = 130
"""What typer makes of a KeyboardInterrupt, in place of the exception or beside it."""

ABOUT = (
    "Measure the adversarial robustness of trained models with torchattacks, ART and AutoAttack, and keep the evidence."
)


def build() -> typer.Typer:
    """The application with every registered command; one that cannot be imported is reported when it is called."""
    app = typer.Typer(
        name="harness", help=ABOUT, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
        rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]},
    )  # fmt: skip

    @app.callback()
    def root(
        debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
        version: bool = typer.Option(
            False, "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ) -> None:
        pass  # --debug is read by `main`

    registry = Registry("commands")
    for name in registry.names():
        _add(app, registry, name)
    return app


def _print_version(wanted: bool) -> None:
    """At once, for the version needs no command behind it."""
    if wanted:
        from harness import __version__

        typer.echo(f"harness {__version__}")
        raise typer.Exit


def _add(app: typer.Typer, registry: Registry, name: str) -> None:
    """The command, or one that says why it cannot be had, whatever it is given."""
    try:
        app.command(name)(registry.load(name))
    except HarnessError as error:
        failure = error

        def broken() -> None:
            raise failure

        broken.__doc__ = f"(broken: {failure})"
        app.command(name, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(broken)


def main(arguments: list[str] | None = None, begun: float | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: The words behind ``harness``; None takes the process's.
        begun: When the command began, by `time.monotonic`, for those who have a time to keep; None for now.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    printable(sys.stdout, sys.stderr)
    debug = "--debug" in arguments
    code: object
    if not [word for word in arguments if word != "--debug"]:
        arguments = ["--help"]  # what click prints on its own is followed by an empty error
    # --debug may stand anywhere; click would only take it before the command's name.
    arguments = (["--debug"] if debug else []) + [word for word in arguments if word != "--debug"]
    try:
        code = build()(arguments, standalone_mode=False, obj=time.monotonic() if begun is None else begun)
    except typer.Exit as done:
        code = done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except HarnessError as error:
        if debug:
            traceback.print_exc()
        _say(str(error))
        return EXIT_USAGE
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_DONE
    except Exception as error:
        if hasattr(error, "format_message"):  # click's own, whichever click this typer brings
            _say(error.format_message())
            return EXIT_USAGE
        if debug:
            traceback.print_exc()
        if isinstance(error, OSError) and error.filename is not None:
            _say(f"{error.filename} cannot be used: {error.strerror}")
            return EXIT_USAGE
        _say(f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:500]} (--debug shows where)")
        return EXIT_USAGE
    if code == INTERRUPTED:
        _say("interrupted; what was finished is on disk, the same command goes on from there")
        return EXIT_USAGE
    return code if isinstance(code, int) else EXIT_DONE


def _say(message: str) -> None:
    print(f"harness: {message}", file=sys.stderr)


def run() -> None:
    """Entry point of the ``harness`` script; models that read `sys.argv` do not see the harness's own options."""
    arguments, sys.argv[1:] = sys.argv[1:], []
    code = main(arguments, process_began())
    gc.freeze()  # else Python looks for cycles in all of torch on the way out, longer than a small command takes
    sys.exit(code)
