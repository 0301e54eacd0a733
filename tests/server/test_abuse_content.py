"""What strangers put into logs, configs and checkpoints: read by every route without harm, and never executed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec import inspect

from mlgym.events import Payload, types
from tests.server.service import ALL, Service

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0.5,
    1e300,
    10**30,
    2**63,
    "",
    "x",
    "x" * 5000,
    "../../x",
    "\x00\x1b[2J\u202e",
    "<script>alert(1)</script>",
    "=1+1",
    "9" * 400,
    [],
    [None],
    ["x", 1, {}],
    {},
    {"a": {"b": [1, {"c": None}]}},
    {"": "", "../x": 1, "a/b": {}, "__proto__": 1},
    [[[[]]]],
    [{"metric": 1, "split": None, "score": "x"}, {"metric": "m", "split": "val", "score": 1e308}],
]
READS = [
    "/api/v1/runs",
    "/api/v1/runs?search=x&sort=name",
    "/api/v1/runs?sort=val/f1&order=asc",
    "/api/v1/runs/{run}",
    "/api/v1/runs/{run}?at=3",
    "/api/v1/runs/{run}/experiments",
    "/api/v1/runs/{run}/experiments?sort=val/f1&filter=status:failed or lr>0.1",
    "/api/v1/runs/{run}/experiments?at=4",
    "/api/v1/runs/{run}/experiments/0",
    "/api/v1/runs/{run}/experiments/0/model-card?format=json",
    "/api/v1/runs/{run}/experiments/0/model-card?format=markdown",
    "/api/v1/runs/{run}/metrics?keys=val/f1",
    "/api/v1/runs/{run}/metrics?keys=val/f1&format=binary&points=3",
    "/api/v1/runs/{run}/report?format=json",
    "/api/v1/runs/{run}/report?format=markdown",
    "/api/v1/runs/{run}/report?format=html",
    "/api/v1/runs/{run}/experiments/0/system-metrics?points=9",
    "/api/v1/runs/{run}/logs",
    "/api/v1/runs/{run}/logs?level=info&contains=x",
    "/api/v1/runs/{run}/timeline",
    "/api/v1/runs/{run}/diff?a=0&b=1",
    "/api/v1/runs/{run}/export?format=csv",
    "/api/v1/runs/{run}/export?format=parquet&what=metrics",
    "/api/v1/runs/{run}/export?format=csv&what=metrics",
    "/api/v1/runs/{run}/notes",
    "/api/v1/runs/{run}/files",
    "/api/v1/runs/{run}/files/grid_search_config.yml",
    "/api/v1/runs/{run}/checkpoints",
    "/api/v1/runs/{run}/artifacts",
    "/api/v1/runs/{run}/artifacts/0/x.1/x",
    "/api/v1/runs/{run}/events",
    "/grid_searches/{run}/experiments",
    "/grid_searches/{run}/grid_search_config",
    "/grid_searches/{run}/0/experiment_config",
    "/checkpoint_list/{run}/0",
    "/checkpoints/{run}/0/1/model.pickle",
    "/model-card/{run}/0",
    "/system-info/{run}/0",
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("hub") / "storage", program=ALL) as running:
        yield running
        code, said = running.stop(signal.SIGTERM)
        assert (code, "Traceback" in said) == (0, False), said


def kinds() -> list[type[Payload]]:
    found = [one for one in vars(types).values() if isinstance(one, type) and issubclass(one, Payload)]
    return [one for one in found if one is not Payload]


def plain(kind: inspect.Type) -> Any:
    """Gives a value of a type, as small as it may be."""
    match kind:
        case inspect.StrType():
            return "x"
        case inspect.IntType():
            return 1
        case inspect.FloatType():
            return 0.5
        case inspect.BoolType():
            return True
        case inspect.ListType():
            return [plain(kind.item_type)]
        case inspect.DictType():
            return {"x": 1}
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.UnionType():
            return plain(kind.types[0])
        case inspect.StructType() | inspect.DataclassType():
            return {field.name: plain(field.type) for field in kind.fields}
    return None


def sample(kind: type[Payload], run: str) -> dict[str, Any]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    payload = {field.name: plain(field.type) for field in info.fields}
    return payload | {"grid_search_id": run} | ({"experiment_id": 0} if "experiment_id" in payload else {})


def event(kind: type[Payload], payload: object, **more: object) -> dict[str, Any]:
    return {"event_type": kind.event_type, "creation_ts": 1_796_000_000_000_000, "payload": payload, **more}


def hostile_events(kind: type[Payload], run: str) -> Iterator[dict[str, Any]]:
    """The right event, with each of its fields in turn replaced by everything that it should not be."""
    right = sample(kind, run)
    yield event(kind, right)
    for field in right:
        for value in HOSTILE:
            if field != "grid_search_id":
                yield event(kind, right | {field: value})
        if field != "grid_search_id":
            yield event(kind, {key: value for key, value in right.items() if key != field})
    for value in HOSTILE:
        yield event(kind, right) | {"creation_ts": value}
        yield event(kind, value if not isinstance(value, dict) else value | {"grid_search_id": run})


def store(http: httpx.Client, run: str, events: list[dict[str, Any]]) -> None:
    """Stores events, those that are taken; each alone, as one that is refused would take others with it."""
    lines = [msgspec.json.encode(one) if _fits(one) else json.dumps(one).encode() for one in events]
    answer = http.post(f"/api/v1/runs/{run}/events", content=b"\n".join(lines))
    if answer.status_code == 200:
        return
    for line in lines:
        assert http.post(f"/api/v1/runs/{run}/events", content=line).status_code < 500, line[:200]


def _fits(value: object) -> bool:
    try:
        msgspec.json.encode(value)
    except (ValueError, OverflowError):
        return False
    return True


def read_all(http: httpx.Client, run: str) -> int:
    """Asks every route about a run; gives how many of them had an answer."""
    num_answered = 0
    for route in READS:
        answer = http.get(route.format(run=run))
        assert answer.status_code < 500, (route, run, answer.text[:300])
        num_answered += answer.status_code == 200
    return num_answered


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.event_type)
def test_hostile_events(http: httpx.Client, kind: type[Payload]) -> None:
    """Whatever stands in the fields of an event, it is refused, or stored and read by every route."""
    run = f"hostile-{kind.event_type}"
    base = [event(one, sample(one, run)) for one in (types.RunStarted, types.ExperimentConfig, types.EvaluationResult)]
    store(http, run, base)
    store(http, run, list(hostile_events(kind, run)))
    assert read_all(http, run) > 20
    assert http.get(f"/api/v1/runs/{run}").json()["num_events"] > 20  # the control: most of it is valid JSON


def test_every_route_is_read(http: httpx.Client) -> None:
    """The list above has every route that reads a run."""
    paths = http.get("/api/v1/openapi.json").json()["paths"]
    reading = {path for path, methods in paths.items() if "get" in methods and "{run}" in path}
    asked = {
        route.partition("?")[0]
        .replace("experiments/0", "experiments/{experiment}")
        .replace("/{run}/0", "/{run}/{experiment}")
        .replace("files/grid_search_config.yml", "files/{name}")
        .replace("/1/model.pickle", "/{epoch}/{file}")
        .replace("/0/x.1/x", "/{experiment}/{name}/{file}")
        .replace("/grid_search_config", "/{name}")
        .replace("/experiment_config", "/{name}")
        for route in READS
    }
    of_uploads = {
        path for path in reading if "/uploads/" in path or path.endswith("/checkpoints/{experiment}/{name}/{file}")
    }
    assert reading - asked - of_uploads - {"/checkpoint_list/{run}/{experiment}/{epoch}"} == set()


CONFIGS = [
    b"a: &a [x, x]\n" + b"".join(b"b%d: &b%d [*a, *a]\n" % (n, n) for n in range(30)),
    b"a: &a [&b [*a]]",
    b"{" * 20_000,
    b"- " * 20_000,
    b"a: 1\na: 2\n",
    b'!!python/object/apply:os.system ["touch %s"]',
    b"\xff\xfe\x00",
    b"",
    b"null",
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a": NaN, "b": 1e999, "c": ' + b"9" * 5000 + b"}",
    b'{"components": {"model": 1}, "swept": [], "id": {}}',
]


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_hostile_files(http: httpx.Client, config: bytes, tmp_path: Path) -> None:
    """Files that are no configs are kept as they are, and read by every route without harm."""
    trap = tmp_path / "executed"
    config = config.replace(b"%s", str(trap).encode()) if b"%s" in config else config
    run = f"files-{CONFIGS.index(config) if config in CONFIGS else 'python'}"
    store(http, run, [event(one, sample(one, run)) for one in (types.RunStarted, types.ExperimentConfig)])
    for name in (
        *("grid_search_config.yml", "run_config.yml", "environment.json"),
        *("0/experiment_config.json", "0/model_card.json", "0/system_info.json"),
    ):
        assert http.put(f"/api/v1/runs/{run}/files/{name}", content=config).status_code == 200
    read_all(http, run)
    assert not trap.exists()


class _Gadget:
    """What a pickle executes when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_pickles(http: httpx.Client, tmp_path: Path) -> None:
    """Nothing that was sent is ever unpickled, under whichever name, by whichever route."""
    trap = tmp_path / "executed"
    gadget = pickle.dumps(_Gadget(trap))
    pickle.loads(gadget)  # the control: loading it does execute
    assert trap.exists()
    trap.unlink()
    run = "pickles"
    store(http, run, [event(one, sample(one, run)) for one in (types.RunStarted, types.ExperimentConfig)])
    names = (
        "model.pickle",
        "optimizer.pickle",
        "lr_scheduler.pickle",
        "stateful_components.pickle",
        "model.safetensors",
    )
    for name in names:
        sent = http.post(f"/checkpoints/{run}/0/1", files={"checkpoint_file": (name, gadget)})
        assert sent.status_code == 200
        assert http.get(f"/checkpoints/{run}/0/1/{name}").content == gadget
    for name in ("model.safetensors", "state.json", "training.pt"):
        upload = f"/api/v1/runs/{run}/uploads/0/epoch_2-step_2"
        assert http.patch(f"{upload}/{name}", content=gadget, headers={"Upload-Offset": "0"}).status_code == 200
    facts = {"bytes": len(gadget), "sha256": hashlib.sha256(gadget).hexdigest()}
    manifest = {"files": dict.fromkeys(("model.safetensors", "state.json", "training.pt"), facts)}
    assert http.post(upload, json=manifest).status_code == 200
    for name in ("grid_search_config.yml", "0/experiment_config.json", "environment.json"):
        assert http.put(f"/api/v1/runs/{run}/files/{name}", content=gadget).status_code == 200
    read_all(http, run)
    assert not trap.exists()


