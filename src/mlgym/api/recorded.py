"""The run that is to be reproduced: what it recorded, and its experiments as they are to run again."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from mlgym.config import Document, Point, check, config_id, load, resolve
from mlgym.config.difference import config_changes
from mlgym.config.override import override_path
from mlgym.errors import ConfigError, RunError
from mlgym.events import Difference, ExperimentState, RunState
from mlgym.execution.course.course import Course, Desk, OwnCourse
from mlgym.execution.course.repeated_decisions import RepeatedSearch, RepeatedSelections, decided_again
from mlgym.execution.run_record import CONFIG_FILE, ENVIRONMENT_FILE, EXPERIMENT_CONFIG_FILE, RunRecord, read_record
from mlgym.names import did_you_mean
from mlgym.reproduction.decisions import Decisions
from mlgym.reproduction.results import ExperimentResults, results_of
from mlgym.reproduction.surroundings import Surroundings
from mlgym.tracking import RunFolder, find_run
from mlgym.validation import rank, selection_of
from mlgym.validation.modes import DecidingPlan, NestedPlan, SearchPlan


@dataclass(frozen=True, slots=True)
class OuterFold:
    """All experiments of one outer fold of a nested cross validation.

    Args:
        number: of the outer fold, from 0.
    """

    number: int


Choice: TypeAlias = Literal["best", "all"] | OuterFold | Sequence[int]
"""Which experiments: the best one, all that finished, those of an outer fold, or those of these numbers."""

_ID: Final = "config_id"


@dataclass(frozen=True)
class Original:
    """A run as its folder tells of it.

    Args:
        folder: where it is.
        state: a fold over its log.
        record: how it was launched.
        results: the results of each experiment.
        surroundings: where each of its attempts ran, as the log tells.
    """

    folder: RunFolder
    state: RunState
    record: RunRecord
    results: Mapping[int, ExperimentResults]
    surroundings: Surroundings

    @classmethod
    def find(cls, storage: Path, run_id: str) -> Original:
        """Gives a run of a storage folder.

        Args:
            storage: the folder of all runs.
            run_id: its id, the beginning of one, or `latest`.

        Raises:
            RunError: there is no such run, or its record is damaged.
        """
        folder, surroundings = find_run(storage, run_id), Surroundings()
        results = results_of(surroundings.watching(folder.events()))
        return cls(folder, folder.state(), read_record(folder), results, surroundings)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.folder.run_id

    @property
    def code_folder(self) -> Path:
        """Where the user's modules are looked for first: beside the config, or the working directory."""
        return self.record.code_folder(self.folder) or Path.cwd()

    def environment(self) -> dict[str, Any]:
        """Gives the recorded surroundings; empty where the run recorded none.

        Raises:
            RunError: the record is damaged.
        """
        if not (self.folder.path / ENVIRONMENT_FILE).exists():
            return {}
        recorded = self.folder.read_json(ENVIRONMENT_FILE)
        return recorded if isinstance(recorded, dict) else {}

    @functools.cached_property
    def _first_environment(self) -> dict[str, Any]:
        return self.environment()

    def began_in(self, experiment_id: int) -> dict[str, Any]:
        """Gives the surroundings in which an experiment was begun; empty where the run recorded none.

        Raises:
            RunError: the record is damaged.
        """
        return next(iter(self.surroundings.of(experiment_id, self._first_environment)), self._first_environment)

    def changed_meanwhile(self, experiment_id: int) -> list[Difference]:
        """Gives in what the surroundings of an experiment were changed while it went on, and may change bits."""
        return self.surroundings.changes(experiment_id, self._first_environment)

    def config(self, experiment_id: int) -> dict[str, Any]:
        """Gives the recorded config of an experiment, every default filled in.

        Raises:
            RunError: it is missing, or not what its id was made from.
        """
        name = f"{experiment_id}/{EXPERIMENT_CONFIG_FILE}"
        recorded = self.folder.read_json(name)
        config = {key: value for key, value in recorded.items() if key != _ID} if isinstance(recorded, dict) else {}
        if not config or config_id(config) != recorded.get(_ID):
            raise RunError(
                f"`{self.folder.path / name}` was changed since run {self.run_id}: it does not match its `{_ID}`. "
                "Bring the file back, and give changes as KEY=VALUE"
            )
        return config

    def chosen(self, choice: Choice) -> list[int]:
        """Gives the numbers of the experiments to run again; each of them finished and has results.

        Raises:
            RunError: there is no such experiment, or it did not finish.
        """
        if choice == "all":
            return self._finished()
        if choice == "best":
            return [self._best()]
        if isinstance(choice, OuterFold):
            return self._of_outer_fold(choice.number)
        _refuse_other_than_numbers(choice)
        return [self._checked(number) for number in dict.fromkeys(choice)]

    def _finished(self) -> list[int]:
        found = [number for number in sorted(self.state.experiments) if self._complaint(number) is None]
        if not found:
            raise RunError(f"run {self.run_id} has no finished experiment to reproduce; it is {self.state.status}")
        return found

    def _best(self) -> int:
        finished = self._finished()
        ranked = [one.experiment.experiment_id for one in rank(self.state, selection_of(self.state, None, None))]
        return next((number for number in ranked if number in finished), finished[0])

    def _of_outer_fold(self, number: int) -> list[int]:
        folds = {key: one.trial.get("outer_fold") for key, one in self.state.experiments.items()}
        known = sorted({fold for fold in folds.values() if isinstance(fold, int)})
        if number not in known:
            listed = f"it has 0 to {known[-1]}" if known else "it is no nested cross validation"
            raise RunError(f"run {self.run_id} has no outer fold {number}: {listed}")
        return [self._checked(key) for key in sorted(folds) if folds[key] == number]

    def _checked(self, number: int) -> int:
        complaint = self._complaint(number)
        if complaint:
            raise RunError(complaint)
        return number

    def _complaint(self, number: int) -> str | None:
        if number not in self.state.experiments and 0 <= number < (self.state.num_experiments or 0):
            return (
                f"experiment {number} of run {self.run_id} has not begun; `mlgym resume {self.run_id}` goes on with it"
            )
        if number not in self.state.experiments:
            known = [str(each) for each in sorted(self.state.experiments)]
            near = did_you_mean(str(number), known)
            return f"run {self.run_id} has no experiment {number}{near if len(known) <= 12 else ''}"
        experiment: ExperimentState = self.state.experiments[number]
        if experiment.status != "done":
            remedy = f"`mlgym resume {self.run_id}` goes on with it"
            return f"experiment {number} of run {self.run_id} is {experiment.status}, not done; {remedy}"
        if number not in self.results or self.results[number].is_empty:
            return f"experiment {number} of run {self.run_id} has no digests and no metrics to compare"
        return None


