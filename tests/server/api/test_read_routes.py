"""Queries of the read side over HTTP: each answer is what its model says, and what the log says at that moment."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import struct
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars
import pytest
import yaml

from mlgym.server.api import curves, exports, log_lines, models
from mlgym.server.api.reads import Reads
from mlgym.server.notes_log import NotesLog
from mlgym.server.refusal import RefusedError
from mlgym.server.store import HubStore
from mlgym.server.trash import Trash
from tests.server.projection.logs import RUN_ID, Recorder, write_run
from tests.server.service import Service

API = "/api/v1/runs"


@pytest.fixture(scope="module")
def run(service: Service) -> Recorder:
    """A run whose log holds everything."""
    return write_run(service.storage / RUN_ID / "event_storage.log")


def got(http: httpx.Client, path: str, **params: Any) -> Any:
    answer = http.get(f"{API}{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(http: httpx.Client, path: str, **params: Any) -> dict[str, Any]:
    answer = http.get(f"{API}{path}", params=params)
    assert 400 <= answer.status_code < 500, answer.text
    error: dict[str, Any] = models.ErrorAnswer.model_validate(answer.json()).error.model_dump()
    return error


def ids(table: dict[str, Any]) -> list[int]:
    return [row["experiment_id"] for row in table["rows"]]


def test_one_run(http: httpx.Client, run: Recorder) -> None:
    """Everything that the log says of the run, beside what stands in the file."""
    detail = models.RunDetail.model_validate(got(http, f"/{RUN_ID}"))
    data = run.path.read_bytes()
    assert (detail.num_events, detail.at, detail.num_bytes) == (run.num_events, run.num_events, len(data))
    assert detail.last_crc == data[-11:-3].decode()
    assert (detail.name, detail.status, detail.num_experiments) == ("digits", "running", 5)
    assert detail.counts.model_dump() == {"waiting": 2, "running": 1, "done": 1, "failed": 1, "interrupted": 0}
    assert (detail.num_starts, detail.is_live, detail.config_text) == (2, True, None)
    assert detail.swept_keys == ["optimizer.lr", "model.use"]
    assert detail.selected_metric == detail.metric_keys[0] == "val/f1"
    f1 = detail.metrics[0]
    assert f1.best is not None
    assert (f1.direction, f1.best.non_finite, f1.best_experiment, f1.latest_experiment) == ("max", "inf", 2, 2)


def test_the_table_of_experiments(http: httpx.Client, run: Recorder) -> None:
    """Latest and best values, rank and facts of each experiment; NaN and infinities by name."""
    table = got(http, f"/{RUN_ID}/experiments")
    models.ExperimentTable.model_validate(table)
    assert (table["total"], table["num_all"], ids(table)) == (4, 4, [0, 1, 2, 3])
    first, second, third, fourth = table["rows"]
    assert first["latest"]["val/f1"] == {"value": 0.9, "epoch": 4, "step": 40, "non_finite": None}
    assert first["best"]["train/loss"]["value"] == 0.25
    assert (first["status"], first["num_checkpoints"], first["rank"]) == ("done", 1, 2)
    assert (second["status"], second["exit_signal"], second["rank"]) == ("failed", "SIGKILL", None)
    assert third["latest"]["val/f1"] == {"value": None, "epoch": 4, "step": 40, "non_finite": "inf"}
    assert (fourth["latest"], fourth["best"], fourth["status"]) == ({}, {}, "waiting")
    columns = {column["key"]: column for column in table["columns"]}
    assert columns["optimizer.lr"] == {
        "key": "optimizer.lr", "kind": "swept", "type": "number", "direction": None, "num_distinct": 4,
    }  # fmt: skip
    assert (columns["val/f1"]["direction"], columns["train/loss"]["direction"]) == ("max", "min")


def test_sorting_and_pages(http: httpx.Client, run: Recorder) -> None:
    """Rows come in the order of a column, those without a value last, as many as asked for."""
    path = f"/{RUN_ID}/experiments"
    assert ids(got(http, path, sort="val/f1", order="desc")) == [2, 0, 1, 3]
    assert ids(got(http, path, sort="val/f1")) == [1, 0, 2, 3]
    assert ids(got(http, path, sort="latest(train/loss)")) == [0, 1, 2, 3]
    assert ids(got(http, path, sort="latest:train/loss", order="desc"))[-1] == 3
    assert ids(got(http, path, sort="best:val/f1")) == [1, 0, 2, 3]
    assert ids(got(http, path, sort="lr")) == [3, 2, 1, 0]
    page = got(http, path, sort="id", order="desc", limit=2, offset=1)
    assert (page["total"], ids(page)) == (4, [2, 1])
    some = got(http, path, columns=["val/mcc", "no/such"])
    assert [list(row["latest"]) for row in some["rows"]] == [["val/mcc"], [], [], []]
    assert ids(got(http, path, filter="lr<0.05 and not status:failed")) == [2, 3]
    assert ids(got(http, path, filter="trial.configuration:1,3 or configuration=0")) == [0, 1, 3]
    assert ids(got(http, path, filter="config.components.model.hidden=[8] and epoch>=4")) == [0, 1, 2]
    trial = [column["key"] for column in got(http, path)["columns"] if column["kind"] == "trial"]
    assert trial == ["trial.configuration", "trial.role"]  # what none of them has is no column
    assert refused(http, path, sort="val/f2") == {
        "code": "unknown_column",
        "message": "no experiment has `val/f2`; did you mean `val/f1`?",
        "path": "sort",
    }
    assert refused(http, path, filter="lr<")["path"] == "filter"


def test_one_experiment(http: httpx.Client, run: Recorder) -> None:
    """What the row says, and the rest: config, checkpoints, tables, trace, verdicts."""
    detail = models.ExperimentDetail.model_validate(got(http, f"/{RUN_ID}/experiments/0"))
    assert detail.config["components"]["optimizer"]["lr"] == 0.1
    assert [one.path for one in detail.checkpoints] == ["0/checkpoints/epoch_4-step_40"]
    assert detail.num_parameters == 1234
    assert [(one.key, one.num_points) for one in detail.metrics] == [("val/f1", 4), ("val/mcc", 4), ("train/loss", 4)]
    third = models.ExperimentDetail.model_validate(got(http, f"/{RUN_ID}/experiments/2"))
    assert third.tables[0].values == [[3, 1], [0, 4]]
    assert (third.lineage, third.attempt) == (1, 1)
    assert got(http, f"/{RUN_ID}/experiments/1")["stacktrace"] == "Traceback"
    assert refused(http, f"/{RUN_ID}/experiments/4")["code"] == "not_found"
    assert refused(http, f"/{RUN_ID}/experiments/x")["code"] == "invalid"
    assert refused(http, "/no-such-run/experiments")["code"] == "not_found"


def test_time_travel_is_what_a_shorter_log_says(http: httpx.Client, run: Recorder, service: Service) -> None:
    """Each query as of event N answers as the same query on a log that ends there."""
    lines = run.path.read_bytes().splitlines(keepends=True)
    queries = ["", "/experiments?sort=val/f1", "/metrics?points=8", "/timeline", "/logs", "/export", "/report",
               "/export?what=metrics", "/experiments/0", "/experiments/0/model-card", "/diff?a=0&b=1"]  # fmt: skip
    for count in (0, 1, 5, 14, 20, 31, len(lines) - 4, len(lines)):
        folder = service.storage / f"cut-{count}"
        folder.mkdir()
        (folder / "event_storage.log").write_bytes(b"".join(lines[:count]))
        for query in queries:
            mark = "&" if "?" in query else "?"
            past = http.get(f"{API}/{RUN_ID}{query}{mark}at={count}")
            cut = http.get(f"{API}/cut-{count}{query}")
            assert past.status_code == cut.status_code, (query, past.text)
            if past.status_code == 200:
                assert comparable(past) == comparable(cut), (query, count)
    assert refused(http, f"/{RUN_ID}", at=len(lines) + 1)["code"] == "at_out_of_range"


def comparable(answer: httpx.Response) -> Any:
    """An answer without what tells a run from its copy."""
    if not answer.headers["content-type"].startswith("application/json"):
        return answer.text
    data = answer.json()
    for key in ("run_id", "num_bytes", "num_events", "last_crc", "is_live", "a", "b"):
        data.pop(key, None)
    for series in data.get("series", []):
        series.pop("run_id", None)
    return data


def test_curves(http: httpx.Client, run: Recorder) -> None:
    """Columns of many experiments at once; binary ones are the same numbers."""
    query = {"keys": ["val/f1"], "match": "^train/l", "experiments": [0, 1, 2, 77]}
    found = http.post(f"{API}/{RUN_ID}/metrics", json=query).json()
    models.MetricColumns.model_validate(found)
    series = {(one["experiment_id"], one["key"]): one for one in found["series"]}
    assert list(series) == [(number, key) for number in range(3) for key in ("val/f1", "train/loss")]
    assert series[1, "val/f1"]["values"] == [0.4, None, 0.4, 0.4]
    assert series[1, "val/f1"]["non_finite"] == {"nan": [1]}
    assert series[2, "val/f1"]["values"] == [0.8, 0.7, 0.95, None]  # what the resume replaced is gone
    assert series[0, "val/f1"]["epochs"] == [1, 2, 3, 4]
    assert series[0, "val/f1"]["times"] == sorted(series[0, "val/f1"]["times"])
    data = http.post(f"{API}/{RUN_ID}/metrics", json={**query, "format": "binary"})
    assert data.headers["content-type"] == "application/vnd.mlgym.columns"
    assert data.content[:8] == b"MLGYMCOL"
    version, length = struct.unpack("<II", data.content[8:16])
    header = json.loads(data.content[16 : 16 + length])
    assert (version, length % 8, header["at"]) == (1, 0, run.num_events)
    columns = np.frombuffer(data.content, "<f8", offset=16 + length).reshape(4, header["num_points"])
    for one in header["series"]:
        part = columns[:, one["offset"] : one["offset"] + one["length"]]
        same = series[one["experiment_id"], one["key"]]
        assert part[:3].tolist() == [same["epochs"], same["steps"], same["times"]]
        assert [None if not math.isfinite(value) else value for value in part[3]] == same["values"]
    got_all = got(http, f"/{RUN_ID}/metrics")
    assert len(got_all["series"]) == 7
    assert got(http, f"/{RUN_ID}/metrics", keys="no/such")["series"] == []
    assert refused(http, f"/{RUN_ID}/metrics", match="(")["path"] == "match"
    assert refused(http, f"/{RUN_ID}/metrics", points=3)["code"] == "invalid"


def test_log_lines(http: httpx.Client, run: Recorder) -> None:
    """The last lines that match, oldest first, page by page, without control characters being changed."""
    path = f"/{RUN_ID}/logs"
    everything = got(http, path)
    models.LogLines.model_validate(everything)
    assert [line["message"] for line in everything["lines"]][:2] == ["epoch 1", "epoch 2"]
    assert [line["message"] for line in got(http, path, experiment=-1)["lines"]] == ["the driver speaks"]
    assert [line["level"] for line in got(http, path, level="warning")["lines"]] == ["error", "warning"]
    assert [line["experiment_id"] for line in got(http, path, contains="OUT OF")["lines"]] == [1]
    page = got(http, path, experiment=0, tail=3)
    assert [line["message"] for line in page["lines"]] == ["epoch 2", "epoch 3", "epoch 4"]
    before = got(http, path, experiment=0, tail=3, before=page["next_before"])
    assert ([line["message"] for line in before["lines"]], before["next_before"]) == (["epoch 1"], None)


def test_timeline(http: httpx.Client, run: Recorder) -> None:
    """Growing numbers of events with their times, to the last, and the starts and ends."""
    timeline = models.Timeline.model_validate(got(http, f"/{RUN_ID}/timeline"))
    assert timeline.event_ids == list(range(1, run.num_events + 1))
    few = models.Timeline.model_validate(got(http, f"/{RUN_ID}/timeline", points=4))
    assert len(few.event_ids) <= 4
    assert (few.event_ids[0], few.event_ids[-1]) == (1, run.num_events)
    kinds = [mark.kind for mark in timeline.marks]
    assert kinds == ["run_started", *["experiment_started"] * 3, "experiment_failed", "experiment_done", "run_resumed",
                     "experiment_started"]  # fmt: skip


def test_differences_of_configs(http: httpx.Client, run: Recorder, service: Service) -> None:
    """Two experiments, of one run or of two."""
    write_run(service.storage / "other" / "event_storage.log", "other")
    changes = [
        {"key": "model.use", "kind": "changed", "old": "mlp", "new": "=cmd()"},
        {"key": "optimizer.lr", "kind": "changed", "old": 0.1, "new": 0.01},
    ]
    diff = got(http, f"/{RUN_ID}/diff", a="0", b="other/1")
    models.ConfigDiff.model_validate(diff)
    assert diff == {"a": f"{RUN_ID}/0", "b": "other/1", "changes": changes}
    for wrong in ("x", "a/b/0", "../0", "-1", "9" * 10):
        assert refused(http, f"/{RUN_ID}/diff", a=wrong, b="0")["code"] in ("invalid_reference", "invalid_name")


def test_exports(http: httpx.Client, run: Recorder) -> None:
    """Tables as files, with the same numbers; a spreadsheet runs nothing of what a config or an error says."""
    text = http.get(f"{API}/{RUN_ID}/export")
    assert text.headers["content-disposition"] == f'attachment; filename="{RUN_ID}-experiments.csv"'
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert [row["model.use"] for row in rows] == ["mlp", "'=cmd()", "mlp", "conv net"]
    assert [row["best val/f1"] for row in rows] == ["0.9", "0.4", "inf", ""]
    assert not any(cell.startswith(tuple("=+-@\t\r")) for row in csv.reader(io.StringIO(text.text)) for cell in row)
    frame = polars.read_parquet(http.get(f"{API}/{RUN_ID}/export", params={"format": "parquet"}).content)
    assert frame["model.use"].to_list() == ["mlp", "=cmd()", "mlp", "conv net"]  # nobody runs Parquet
    assert frame["optimizer.lr"].dtype == polars.Float64
    points = polars.read_parquet(
        http.get(f"{API}/{RUN_ID}/export", params={"format": "parquet", "what": "metrics", "filter": "id:1"}).content
    )
    f1 = points.filter(polars.col("metric") == "f1")
    assert f1["epoch"].to_list() == [1, 2, 3, 4]
    assert math.isnan(f1["value"][1])
    assert f1["optimizer.lr"].to_list() == [0.01] * 4


def test_too_much_at_once_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves and files have a largest size; a search of log lines goes on where it gave up."""
    monkeypatch.setattr(curves, "MAX_POINTS", 25)
    monkeypatch.setattr(exports, "MAX_POINTS", 25)
    monkeypatch.setattr(log_lines, "_MAX_LOOKED_AT", 2)
    write_run(tmp_path / RUN_ID / "event_storage.log")
    store, notes = HubStore(tmp_path), NotesLog(tmp_path)
    reads = Reads(store, notes, Trash(store, notes))
    with pytest.raises(RefusedError, match="28 points, at most 25"):
        reads.metrics(RUN_ID, models.MetricQuery(points=100))
    with pytest.raises(RefusedError, match="28 measurements, at most 25"):
        reads.export(RUN_ID, format="csv", what="metrics", text=None, at=None)
    assert reads.export(RUN_ID, format="csv", what="metrics", text="id:0", at=None).body
    found: list[str] = []
    before = None
    while True:
        query = log_lines.LogQuery(experiment=None, level=None, contains="epoch", tail=9, before=before)
        page = json.loads(bytes(reads.logs(RUN_ID, query, None).body))
        found = [line["message"] for line in page["lines"]] + found
        before = page["next_before"]
        if before is None:
            break
    assert found == ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]