def test_links(http: httpx.Client, service: Service, tmp_path: Path) -> None:
    """What links in a run lead to is in no answer, and a run that is a link is none."""
    secret = "the secret of another folder"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.json").write_text(json.dumps({"secret": secret}))
    line = event(types.Log, sample(types.Log, "links") | {"message": secret})
    (elsewhere / "event_storage.log").write_text(json.dumps({**line, "version": 1}) + "\n")
    run = "links"
    store(http, run, [event(one, sample(one, run)) for one in (types.RunStarted, types.ExperimentConfig)])
    folder = service.storage / run
    (folder / "0").mkdir(exist_ok=True)
    for name in ("environment.json", "run_config.yml", "grid_search_config.yml", "0/experiment_config.json"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(elsewhere / "secret.json")
    (folder / "0" / "artifacts").symlink_to(elsewhere)
    (folder / "1").symlink_to(elsewhere)
    (service.storage / "linked").symlink_to(elsewhere)
    (service.storage / "half").mkdir()
    (service.storage / "half" / "event_storage.log").symlink_to(elsewhere / "event_storage.log")
    for asked in (run, "linked", "half"):
        for route in READS:
            answer = http.get(route.format(run=asked))
            assert answer.status_code < 500, (route, asked)
            assert secret not in answer.text, (route, asked)
    assert {"linked", "half"}.isdisjoint(one["run_id"] for one in http.get("/api/v1/runs").json()["runs"])
    shutil.copytree(elsewhere, service.storage / "copied")  # the control
    assert secret in http.get("/api/v1/runs/copied/logs").text
