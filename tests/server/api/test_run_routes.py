"""Queries about runs over HTTP: each answer is what its model says, and what the log says at that moment."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import httpx

from mlgym.server.api.models.log_lines import LogLines
from mlgym.server.api.models.model_card import ModelCard
from mlgym.server.api.models.runs import RunDetail, RunList, RunSummary
from mlgym.server.api.models.timeline import Timeline
from tests.server.api.asking import API, got, refused
from tests.server.projection.logs import RUN_ID, Recorder, write_run
from tests.server.service import Service


def test_one_run(http: httpx.Client, run: Recorder) -> None:
    """Everything that the log says of the run, beside what stands in the file."""
    detail = RunDetail.model_validate(got(http, f"/{RUN_ID}"))
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
    assert (f1.direction, f1.best.value, f1.best_experiment, f1.latest_experiment) == ("max", 0.95, 2, 2)


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
    RunList.model_validate(listed)
    by_id = {one["run_id"]: one for one in listed["runs"]}
    assert {RUN_ID, "alpha", "beta", "unreadable"} <= by_id.keys()
    assert (by_id["alpha"]["name"], by_id["alpha"]["tags"]) == ("Änderung", ["a", "b"])
    assert by_id["unreadable"]["num_events"] == 0
    assert by_id["unreadable"]["problem"].startswith("the log is damaged in line 1 (byte 0): the 10 bytes from there")
    assert by_id["alpha"]["problem"] is None
    assert by_id[RUN_ID]["metrics"][0]["best_experiment"] == 2
    assert [one["run_id"] for one in got(http, "", search="ÄNDER")["runs"]] == ["alpha"]
    assert [one["run_id"] for one in got(http, "", tag=["a", "b"])["runs"]] == ["alpha"]
    assert got(http, "", tag=["a", "c"])["total"] == 0
    assert got(http, "", status=["finished"], search="alpha")["total"] == 0
    names = [one["run_id"] for one in got(http, "", sort="run_id", order="asc", limit=3)["runs"]]
    assert names == sorted(by_id)[:3]
    assert got(http, "", sort="run_id", order="asc", limit=3, offset=2)["runs"][0]["run_id"] == names[2]
    assert got(http, "", sort="val/f1", order="desc")["runs"][0]["metrics"][0]["best"]["value"] == 0.95
    assert refused(http, "", sort="colour")["path"] == "sort"
    assert "did you mean `val/f1`? (`order=desc` sorts" in refused(http, "", sort="-val/f1")["message"]
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


def verdict_of(number: int, verdict: str, **more: Any) -> dict[str, Any]:
    ids = {"original_run_id": "measured", "new_run_id": "again", "num_digests": 4}
    return {"experiment_id": number, "verdict": verdict, **ids, **more}


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
    found = RunSummary.model_validate(listed).reproduction
    assert found is not None
    assert (found.verdict, found.num_identical, found.num_diverged, found.epoch) == ("identical", 1, 0, None)
    recorder.add("reproduction_verdict", **verdict_of(2, "diverged", epoch=4))
    found = RunDetail.model_validate(got(http, "/measured-again")).reproduction
    assert found is not None
    assert (found.verdict, found.num_identical, found.num_diverged) == ("diverged", 1, 1)
    assert (found.experiment_id, found.epoch, found.new_run_id) == (2, 4, "again")


def test_log_lines(http: httpx.Client, run: Recorder) -> None:
    """The last lines that match, oldest first, page by page, without control characters being changed."""
    path = f"/{RUN_ID}/logs"
    everything = got(http, path)
    LogLines.model_validate(everything)
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
    timeline = Timeline.model_validate(got(http, f"/{RUN_ID}/timeline"))
    assert timeline.event_ids == list(range(1, run.num_events + 1))
    few = Timeline.model_validate(got(http, f"/{RUN_ID}/timeline", points=4))
    assert len(few.event_ids) <= 4
    assert (few.event_ids[0], few.event_ids[-1]) == (1, run.num_events)
    kinds = [mark.kind for mark in timeline.marks]
    assert kinds == ["run_started", *["experiment_started"] * 3, "experiment_failed", "experiment_done", "run_resumed",
                     "experiment_started"]  # fmt: skip


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
    detail = RunDetail.model_validate(got(http, "/old"))
    assert (detail.num_events, detail.num_experiments, detail.config_text) == (5, 1, "model: old\n")
    assert detail.created_at == 1_670_000_000.0
    (row,) = got(http, "/old/experiments", filter="device:cuda:0")["rows"]
    assert row["latest"]["val/F1"] == {"value": 0.75, "epoch": 1, "step": -1, "non_finite": None}
    assert row["latest"]["val/CE"]["non_finite"] == "nan"
    assert row["progress"]["fraction"] == 0.125
    (series,) = got(http, "/old/metrics", keys="val/F1")["series"]
    assert (series["epochs"], series["steps"], series["values"]) == ([0, 1], [-1, -1], [0.5, 0.75])
    ModelCard.model_validate(got(http, "/old/experiments/0/model-card"))
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