def test_model_card(http: httpx.Client, run: Recorder, service: Service) -> None:
    """Model, data with class counts, training, metrics, machine and energy, as data and as Markdown."""
    (service.storage / RUN_ID / "0").mkdir(exist_ok=True)
    (service.storage / RUN_ID / "0" / "emissions.csv").write_text(
        "timestamp,duration,emissions,energy_consumed,country_name,codecarbon_version\n"
        "2026-11-23,1,1,1,Germany,3\n2026-11-24,12.5,0.02,0.05,Germany,3.3.2\n"
    )
    data = got(http, f"/{RUN_ID}/experiments/0/model-card")
    card = models.ModelCard.model_validate(data)
    assert (card.model.name, card.model.num_parameters, card.model.num_trainable_parameters) == ("mlp", 1234, 1000)
    assert card.data.name == "digits"
    assert [(one.name, one.num_samples, one.classes) for one in card.data.splits] == [
        ("val", 90, {"cat": 60, "dog": 30})
    ]
    assert (card.training.batch_size, card.training.num_epochs, card.training.num_steps) == (32, 4, 40)
    assert card.training.optimizer["use"] == "adam"
    assert {(one.split, one.metric) for one in card.metrics} == {("val", "f1"), ("val", "mcc"), ("train", "loss")}
    assert card.environment["memory_bytes"] == 2**34
    assert card.energy is not None
    assert (card.energy.energy_kwh, card.energy.source) == (0.05, "codecarbon 3.3.2")
    assert http.get(f"/model-card/{RUN_ID}/0").json() == data
    assert http.get(f"/system-info/{RUN_ID}/0").json() == data["environment"]
    assert http.get(f"/system-info/{RUN_ID}/9").status_code == 404
    page = http.get(f"{API}/{RUN_ID}/experiments/0/model-card", params={"format": "markdown"}).text
    metadata = yaml.safe_load(page.split("---\n")[1])
    results = metadata["model-index"][0]["results"]
    assert {one["dataset"]["split"]: one["metrics"][0]["value"] for one in results} == {"val": 0.9, "train": 0.25}
    assert metadata["co2_eq_emissions"]["emissions"] == 20.0
    assert "| parameters | 1,234 |" in page
    assert f"mlgym reproduce {RUN_ID} --experiment 0" in page


