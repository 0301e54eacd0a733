"""A run that is written by a training loop which is not MLgym's: numbers, figures, texts and files as they come.

`mlgym.track` makes one. A line is in the log's file when `log` returns, so that a process that is killed the moment
after loses nothing; a thread brings it to the disk within 20 ms, for a power cut.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tarfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, SupportsIndex

from mlgym.errors import EventLogError, RunError
from mlgym.events import (
    ArtifactSaved,
    EvaluationResult,
    EventLog,
    JobStatus,
    Log,
    LogSink,
    MetricScore,
    Payload,
    RunFinished,
)
from mlgym.execution.perform import describe_error, describe_traceback
from mlgym.texts import printable
from mlgym.tracking import RunFolder
from mlgym.tracking.artifacts import next_version, safe_file_name, safe_suffix, save_artifact
from mlgym.tracking.delivery import Delivery, Hubs
from mlgym.tracking.scores import MAX_STEP, measured, split_key, step_number

_EXPERIMENT_ID: Final = 0
_SYNC_EVERY_S: Final = 0.02
_PATIENCE_S: Final = 30.0
_logger: Final = logging.getLogger("mlgym.track")


class _Series:
    """A metric that was logged: where its key puts it, and its last step."""

    __slots__ = ("last_step", "metric", "split")

    def __init__(self, split: str, metric: str) -> None:
        self.split = split
        self.metric = metric
        self.last_step = -1


class TrackedRun:
    """A run being written; `with` ends it, and so does `finish`.

    Attributes:
        run_id: its id, such as `2026-11-23--16-14-30`.
        config: what was given as its config, as plain data.
    """

    def __init__(
        self,
        folder: RunFolder,
        log: EventLog,
        hubs: Hubs,
        config: dict[str, Any],
        *,
        num_jobs: int,
        last_step: int,
        last_epoch: int,
    ) -> None:
        """Use `mlgym.track`.

        Args:
            folder: the run.
            log: its log, open; closed at the end of the run.
            hubs: where it is sent.
            config: as plain data.
            num_jobs: how often it was worked on before.
            last_step: the last step that was logged then; -1 for none.
            last_epoch: the epochs that were finished then.
        """
        self.run_id = folder.run_id
        self.config = config
        self._folder = folder
        self._log = log
        self._sink = LogSink(log)
        self._pid = os.getpid()
        self._step = last_step
        self._epoch = last_epoch
        self._series: dict[str, _Series] = {}
        self._versions: dict[str, int] = {}
        self._attempt = num_jobs
        self._started_at = time.time()
        self._has_ended = False
        _runs.add(self)
        self._has_told_of_steps = False
        self._has_told_of_the_disk = False
        self._last_failure: BaseException | None = getattr(sys, "last_value", None)
        self._ending = threading.Event()
        # Re-entrant: a signal handler may log.
        self._artifact_mutex = threading.RLock()
        self._delivery = Delivery(folder, hubs, self._warn)
        self._keeper = threading.Thread(target=self._keep, name=f"keeper of {self.run_id}", daemon=True)

    @property
    def path(self) -> Path:
        """The run folder."""
        return self._folder.path

    def log(
        self, metrics: Mapping[str, Any], *, step: SupportsIndex | None = None, epoch: SupportsIndex | None = None
    ) -> None:
        """Logs numbers that belong together.

        Args:
            metrics: by key `split/metric` such as `val/f1`; a key without a split belongs to the split `run`, and those
                of nested mappings are joined by slashes. Scalars of NumPy and PyTorch are numbers; what has two
                dimensions is a table, such as a confusion matrix; None is left out; NaN and infinities are kept.
            step: how far training is, in whatever it counts: updates, batches, epochs; by default one more than before.
            epoch: finished epochs, for loops that have them; by default as before.

        Raises:
            RunError: a value is no number, or the run has ended.
        """
        if self._has_ended:
            raise self._cannot_log()
        if type(step) is not int or not 0 <= step < MAX_STEP:
            step = self._step + 1 if step is None else step_number(step)
        if epoch is not None:
            self._epoch = step_number(epoch)
        scores: list[MetricScore] = []
        tables: list[Any] = []
        for key, value in metrics.items():
            series = self._series.get(key)
            # What is no plain finite number takes the long way; NaN and infinities less themselves are NaN.
            if series is None or type(value) is not float or value - value != 0.0:
                scores, tables = self._measured(metrics, step)
                break
            scores.append(MetricScore(series.metric, series.split, value))
            if step < series.last_step:
                self._tell_of_steps(series, step)
            series.last_step = step
        self._step = step
        self._sink.write_scores(
            EvaluationResult(
                grid_search_id=self.run_id,
                experiment_id=_EXPERIMENT_ID,
                epoch=self._epoch,
                step=step,
                metric_scores=scores,
                loss_scores=[],
                tables=tables,
            )
        )

    def log_text(self, name: str, text: str, *, step: SupportsIndex | None = None) -> Path:
        """Keeps a text, such as samples of a language model, as a file of the run.

        Args:
            name: what it is called; each one of the same name is a new version.
            text: the text.
            step: how far training is; by default what was logged last.

        Returns:
            The file.

        Raises:
            RunError: it cannot be written, or the run has ended.
        """
        content = printable(str(text)).encode()
        return self._keep_file("text", name, step, ".txt", lambda path: _write(path, content))

    def log_figure(self, name: str, figure: Any, *, step: SupportsIndex | None = None) -> Path:
        """Keeps a figure as a file of the run: PNG, or HTML where it is one of Plotly.

        Args:
            name: what it is called; each one of the same name is a new version.
            figure: a figure or axes of Matplotlib, whatever else has `savefig`, an image of Pillow, a figure of Plotly.
            step: how far training is; by default what was logged last.

        Returns:
            The file.

        Raises:
            RunError: it is none of these, it cannot be written, or the run has ended.
        """
        suffix, write = _drawing(name, figure)
        return self._keep_file("figure", name, step, suffix, write)

    def log_artifact(self, path: str | Path, name: str | None = None, *, step: SupportsIndex | None = None) -> Path:
        """Keeps a copy of a file, or of a folder as a tar file, in the run.

        Args:
            path: the file or folder.
            name: what it is called; by default as the file is. Each one of the same name is a new version.
            step: how far training is; by default what was logged last.

        Returns:
            The copy.

        Raises:
            RunError: it is not there, it cannot be written, or the run has ended.
        """
        source = Path(path)
        if source.is_dir():
            return self._keep_file("file", name or source.resolve().name, step, ".tar", lambda to: _pack(source, to))
        if not source.is_file():
            raise RunError(f"there is no file `{path}` to be kept")
        suffix = "" if name else safe_suffix(source)
        return self._keep_file("file", name or source.name, step, suffix, lambda to: shutil.copyfile(source, to))

    def finish(self, error: BaseException | None = None) -> None:
        """Ends the run: brings everything to the disk and, as long as there is hope, to the hubs. Again does nothing.

        Args:
            error: why the run failed; None where it succeeded. One that asks for an end, such as `KeyboardInterrupt`,
                makes it an interrupted run.
        """
        if self._has_ended:
            return
        error = _failure_of(error)
        interrupted = error is not None and _is_stop(error)
        failed = error is not None and not interrupted
        self._emit(
            self._job_status(
                "DONE",
                finishing_time=time.time(),
                error=describe_error(error) if error is not None and failed else None,
                stacktrace=describe_traceback(error) if error is not None and failed else None,
                interrupted=interrupted,
            )
        )
        self._emit(
            RunFinished(
                grid_search_id=self.run_id,
                num_succeeded=int(error is None),
                num_failed=int(failed),
                num_interrupted=int(interrupted),
                num_not_started=0,
            )
        )
        self._has_ended = True
        self._ending.set()
        atexit.unregister(self._finish_at_exit)
        self._keeper.join()
        try:
            self._delivery.finish()
        finally:
            self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.finish(error)

    def __repr__(self) -> str:
        return f"<TrackedRun {self.run_id} in {self._folder.storage}>"

    def begin(self, *payloads: Payload) -> None:
        """Writes the first events, and begins to keep the log and to send it; `mlgym.track` calls it."""
        for payload in payloads:
            self._emit(payload)
        self._emit(self._job_status("INIT"))
        self._emit(self._job_status("RUNNING"))
        self._keeper.start()
        self._delivery.start()
        atexit.register(self._finish_at_exit)

    def _job_status(self, status: Literal["INIT", "RUNNING", "DONE"], **facts: Any) -> JobStatus:
        return JobStatus(
            job_id=f"{self.run_id}-{self._attempt}",
            status=status,
            grid_search_id=self.run_id,
            experiment_id=_EXPERIMENT_ID,
            attempt=self._attempt,
            starting_time=-1.0 if status == "INIT" else self._started_at,
            **facts,
        )

    def _measured(self, metrics: Mapping[str, Any], step: int) -> tuple[list[MetricScore], list[Any]]:
        """Takes values of any kind, and remembers the keys of those that are plain numbers."""
        scores, tables = measured(metrics)
        for score in scores:
            series = self._series.setdefault(f"{score.split}/{score.metric}", _Series(score.split, score.metric))
            if step < series.last_step:
                self._tell_of_steps(series, step)
            series.last_step = step
        for key, value in metrics.items():
            if key not in self._series and isinstance(value, (int, float)):
                self._series[key] = self._series["/".join(split_key(key))]
        return scores, tables

    def _keep_file(
        self, kind: Literal["figure", "text", "file"], name: str, step: SupportsIndex | None, suffix: str,
        write: Callable[[Path], Any],
    ) -> Path:  # fmt: skip
        if self._has_ended:
            raise self._cannot_log()
        where = max(0, self._step) if step is None else step_number(step)
        slug, file = safe_file_name(name.removesuffix(suffix)), safe_file_name(name, suffix)
        with self._artifact_mutex:
            version = self._versions.get(slug)
            version = next_version(self._folder, _EXPERIMENT_ID, slug) if version is None else version
            saved = save_artifact(self._folder, _EXPERIMENT_ID, slug, version, file, write)
            self._versions[slug] = version + 1
        self._emit(
            ArtifactSaved(
                grid_search_id=self.run_id,
                experiment_id=_EXPERIMENT_ID,
                name=printable(name),
                kind=kind,
                version=saved.version,
                epoch=self._epoch,
                step=where,
                path=saved.path,
                bytes=sum(entry.bytes for entry in saved.files.values()),
                sha256={each: entry.sha256 for each, entry in saved.files.items()},
            )
        )
        return self._folder.path / saved.path / file

    def _emit(self, payload: Payload) -> None:
        self._sink.write_through(payload)

    def _warn(self, message: str) -> None:
        """Tells a warning, and notes it in the log of the run."""
        _logger.warning("%s", message)
        self._emit(
            Log(
                grid_search_id=self.run_id,
                experiment_id=_EXPERIMENT_ID,
                level="warning",
                logger=_logger.name,
                message=message,
            )
        )

    def _tell_of_steps(self, series: _Series, step: int) -> None:
        if self._has_told_of_steps:
            return
        self._has_told_of_steps = True
        message = (
            f"`{series.split}/{series.metric}` was logged for step {step} after step {series.last_step}: curves and "
            f"tables go on from step {step}, the log keeps everything; track a run of its own for each repetition, or "
            "let the steps count on"
        )
        self._warn(message)

    def _keep(self) -> None:
        """Brings what was logged to the disk, every 20 ms while there is something."""
        while not self._ending.wait(_SYNC_EVERY_S):
            self._sync()
        give_up_at = time.monotonic() + _PATIENCE_S
        while not self._sync(ignore_pause=True) and time.monotonic() < give_up_at:
            time.sleep(0.1)

    def _sync(self, *, ignore_pause: bool = False) -> bool:
        """Writes and syncs what waits, and tells whether all of it is safe now."""
        self._sink.flush(ignore_pause=ignore_pause)
        error = self._sink.error if self._sink.pending else None
        try:
            self._log.sync()
        except EventLogError as refused:
            error = refused
        if error is not None and not self._has_told_of_the_disk:
            self._has_told_of_the_disk = True
            _logger.warning("%s; %s", error, "what is logged waits in memory until it can be written")
        return error is None

    def _cannot_log(self) -> RunError:
        if os.getpid() == self._pid:
            return RunError(f"run `{self.run_id}` has ended: start another one with `mlgym.track`")
        return RunError(
            f"run `{self.run_id}` is logged from the process that tracks it, not from a child such as a loader's worker"
        )

    def _finish_at_exit(self) -> None:
        # Where an exception ended the program, or a cell of a notebook, the interpreter remembers it.
        failure: BaseException | None = getattr(sys, "last_value", None)
        self.finish(None if failure is self._last_failure else failure)


_runs: Final[weakref.WeakSet[TrackedRun]] = weakref.WeakSet()


def _end_in_child() -> None:
    # A child neither keeps the log nor may write it; the parent goes on.
    for run in list(_runs):
        run._has_ended = True


os.register_at_fork(after_in_child=_end_in_child)


def _failure_of(error: BaseException | None) -> BaseException | None:
    """Gives what made a run fail: a program that ends itself with 0 did not."""
    return None if isinstance(error, SystemExit) and error.code in (None, 0) else error


def _is_stop(error: BaseException) -> bool:
    # What a shell gives to a program that SIGINT or SIGTERM ended.
    return isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and error.code in (130, 143))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _pack(folder: Path, path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(folder, arcname=folder.resolve().name)


def _drawing(name: str, figure: Any) -> tuple[str, Callable[[Path], Any]]:
    """Gives the suffix of a figure's file, and what writes it."""
    drawn: Any = figure if hasattr(figure, "savefig") else getattr(figure, "figure", None)
    if hasattr(drawn, "savefig"):
        return ".png", lambda path: drawn.savefig(path, format="png", bbox_inches="tight")
    if hasattr(figure, "write_html"):
        return ".html", lambda path: figure.write_html(path)
    if hasattr(figure, "save") and hasattr(figure, "convert"):
        return ".png", lambda path: figure.save(path, format="PNG")
    raise RunError(
        f"`{name}` is no figure that can be drawn, but a {type(figure).__name__}: expected one of Matplotlib, Pillow "
        "or Plotly; keep other files with `run.log_artifact`"
    )
