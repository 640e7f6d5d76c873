"""`qwarden`: the application, its global options, and the mapping of errors to exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from qwarden import __version__
from qwarden.cli import (
    baseline,
    data,
    demo,
    detect,
    doctor,
    feedback,
    flows,
    keys,
    lists,
    measure,
    models,
    scenario,
    train,
    up,
)
from qwarden.cli.context import Context
from qwarden.core.errors import QwardenError

app = typer.Typer(
    name="qwarden",
    help="Threat detection on quantum models, each beside its classical twin.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"qwarden {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the state; an empty one works.", envvar="QWARDEN_HOME", show_default=False
        ),
    ] = None,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Say more on stderr; twice, everything.")
    ] = 0,
    version: Annotated[  # noqa: ARG001  handled by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    from qwarden.core.logs import set_up

    set_up(("warning", "info", "debug")[min(verbose, 2)])
    context.obj = Context(home)


detect.register(app)
feedback.register(app)
flows.register(app)
demo.register(app)
up.register(app)
scenario.register(app)
train.register(app)
baseline.register(app)
models.register(app)
lists.register(app)
measure.register(app)
data.register(app)
keys.register(app)
doctor.register(app)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 done, 1 a verdict failed, 2 usage or configuration, 3 bad or missing input, 4 a service is
    unreachable, 130 interrupted.
    """
    try:
        code = app(args=argv, standalone_mode=False)
    except QwardenError as error:
        sys.stderr.write(f"qwarden: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except typer.Abort:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`qwarden ... | head`); that is no error of ours.
        sys.stderr.close()
        return 0
    except OSError as error:
        sys.stderr.write(f"qwarden: {error.filename or 'a file'}: {(error.strerror or str(error)).lower()}\n")
        return QwardenError.exit_code
    except Exception as error:
        if hasattr(error, "format_message"):  # click's own usage errors
            sys.stderr.write(f"qwarden: {error.format_message()}\n")
            return 2
        raise
    return code if isinstance(code, int) else 0


def entry() -> None:
    """Entry point of the installed command."""
    sys.exit(main())