def test_a_model_card_shows_hostile_text_as_text(http: httpx.Client, service: Service) -> None:
    """Nothing out of a config or log becomes markup, a new row of a table, or ends a block of code."""
    recorder = Recorder(service.storage / "hostile" / "event_storage.log", "hostile")
    hostile = "x | y\n\n# <script>alert(1)</script> ```` [a](javascript:1) \x1b[31m"
    recorder.add(
        "run_started", name=hostile, command=["mlgym", hostile], versions={hostile: hostile}, num_experiments=1
    )
    recorder.configure(0, **{"model.use": hostile, "optimizer.lr": hostile})
    page = http.get(f"{API}/hostile/experiments/0/model-card", params={"format": "markdown"}).text
    assert "\x1b" not in page
    outside, fence = [], ""
    for line in page.split("---\n", 2)[2].splitlines():
        if fence:
            fence = "" if line == fence else fence
        elif line.startswith("```"):
            fence = line.rstrip("abcdefghijklmnopqrstuvwxyz")
        else:
            outside.append(line)
    assert fence == ""
    text = "\n".join(outside)
    assert "<script>" not in text
    assert "[a](" not in text
    headings = [line for line in outside if line.startswith("#")]
    assert len(headings) == len(set(headings)) == 7


def test_reports(http: httpx.Client, run: Recorder) -> None:
    """What `mlgym report` says, in each of its forms; unknown metrics are refused."""
    assert got(http, f"/{RUN_ID}/report")["selection"]["metric"] == "val/f1"
    for form, start in (("text", RUN_ID), ("csv", "experiment_id"), ("html", "<!"), ("markdown", "#")):
        answer = http.get(f"{API}/{RUN_ID}/report", params={"format": form}, timeout=60)
        assert answer.status_code == 200
        assert start.lower() in answer.text[:200].lower(), form
    page = http.get(f"{API}/{RUN_ID}/report", params={"format": "html"}, timeout=60)
    assert "attachment" in page.headers["content-disposition"]
    assert refused(http, f"/{RUN_ID}/report", metric="val/f2")["code"] == "no_report"
    assert refused(http, f"/{RUN_ID}/report", against="missing")["code"] == "not_found"


