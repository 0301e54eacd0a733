"""Options of the commands that start experiments on a Ray cluster or through SLURM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mlgym.cli.options import choice

if TYPE_CHECKING:
    from mlgym.execution.options import ExecutorKind

EXECUTORS: Final[tuple[ExecutorKind, ...]] = ("processes", "inline", "ray", "slurm")

Address = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="HOST:PORT", help="Head of the Ray cluster, or `auto`; else one starts here for this run."
    ),
]
InsecureCluster = Annotated[
    bool, typer.Option("--insecure-cluster", help="Attach even where everybody may run code on the cluster.")
]
RayCode = Annotated[
    str | None,
    typer.Option("--ray-code", help="How your modules get to the nodes: `upload`, or `shared` (they see the folder)."),
]
ClusterWait = Annotated[
    float | None, typer.Option("--cluster-wait-s", min=0, help="Wait so long for a cluster that grows on demand.")
]
NodeRetries = Annotated[
    int | None,
    typer.Option("--node-retries", min=0, help="Goes of an experiment whose node is lost on another one; default: 3."),
]

Slurm = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE",
        help="Option of SLURM's jobs, such as `partition=gpu` or `time=240` (minutes); repeatable.",
    ),
]


def slurm_options(texts: Sequence[str] | None) -> dict[str, str | list[str]] | None:
    """Gives what was said about SLURM's jobs by key, all values where a key came several times; None for nothing.

    Raises:
        typer.BadParameter: a text has no `=`.
    """
    if texts is None:
        return None
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"is KEY=VALUE, such as `partition=gpu`, not `{text}`", param_hint="--slurm")
        found.setdefault(key, []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def ray_options(address: str | None, insecure: bool, code: str | None, wait_s: float | None) -> dict[str, Any]:
    """Gives what was said about a cluster, by the names of `RayOptions`; None for what was not."""
    checked = None if code is None else choice(code, ("upload", "shared"), "--ray-code")
    return {"address": address, "insecure": insecure or None, "code": checked, "wait_s": wait_s}
