"""Packs a run into one file, from which it can be looked at and reproduced on another machine."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec

from mlgym.api.archive import (
    CODE,
    DATA,
    FORMAT,
    MANIFEST,
    README,
    REQUIREMENTS,
    RUN,
    SUFFIX,
    Manifest,
    Member,
    refuse_bad_names,
)
from mlgym.api.archive_texts import readme_text, requirements_text
from mlgym.api.checkpoint_places import recorded_place
from mlgym.api.chosen_checkpoint import marked_best
from mlgym.api.packed_data import data_files
from mlgym.api.user_code import code_folder
from mlgym.errors import RunError
from mlgym.events import ExperimentState, RunState, has_writer
from mlgym.execution.run_record import CONFIG_FILE, ENVIRONMENT_FILE, EXPERIMENT_CONFIG_FILE, RUN_CONFIG_FILE
from mlgym.names import DEFAULT_STORAGE, LOG_FILE
from mlgym.reproduction.secrets import own_secrets, places_of_secrets
from mlgym.tracking import RunFolder, find_run
from mlgym.tracking.manifest import sha256_of

Checkpoints = Literal["none", "best", "last", "all"]

_CHUNK_BYTES: Final = 1 << 20
_TEXTS: Final = (".py", ".yml", ".yaml", ".json", ".log", ".txt", ".md")
_COMPRESSED_ALREADY: Final = (".safetensors", ".png", ".jpg", ".jpeg", ".gz", ".zip", ".parquet", ".npz")
_EPOCH_OF_ZIP: Final = (1980, 1, 1, 0, 0, 0)
_FILE_MODE: Final = 0o100644
_WITHOUT_LINKS: Final = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems say that have no links, such as exFAT and some of networks."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What was written.

    Args:
        path: the archive.
        run_id: the run.
        num_files: how many files it holds, the manifest not counted.
        num_bytes: size of the archive.
        left_out: what it lacks though the run may need it, in words.
    """

    path: Path
    run_id: str
    num_files: int
    num_bytes: int
    left_out: tuple[str, ...]


def pack(
    run: str,
    *,
    to: str | Path | None = None,
    storage: str | Path = DEFAULT_STORAGE,
    checkpoints: Checkpoints = "best",
    data: bool = False,
    allow_secrets: bool = False,
) -> Packed:
    """Writes a run with its config, environment, packages, user modules, event log and checkpoints into one zip file.

    The same run gives the same bytes; no path of this machine becomes a name in it.

    Args:
        run: run id, the beginning of one, or `latest`.
        to: the file to write, which must not exist; None for `RUN_ID.zip` in the working directory.
        storage: the folder of all runs.
        checkpoints: those of each experiment: `best` by what the run selects by (the last where none is marked).
        data: also the files that the config's data components name by paths below the working directory.
        allow_secrets: pack texts though something in them looks like a password or token.

    Raises:
        RunError: there is no such run, it is still being written, a text holds what looks like a secret, or the file
            exists or cannot be written.
    """
    if checkpoints not in get_args(Checkpoints):
        raise RunError(f"`checkpoints` is one of {', '.join(get_args(Checkpoints))}, but is `{checkpoints}`")
    folder = find_run(Path(storage), run)
    target = Path(to) if to is not None else Path(f"{folder.run_id}{SUFFIX}")
    if target.exists():
        raise RunError(f"`{target}` exists already; name another file with `--to FILE`, or remove it")
    if has_writer(folder.log_path):
        raise RunError(f"run `{folder.run_id}` is still being written; pack it when it has ended")
    environment = _environment(folder)
    state = folder.state()
    files, left_out = _files_of_run(folder, state, checkpoints), _checkpoints_elsewhere(folder, state, checkpoints)
    code, code_left_out = _files_of_code(folder, environment.get("code"))
    files |= code
    left_out += code_left_out
    found, data_left_out = data_files(folder)
    if data:
        files |= {f"{DATA}/{name}": path for name, path in found.items()}
        left_out += data_left_out
    elif found:
        more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
        left_out.append(f"data: `{min(found)}`{more}; `--data` packs it")
    texts = {
        README: readme_text(folder.run_id, environment, left_out, has_data=data).encode(),
        REQUIREMENTS: requirements_text(environment).encode(),
    }
    contents: dict[str, Path | bytes] = {**files, **texts}
    refuse_bad_names(contents)
    if not allow_secrets:
        _refuse_secrets(files)
    manifest = Manifest(
        format=FORMAT,
        run_id=folder.run_id,
        mlgym=version("mlgym"),
        members={name: _member(content) for name, content in sorted(contents.items())},
        left_out=left_out,
    )
    num_bytes = _write(target, manifest, contents)
    return Packed(
        path=target,
        run_id=folder.run_id,
        num_files=len(manifest.members),
        num_bytes=num_bytes,
        left_out=tuple(left_out),
    )


def _environment(folder: RunFolder) -> dict[str, Any]:
    try:
        recorded = folder.read_json(ENVIRONMENT_FILE)
    except RunError:
        return {}
    return recorded if isinstance(recorded, dict) else {}