def test_the_list_of_runs(http: httpx.Client, run: Recorder, service: Service) -> None:
    """Runs with what people wrote on them, found, filtered, sorted and paged; and those in the trash."""
    for name in ("alpha", "beta"):
        Recorder(service.storage / name / "event_storage.log", name).start(1)
    (service.storage / "unreadable").mkdir()
    (service.storage / "unreadable" / "event_storage.log").write_bytes(b"\x00\x01 no log\n")
    assert (
        http.patch(f"{API}/alpha", json={"name": "Änderung", "tags": ["a", "b"], "notes": "of note"}).status_code == 200
    )
    listed = got(http, "", limit=1000)
    models.RunList.model_validate(listed)
    by_id = {one["run_id"]: one for one in listed["runs"]}
    assert {RUN_ID, "alpha", "beta", "unreadable"} <= by_id.keys()
    assert (by_id["alpha"]["name"], by_id["alpha"]["tags"]) == ("Änderung", ["a", "b"])
    assert by_id["unreadable"]["num_events"] == 0
    assert by_id[RUN_ID]["metrics"][0]["best_experiment"] == 2
    assert [one["run_id"] for one in got(http, "", search="ÄNDER")["runs"]] == ["alpha"]
    assert [one["run_id"] for one in got(http, "", tag=["a", "b"])["runs"]] == ["alpha"]
    assert got(http, "", tag=["a", "c"])["total"] == 0
    assert got(http, "", status=["finished"])["total"] == 0
    names = [one["run_id"] for one in got(http, "", sort="run_id", order="asc", limit=3)["runs"]]
    assert names == sorted(by_id)[:3]
    assert got(http, "", sort="run_id", order="asc", limit=3, offset=2)["runs"][0]["run_id"] == names[2]
    assert got(http, "", sort="val/f1", order="desc")["runs"][0]["metrics"][0]["best"]["non_finite"] == "inf"
    assert refused(http, "", sort="colour")["path"] == "sort"
    assert http.delete(f"{API}/beta").status_code == 200
    assert "beta" not in [one["run_id"] for one in got(http, "", limit=1000)["runs"]]
    (trashed,) = got(http, "", trash=True)["runs"]
    assert (trashed["run_id"], trashed["is_trashed"], trashed["num_events"]) == ("beta", True, 2)


