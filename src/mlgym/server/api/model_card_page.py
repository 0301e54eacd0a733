"""A model card as Markdown, in the form of the Hugging Face hub: metadata as YAML at the top, then the text.

See https://huggingface.co/docs/hub/model-cards. What comes out of configs and logs is shown as text, never as markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from mlgym.texts import duration, number, plain, value_text

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|!~$])")
_LINE_BREAK: Final = re.compile(r"\s*[\r\n]+\s*")
_VERDICTS: Final = {
    "identical": "Run again, the training gave the same weights and metrics, bit for bit",
    "within_tolerance": "Run again, the training gave nearly equal metrics, but not the same bits",
    "diverged": "Run again, the training gave other results",
}


def markdown_card(card: Mapping[str, Any]) -> str:
    """Gives the page of a `ModelCard`."""
    parts = [_metadata(card), f"# {_text(_title(card))}", _introduction(card), "## Model", _model(card["model"])]
    parts += ["## Data", *_data(card["data"]), "## Training", _training(card["training"])]
    if card["metrics"]:
        parts += ["## Metrics", _metrics(card["metrics"])]
    parts += ["## Environment", _environment(card)]
    if card["energy"]:
        parts += ["## Energy", _energy(card["energy"])]
    parts += ["## Reproduction", *_reproduction(card), "## Config", _fenced(_yaml(card["config"]), "yaml")]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metadata(card: Mapping[str, Any]) -> str:
    data = card["data"]["name"] or "unknown"
    by_split: dict[str, list[dict[str, Any]]] = {}
    for one in card["metrics"]:
        if one["latest"]["value"] is not None:
            value = {"type": one["metric"], "name": one["metric"], "value": one["latest"]["value"]}
            by_split.setdefault(one["split"], []).append(value)
    results = [
        {"task": {"type": "other"}, "dataset": {"type": data, "name": data, "split": split}, "metrics": metrics}
        for split, metrics in by_split.items()
    ]
    about: dict[str, Any] = {"library_name": "pytorch", "tags": ["mlgym", "pytorch"]}
    if results:
        about["model-index"] = [{"name": _title(card), "results": results}]
    if card["energy"] and card["energy"]["emissions_kg"] is not None:
        about["co2_eq_emissions"] = {
            "emissions": 1000 * card["energy"]["emissions_kg"],  # the hub wants grams
            "source": card["energy"]["source"],
            "training_type": "training",
        }
    return f"---\n{_yaml(about)}---"


def _title(card: Mapping[str, Any]) -> str:
    return f"{card['run_name'] or card['run_id']}, experiment {card['experiment_id']}"


def _introduction(card: Mapping[str, Any]) -> str:
    return (
        f"Experiment {card['experiment_id']} of the run `{card['run_id']}`, as its event log says after "
        f"{card['at']:,} events. Every value was recorded; none was estimated."
    )


def _model(model: Mapping[str, Any]) -> str:
    rows = [
        ("component", _text(model["name"] or "unknown")),
        ("parameters", _count(model["num_parameters"])),
        ("trainable parameters", _count(model["num_trainable_parameters"])),
        ("size in memory", _bytes(model["num_bytes"])),
    ]
    return _table(["model", ""], [row for row in rows if row[1]])


def _data(data: Mapping[str, Any]) -> Iterable[str]:
    yield f"From {_text(data['name'])}." if data["name"] else "The config does not say where the data come from."
    if data["splits"]:
        rows = [
            (
                _text(one["name"]),
                _count(one["num_samples"]),
                _classes(one["classes"]),
                _code((one["sha256"] or "")[:16]),
            )
            for one in data["splits"]
        ]
        yield _table(["split", "samples", "classes", "fingerprint"], rows)


def _classes(classes: Mapping[str, int] | None) -> str:
    if not classes:
        return ""
    shown = [f"{_text(name)}: {count:,}" for name, count in list(classes.items())[:20]]
    return ", ".join(shown) + (f" and {len(classes) - 20} more" if len(classes) > 20 else "")


def _training(training: Mapping[str, Any]) -> str:
    rows = [
        ("status", training["status"]),
        ("epochs", _count(training["num_epochs"])),
        ("steps", _count(training["num_steps"])),
        ("seed", _value(training["seed"])),
        ("batch size", _value(training["batch_size"])),
        ("optimizer", _component(training["optimizer"])),
        ("loss", _component(training["loss"])),
        ("learning rate scheduler", _component(training["lr_scheduler"])),
        ("device", _value(training["device"])),
        ("time", "" if training["duration_s"] is None else duration(training["duration_s"])),
        ("stopped early", _value(training["stop_reason"])),
        *((f"swept {_text(key)}", _value(value)) for key, value in training["swept"].items()),
        *((f"trial: {_text(key)}", _value(value)) for key, value in training["trial"].items()),
    ]
    return _table(["training", ""], [row for row in rows if row[1]])


def _metrics(metrics: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (_text(one["metric"]), _text(one["split"]), _measured(one["latest"]), _measured(one["best"]), one["direction"])
        for one in metrics
    ]
    return _table(["metric", "split", "last", "best", "better is"], rows)


def _measured(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return ""
    shown = value["non_finite"] or number(value["value"], 6)
    return f"{shown} (epoch {value['epoch']})"


def _environment(card: Mapping[str, Any]) -> str:
    environment = card["environment"]
    if not environment:
        return "The log does not say on which machine it was trained."
    gpus = environment.get("gpus") if isinstance(environment.get("gpus"), list) else []
    rows = [
        ("Python", _value(_inner(environment, "python", "version"))),
        ("system", _value(_inner(environment, "platform", "system"))),
        ("machine", _value(_inner(environment, "platform", "machine"))),
        ("CPU", _value(_inner(environment, "cpu", "model"))),
        ("memory", _bytes(environment.get("memory_bytes"))),
        ("GPUs", ", ".join(_value(one.get("name") if isinstance(one, Mapping) else one) for one in gpus)),
        ("git commit", _value(_inner(environment, "git", "commit"))),
        *((_text(name), _value(version)) for name, version in card["versions"].items()),
    ]
    return _table(["environment", ""], [row for row in rows if row[1]])


def _energy(energy: Mapping[str, Any]) -> str:
    rows = [
        ("energy", "" if energy["energy_kwh"] is None else f"{number(energy['energy_kwh'])} kWh"),
        ("emissions", "" if energy["emissions_kg"] is None else f"{number(energy['emissions_kg'])} kg CO2 equivalent"),
        ("country", _value(energy["country"])),
        ("measured by", _value(energy["source"])),
    ]
    return _table(["energy", ""], [row for row in rows if row[1]])


def _reproduction(card: Mapping[str, Any]) -> Iterable[str]:
    verdict = card["reproduction"]
    if verdict is None:
        yield "Nobody has run it again yet."
    else:
        said = _VERDICTS.get(verdict["verdict"], _text(f"Run again: {verdict['verdict']}"))
        where = "" if verdict["epoch"] is None else f"; they part in epoch {verdict['epoch']}"
        yield f"{said}{where} ({verdict['num_digests']} digests compared)."
    yield f"Config: {_code(card['config_sha256'] or 'unknown')}."
    if card["command"]:
        yield "It was launched by"
        yield _fenced(" ".join(card["command"]), "text")
    yield "With the run folder, this runs it again and compares:"
    yield _fenced(f"mlgym reproduce {card['run_id']} --experiment {card['experiment_id']}", "text")


def _component(component: Any) -> str:
    if not isinstance(component, Mapping):
        return _value(component)
    given = [f"{key}={value_text(value)}" for key, value in component.items() if key != "use" and not _is_part(value)]
    return _text(f"{component.get('use', '')}({', '.join(given)})")


def _is_part(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.startswith("$"))


def _inner(data: Mapping[str, Any], *keys: str) -> Any:
    found: Any = data
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _text(text: Any) -> str:
    """Gives text that means itself in Markdown, on one line."""
    return _SPECIAL.sub(r"\\\1", _LINE_BREAK.sub(" ", plain(str(text))).strip())


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _value(value: Any) -> str:
    return "" if value is None else _text(value_text(value))


def _count(count: Any) -> str:
    return f"{count:,}" if isinstance(count, int) else ""


def _bytes(count: Any) -> str:
    if not isinstance(count, int):
        return ""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} bytes"


def _fenced(text: str, language: str) -> str:
    # A fence longer than any run of backticks within cannot be closed from within.
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{plain(text).rstrip()}\n{fence}"


def _yaml(data: Any) -> str:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return text
