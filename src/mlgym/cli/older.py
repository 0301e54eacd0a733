"""The command line of MLgym 0.0.75 word for word, for scripts that use it: it calls `mlgym run` and `mlgym resume`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn


def parser() -> argparse.ArgumentParser:
    """Gives the parser of the older options."""
    older = argparse.ArgumentParser(description="Starts a grid search with the options of MLgym 0.0.75.")
    older.add_argument("--process_count", type=int, default=1, help="experiments at a time")
    older.add_argument("--text_logging_path", help="folder for the output of each experiment as text")
    older.add_argument("--num_epochs", type=int, help="instead of the config's")
    older.add_argument("--websocket_logging_servers", nargs="+", default=[], metavar="URL", help="hubs for events")
    older.add_argument("--gs_rest_api_endpoint", metavar="URL", help="hub for configs and checkpoints")
    commands = older.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="run a grid search")
    train.add_argument("--gs_config_path", required=True, help="the config")
    warm_start = commands.add_parser("warm_start", help="go on with a grid search")
    warm_start.add_argument("--grid_search_id", required=True, help="the run")
    warm_start.add_argument("--gs_config_path", required=True, help="its config, which must not have changed")
    return older


def translate(arguments: Sequence[str] | None = None) -> list[str]:
    """Gives the arguments of `mlgym` that do what the older ones say."""
    given = parser().parse_args(arguments)
    options = {
        "--processes": str(given.process_count),
        "--epochs": None if given.num_epochs is None else str(given.num_epochs),
        "--text-logging-path": given.text_logging_path,
        "--rest-endpoint": given.gs_rest_api_endpoint,
    }
    is_new = given.command == "train"
    translated = ["run" if is_new else "resume", given.gs_config_path if is_new else given.grid_search_id]
    options["--config"] = None if is_new else given.gs_config_path
    for option, value in options.items():
        translated += [] if value is None else [option, value]
    for url in given.websocket_logging_servers:
        translated += ["--websocket-logging-servers", url]
    return translated


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the older command line and ends the process with its exit code.

    Args:
        arguments: those after the script's name; None for the process's own.
    """
    from mlgym.cli.main import main as run_command_line

    run_command_line(translate(arguments))
    raise SystemExit(0)
