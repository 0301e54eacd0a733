"""What people take away, over HTTP: exports, model cards and reports; and what would be too much at once."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import httpx
import polars
import pytest
import yaml

from mlgym.server.api import curves, exports, log_lines
from mlgym.server.api.models.curves import MetricQuery
from mlgym.server.api.models.model_card import ModelCard
from mlgym.server.api.reads import Reads
from mlgym.server.notes_log import NotesLog
from mlgym.server.refusal import RefusedError
from mlgym.server.store import HubStore
from mlgym.server.trash import Trash
from tests.server.api.asking import API, got, refused
from tests.server.projection.logs import RUN_ID, Recorder, write_run
from tests.server.service import Service


def test_exports(http: httpx.Client, run: Recorder) -> None:
    """Tables as files, with the same numbers; a spreadsheet runs nothing of what a config or an error says."""
    text = http.get(f"{API}/{RUN_ID}/export")
    assert text.headers["content-disposition"] == f'attachment; filename="{RUN_ID}-experiments.csv"'
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert [row["model.use"] for row in rows] == ["mlp", "'=cmd()", "mlp", "conv net"]
    assert [row["best val/f1"] for row in rows] == ["0.9", "0.4", "0.95", ""]
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
        reads.metrics(RUN_ID, MetricQuery(points=100))
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


def test_model_card(http: httpx.Client, service: Service) -> None:
    """Model, data with class counts, training, metrics, machine and energy, as data and as Markdown."""
    write_run(service.storage / "card" / "event_storage.log", "card")
    (service.storage / "card" / "0").mkdir()
    (service.storage / "card" / "0" / "emissions.csv").write_text(
        "timestamp,duration,emissions,energy_consumed,country_name,codecarbon_version\n"
        "2026-11-23,1,1,1,Germany,3\n2026-11-24,12.5,0.02,0.05,Germany,3.3.2\n"
    )
    data = got(http, "/card/experiments/0/model-card")
    card = ModelCard.model_validate(data)
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
    assert http.get("/model-card/card/0").json() == data
    assert http.get("/system-info/card/0").json() == data["environment"]
    assert http.get("/system-info/card/9").status_code == 404
    page = http.get(f"{API}/card/experiments/0/model-card", params={"format": "markdown"}).text
    metadata = yaml.safe_load(page.split("---\n")[1])
    results = metadata["model-index"][0]["results"]
    assert {one["dataset"]["split"]: one["metrics"][0]["value"] for one in results} == {"val": 0.9, "train": 0.25}
    assert metadata["co2_eq_emissions"]["emissions"] == 20.0
    assert "| parameters | 1,234 |" in page
    assert "mlgym reproduce card --experiment 0" in page


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