def test_a_run_that_died_is_told(http: httpx.Client, service: Service) -> None:
    """A run that nobody writes is crashed in the list, in its detail and in its table."""
    recorder = write_run(service.storage / "dead" / "event_storage.log", "dead")
    long_ago = time.time() - 1000
    os.utime(recorder.path, (long_ago, long_ago))
    (listed,) = got(http, "", search="dead")["runs"]
    detail = got(http, "/dead")
    for one in (listed, detail):
        assert (one["status"], one["counts"]["running"], one["counts"]["interrupted"]) == ("crashed", 0, 1)
    assert detail["is_live"] is False
    assert got(http, "/dead/experiments", filter="status:interrupted")["total"] == 1
    assert got(http, "/dead/report")["status"] == "crashed"
    recorder.add("run_finished", num_succeeded=2, num_failed=1)
    assert got(http, "", search="dead")["runs"][0]["status"] == "finished"


LEGACY = [
    {"event_type": "experiment_config", "payload": {"grid_search_id": "old", "experiment_id": 0, "job_id": "old-0",
     "config": {"model": {"component_type_key": "MODEL_REGISTRY", "config": {"model_key": "conv_net"}},
                "optimizer": {"component_type_key": "OPTIMIZER", "config": {"params": {"lr": 0.1}}}}}},
    {"event_type": "job_status", "payload": {"job_id": "old-0", "job_type": 1, "status": "RUNNING",
     "grid_search_id": "old", "experiment_id": 0, "starting_time": 1670000000.0, "finishing_time": -1, "error": "",
     "stacktrace": "", "device": "cuda:0"}},
    {"event_type": "experiment_status", "payload": {"grid_search_id": "old", "experiment_id": 0, "status": "train",
     "num_epochs": 4, "current_epoch": 0, "splits": ["train"], "current_split": "train", "num_batches": 10,
     "current_batch": 5}},
    {"event_type": "evaluation_result", "payload": {"grid_search_id": "old", "experiment_id": 0, "epoch": 0,
     "metric_scores": [{"metric": "F1", "split": "val", "score": 0.5}],
     "loss_scores": [{"loss": "CE", "split": "val", "score": float("nan")}]}},
    {"event_type": "evaluation_result", "payload": {"grid_search_id": "old", "experiment_id": 0, "epoch": 1,
     "metric_scores": [{"metric": "F1", "split": "val", "score": 0.75}], "loss_scores": []}},
]  # fmt: skip


