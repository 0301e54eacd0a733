"""Commands that look at runs: `runs`, `show`, `log`. They read event logs and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlgym.cli.options import Direction, Json, Metric, RunId, Storage, direction
from mlgym.cli.outcome import ways_on
from mlgym.display.output import console, print_json
from mlgym.names import DEFAULT_STORAGE
from mlgym.texts import key_text

if TYPE_CHECKING:
    from mlgym.errors import MlgymError
    from mlgym.events import Damage, RunState


def runs(storage: Storage = Path(DEFAULT_STORAGE), as_json: Json = False) -> None:
    """List the runs of a storage folder, the newest first."""
    from mlgym.display.tables import run_facts, runs_table
    from mlgym.tracking import list_runs

    found = [(folder.run_id, folder.state()) for folder in list_runs(storage)]
    if as_json:
        print_json([run_facts(run_id, state) for run_id, state in found])
    elif found:
        console().print(runs_table(found))
    else:
        print(f"no runs in {storage}; start one with: mlgym run CONFIG", file=sys.stderr)
    for run_id, state in found:
        tell_damage(run_id, state.damage)


def show(
    run_id: RunId = "latest",
    storage: Storage = Path(DEFAULT_STORAGE),
    experiment: Annotated[
        int | None, typer.Option("--experiment", "-e", help="Only this one, with its config, error and last log lines.")
    ] = None,
    metric: Metric = None,
    best: Direction = None,
    every_metric: Annotated[bool, typer.Option("--all", help="A column for every metric of every split.")] = False,
    as_json: Json = False,
) -> None:
    """Show the experiments of a run, the best first."""
    from mlgym.display.tables import experiment_facts, experiments_table, run_facts
    from mlgym.tracking import find_run
    from mlgym.validation import rank, selection_of

    folder = find_run(storage, run_id)
    state = folder.state()
    tell_damage(folder.run_id, state.damage)
    selection = selection_of(state, metric, direction(best))
    if experiment is not None:
        _show_experiment(state, experiment, as_json)
        return
    if as_json:
        chosen = {"metric": selection.metric, "best": selection.best} if selection else None
        experiments = [experiment_facts(one) for one in rank(state, selection)]
        print_json(run_facts(folder.run_id, state) | {"selection": chosen, "experiments": experiments})
        return
    page = console()
    page.print(_headline(folder.run_id, state))
    page.print(experiments_table(state, selection, state.metric_keys if every_metric else None))
    _print_reproductions(state)
    if lines := ways_on(folder.run_id, state, storage):
        print("\n" + "\n".join(lines), file=sys.stderr)


def _print_reproductions(state: RunState) -> None:
    if all(one.reproduction is None for one in state.experiments.values()):
        return  # all of the report takes longer to import than the rest of a page to be shown
    from mlgym.validation.report import reproduction_lines

    print("\n" + "\n".join(reproduction_lines(state.experiments.values())))


def log(
    run_id: RunId = "latest",
    storage: Storage = Path(DEFAULT_STORAGE),
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as events arrive, until the run ends.")] = False,
    experiment: Annotated[int | None, typer.Option("--experiment", "-e", help="Only events of this one.")] = None,
    as_json: Json = False,
) -> None:
    """Print what happened in a run, one event a line."""
    from mlgym.display.event_lines import event_line
    from mlgym.events import damage_of, follow_log, has_writer, read_log
    from mlgym.tracking import find_run

    folder = find_run(storage, run_id)
    events = read_log(folder.log_path)
    if experiment is not None:
        state = folder.state()
        may_come = follow and state.status == "running" and 0 <= experiment < (state.num_experiments or 0)
        if experiment not in state.experiments and not may_come:
            raise _no_experiment(state, experiment)
    if follow:
        events = follow_log(folder.log_path, until=lambda: not has_writer(folder.log_path))
    try:
        for logged in events:
            if experiment is not None and _experiment_of(logged.event) != experiment:
                continue
            if as_json:
                import msgspec

                print(msgspec.json.encode({"event_id": logged.event_id, "data": logged.event}).decode())
            else:
                print(event_line(logged.event))
            sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    tell_damage(folder.run_id, damage_of(folder.log_path))


def tell_damage(run_id: str, damage: Damage | None) -> None:
    """Says on stderr that the log of a run is damaged, so that nobody takes what is shown for all of it."""
    if damage is not None:
        print(f"warning: run {run_id}: {damage.explained(run_id)}", file=sys.stderr)


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(runs)
    app.command()(show)
    app.command()(log)


def _experiment_of(event: Any) -> int | None:
    payload = event.get("payload") if isinstance(event, dict) else None
    return payload.get("experiment_id") if isinstance(payload, dict) else None


def _headline(run_id: str, state: RunState) -> str:
    from mlgym.display.tables import counts_text

    name = f"{key_text(state.name)}  " if state.name else ""
    original = f", a repetition of run {key_text(state.reproduces)}" if state.reproduces else ""
    return f"{run_id}  {name}{state.status}: {counts_text(state)}{original}"


def _show_experiment(state: RunState, experiment_id: int, as_json: bool) -> None:
    from mlgym.display.experiment_page import experiment_details, experiment_page

    experiment = state.experiments.get(experiment_id)
    if experiment is None:
        raise _no_experiment(state, experiment_id)
    if as_json:
        print_json(experiment_details(experiment))
    else:
        print(experiment_page(experiment))


def _no_experiment(state: RunState, experiment_id: int) -> MlgymError:
    from mlgym.errors import RunError

    known = f"0 to {max(state.experiments)}" if state.experiments else "none yet"
    return RunError(f"the run has no experiment {experiment_id} (known: {known})")
