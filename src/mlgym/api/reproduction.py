"""Running a run again and proving, digest by digest, that the same comes out; or saying where it does not and why."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mlgym.api.bisection import Bisector, Change
from mlgym.api.given_options import check_given
from mlgym.api.launch_check import check_launch, local_devices
from mlgym.api.recorded import Choice, Original, Repetition
from mlgym.api.repeat import Launching, Tell, Watching, differences_from, failure_of, repeat
from mlgym.api.together import executor_and_size, led_by_rank_0
from mlgym.config.difference import config_changes
from mlgym.display.reproduction import tell as tell_on_stderr
from mlgym.errors import EventLogError, RunError
from mlgym.events import Difference, EventLog, Producer, ReproductionVerdict
from mlgym.execution.course.repeated_decisions import compare_decisions
from mlgym.execution.options import ExecutorKind
from mlgym.execution.ray_options import RayOptions
from mlgym.names import DEFAULT_STORAGE
from mlgym.reproduction.comparison import DEFAULT_RTOL, RunningComparison, compare
from mlgym.reproduction.verdict import Verdict, difference_text
from mlgym.tracking import RunFolder

_MAX_TOLD: Final = 20
_MAX_ORIGINALS: Final = 3


def _no_verdicts(run_dir: Path | None) -> list[Verdict]:
    return []


@led_by_rank_0(_no_verdicts)
def reproduce(
    run_id: str = "latest",
    *,
    experiments: Choice = "best",
    changes: Sequence[str] = (),
    threads: int | None = None,
    bisect: bool = False,
    rtol: float = DEFAULT_RTOL,
    keep_going: bool = False,
    storage: str | Path = DEFAULT_STORAGE,
    executor: ExecutorKind | None = None,
    processes: int | None = None,
    devices: Sequence[str] | None = None,
    slots_per_device: int | Literal["auto"] | None = None,
    devices_per_experiment: int | None = None,
    node_retries: int | None = None,
    ray: RayOptions | Mapping[str, Any] | None = None,
    slurm: Mapping[str, str | Sequence[str]] | None = None,
    command: Sequence[str] = (),
    progress: bool = True,
) -> list[Verdict]:
    """Runs experiments of a run again, into a new run, and gives the verdict on each.

    The recorded configs, threads and determinism are used. What differs between then and now is told first. Digests
    and metrics are compared while the experiments run. Each verdict is written into the logs of both runs. Of a search
    or a nested cross validation of which all is run again, what it decided is decided again and compared, too.

    In several processes that `torchrun` started, the first one does this, and the others do their share of each
    experiment and get an empty list.

    Args:
        run_id: the run: its id, the beginning of one, or `latest`.
        experiments: `best`, `all` that finished, `OuterFold(n)` of a nested cross validation, or their numbers.
        changes: what-if changes as `KEY=VALUE`; they are named in the verdict.
        threads: another number of threads, as a what-if change; None for the recorded one.
        bisect: make further runs to find the step and the tensor where an experiment parts.
        rtol: largest relative difference of a metric that counts as equal within tolerance, >= 0.
        keep_going: train to the end also when a metric has differed by more than that.
        storage: the folder of all runs; the new ones go there too.
        executor: `processes`, `inline` for this process, `ray` or `slurm`; None for what the run was launched with, as
            in all that follows.
        processes: experiments at a time; None for one per core or slot.
        devices: where to run.
        slots_per_device: experiments at a time on one GPU; `auto` for as many as its memory has room for.
        devices_per_experiment: devices that each experiment is trained on together.
        node_retries: how often an experiment goes on elsewhere when what it ran on is lost, such as a node.
        ray: the cluster of the executor `ray`, as in `mlgym.run`; `insecure` has to be said again.
        slurm: options of the jobs of the executor `slurm`, by key.
        command: how this was called, for the record; empty for this process's own command line.
        progress: show on stderr what goes on.

    Returns:
        A verdict for each experiment, in the order of their numbers; `str` of one is its text.

    Raises:
        RunError: there is no such run or experiment, or it cannot be run again.
        ConfigError: its config, or a change, does not fit the code as it is now.
    """
    check_tolerance(rtol)
    tell: Tell = tell_on_stderr if progress else _ignore
    original = Original.find(Path(storage), run_id)
    chosen = original.chosen(experiments)
    executor, devices_per_experiment = executor_and_size(executor, processes, devices_per_experiment)
    recorded = Launching.of(
        original.record,
        executor=executor,
        devices=devices,
        slots_per_device=slots_per_device,
        devices_per_experiment=devices_per_experiment,
        node_retries=node_retries,
        ray=ray,
        slurm=slurm,
        storage=original.folder.storage,
        processes=processes,
        command=list(command) or sys.argv,
        progress=progress,
        tell=tell,
    )
    launching = recorded if threads is None else replace(recorded, threads=threads)
    repetition = Repetition(original, chosen, changes)
    given = {
        "processes": processes,
        "devices": devices,
        "slots_per_device": slots_per_device,
        "devices_per_experiment": devices_per_experiment,
        "node_retries": node_retries,
    }
    check_given(given, launching.options(original))
    check_launch(
        devices=local_devices(launching.executor, launching.devices), threads=launching.threads, text_logging_path=None
    )
    differences = launching.differences(original, chosen)
    _tell_differences(original, chosen, _shared([*repetition.differences.values(), *differences.values()]), tell)
    if repetition.undecided is not None:
        tell(repetition.undecided)
    elif repetition.decisions is not None and repetition.decisions.differ:
        tell(f"differs: {repetition.decisions.to_text()}")
    verdicts = _run_again(original, repetition, launching, differences, rtol=rtol, keep_going=keep_going)
    if bisect:
        bisector = Bisector(original, Change(changes, launching, recorded))
        verdicts = [bisector.bisect(verdict) for verdict in verdicts]
    _write_down(verdicts, [original.folder, RunFolder(original.folder.storage, verdicts[0].new_run_id)], tell)
    return verdicts


def compare_runs(
    run_id: str,
    against: str,
    *,
    experiments: Choice = "all",
    rtol: float = DEFAULT_RTOL,
    storage: str | Path = DEFAULT_STORAGE,
    progress: bool = True,
) -> list[Verdict]:
    """Compares experiments of two runs that exist, without training; gives the verdict on each.

    Configs and surroundings are compared too. Each verdict is written into the logs of both runs.

    Args:
        run_id: the run whose results are to be reproduced: its id, the beginning of one, or `latest`.
        against: the run that may have done it.
        experiments: `best`, `all` that finished in both, or their numbers.
        rtol: largest relative difference of a metric that counts as equal within tolerance, >= 0.
        storage: the folder of all runs.
        progress: tell on stderr what could not be written down.

    Raises:
        RunError: there is no such run or experiment, or the two are one.
    """
    check_tolerance(rtol)
    original, new = Original.find(Path(storage), run_id), Original.find(Path(storage), against)
    if original.run_id == new.run_id:
        raise RunError(f"run {original.run_id} cannot be compared with itself; name another run")
    numbers = _in_both(original, new, experiments)
    surroundings = differences_from(original, numbers, new.began_in)
    decisions = compare_decisions(original.state.search, new.state.search)
    verdicts = [
        Verdict(
            experiment_id=number,
            original_run_id=original.run_id,
            new_run_id=new.run_id,
            comparison=(found := compare(original.results[number], new.results[number], rtol=rtol)),
            differences=_sorted(
                [
                    *_between_configs(original, new, number),
                    *surroundings[number],
                    *new.changed_meanwhile(number),
                    *found.differences,
                ]
            ),
            determinism=new.record.determinism,
            decisions=decisions,
        )
        for number in numbers
    ]
    _write_down(verdicts, [original.folder, new.folder], tell_on_stderr if progress else _ignore)
    return verdicts


def check_tolerance(rtol: float) -> None:
    """Checks that a tolerance is one.

    Raises:
        RunError: it is negative or no number.
    """
    if not 0 <= rtol < float("inf"):
        raise RunError(f"`rtol` must be a number from 0 on, such as {DEFAULT_RTOL:g}, but is {rtol:g}")


def _run_again(
    original: Original,
    repetition: Repetition,
    launching: Launching,
    surroundings: Mapping[int, Sequence[Difference]],
    *,
    rtol: float,
    keep_going: bool,
) -> list[Verdict]:
    comparisons = {number: RunningComparison(original.results[number], rtol) for number in repetition.differences}
    watching = Watching(comparisons, lambda running: running.is_beyond_tolerance and not keep_going, launching.tell)
    summary = repeat(original, repetition, launching, watching)
    verdicts = []
    for number, running in comparisons.items():
        found = running.result()
        verdicts.append(
            Verdict(
                experiment_id=number,
                original_run_id=original.run_id,
                new_run_id=summary.run_id,
                comparison=found,
                differences=_sorted(
                    [*repetition.differences[number], *surroundings[number], *found.differences, *running.new.code]
                ),
                determinism=launching.determinism,
                decisions=repetition.decisions,
                error=failure_of(running, was_stopped=watching.has_stopped),
                was_stopped=watching.has_stopped and running.new.end != "done",
            )
        )
    return verdicts


def _sorted(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    return tuple(sorted(differences, key=lambda each: not each.changes_bits))


def _shared(by_experiment: Iterable[Sequence[Difference]]) -> list[Difference]:
    """Gives the differences of several experiments, one for all that come to the same from whatever they were."""
    alike: dict[str, list[Difference]] = {}
    for difference in (each for differences in by_experiment for each in differences):
        same = alike.setdefault(repr((difference.kind, difference.key, difference.new)), [])
        if all(difference.original != other.original for other in same):
            same.append(difference)
    return [_joined(same) for same in alike.values()]


def _joined(alike: Sequence[Difference]) -> Difference:
    first = alike[0]
    if len(alike) == 1:
        return first
    listed = ", ".join(str(each.original) for each in alike[:_MAX_ORIGINALS])
    more = f" and {len(alike) - _MAX_ORIGINALS} more" if len(alike) > _MAX_ORIGINALS else ""
    return msgspec.structs.replace(first, original=f"{listed}{more}")


def _tell_differences(original: Original, chosen: Sequence[int], found: Sequence[Difference], tell: Tell) -> None:
    numbers = ", ".join(map(str, chosen[:8])) + (f" and {len(chosen) - 8} more" if len(chosen) > 8 else "")
    tell(f"reproducing experiment{'s' if len(chosen) > 1 else ''} {numbers} of run {original.run_id}")
    if not original.environment():
        tell("the run did not record its environment: what differs from it is not known")
    decisive = [each for each in found if each.changes_bits]
    for each in decisive[:_MAX_TOLD]:
        tell(f"differs: {difference_text(each)}{f' ({each.hint})' if each.hint else ''}")
    if len(decisive) > _MAX_TOLD:
        tell(f"... and {len(decisive) - _MAX_TOLD} more differences that may change results")
    others = [difference_text(each) for each in found if not each.changes_bits]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        tell(f"differs, but changes no result: {', '.join(others[:3])}{more}")
    if not found:
        tell("settings, code, versions and machine are as recorded")


def _in_both(original: Original, new: Original, choice: Choice) -> list[int]:
    if choice != "all":
        return new.chosen(original.chosen(choice))
    in_new = frozenset(new.chosen("all"))
    both = [number for number in original.chosen("all") if number in in_new]
    if not both:
        raise RunError(f"runs {original.run_id} and {new.run_id} have no finished experiment of the same number")
    return both


def _between_configs(original: Original, new: Original, number: int) -> list[Difference]:
    changes = config_changes(original.config(number), new.config(number))
    return [Difference("setting", each.key, each.old, each.new, True) for each in changes]


def _write_down(verdicts: Sequence[Verdict], folders: Sequence[RunFolder], tell: Tell) -> None:
    """Writes the verdicts into the logs of both runs; a log that somebody else writes, or nobody may, is left alone."""
    for folder in folders:
        events = [event for verdict in verdicts if (event := verdict.to_event(folder.run_id)) is not None]
        try:
            _append(folder, events)
        except EventLogError as error:
            tell(f"the verdict is not in the log of run {folder.run_id}: {error}")


def _append(folder: RunFolder, events: Sequence[ReproductionVerdict]) -> None:
    if not events:
        return
    producer = Producer()
    with EventLog.open(folder.log_path) as log:
        log.append([producer.encode(event) for event in events])


def _ignore(line: str) -> None:
    pass
