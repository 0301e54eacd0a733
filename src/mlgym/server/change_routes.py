"""What people change about runs: their name, tags and notes, and whether they are in the trash."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mlgym.events import RunAnnotated
from mlgym.server.notes_log import NotesLog
from mlgym.server.store import HubStore
from mlgym.server.trash import Trash

_MAX_TAGS: Final = 50


def _of_one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text.strip()


def _without_repeats(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


_Tag = Annotated[str, Field(max_length=64), AfterValidator(_of_one_line), AfterValidator(_not_empty)]


class NotesChange(BaseModel):
    """What to write on a run; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "baseline", "tags": ["paper", "mnist"], "notes": "With seed 2."}]},
    )

    name: Annotated[str | None, Field(max_length=200), AfterValidator(lambda text: text and _of_one_line(text))] = None
    tags: Annotated[list[_Tag], Field(max_length=_MAX_TAGS), AfterValidator(_without_repeats)] | None = None
    notes: Annotated[str | None, Field(max_length=65_536)] = None


class RunNotes(BaseModel):
    """What is written on a run: an empty name stands for what its config calls it."""

    run_id: str
    name: str
    tags: list[str]
    notes: str


class TrashedNumber(BaseModel):
    """A run that was moved to the trash, or out of it; `number` counts the deleted runs of its id."""

    run_id: str
    number: int


def change_routes(store: HubStore, notes: NotesLog, trash: Trash) -> APIRouter:
    """Gives the routes that change what people see of runs, and nothing of their logs.

    Args:
        store: where runs are.
        notes: what is written on them.
        trash: the deleted ones.
    """
    routes = APIRouter()

    @routes.get("/runs/{run}/notes")
    def get_notes(run: str) -> RunNotes:
        """The name, tags and notes of a run."""
        return _notes(notes, store.run(run).run_id)

    @routes.patch("/runs/{run}")
    def change_notes(run: str, change: NotesChange) -> RunNotes:
        """Writes the name, tags or notes of a run."""
        run_id = store.run(run).run_id
        if change.model_fields_set:
            notes.write(RunAnnotated(grid_search_id=run_id, name=change.name, tags=change.tags, notes=change.notes))
        return _notes(notes, run_id)

    @routes.delete("/runs/{run}")
    def delete_run(run: str) -> TrashedNumber:
        """Moves a run to the trash; one that is being written stays."""
        return TrashedNumber(run_id=run, number=trash.put(run).number)

    @routes.post("/runs/{run}/restore")
    def restore_run(run: str) -> TrashedNumber:
        """Takes the run of this id that was deleted last out of the trash."""
        return TrashedNumber(run_id=run, number=trash.restore(run).number)

    return routes


def _notes(notes: NotesLog, run_id: str) -> RunNotes:
    found = notes.of(run_id)
    return RunNotes(run_id=run_id, name=found.name, tags=list(found.tags), notes=found.notes)