def test_runs_of_older_versions_open(http: httpx.Client, service: Service) -> None:
    """A folder as MLgym 0.0.75 wrote it: no checksums, no run events, no steps, NaN as a word, another config."""
    path = service.storage / "old" / "event_storage.log"
    path.parent.mkdir()
    lines = [json.dumps({**event, "creation_ts": 1_670_000_000_000_000 + i}) for i, event in enumerate(LEGACY)]
    path.write_text("".join(f"{line}\n" for line in lines))
    (path.parent / "grid_search_config.yml").write_text("model: old\n")
    detail = models.RunDetail.model_validate(got(http, "/old"))
    assert (detail.num_events, detail.num_experiments, detail.config_text) == (5, 1, "model: old\n")
    assert detail.created_at == 1_670_000_000.0
    (row,) = got(http, "/old/experiments", filter="device:cuda:0")["rows"]
    assert row["latest"]["val/F1"] == {"value": 0.75, "epoch": 1, "step": -1, "non_finite": None}
    assert row["latest"]["val/CE"]["non_finite"] == "nan"
    assert row["progress"]["fraction"] == 0.125
    (series,) = got(http, "/old/metrics", keys="val/F1")["series"]
    assert (series["epochs"], series["steps"], series["values"]) == ([0, 1], [-1, -1], [0.5, 0.75])
    models.ModelCard.model_validate(got(http, "/old/experiments/0/model-card"))
    for query in ("timeline", "logs", "report", "export", "export?what=metrics", "diff?a=0&b=0"):
        assert http.get(f"{API}/old/{query}").status_code == 200, query
    assert http.get("/system-info/old/0").status_code == 404


