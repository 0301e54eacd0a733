"""The JSON Schema, judged by the tool that editors' users run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlgym.config import json_schema
from mlgym.config.dump import dump_yaml

from .parts import parts
from .test_messages import GOOD

ROOT = "experiment: {use: anything, %s}\n"
GOOD_FILES = {
    "design": GOOD,
    "sweeps": ROOT % "x: {sweep: [1, 2], zip: g}, f: {sweep: {start: 1, stop: 2, num: 3, scale: log}}",
    "nested sweeps": ROOT % "pair: [{sweep: [1, {sweep: [2, $run.seed]}]}, 3], table: {a: {sweep: [1]}}",
    "references": ROOT
    % "x: $vars.x, module: $m, things: [$m, {use: f1}], callback: {use: my_step}, point: {x: $a.b, y: 1}",
    "inline": ROOT % "module: {use: weighted_sum, losses: [{use: cross_entropy}, $loss]}",
    "swept component": ROOT % "module: {sweep: [{use: mlp, hidden: [1]}, $m]}, thing: {use: {sweep: [f1, precision]}}",
    "union": ROOT % "either: auto"
    + "seed: {sweep: [1, 2]}\nimports: [a.b]\nvars: {x: {y: [1]}}\nname: n\nversion: 1\nauto_resume: true\n",
    "groups": ROOT % "" + "components: {list: [{use: f1}, $m], map: {a: $m}, same: $m, s: {sweep: [$m, {use: f1}]}}",
    "open": "experiment: {use: open_ended, whatever: 1}\nvalidation: {mode: grid_search}\n",
    "drawn": ROOT % "f: {sweep: {log_uniform: [1, 2]}}, x: {sweep: {integer: [1, 20]}}",
    "folds": ROOT % ""
    + "validation: {mode: nested_cross_validation, outer_folds: 5, seeds: [1, 2], select: {metric: val/x, best: max}}",
    "settings": ROOT % "settings: {rate: 1, where: x}, color: red",
    "partial": "extends: base.yml\ncomponents: {optimizer: {lr: 1}, model: {use: mlp}}\nexperiment: {epochs: 3}\n",
    "preset": "extends: [preset/classification, b.yml]\ncomponents: {model: {use: mlp, hidden: [3]}}\n",
}
BAD_FILES = {
    "unknown section": (ROOT % "" + "sead: 3", "'sead' was unexpected"),
    "no experiment": ("components: {}", "'experiment' is a required property"),
    "unknown parameter": (GOOD.replace("batch_size:", "batch_sise:"), "'batch_sise' was unexpected"),
    "missing parameter": (GOOD.replace("    model: $model\n    lr", "    lr"), "'model' is a required property"),
    "unknown component": (GOOD.replace("use: adam", "use: adan"), "components.optimizer.use: 'adan' is not one of"),
    "no use": (ROOT % "" + "components: {m: {hidden: [3]}}", "components.m.hidden"),
    "bare word": (ROOT % "" + "components: {m: mlp}", "components.m: 'mlp' is not of type 'object'"),
    "wrong kind": (ROOT % "module: {use: f1}", "experiment.module.use: 'f1' is not one of"),
    "wrong type": (ROOT % "x: '3'", "experiment.x"),
    "out of range": (
        GOOD.replace("[1, 0.1,", "[-1, 0.1,"),
        "optimizer.lr.sweep[0]: -1 is less than or equal to",
    ),
    "wrong choice": (ROOT % "color: green", "experiment.color: 'green' is not one of ['red', 'blue']"),
    "deep": (ROOT % "module: {use: weighted_sum, losses: [{use: cross_entropy, x: 1}]}", "losses[0]"),
    "beside sweep": (ROOT % "x: {sweep: [1], lr: 2}", "'lr' was unexpected"),
    "empty sweep": (ROOT % "x: {sweep: []}", "experiment.x.sweep"),
    "range": (ROOT % "x: {sweep: {start: 1, stop: 2}}", "'num' is a required property"),
    "distribution": (ROOT % "x: {sweep: {uniform: [1]}}", "[1] is too short"),
    "folds": (ROOT % "" + "validation: {mode: cross_validation, fold: 3}", "'fold' was unexpected"),
    "mode": (ROOT % "" + "validation: {mode: x}", "'x' is not one of ['cross_validation'"),
    "auto_resume": (ROOT % "" + "auto_resume: 'yes'", "'yes' is not of type 'boolean'"),
    "seed": (ROOT % "" + "seed: -1", "-1 is less than the minimum"),
    "version": (ROOT % "" + "version: 2", "1 was expected"),
    "partial": ("extends: base.yml\ncomponents: {m: {use: mlp, hiden: [3]}}", "'hiden' was unexpected"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives a folder with the schema of the tests' components."""
    path = tmp_path_factory.mktemp("schema")
    (path / "schema.json").write_text(json.dumps(json_schema(parts)), encoding="utf-8")
    return path


def judge(folder: Path, texts: dict[str, str]) -> str:
    """Gives what `check-jsonschema` prints about files; each line names the file."""
    names = []
    for name, text in texts.items():
        file = folder / f"{name.replace(' ', '_')}.yml"
        file.write_text(text, encoding="utf-8")
        names.append(file.name)
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", "schema.json", *names]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), result.stderr
    return result.stdout


def test_good_files_are_accepted(folder: Path) -> None:
    """Whatever the language allows, the schema allows."""
    assert judge(folder, GOOD_FILES).strip() == "ok -- validation done"


def test_bad_files_are_refused(folder: Path) -> None:
    """Each mistake is found in its file, with words that say what it is."""
    printed = judge(folder, {name: text for name, (text, _) in BAD_FILES.items()})
    for name, (_, message) in BAD_FILES.items():
        lines = [line for line in printed.splitlines() if f"{name.replace(' ', '_')}.yml::" in line]
        assert any(message in line for line in lines), (name, lines)


def test_the_schema_is_one(folder: Path) -> None:
    """The schema itself follows the draft that it names, and every reference in it leads somewhere."""
    command = [sys.executable, "-m", "check_jsonschema", "--check-metaschema", "schema.json"]
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
    schema = json_schema(parts)
    found: set[str] = set()

    def collect(part: object) -> None:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                found.add(part["$ref"])
            for value in part.values():
                collect(value)
        elif isinstance(part, list):
            for value in part:
                collect(value)

    collect(schema)
    assert {name.removeprefix("#/$defs/") for name in found} <= set(schema["$defs"])
    assert "x-mlgym" not in json.dumps(schema)


def test_editors_see_the_docstrings() -> None:
    """Parameters carry what their docstring says."""
    parameters = json_schema(parts)["$defs"]["parameters-mlp"]["properties"]
    assert parameters["hidden"]["description"] == "units of each layer."


def test_the_schema_is_stable_and_small() -> None:
    """It is the same each time, and shares what is equal."""
    one, other = json.dumps(json_schema(parts)), json.dumps(json_schema(parts))
    assert one == other
    assert len(one) < 75_000
    assert dump_yaml(json.loads(one))