def _refuse_other_than_numbers(choice: object) -> None:
    """Refuses a choice that names no experiment; a text would be taken for a list of its letters."""
    if isinstance(choice, str) or not isinstance(choice, Sequence) or not choice:
        raise RunError(f"`experiments` is `best`, `all`, an outer fold or a list of numbers, but is {choice!r}")


class Repetition(Sequence[Point], OwnCourse):
    """Experiments of a run as they are to run again: the recorded configs, under their numbers, with changes.

    Attributes:
        document: what the new run is launched with; its sections, imports and name are the original's.
        skip: the numbers that are not run.
        differences: what changes and what the code has filled in differently since, by experiment.
        facts: what the original run said of its validation; the new run says the same.
        undecided: why what the original decided on its way cannot be decided again; None where it can, or there is
            nothing.
        until_epochs: after how many epochs experiments of a search end, as those did that it did not go on with.
    """

    def __init__(self, original: Original, chosen: Sequence[int], changes: Sequence[str] = ()) -> None:
        """Rebuilds the experiments; imports the user's modules.

        Args:
            original: the run.
            chosen: the numbers of its experiments.
            changes: `KEY=VALUE` texts, applied to the recorded config of each experiment.

        Raises:
            ConfigError: a recorded config, or a change, does not fit the code as it is now.
            RunError: a recorded config is damaged, or a change cannot be made to it.
        """
        _refuse_variables(changes)
        self.differences: dict[int, tuple[Difference, ...]] = {}
        self._points: dict[int, Point] = {}
        self._original = original
        self._space_now, unfit = _space_now(original)
        space_now = self._space_now
        has_decided = original.state.search or original.state.selections
        self.undecided = None if unfit is None or not has_decided else f"what it decided is not compared: {unfit}"
        self._course: RepeatedSearch | RepeatedSelections | None = None
        for number in chosen:
            config = original.config(number)
            now = _resolved(config, original.code_folder)
            point, document = _point(config, original.code_folder, changes)
            resolved = resolve(point.config)
            swept = original.state.experiments[number].swept
            trial = original.state.experiments[number].trial
            self._points[number] = Point(number, resolved, _still_swept(swept, now, resolved), trial)
            self.differences[number] = (
                *_settings(now, resolved),
                *_new_parameters(config, now),
                *_other_defaults(space_now, number, config),
            )
            self._template = document
        self._num_experiments = max([original.state.num_experiments or 0, *(number + 1 for number in chosen)])
        self.until_epochs = {number: original.state.experiments[number].until_epoch for number in chosen}
        self.skip = frozenset(range(self._num_experiments)) - frozenset(chosen)
        self.document = self._document(original, changes)
        self.facts = original.state.validation or self.document.validation

    def __len__(self) -> int:
        return self._num_experiments

    def __getitem__(self, index: Any) -> Any:
        if index not in self._points:
            raise IndexError(f"experiment {index} is not to run again")
        return self._points[index]

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points.values())

    def course(self, settled: Container[int], desk: Desk) -> Course:
        """Gives what follows from how experiments end; see `OwnCourse`.

        What the original decided on its way is decided again where all is run again that it followed from.
        """
        state, plan, chosen = self._original.state, self._space_now, self._points.keys()
        failed = {number for number, one in state.experiments.items() if one.status == "failed"}
        if isinstance(plan, SearchPlan) and state.search and state.experiments.keys() - failed <= chosen:
            self._course = RepeatedSearch(
                plan,
                state.search,
                desk,
                num_experiments=len(self),
                settled=settled,
                until_epochs=self.until_epochs,
            )
            return self._course
        if isinstance(plan, NestedPlan):
            again = {
                fold: selection
                for fold, selection in state.selections.items()
                if selection.configuration is not None and set(plan.competitors(fold)) - failed <= chosen
            }
            if again:
                self._course = RepeatedSelections(
                    plan, again, desk, num_experiments=len(self), settled=settled, failed=failed
                )
                return self._course
        return Course(len(self), settled, self.until_epochs)

    @property
    def decisions(self) -> Decisions | None:
        """How what the original decided compares with what is decided now; None where it decided nothing.

        Before anything has run, or where only some of it does, that is what follows from the recorded results.
        """
        return self._recorded_decisions if self._course is None else self._course.decisions

    @functools.cached_property
    def _recorded_decisions(self) -> Decisions | None:
        plan, steps = self._space_now, self._original.state.search
        if not isinstance(plan, SearchPlan) or not steps:
            return None
        return decided_again(plan, steps)

    def _document(self, original: Original, changes: Sequence[str]) -> Document:
        record = original.record
        document = load(record.config, changes, label=f"run {original.run_id}") if record.config else self._template
        return replace(
            document,
            folder=original.code_folder,
            text=original.folder.read_text(CONFIG_FILE),
            overrides=(*record.overrides, *changes),
        )