def test_a_run_without_events(http: httpx.Client, service: Service) -> None:
    """A folder that was just made answers every query."""
    path = service.storage / "empty" / "event_storage.log"
    path.parent.mkdir()
    path.touch()
    assert got(http, "/empty/experiments", filter="val/f1>0.5 and lr<1", sort="val/f1")["rows"] == []
    for query in ("", "/timeline", "/logs", "/metrics", "/export", "/export?what=metrics&format=parquet", "/report"):
        assert http.get(f"{API}/empty{query}").status_code == 200, query


def verdict_of(number: int, verdict: str, **more: Any) -> dict[str, Any]:
    ids = {"original_run_id": "measured", "new_run_id": "again", "num_digests": 4}
    return {"experiment_id": number, "verdict": verdict, **ids, **more}


def test_what_a_process_used_over_time(service: Service, http: httpx.Client) -> None:
    """Each column as it was told, as far as it was, at any moment; thinned ones keep their extremes."""
    recorder = Recorder(service.storage / "measured" / "event_storage.log", "measured")
    recorder.start(2)
    recorder.configure(0)
    for number in range(100):
        peak = {"rss_bytes": 10**9} if number == 50 else {"rss_bytes": 10**6 + number}
        cpu = {} if number < 10 else {"cpu_percent": 99.0, "gpu_percent": "much"}
        recorder.add("system_metrics", experiment_id=number % 2, steps_per_s=float(number), **peak, **cpu)
    found = got(http, "/measured/experiments/0/system-metrics")
    models.SystemMetricColumns.model_validate(found)
    columns = {one["key"]: one for one in found["series"]}
    assert list(columns) == ["steps_per_s", "cpu_percent", "rss_bytes"]  # a value that is none counts as not told
    assert columns["steps_per_s"]["values"] == [float(number) for number in range(0, 100, 2)]
    assert columns["cpu_percent"]["num_points"] == 45
    assert np.all(np.diff(columns["rss_bytes"]["times"]) == 2)
    few = got(http, "/measured/experiments/0/system-metrics", points=8)["series"][2]
    assert (len(few["values"]) <= 8, max(few["values"]), few["num_points"]) == (True, 10**9, 50)
    then = got(http, "/measured/experiments/0/system-metrics", at=recorder.num_events - 95)
    assert then["series"][0]["values"] == [0.0, 2.0, 4.0]
    assert refused(http, "/measured/experiments/7/system-metrics")["code"] == "not_found"
    assert refused(http, "/measured/experiments/0/system-metrics", points=4)["path"] == "query.points"


