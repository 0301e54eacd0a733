"""A run as an object: its experiments, their metrics as frames, the best one, a report. A fold over the event log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlgym.errors import RunError
from mlgym.events import ArtifactRecord, ExperimentState, MetricHistory, ReproductionVerdict, RunState
from mlgym.names import DEFAULT_STORAGE, Best, did_you_mean
from mlgym.reproduction.verdict import recorded_verdicts
from mlgym.tracking import RunFolder, find_run
from mlgym.validation import rank, selection_of
from mlgym.validation.columns import swept_columns
from mlgym.validation.report import Report, report_of

if TYPE_CHECKING:
    import pandas
    import polars
    from torch import nn


class Experiment:
    """One experiment of a run."""

    def __init__(self, folder: RunFolder, state: ExperimentState) -> None:
        self._folder = folder
        self.state = state

    @property
    def experiment_id(self) -> int:
        """Its number in the run, from 0."""
        return self.state.experiment_id

    @property
    def status(self) -> str:
        """One of `waiting`, `running`, `done`, `failed`, `interrupted`."""
        return self.state.status

    @property
    def config(self) -> dict[str, Any]:
        """The resolved, sweep-free config."""
        return self.state.config

    @property
    def swept(self) -> dict[str, Any]:
        """The swept values by short key, such as `optimizer.lr`."""
        return self.state.swept

    @property
    def error(self) -> str | None:
        """What failed, or None."""
        return self.state.error

    @property
    def latest(self) -> dict[str, float]:
        """The last value of each metric by `split/metric`."""
        return {key: history[-1].value for key, history in self.state.metrics.items() if history}

    def history(self, metric: str) -> MetricHistory:
        """Gives all values of a metric such as `val/loss`, as columns `epochs`, `steps`, `values`.

        Raises:
            RunError: it was not measured.
        """
        if metric not in self.state.metrics:
            raise RunError(
                f"experiment {self.experiment_id} has no metric `{metric}`{did_you_mean(metric, self.state.metrics)}"
            )
        return self.state.metrics[metric]

    @property
    def artifacts(self) -> list[ArtifactRecord]:
        """The figures, texts and files that were logged, the oldest first; `artifact` gives where one is."""
        return list(self.state.artifacts.values())

    def artifact(self, name: str, version: int | None = None) -> Path:
        """Gives the file of a figure, text or file that was logged by `mlgym.track`.

        Args:
            name: as it was logged.
            version: how many of that name came before it; None for the last one.

        Raises:
            RunError: there is none.
        """
        named = [one for one in self.artifacts if one.name == name]
        found = [one for one in named if version in (None, one.version)]
        if not found:
            what = f"no version {version} of `{name}`" if named else f"no artifact `{name}`"
            known = did_you_mean(name, {one.name for one in self.artifacts}) if not named else ""
            raise RunError(f"experiment {self.experiment_id} has {what}{known}")
        chosen = max(found, key=lambda one: one.version)
        files = [self._folder.inside(f"{chosen.path}/{file}") for file in chosen.sha256]
        if len(files) != 1 or not files[0].is_file():
            raise RunError(f"the file of artifact `{name}` is missing in `{self._folder.path / chosen.path}`")
        return files[0]

    def load_model(
        self, checkpoint: Literal["best", "last"] | Path = "best", *, rest_endpoint: str | None = None
    ) -> nn.Module:
        """Gives the trained model; see `mlgym.load_model`."""
        from mlgym.api.weights import load_checkpoint

        return load_checkpoint(self._folder, self.state, checkpoint, rest_endpoint=rest_endpoint)

    def __repr__(self) -> str:
        swept = " ".join(f"{key}={value}" for key, value in self.swept.items())
        return f"<Experiment {self.experiment_id} {self.status}{' ' + swept if swept else ''}>"


class Run:
    """A run, as its event log says it is at this moment; `refresh` reads on."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.state: RunState = folder.state()

    @property
    def run_id(self) -> str:
        """The run's id, such as `2026-11-23--16-14-30`."""
        return self._folder.run_id

    @property
    def path(self) -> Path:
        """The run folder."""
        return self._folder.path

    @property
    def status(self) -> str:
        """One of `running`, `finished`, `interrupted`, `crashed`."""
        return self.state.status

    @property
    def num_failed(self) -> int:
        """Number of failed experiments."""
        return self.state.counts["failed"]

    @property
    def exit_code(self) -> int:
        """What the command line would exit with: 130 interrupted or not finished, 1 some failed, 0 all succeeded."""
        if self.status != "finished":
            return 130
        return int(self.num_failed > 0)

    @property
    def experiments(self) -> list[Experiment]:
        """The experiments that were started, by id."""
        return [Experiment(self._folder, self.state.experiments[key]) for key in sorted(self.state.experiments)]

    def experiment(self, experiment_id: int) -> Experiment:
        """Gives one experiment.

        Args:
            experiment_id: its number in the run, from 0.

        Raises:
            RunError: it was not started, or is none of this run.
        """
        if experiment_id not in self.state.experiments:
            known = ", ".join(map(str, sorted(self.state.experiments)[:20])) or "none"
            raise RunError(f"run `{self.run_id}` has no experiment {experiment_id} (known: {known})")
        return Experiment(self._folder, self.state.experiments[experiment_id])

    @property
    def reproductions(self) -> list[ReproductionVerdict]:
        """Every verdict in the log, in its order: of this run being reproduced, and of it reproducing another."""
        return list(recorded_verdicts(self._folder.events()))

    def refresh(self) -> Run:
        """Reads the log again; gives itself."""
        self.state = self._folder.state()
        return self

    def best(self, metric: str | None = None, best: Best | None = None) -> Experiment:
        """Gives the best experiment.

        Args:
            metric: `split/metric`; None for what the run selects by.
            best: `min` or `max`; None for what the config or the metric's name says.

        Raises:
            RunError: nothing was measured, or not that metric.
        """
        ranked = rank(self.state, selection_of(self.state, metric, best))
        if not ranked or ranked[0].rank is None:
            raise RunError(f"run {self.run_id} has no experiment with a result yet")
        return Experiment(self._folder, ranked[0].experiment)

    def metrics(self, frame: Literal["polars", "pandas"] = "polars") -> polars.DataFrame | pandas.DataFrame:
        """Gives every value measured, one a row, for plots and tables.

        Columns: `experiment_id`, `epoch`, `step`, `split`, `metric`, `value`, and one for each swept value, such as
        `optimizer.lr`, or `components.split` where a component is called like one of the others.

        Args:
            frame: the library whose frame is wanted; pandas must be installed for its own.

        Raises:
            RunError: the library is not there.
        """
        return _frame(self._columns(), frame)

    def _columns(self) -> dict[str, list[Any]]:
        names = ["experiment_id", "epoch", "step", "split", "metric", "value"]
        swept = swept_columns((key for one in self.state.experiments.values() for key in one.swept), names)
        columns: dict[str, list[Any]] = {name: [] for name in (*names, *swept.values())}
        for experiment_id in sorted(self.state.experiments):
            experiment = self.state.experiments[experiment_id]
            for measured, history in experiment.metrics.items():
                split, _, metric = measured.partition("/")
                count = len(history)
                columns["epoch"] += history.epochs
                columns["step"] += history.steps
                columns["value"] += history.values
                for name, value in (("experiment_id", experiment_id), ("split", split), ("metric", metric)):
                    columns[name] += [value] * count
                for key, name in swept.items():
                    columns[name] += [_cell(experiment.swept.get(key))] * count
        return columns

    def report(
        self,
        metric: str | None = None,
        best: Best | None = None,
        *,
        against: Run | str | None = None,
        compare: str | None = None,
        rope: float | None = None,
        confidence: float = 0.95,
    ) -> Report:
        """Gives what the run found, to print, to show in a notebook, to write in another format or to go on with.

        Args:
            metric: `split/metric` that ranks; None for what the run selects by.
            best: `min` or `max`; None for what the config or the metric's name says.
            against: another run on the same folds or seeds to compare with; an id is looked for in the same storage.
            compare: a swept key, such as `model`, whose values are compared, each by its best configuration.
            rope: a difference up to this is none in practice; None for 0.01 where the scores are shares.
            confidence: of intervals, in (0, 1).

        Raises:
            RunError: nobody measured that metric, or there is nothing to compare.
        """
        other = load_run(against, self._folder.storage) if isinstance(against, str) else against
        return report_of(
            self.state,
            run_id=self.run_id,
            metric=metric,
            best=best,
            against=other.state if other is not None else None,
            compare=compare,
            rope=rope,
            confidence=confidence,
        )

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.state.counts.items() if count)
        return f"<Run {self.run_id} {self.status}: {counts}>"

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()


