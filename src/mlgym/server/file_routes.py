"""Configs and checkpoints of runs: lists with hashes, downloads, uploads that go on where they were cut off."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Message, Receive, Scope, Send

from mlgym.server.bodies import write_body
from mlgym.server.refusal import RefusedError, no_such_range, not_found
from mlgym.server.store import HubStore, Listing
from mlgym.server.uploads import OFFSET, Uploads
from mlgym.tracking.manifest import FileEntry

_MAX_FILES: Final = 256


class FileFacts(BaseModel):
    """Size and hash of a file."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """What the files of a checkpoint are."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[dict[str, FileFacts], Field(min_length=1, max_length=_MAX_FILES)]


class ListingFacts(BaseModel):
    """A complete checkpoint or artifact."""

    experiment_id: int
    name: str
    files: dict[str, FileFacts]


class Offset(BaseModel):
    """How many bytes of a file are there."""

    offset: int


class Done(BaseModel):
    """What was asked for is done."""

    done: bool = True


def file_routes(store: HubStore, uploads: Uploads) -> APIRouter:
    """Gives the routes of files.

    Args:
        store: where runs are.
        uploads: its unfinished checkpoints.
    """
    routes = APIRouter()

    @routes.get("/runs/{run}/files")
    def list_files(run: str) -> dict[str, FileFacts]:
        """The configs and records of a run and its experiments, by their path within the run."""
        return {name: FileFacts.model_validate(entry) for name, entry in store.files(run)}

    @routes.get("/runs/{run}/files/{name:path}", response_class=FileResponse)
    def get_file(run: str, name: str) -> FileResponse:
        """A config or record."""
        return download(store.file(run, name))

    @routes.put("/runs/{run}/files/{name:path}")
    async def put_file(run: str, name: str, request: Request) -> Done:
        """Writes a config or record, whole or not at all."""
        await asyncio.to_thread(store.put_file, run, name, await request.body())
        return Done()

    @routes.get("/runs/{run}/checkpoints")
    def list_checkpoints(run: str) -> list[ListingFacts]:
        """The complete checkpoints of a run."""
        return [_facts(one) for one in store.checkpoints(run)]

    @routes.get("/runs/{run}/artifacts")
    def list_artifacts(run: str) -> list[ListingFacts]:
        """The figures, texts and files that were logged in a run."""
        return [_facts(one) for one in store.artifacts(run)]

    @routes.get("/runs/{run}/artifacts/{experiment}/{name}/{file}", response_class=FileResponse)
    def get_artifact_file(run: str, experiment: str, name: str, file: str) -> FileResponse:
        """A file of an artifact, or a range of it."""
        return download(store.artifact_file(run, experiment, name, file))

    @routes.get("/runs/{run}/checkpoints/{experiment}/{name}/{file}", response_class=FileResponse)
    def get_checkpoint_file(run: str, experiment: str, name: str, file: str) -> FileResponse:
        """A file of a checkpoint, or a range of it."""
        return download(store.checkpoint_file(run, experiment, name, file))

    @routes.delete("/runs/{run}/checkpoints/{experiment}/{name}")
    def delete_checkpoint(run: str, experiment: str, name: str) -> Done:
        """Removes a checkpoint, and what was sent of one that is not complete."""
        was_begun = uploads.discard(run, experiment, name)
        if not store.delete_checkpoint(run, experiment, name) and not was_begun:
            raise not_found(f"experiment {experiment} has no checkpoint `{name}`")
        return Done()

    @routes.get("/runs/{run}/uploads/{experiment}/{name}/{file}")
    def get_offset(run: str, experiment: str, name: str, file: str) -> Offset:
        """How much of a file was sent."""
        return Offset(offset=uploads.offset(run, experiment, name, file))

    @routes.patch("/runs/{run}/uploads/{experiment}/{name}/{file}")
    async def send_part(
        run: str,
        experiment: str,
        name: str,
        file: str,
        request: Request,
        response: Response,
        upload_offset: Annotated[int, Header(ge=0)],
    ) -> Offset:
        """Adds bytes to a file; `Upload-Offset` says how many are there, and 409 has the right number of them."""
        writing = uploads.writing(run, experiment, name, file, upload_offset)
        descriptor = await asyncio.to_thread(writing.__enter__)
        try:
            await write_body(request, descriptor, uploads.max_bytes - upload_offset)
        finally:
            writing.__exit__(None, None, None)
        offset = await asyncio.to_thread(uploads.offset, run, experiment, name, file)
        response.headers[OFFSET] = str(offset)
        return Offset(offset=offset)

    @routes.post("/runs/{run}/uploads/{experiment}/{name}")
    def finish(run: str, experiment: str, name: str, manifest: Manifest) -> Done:
        """Makes a checkpoint of what was sent, if every size and hash is right."""
        files = {file: FileEntry(facts.bytes, facts.sha256) for file, facts in manifest.files.items()}
        uploads.finish(run, experiment, name, files)
        return Done()

    return routes


def _facts(one: Listing) -> ListingFacts:
    files = {file: FileFacts.model_validate(entry) for file, entry in one.files.items()}
    return ListingFacts(experiment_id=one.experiment_id, name=one.name, files=files)


class _Download(FileResponse):
    """A file that answers a `Range` it cannot serve as all routes answer errors, and not in plain text."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_refuse(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
                raise self._refusal(message["status"])
            await send(message)

        await super().__call__(scope, receive, send_or_refuse)

    def _refusal(self, status: int) -> RefusedError:
        assert self.stat_result is not None
        size = self.stat_result.st_size
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return no_such_range(size)
        message = "`Range` is not understood; write `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-LENGTH`"
        return RefusedError(status, "bad_range", message, path="header.Range")


def download(path: Path) -> FileResponse:
    """Gives a file as bytes that no browser shows."""
    return _Download(
        path, media_type="application/octet-stream", filename=path.name, stat_result=path.stat(follow_symlinks=False)
    )