def test_what_came_of_running_a_run_again(service: Service, http: httpx.Client) -> None:
    """The list of runs has the gravest of the last verdicts, with the place where the two runs part."""
    recorder = Recorder(service.storage / "measured-again" / "event_storage.log", "measured-again")
    recorder.start(3)
    for number in range(3):
        recorder.configure(number)
    assert got(http, "/measured-again")["reproduction"] is None
    recorder.add("reproduction_verdict", **verdict_of(0, "diverged", epoch=9))
    recorder.add("reproduction_verdict", **verdict_of(0, "identical"))
    recorder.add("reproduction_verdict", **verdict_of(1, "from the future"))
    listed = next(one for one in got(http, "", search="measured-again")["runs"])
    found = models.RunSummary.model_validate(listed).reproduction
    assert found is not None
    assert (found.verdict, found.num_identical, found.num_diverged, found.epoch) == ("identical", 1, 0, None)
    recorder.add("reproduction_verdict", **verdict_of(2, "diverged", epoch=4))
    found = models.RunDetail.model_validate(got(http, "/measured-again")).reproduction
    assert found is not None
    assert (found.verdict, found.num_identical, found.num_diverged) == ("diverged", 1, 1)
    assert (found.experiment_id, found.epoch, found.new_run_id) == (2, 4, "again")


def test_trials_of_a_search(service: Service, http: httpx.Client) -> None:
    """Each row says how its trial stands, at once when the strategy speaks, in time travel, in filters and sorting."""
    recorder = Recorder(service.storage / "search" / "event_storage.log", "search")
    recorder.start(4)
    for trial in range(3):
        recorder.add("search_decision", action="try", trial=trial, experiment_id=trial, epochs=1, rung=0)
        recorder.configure(trial, **{"optimizer.lr": 10.0**-trial})
    for trial, state in enumerate(("paused", "paused", "failed")):
        recorder.add("search_result", trial=trial, experiment_id=trial, epochs=1, score=0.5, state=state)

    def standings(**params: Any) -> list[tuple[int | None, str | None]]:
        table = got(http, "/search/experiments", **params)
        models.ExperimentTable.model_validate(table)
        return [(row["rung"], row["standing"]) for row in table["rows"]]

    assert standings() == [(0, "paused"), (0, "paused"), (0, "failed")]
    before = recorder.num_events
    recorder.add("search_decision", action="promote", trial=1, experiment_id=1, epochs=3, rung=1, reason="1st of 3")
    assert standings() == [(0, "paused"), (1, "running"), (0, "failed")]
    assert standings(filter="standing:paused") == [(0, "paused")]
    assert standings(sort="rung", order="desc")[0] == (1, "running")
    recorder.add("search_result", trial=1, experiment_id=1, epochs=3, score=0.7, state="ended")
    recorder.add("search_decision", action="finish")
    assert standings() == [(0, "left"), (1, "complete"), (0, "failed")]
    assert standings(at=before)[1] == (0, "paused")
    recorder.add("training_stopped", experiment_id=1, epoch=3, step=30, reason="no better for 2 epochs")
    row = got(http, "/search/experiments/1")
    assert (row["standing"], row["decision"]) == ("stopped early", "1st of 3")
    assert {one["standing"] for one in got(http, f"/{RUN_ID}/experiments")["rows"]} <= {None}
