"""The command `mlgym`: which commands there are, and how each of them fails.

Exit codes: 0 all went well, 1 some experiments failed, 2 the input was wrong, 130 interrupted. Data goes to stdout,
progress and errors to stderr. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import errno
import io
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mlgym import __version__
from mlgym.cli import (
    board_command,
    checkpoint_commands,
    config_commands,
    init_command,
    pack_commands,
    report_command,
    reproduce_command,
    resume_command,
    run_command,
    sync_command,
    view_commands,
)
from mlgym.cli.hubs import spread
from mlgym.cli.pipes import readers_may_leave
from mlgym.errors import MlgymError
from mlgym.texts import plain


class _Commands(TyperGroup):
    """All commands, each of which may be read in part only, their help too."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Reads the command line; `--help` prints while it is read."""
        try:
            return super().make_context(*args, **kwargs)
        except (typer.Exit, BrokenPipeError):
            with readers_may_leave():
                raise
            raise typer.Exit from None

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was asked for."""
        with readers_may_leave():
            return super().invoke(ctx)


app = typer.Typer(
    name="mlgym",
    cls=_Commands,
    help="PyTorch experiments that anybody can repeat: one YAML file, a grid search, an event log.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
)
run_command.add_to(app)
resume_command.add_to(app)
reproduce_command.add_to(app)
config_commands.add_to(app)
view_commands.add_to(app)
report_command.add_to(app)
checkpoint_commands.add_to(app)
pack_commands.add_to(app)
board_command.add_to(app)
sync_command.add_to(app)
init_command.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"mlgym {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Entry point of all commands."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and ends the process with its exit code.

    Args:
        arguments: those after the program's name; None for the process's own.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a mark that the terminal lacks is no reason to fail
    try:
        app(args=spread(sys.argv[1:] if arguments is None else arguments))
    except MlgymError as error:
        # It quotes configs and logs, which strangers may have written.
        print(plain(str(error)), file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        # Whatever else goes wrong with a file has its name and is an `MlgymError` by now.
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        print(f"the output cannot be written: {error.strerror}", file=sys.stderr)
        with suppress(OSError):
            sys.stdout.close()  # else it is tried once more, and the interpreter complains
        sys.exit(2)
