"""What a node has to know beside the job: what to import, where to look for it, which variables hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mlgym.execution.environment.capture import VARIABLE_PREFIXES

# Beside what changes results: where data and checkpoints are, and what opens them.
_PLACE_PREFIXES: Final = (
    "AWS_",
    "AZURE_",
    "FSSPEC_",
    "GCSFS_",
    "GOOGLE_",
    "HF_",
    "SCIKIT_LEARN_DATA",
    "STORAGE_EMULATOR_",
)
# Facts of a machine, or of how Ray uses it.
_NEVER: Final = frozenset({"CUDA_VISIBLE_DEVICES", "LD_PRELOAD", "NVIDIA_VISIBLE_DEVICES", "SLURM_JOB_ID"})


class NodeSetup(msgspec.Struct, kw_only=True, frozen=True):
    """The same for all jobs of a driver.

    Args:
        imports, preload, preload_if_installed, threads, example: as in `ServerSettings`.
        code: `upload`: the user's code is in the folder in which Ray starts the task; `shared`: it is where it is here.
        folder: where the user's modules are looked for; where it is uploaded, only whether there is one counts.
        main_script: the driver's script; a name in the uploaded folder, or its path.
        working_folder: where the driver was started; relative paths of configs start there, as far as nodes have it.
        variables: environment variables of the experiments, which go before those of the node.
        facts: of the driver's machine, of what changes bits, by name.
    """

    imports: list[str] = []
    preload: list[str] = []
    preload_if_installed: list[str] = []
    threads: int = 1
    example: dict[str, Any] | None = None
    code: str = "shared"
    folder: str | None = None
    main_script: str | None = None
    working_folder: str = "/"
    variables: dict[str, str] = {}
    facts: dict[str, str] = {}


def travelling_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Gives the environment variables of the driver that experiments get on other machines, too.

    They go as an argument of the task: what is in a `runtime_env` stands in the pages of the cluster's dashboard, and
    tokens are among them.
    """
    prefixes = (*VARIABLE_PREFIXES, *_PLACE_PREFIXES)
    return {name: value for name, value in environment.items() if name.startswith(prefixes) and name not in _NEVER}


_DECODER: Final = msgspec.json.Decoder(NodeSetup)


def encode_setup(setup: NodeSetup) -> bytes:
    """Gives the setup as JSON."""
    return msgspec.json.encode(setup)


def decode_setup(data: bytes) -> NodeSetup:
    """Gives the setup behind JSON."""
    return _DECODER.decode(data)