def load_run(run_id: str = "latest", storage: str | Path = DEFAULT_STORAGE) -> Run:
    """Gives a run from its folder; running, crashed and old ones too.

    Args:
        run_id: its id, the beginning of one, or `latest`.
        storage: the folder with one folder per run.

    Raises:
        RunError: there is no such run.
    """
    return Run(find_run(Path(storage), run_id))


def load_model(
    run: str,
    experiment: int,
    *,
    storage: str | Path = DEFAULT_STORAGE,
    checkpoint: Literal["best", "last"] | Path = "best",
    rest_endpoint: str | None = None,
) -> nn.Module:
    """Gives the trained model of an experiment, on the CPU and in evaluation mode.

    The model is built from the experiment's config. Its user modules are looked for in the folder of the config that
    the run was started with, where that still exists, then in the working directory.
    Files are verified against their hashes, and nothing in them is executed.

    Args:
        run: run id, the beginning of one, or `latest`.
        experiment: the experiment's number.
        storage: the folder with one folder per run.
        checkpoint: the best one by what the run selects by, the last one, or the folder of one. It is brought from the
            place that the run was launched with where the run folder does not have it.
        rest_endpoint: address of the hub, where checkpoints are at one.

    Raises:
        RunError: there is no such run, experiment or checkpoint.
        PlaceError: it stands elsewhere, and cannot be brought.
        TrainingError: the checkpoint was damaged, or does not fit the model.
    """
    return load_run(run, storage).experiment(experiment).load_model(checkpoint, rest_endpoint=rest_endpoint)


def _cell(value: Any) -> Any:
    # A column has one type: lists and mappings of a sweep are shown as text.
    return value if isinstance(value, (int, float, str, bool)) or value is None else str(value)


def _frame(columns: dict[str, list[Any]], frame: str) -> Any:
    try:
        if frame == "pandas":
            import pandas

            return pandas.DataFrame(columns)
        import polars

        return polars.DataFrame(columns, strict=False)
    except ImportError:
        raise RunError(f"`{frame}` is not installed: pip install {frame}") from None
