"""The texts that an archive of a run has for people: how to go on, and which packages the run was made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mlgym.execution.run_record import UNPACKED_CODE
from mlgym.names import DEFAULT_STORAGE

_README: Final = """\
# Run {run_id}

Made with Python {python}, PyTorch {torch}, MLgym {mlgym}, {threads} thread(s) per experiment, on {cpu}.

To go on with it, in an empty folder:

    python{short_python} -m venv .venv && . .venv/bin/activate
    unzip -p {run_id}.zip {run_id}/requirements.txt > requirements.txt
    pip install -r requirements.txt
    pip install {mlgym_source}
    mlgym unpack {run_id}.zip
    mlgym show {run_id}
    mlgym reproduce {run_id}

`requirements.txt` has the versions that the run was made with; those with a `+` come from the index of their project,
which `pip` takes as `--extra-index-url`. `unpack` checks every hash and executes nothing; it puts the run into
`{storage}/{run_id}` and its own modules into `{code}/{run_id}`. `reproduce` runs the experiment again and compares it
bit for bit. It executes these modules, so look at them first where you don't trust their source.
{data}
`manifest.json` has the sha256 of every file. `run/environment.json` says on what the run was made; passwords and tokens
in it are masked.
"""
_WITH_DATA: Final = "Data that the config names by path goes to the same path below the folder.\n"
_WITHOUT_DATA: Final = "The archive has no data: put it where the config looks for it, below the folder.\n"


def readme_text(run_id: str, environment: Mapping[str, Any], left_out: Sequence[str], *, has_data: bool) -> str:
    """Gives the text that tells how to go on with a run.

    Args:
        run_id: the run.
        environment: its recorded surroundings; may be empty.
        left_out: what the archive lacks, in words.
        has_data: whether data was packed.
    """
    packages = _mapping(environment, "packages")
    python = str(_mapping(environment, "python").get("version", "?"))
    text = _README.format(
        run_id=run_id,
        python=python,
        short_python=".".join(python.split(".")[:2]) if python != "?" else "3",
        torch=packages.get("torch", "?"),
        mlgym=packages.get("mlgym", "?"),
        mlgym_source=_source_of_mlgym(packages.get("mlgym")),
        threads=environment.get("threads", "?"),
        cpu=_mapping(environment, "cpu").get("model") or "an unknown processor",
        storage=DEFAULT_STORAGE,
        code=UNPACKED_CODE,
        data=_WITH_DATA if has_data else _WITHOUT_DATA,
    )
    if left_out:
        text += "\nNot in this archive:\n\n" + "".join(f"- {line}\n" for line in left_out)
    return text


def requirements_text(environment: Mapping[str, Any]) -> str:
    """Gives the packages of a run with their exact versions, as `pip install -r` takes them.

    Args:
        environment: the recorded surroundings; may be empty.
    """
    packages, hashes = _mapping(environment, "packages"), _mapping(environment, "package_hashes")
    lines = ["# Installed when the run was made. A version with `+` is a build from the index of its project."]
    lines += [f"# And mlgym {packages['mlgym']}."] if "mlgym" in packages else []
    for name, version in sorted(packages.items(), key=lambda item: str(item[0]).lower()):
        if name == "mlgym":
            continue
        archive = _mapping(hashes, name).get("archive")
        lines.append(f"{name}=={version}" + (f"  # {archive}" if isinstance(archive, str) else ""))
    return "\n".join(line.replace("\n", " ") for line in lines) + "\n"


def _source_of_mlgym(version: object) -> str:
    """Gives what `pip install` takes for the MLgym of the run."""
    if not isinstance(version, str):
        return "mlgym"
    # No index has what was between two versions.
    return f"PATH_TO_MLGYM  # {version}: its source" if ".dev" in version else f"mlgym=={version}"


def _mapping(recorded: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = recorded.get(key)
    return value if isinstance(value, Mapping) else {}
