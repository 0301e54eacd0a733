"""Options of the commands that start experiments on a Ray cluster."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

EXECUTORS: Final = ("processes", "inline", "ray", "slurm")

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


def ray_options(address: str | None, insecure: bool, code: str | None, wait_s: float | None) -> dict[str, Any]:
    """Gives what was said about a cluster, by the names of `RayOptions`; None for what was not."""
    from mlgym.cli.run_command import choice

    checked = None if code is None else choice(code, ("upload", "shared"), "--ray-code")
    return {"address": address, "insecure": insecure or None, "code": checked, "wait_s": wait_s}
