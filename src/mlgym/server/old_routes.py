"""The routes of MLgym 0.0.75, whose clients take anything but 200 for a failure."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from pathlib import Path
from typing import Any, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from mlgym.events.durable import fsync_folder
from mlgym.names import safe_name
from mlgym.server.api.long_logs import until_read
from mlgym.server.api.reads import Reads
from mlgym.server.bodies import FormFile, ThreadedWriter
from mlgym.server.file_routes import download
from mlgym.server.refusal import RefusedError, not_found
from mlgym.server.store import HubStore, number
from mlgym.tracking.manifest import MANIFEST_FILE, remove_checkpoint

_FIELD: Final = "checkpoint_file"
_CONFIG: Final = "experiment_config.json"
_SUFFIXES: Final = {"YAML": (".yml", ".yaml"), "JSON": (".json",)}


class ConfigText(BaseModel):
    """A config as text."""

    file_format: Literal["YAML", "JSON"]
    content: str


class ExperimentFacts(BaseModel):
    """An experiment; `last_checkpoint_id` is the last epoch of a checkpoint, -1 where there is none."""

    experiment_id: int
    last_checkpoint_id: int
    experiment_config: Any


class EpochFiles(BaseModel):
    """The files of the checkpoints of an epoch."""

    experiment_id: int
    epoch: int
    checkpoints: list[str]


def old_routes(store: HubStore, reads: Reads) -> APIRouter:
    """Gives the older routes.

    Args:
        store: where runs are.
        reads: answers what is asked about runs.
    """
    routes = APIRouter()

    @routes.get("/grid_searches/{run}/experiments")
    def experiments(run: str) -> list[ExperimentFacts]:
        """The experiments of a run."""
        return [_experiment(store, run, each) for each in store.experiments(run)]

    @routes.get("/grid_searches/{run}/{name}")
    def get_run_config(run: str, name: str) -> Response:
        """A config of the run."""
        return Response(store.file(run, f"{safe_name(name)}.yml").read_bytes(), media_type="application/yaml")

    @routes.get("/grid_searches/{run}/{experiment}/{name}")
    def get_experiment_config(run: str, experiment: str, name: str) -> Response:
        """A config of an experiment."""
        path = store.file(run, f"{number(experiment, 'experiment id')}/{safe_name(name)}.json")
        return Response(path.read_bytes(), media_type="application/json")

    @routes.put("/grid_searches/{run}/{name}")
    def put_run_config(run: str, name: str, body: ConfigText) -> dict[str, str]:
        """Writes a config of the run."""
        return _put(store, run, name, body)

    @routes.put("/grid_searches/{run}/{experiment}/{name}")
    def put_experiment_config(run: str, experiment: str, name: str, body: ConfigText) -> dict[str, str]:
        """Writes a config of an experiment."""
        return _put(store, run, f"{number(experiment, 'experiment id')}/{safe_name(name)}", body)

    @routes.get("/checkpoint_list/{run}/{experiment}")
    def list_epochs(run: str, experiment: str) -> list[EpochFiles]:
        """The checkpoints of an experiment."""
        return _epoch_files(store, run, experiment)

    @routes.get("/checkpoint_list/{run}/{experiment}/{epoch}")
    def list_epoch(run: str, experiment: str, epoch: str) -> list[EpochFiles]:
        """The checkpoints of an epoch."""
        wanted = number(epoch, "epoch")
        return [each for each in _epoch_files(store, run, experiment) if each.epoch == wanted]

    @routes.get("/checkpoints/{run}/{experiment}/{epoch}/{file}", response_class=FileResponse)
    def get_checkpoint(run: str, experiment: str, epoch: str, file: str) -> FileResponse:
        """A file of a checkpoint, or a range of it; where an epoch has several, of the last one."""
        return download(_found(store, run, experiment, epoch, safe_name(file, "file name")))

    @routes.post("/checkpoints/{run}/{experiment}/{epoch}")
    async def post_checkpoint(run: str, experiment: str, epoch: str, request: Request) -> dict[str, str]:
        """Takes a file of a checkpoint; it is stored as it is and never opened."""
        folder = await asyncio.to_thread(store.epoch_dir, run, experiment, epoch)
        return {"file": await _receive(request, folder)}

    @routes.delete("/checkpoints/{run}/{experiment}/{epoch}")
    def delete_epoch(run: str, experiment: str, epoch: str) -> dict[str, str]:
        """Removes the checkpoints of an epoch."""
        folders = store.epochs(run, experiment).get(number(epoch, "epoch"), [])
        if not sum(remove_checkpoint(folder) for folder in folders):
            raise not_found(f"experiment {experiment} has no checkpoint of epoch {epoch}")
        return {"deleted": epoch}

    @routes.delete("/checkpoints/{run}/{experiment}/{epoch}/{file}")
    def delete_file(run: str, experiment: str, epoch: str, file: str) -> dict[str, str]:
        """Removes a file that an older client sent; of other checkpoints nothing can be missing."""
        path = _found(store, run, experiment, epoch, safe_name(file, "file name"))
        if (path.parent / MANIFEST_FILE).exists():
            raise RefusedError(409, "conflict", f"`{file}` is a part of a checkpoint, which is deleted as a whole")
        path.unlink(missing_ok=True)
        fsync_folder(path.parent)
        return {"deleted": file}

    @routes.get("/model-card/{run}/{experiment}", dependencies=[Depends(until_read(reads))])
    def model_card(run: str, experiment: str) -> Response:
        """The model card of an experiment, as `/api/v1` gives it."""
        return reads.model_card(run, number(experiment, "experiment id"), format="json", at=None)

    @routes.get("/system-info/{run}/{experiment}", dependencies=[Depends(until_read(reads))])
    def system_info(run: str, experiment: str) -> Response:
        """The surroundings in which an experiment was trained."""
        return reads.system_info(run, number(experiment, "experiment id"))

    return routes


def _experiment(store: HubStore, run: str, experiment_id: int) -> ExperimentFacts:
    try:
        config = json.loads(store.file(run, f"{experiment_id}/{_CONFIG}").read_bytes())
    except (RefusedError, ValueError, RecursionError):
        config = None
    last = max(store.epochs(run, str(experiment_id)), default=-1)
    return ExperimentFacts(experiment_id=experiment_id, last_checkpoint_id=last, experiment_config=config)


def _put(store: HubStore, run: str, name: str, body: ConfigText) -> dict[str, str]:
    if not name.endswith(_SUFFIXES[body.file_format]):
        raise RefusedError(400, "invalid_name", f"a {body.file_format} file ends in {_SUFFIXES[body.file_format][0]}")
    if body.file_format == "JSON":
        try:
            json.loads(body.content)
        except (ValueError, RecursionError) as error:
            raise RefusedError(422, "invalid", f"`content` is no JSON: {error}", path="content") from error
    try:
        content = body.content.encode()
    except UnicodeEncodeError:
        raise RefusedError(422, "invalid", "`content` has half a character in it", path="content") from None
    store.put_file(run, name, content)
    return {"file": name}


def _epoch_files(store: HubStore, run: str, experiment: str) -> list[EpochFiles]:
    listed = []
    for epoch, folders in store.epochs(run, experiment).items():
        names = {each.name for folder in folders for each in folder.iterdir() if not each.name.startswith(".")}
        if names:
            listed.append(
                EpochFiles(experiment_id=int(experiment), epoch=epoch, checkpoints=sorted(names - {MANIFEST_FILE}))
            )
    return listed


def _found(store: HubStore, run: str, experiment: str, epoch: str, file: str) -> Path:
    folders = store.epochs(run, experiment).get(number(epoch, "epoch"), [])
    paths = [folder / file for folder in folders if (folder / file).is_file() and not (folder / file).is_symlink()]
    if not paths:
        raise not_found(f"experiment {experiment} has no `{file}` of epoch {epoch}")
    return paths[-1]


async def _receive(request: Request, folder: Path) -> str:
    names: list[str] = []
    form = FormFile(
        request.headers.get("content-type", ""), _FIELD, lambda name: names.append(safe_name(name, "file name"))
    )
    temporary = folder / f".{secrets.token_hex(8)}.part"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        writer = ThreadedWriter(descriptor)
        async for piece in request.stream():
            await writer.write(form.feed(piece))
        form.close()
        await writer.flush()
        await asyncio.to_thread(os.fsync, descriptor)
        temporary.replace(folder / names[0])
        await asyncio.to_thread(fsync_folder, folder)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return names[0]