def _files_of_run(folder: RunFolder, state: RunState, checkpoints: Checkpoints) -> dict[str, Path]:
    names = [LOG_FILE, CONFIG_FILE, RUN_CONFIG_FILE, ENVIRONMENT_FILE]
    for experiment_id, experiment in sorted(state.experiments.items()):
        names.append(f"{experiment_id}/{EXPERIMENT_CONFIG_FILE}")
        for chosen in _chosen(experiment, checkpoints):
            inner = folder.path / chosen
            if folder.path.resolve() in inner.resolve().parents and inner.is_dir():
                names += sorted(f"{chosen}/{path.name}" for path in inner.iterdir())
    paths = {name: folder.path / name for name in names}
    return {f"{RUN}/{name}": path for name, path in paths.items() if path.is_file() and not path.is_symlink()}


def _checkpoints_elsewhere(folder: RunFolder, state: RunState, checkpoints: Checkpoints) -> list[str]:
    """Says which of the wanted checkpoints stand at another place than the run folder, and how they come here."""
    if recorded_place(folder) is None:
        return []
    wanted = [path for experiment in state.experiments.values() for path in _chosen(experiment, checkpoints)]
    missing = [path for path in wanted if not (folder.path / path).is_dir()]
    if not missing:
        return []
    more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
    return [
        f"checkpoints: `{missing[0]}`{more}; `mlgym checkpoints {folder.run_id} --fetch` brings what stands elsewhere"
    ]


def _chosen(experiment: ExperimentState, which: Checkpoints) -> list[str]:
    """Gives the paths of checkpoints, relative to the run."""
    standing = sorted(experiment.checkpoints.values(), key=lambda record: (record.step, record.epoch))
    if which == "none" or not standing:
        return []
    if which == "all":
        return [record.path for record in standing]
    best = marked_best(experiment) if which == "best" else []
    return [(best or standing)[-1].path]


def _files_of_code(folder: RunFolder, recorded: Any) -> tuple[dict[str, Path], list[str]]:
    """Gives the user's modules as the run recorded them, and what is wrong with them."""
    places = [place for place in (code_folder(folder), Path.cwd()) if place is not None]
    files: dict[str, Path] = {}
    left_out = []
    for module, entry in sorted(recorded.items()) if isinstance(recorded, Mapping) else ():
        path, sha256 = (entry.get("path"), entry.get("sha256")) if isinstance(entry, Mapping) else (None, None)
        if not isinstance(path, str):
            continue
        found = [place / path for place in places if (place / path).is_file()]
        if not found and module.partition(".")[0] in packages_distributions():
            continue  # the list of packages has it
        same = next((candidate for candidate in found if sha256_of(candidate) == sha256), None)
        if same is None:
            state = "has changed since the run" if found else "is not there any more"
            left_out.append(f"module `{module}`: `{path}` {state}")
        if found:
            files[f"{CODE}/{path}"] = same or found[0]
    return files, left_out


def _refuse_secrets(files: Mapping[str, Path]) -> None:
    known = own_secrets()
    found = [
        f"{name}:{line}"
        for name, path in files.items()
        if name.endswith(_TEXTS) and not name.startswith(f"{DATA}/")
        for line in places_of_secrets(path.read_text(encoding="utf-8", errors="replace"), known)
    ]
    if found:
        shown = ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
        raise RunError(
            f"these lines look like they hold a password or token: {shown}. Whoever gets the archive can read them: "
            "remove them, or pack all the same with `--allow-secrets`"
        )


def _member(content: Path | bytes) -> Member:
    if isinstance(content, bytes):
        return Member(len(content), hashlib.sha256(content).hexdigest())
    return Member(content.stat().st_size, sha256_of(content))


def _write(target: Path, manifest: Manifest, contents: Mapping[str, Path | bytes]) -> int:
    """Writes the archive under its name once it is whole; gives its size in bytes."""
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with zipfile.ZipFile(temporary, "x") as archive:
            _add(
                archive, f"{manifest.run_id}/{MANIFEST}", [msgspec.json.format(msgspec.json.encode(manifest), indent=1)]
            )
            for name, member in manifest.members.items():
                _add(archive, f"{manifest.run_id}/{name}", _checked_chunks(name, contents[name], member))
        _give_name(temporary, target)
        return target.stat().st_size
    except FileExistsError:
        raise RunError(f"`{target}` exists already; name another file with `--to FILE`") from None
    except OSError as error:
        raise RunError(f"`{target}` cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _give_name(temporary: Path, target: Path) -> None:
    """Gives a file its name; one that has come to exist meanwhile is not replaced."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        target.touch(exist_ok=False)  # the name is ours from here on
        temporary.replace(target)


def _add(archive: zipfile.ZipFile, name: str, chunks: Any) -> None:
    info = zipfile.ZipInfo(name, _EPOCH_OF_ZIP)
    info.compress_type = zipfile.ZIP_STORED if name.endswith(_COMPRESSED_ALREADY) else zipfile.ZIP_DEFLATED
    info.external_attr = _FILE_MODE << 16
    with archive.open(info, "w", force_zip64=True) as member:
        for chunk in chunks:
            member.write(chunk)


def _checked_chunks(name: str, content: Path | bytes, member: Member) -> Iterator[bytes]:
    """Yields a file's content; refuses one that is not any more what the manifest says."""
    if isinstance(content, bytes):
        yield content
        return
    hasher = hashlib.sha256()
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
            yield chunk
    if hasher.hexdigest() != member.sha256:
        raise RunError(f"`{content}` changed while it was packed as `{name}`; try again when nothing writes it")
