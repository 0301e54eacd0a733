"""Options and arguments that several commands take, and what the text of one means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import typer

from mlgym.errors import RunError
from mlgym.names import LOG_FILE, Best, did_you_mean

WordT = TypeVar("WordT", bound=str)

Storage = Annotated[Path, typer.Option("--storage", help="Folder with one folder per run.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Metric = Annotated[str | None, typer.Option("--metric", "-m", help="Rank by this, such as `val/f1_macro`.")]
Direction = Annotated[str | None, typer.Option("--best", help="`min` or `max`, where the metric does not say it.")]


def _run_id(text: str) -> str:
    """Gives a run id; a shell completes the name of its folder instead.

    Raises:
        RunError: it is such a folder.
    """
    folder = Path(text)
    if folder.name != text and (folder / LOG_FILE).is_file():
        raise RunError(f"`{text}` is the folder of a run: write `{folder.name} --storage {folder.parent}`")
    return text


RunId = Annotated[str, typer.Argument(callback=_run_id, help="Run id, the beginning of one, or `latest`.")]

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes, such as `optimizer.lr=0.01`.")
]

HubUrls = Annotated[
    list[str] | None,
    typer.Option("--websocket-logging-servers", metavar="URL ...", help="Hubs that get the events as they happen."),
]
HubUrl = Annotated[
    str | None, typer.Option("--rest-endpoint", metavar="URL", help="Hub that keeps configs and checkpoints.")
]

CheckpointPlace = Annotated[
    str | None,
    typer.Option(
        "--checkpoint-place",
        metavar="URL",
        help="Where checkpoints stand beside the run folder: s3://..., gs://..., file:///..., or `hub`.",
    ),
]
LocalCheckpoints = Annotated[
    bool | None,
    typer.Option(
        "--local-checkpoints/--no-local-checkpoints", help="Whether those that stand there stay in the run folder."
    ),
]
TextLogs = Annotated[
    Path | None, typer.Option("--text-logging-path", help="Folder for the output of each experiment as text.")
]
_DIRECTIONS: Final[tuple[Best, ...]] = ("min", "max")


def choice(value: str, choices: tuple[WordT, ...], option: str) -> WordT:
    """Gives the one of the choices that an option names.

    Raises:
        typer.BadParameter: there is none; the text has the nearest one.
    """
    for word in choices:
        if word == value:
            return word
    raise typer.BadParameter(f"there is no `{value}`{did_you_mean(value, choices)}", param_hint=option)


def direction(best: str | None) -> Best | None:
    """Gives the option `--best`.

    Raises:
        typer.BadParameter: it is neither.
    """
    for word in _DIRECTIONS:
        if word == best:
            return word
    if best is None:
        return None
    raise typer.BadParameter(f"is `min` or `max`, not `{best}`", param_hint="--best")


def names(text: str) -> list[str]:
    """Gives the names in a text with commas between them."""
    return [name for name in text.split(",") if name]


def number_or_auto(text: str, option: str) -> int | Literal["auto"]:
    """Gives the value of an option that is a number from 1 or `auto`.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text == "auto":
        return "auto"
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise typer.BadParameter(f"is a number from 1 or `auto`, not `{text}`", param_hint=option)