def _refuse_variables(changes: Sequence[str]) -> None:
    for change in changes:
        key = change.partition("=")[0]
        if override_path(key)[0] in ("vars", "validation", "name"):
            raise RunError(
                f"`{change}` cannot be changed in a reproduction: a recorded config has no `vars` any more and is one "
                "experiment; name the key that it reaches, such as `optimizer.lr`"
            )


def _point(config: dict[str, Any], folder: Path, changes: Sequence[str] = ()) -> tuple[Point, Document]:
    document = replace(load(config, changes), folder=folder)
    space = check(document)
    if len(space) != 1:
        raise RunError(
            f"a reproduction takes single values, but {', '.join(changes)} makes {len(space)} experiments of one"
        )
    return space[0], document


def _resolved(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    point, _ = _point(config, folder)
    return resolve(point.config)


def _still_swept(swept: Mapping[str, Any], before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Gives the swept values without those that were changed."""
    changed = {change.key for change in config_changes(before, now)}
    return {key: value for key, value in swept.items() if key not in changed}


def _settings(before: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
    for change in config_changes(before, now):
        yield Difference("setting", change.key, change.old, change.new, True, "asked for")


def _new_parameters(recorded: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
    """Yields the parameters that components have come to have since the config was recorded."""
    for change in config_changes(recorded, now):
        hint = "this parameter is newer than the run, which recorded no value"
        yield Difference("parameter", change.key, change.old, change.new, True, hint)


def _space_now(original: Original) -> tuple[Sequence[Point], str | None]:
    """Gives what the run's config unfolds to now; nothing where it does not fit the code any more, and why not."""
    if original.record.config is None:
        return (), None
    try:
        plan = check(replace(load(original.record.config), folder=original.code_folder))
    except ConfigError as error:  # of another experiment of the grid, since those that run again were checked
        return (), f"its config is refused now, {error.faults[0].path}: {error.faults[0].message}"
    if isinstance(plan, DecidingPlan):
        plan.recall(original.state)
    return plan, None


def _other_defaults(space_now: Sequence[Point], number: int, recorded: dict[str, Any]) -> Iterator[Difference]:
    """Yields the defaults that are others now; what was recorded is what runs, so that they change nothing."""
    try:
        now = space_now[number].config
    except (IndexError, RunError):  # RunError: a config that was decided while the run went on, and is not in its log
        return
    for change in config_changes(recorded, resolve(now)):
        if change.kind == "changed":
            hint = "the default changed in the code since; the recorded value is used"
            yield Difference("default", change.key, change.old, change.new, False, hint)
