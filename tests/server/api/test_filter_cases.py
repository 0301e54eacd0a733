"""Filters are read by the hub and by the board: both hold to the cases in `filter_cases.json`.

The file has the table that the cases are about, as the hub answers it, and what each filter leaves of it or why it is
refused; `frontend/src/lib/filter/cases.test.ts` reads it too.

python -m tests.server.api.test_filter_cases     writes the table anew, where answers of the hub have changed
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any, Final

import pytest

from mlgym.server.api.reads import Reads
from mlgym.server.notes_log import NotesLog
from mlgym.server.refusal import RefusedError
from mlgym.server.store import HubStore
from mlgym.server.trash import Trash
from tests.server.projection.logs import RUN_ID, Recorder

CASES: Final = Path(__file__).with_name("filter_cases.json")
GIVEN: Final[dict[str, Any]] = json.loads(CASES.read_text(encoding="utf-8"))
READ: Final = (
    "experiment_id", "status", "device", "error", "exit_signal", "stop_reason", "swept", "trial", "latest", "best",
    "duration_s", "attempt",
)  # fmt: skip
"""What of a row the cases ask for."""


def reads_over(storage: Path) -> Reads:
    """Gives a read side over a run whose experiments ended well, failed, go on, and measured what is no number."""
    log = Recorder(storage / RUN_ID / "event_storage.log")
    log.start(5)
    for number, (lr, hidden) in enumerate([(0.1, [8, 4]), (0.001, [8]), (1, None), (0.001, [16]), (0.5, [16])]):
        swept = {
            "optimizer.lr": lr,
            "model.hidden": hidden,
            "loss.hidden": f"h{number}",
            "trainer.amp": number % 2 == 0,
        }
        log.configure(number, **swept)
    for number, scores in enumerate([[0.2, 0.95, 0.9], [0.91], [], [0.4], [math.nan, math.inf]]):
        log.job(number, "RUNNING")
        for epoch, score in enumerate(scores, start=1):
            log.evaluate(number, epoch, f1_macro=score)
    log.job(0, "DONE")
    log.job(1, "DONE")
    log.job(2, "DONE", error="RuntimeError: CUDA out of memory (2 GiB)")
    store, notes = HubStore(storage), NotesLog(storage)
    return Reads(store, notes, Trash(store, notes))


def table_of(reads: Reads, text: str | None = None) -> dict[str, Any]:
    answer = reads.experiments(
        RUN_ID, at=None, text=text, sort="experiment_id", order="asc", limit=100, offset=0, metrics=None
    )
    found = json.loads(bytes(answer.body))
    return {"columns": found["columns"], "rows": [{key: row[key] for key in READ} for row in found["rows"]]}


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> Reads:
    return reads_over(tmp_path_factory.mktemp("storage"))


def test_the_table_is_what_the_hub_answers(reads: Reads) -> None:
    """What the board's test reads is not stale."""
    assert GIVEN["table"] == table_of(reads)


@pytest.mark.parametrize("case", GIVEN["cases"], ids=lambda case: case["filter"])
def test_filters(reads: Reads, case: dict[str, Any]) -> None:
    """What a filter leaves, or the words with which it is refused."""
    if "error" not in case:
        assert [row["experiment_id"] for row in table_of(reads, case["filter"])["rows"]] == case["rows"]
        return
    with pytest.raises(RefusedError) as caught:
        table_of(reads, case["filter"])
    assert case["error"] in str(caught.value)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(GIVEN | {"table": table_of(reads_over(Path(folder)))}, indent=1, ensure_ascii=False)
    CASES.write_text(text + "\n", encoding="utf-8")
