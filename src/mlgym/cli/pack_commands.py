"""The commands `pack` and `unpack`: a run as one file, and back again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mlgym.cli.options import Json, RunId, Storage
from mlgym.display.output import print_json
from mlgym.names import DEFAULT_STORAGE

if TYPE_CHECKING:
    from mlgym.api.pack import Checkpoints


def pack(
    run_id: RunId,
    to: Annotated[Path | None, typer.Option("--to", help="File to write; default: RUN_ID.zip.")] = None,
    checkpoints: Annotated[
        str, typer.Option("--checkpoints", help="Of each experiment: `none`, `best`, `last` or `all`.")
    ] = "best",
    data: Annotated[bool, typer.Option("--data", help="Also data that the config names by path.")] = False,
    allow_secrets: Annotated[
        bool, typer.Option("--allow-secrets", help="Pack lines that look like they hold a password or token.")
    ] = False,
    storage: Storage = Path(DEFAULT_STORAGE),
    as_json: Json = False,
) -> None:
    """Pack a run into one file, from which it can be reproduced on another machine."""
    from mlgym.api.pack import pack as pack_run

    packed = pack_run(
        run_id,
        to=to,
        storage=storage,
        checkpoints=cast("Checkpoints", checkpoints),
        data=data,
        allow_secrets=allow_secrets,
    )
    if as_json:
        print_json(
            {
                "path": str(packed.path),
                "run_id": packed.run_id,
                "num_files": packed.num_files,
                "bytes": packed.num_bytes,
                "left_out": list(packed.left_out),
            }
        )
        return
    print(packed.path)
    print(f"packed run {packed.run_id}: {packed.num_files:,} files, {packed.num_bytes:,} bytes", file=sys.stderr)
    _say_left_out(packed.left_out)


def unpack(
    archive: Annotated[Path, typer.Argument(help="A file that `mlgym pack` wrote.")],
    to: Annotated[Path, typer.Option("--to", help="Folder from which to go on; made where it is missing.")] = Path(),
    as_json: Json = False,
) -> None:
    """Verify a packed run and put it into the storage folder, with its code beside that; nothing is overwritten."""
    from mlgym.api.unpack import unpack as unpack_run

    unpacked = unpack_run(archive, to)
    folder = unpacked.folder
    if as_json:
        print_json(
            {
                "run_id": folder.run_id,
                "path": str(folder.path),
                "code": str(unpacked.code),
                "data": [str(path) for path in unpacked.data],
                "left_out": list(unpacked.left_out),
            }
        )
        return
    print(folder.run_id)
    print(f"unpacked into {folder.path}, its code into {unpacked.code}", file=sys.stderr)
    if unpacked.data:
        files = "1 file" if len(unpacked.data) == 1 else f"{len(unpacked.data):,} files"
        print(f"added {files} of data below {to}", file=sys.stderr)
    _say_left_out(unpacked.left_out)
    where = "" if to == Path() else f"cd {to} && "
    print(f"go on with: {where}mlgym reproduce {folder.run_id}", file=sys.stderr)


def _say_left_out(lines: tuple[str, ...]) -> None:
    for line in lines:
        print(f"not in the archive: {line}", file=sys.stderr)


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(pack)
    app.command()(unpack)
