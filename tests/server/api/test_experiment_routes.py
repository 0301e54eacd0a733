"""Queries about experiments over HTTP: the table, one of them, their curves, and how two differ."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import httpx
import numpy as np

from mlgym.server.api.models.curves import MetricColumns, SystemMetricColumns
from mlgym.server.api.models.experiments import ConfigDiff, ExperimentDetail, ExperimentTable
from tests.server.api.asking import API, got, ids, refused
from tests.server.projection.logs import RUN_ID, Recorder, write_run
from tests.server.service import Service


def test_the_table_of_experiments(http: httpx.Client, run: Recorder) -> None:
    """Latest and best values, rank and facts of each experiment; NaN and infinities by name."""
    table = got(http, f"/{RUN_ID}/experiments")
    ExperimentTable.model_validate(table)
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
    some = got(http, path, columns=["val/mcc"])
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
    assert refused(http, path, sort="-val/f1")["message"] == (
        "no experiment has `-val/f1`; did you mean `val/f1`? (`order=desc` sorts from the largest down)"
    )
    assert refused(http, path, filter="lr<")["path"] == "filter"
    assert refused(http, path, limt=3) == {
        "code": "unknown_parameter",
        "message": "there is no parameter `limt` here; did you mean `limit`? "
        "(known: at, filter, sort, order, limit, offset, columns)",
        "path": "query.limt",
    }


def test_one_experiment(http: httpx.Client, run: Recorder) -> None:
    """What the row says, and the rest: config, checkpoints, tables, trace, verdicts."""
    detail = ExperimentDetail.model_validate(got(http, f"/{RUN_ID}/experiments/0"))
    assert detail.config["components"]["optimizer"]["lr"] == 0.1
    assert [one.path for one in detail.checkpoints] == ["0/checkpoints/epoch_4-step_40"]
    assert detail.num_parameters == 1234
    assert [(one.key, one.num_points) for one in detail.metrics] == [("val/f1", 4), ("val/mcc", 4), ("train/loss", 4)]
    third = ExperimentDetail.model_validate(got(http, f"/{RUN_ID}/experiments/2"))
    assert third.tables[0].values == [[3, 1], [0, 4]]
    assert (third.lineage, third.attempt) == (1, 1)
    assert got(http, f"/{RUN_ID}/experiments/1")["stacktrace"] == "Traceback"
    assert refused(http, f"/{RUN_ID}/experiments/4")["code"] == "not_found"
    assert refused(http, f"/{RUN_ID}/experiments/x")["code"] == "invalid"
    assert refused(http, "/no-such-run/experiments")["code"] == "not_found"


def test_trials_of_a_search(service: Service, http: httpx.Client, run: Recorder) -> None:
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
        ExperimentTable.model_validate(table)
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


def test_curves(http: httpx.Client, run: Recorder) -> None:
    """Columns of many experiments at once; binary ones are the same numbers."""
    query = {"keys": ["val/f1"], "match": "^train/l", "experiments": [0, 1, 2, 4]}  # the last one has not begun
    found = http.post(f"{API}/{RUN_ID}/metrics", json=query).json()
    MetricColumns.model_validate(found)
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
    assert refused(http, f"/{RUN_ID}/metrics", keys=["val/f1", "val/f2"]) == {
        "code": "unknown_metric",
        "message": "no experiment has measured `val/f2`; did you mean `val/f1`? (known: val/f1, val/mcc, train/loss)",
        "path": "keys",
    }
    assert got(http, f"/{RUN_ID}/metrics", keys="val/f1", at=3)["series"] == []  # then it had not come yet
    assert refused(http, f"/{RUN_ID}/metrics", experiments=[0, 77]) == {
        "code": "not_found",
        "message": "there is no experiment 77 (known: 0, 1, 2, 3)",
        "path": "experiments",
    }
    assert refused(http, f"/{RUN_ID}/logs", experiment=5)["path"] == "experiment"
    assert refused(http, f"/{RUN_ID}/experiments", columns=["val/f1", "val/f2"])["message"].startswith(
        "no experiment has measured `val/f2`; did you mean `val/f1`?"
    )
    assert refused(http, f"/{RUN_ID}/metrics", match="(")["path"] == "match"
    assert refused(http, f"/{RUN_ID}/metrics", points=3)["code"] == "invalid"


def test_a_metric_that_may_still_come(service: Service, http: httpx.Client) -> None:
    """While a run goes on, an unknown metric is empty until an experiment is through; then it is refused."""
    recorder = Recorder(service.storage / "fresh" / "event_storage.log", "fresh")
    recorder.start(2)
    recorder.configure(0)
    assert got(http, "/fresh/metrics", keys="val/f1")["series"] == []
    recorder.evaluate(0, 1, f1=0.5)
    assert got(http, "/fresh/metrics", keys="test/f1")["series"] == []
    recorder.job(0, "DONE")
    assert refused(http, "/fresh/metrics", keys="test/f1")["code"] == "unknown_metric"


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
    SystemMetricColumns.model_validate(found)
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


def test_differences_of_configs(http: httpx.Client, run: Recorder, service: Service) -> None:
    """Two experiments, of one run or of two."""
    write_run(service.storage / "other" / "event_storage.log", "other")
    changes = [
        {"key": "model.use", "kind": "changed", "old": "mlp", "new": "=cmd()"},
        {"key": "optimizer.lr", "kind": "changed", "old": 0.1, "new": 0.01},
    ]
    diff = got(http, f"/{RUN_ID}/diff", a="0", b="other/1")
    ConfigDiff.model_validate(diff)
    assert diff == {"a": f"{RUN_ID}/0", "b": "other/1", "changes": changes}
    for wrong in ("x", "a/b/0", "../0", "-1", "9" * 10):
        assert refused(http, f"/{RUN_ID}/diff", a=wrong, b="0")["code"] in ("invalid_reference", "invalid_name")
