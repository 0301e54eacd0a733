"""What a log says of the results of one experiment: digests, scores, fingerprints, the end. Pure data.

As tolerant as the fold: fields that older events lack are empty, fields of a wrong type are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from mlgym.events import Difference
from mlgym.events.fields import Fields

HASH_DIGITS: Final = 8
"""Hexadecimal digits of the short hashes that digests carry, of each tensor and each group of losses."""


class Moment(NamedTuple):
    """A point of training; moments of one experiment are ordered as training goes.

    Args:
        epoch: finished epochs.
        step: optimizer updates so far, over all epochs; -1 where an old log does not say it.
    """

    epoch: int
    step: int


_BEGINNING: Final = Moment(0, 0)


class Steps(NamedTuple):
    """A range of optimizer updates, both ends included, numbered from 1."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class DigestEntry:
    """The hashes of the state at a moment; `mlgym.events.Digest` says more of them.

    Args:
        moment: when.
        parameters: of the parameters and buffers.
        optimizer: of the optimizers.
        tensors: a short hash of each tensor; empty in older logs.
        losses: a short hash of the losses of each range of steps since the digest before; empty in older logs.
        order: of the samples of the epoch; None where nobody knows it.
    """

    moment: Moment
    parameters: str
    optimizer: str
    tensors: tuple[str, ...]
    losses: dict[Steps, str]
    order: str | None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Hash of the samples of a split; `covers` is `all` or `sampled`."""

    num_samples: int
    sha256: str
    covers: str


@dataclass(slots=True)
class ExperimentResults:
    """The results of one experiment, as the events so far tell.

    Args:
        digests: by moment.
        names: of the tensors that digests have hashes of; empty where the log does not say them.
        scores: the values of an evaluation by `split/metric`, by moment; losses are among them.
        tables: the same for metrics that are no numbers.
        fingerprints: by split.
        epoch_ends: the moment of the digest at the end of each epoch; other digests stand between two of them.
        stopped: where training ended before its last epoch; None where it did not.
        end: `done`, `failed` or `interrupted`; None while it goes on.
        error: what failed.
        code: files of the user that were others, in the last attempt, than the driver had recorded.
    """

    digests: dict[Moment, DigestEntry] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    scores: dict[Moment, dict[str, float]] = field(default_factory=dict)
    tables: dict[Moment, dict[str, list[list[float]]]] = field(default_factory=dict)
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)
    epoch_ends: dict[int, Moment] = field(default_factory=dict)
    stopped: Moment | None = None
    end: str | None = None
    error: str | None = None
    code: list[Difference] = field(default_factory=list)
    _last_digest: Moment = _BEGINNING
    _lineage_began: tuple[int, Moment] | None = None

    def take(self, event: Any) -> Moment | None:
        """Takes one event of the experiment in, in the order of the log; never raises.

        Args:
            event: plain data as `read_log` gives it.

        Returns:
            The moment of which there is something new; None where the event tells of none.
        """
        fields = Fields(event)
        payload = fields.inner("payload")
        match fields.text("event_type"):
            case "digest":
                return self._take_digest(payload)
            case "evaluation_result":
                return self._take_scores(payload)
            case "data_fingerprint":
                self._take_fingerprint(payload)
            case "training_stopped":
                self.stopped = _moment(payload)
            case "experiment_resumed":
                if payload.says("replaces_later"):
                    self._begin_lineage(payload.integer("lineage") or 0, _moment(payload))
            case "code_changed":
                self.code = differences_told(payload)
            case "job_status":
                self._take_status(payload)
        return None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that could be compared."""
        return not self.digests and not self.scores

    @property
    def last_epoch(self) -> int:
        """The number of epochs that there are results of."""
        return max((moment.epoch for moment in (*self.digests, *self.scores)), default=0)

    def _take_digest(self, payload: Fields) -> Moment:
        moment = _moment(payload)
        before = self._last_digest
        if before >= moment:  # told again, or from an earlier point on
            before = max((other for other in self.digests if other < moment), default=_BEGINNING)
        self.digests[moment] = DigestEntry(
            moment,
            parameters=payload.text("parameters") or "",
            optimizer=payload.text("optimizer") or "",
            tensors=_short_hashes(payload.text("tensors")),
            losses=_loss_trace(payload, before.step, moment.step),
            order=payload.text("order"),
        )
        self._last_digest = moment
        self._note_epoch_end(moment)
        self.names = self.names or payload.texts("names")
        return moment

    def _note_epoch_end(self, moment: Moment) -> None:
        # The first digest with a new number of finished epochs; those after it are within the next epoch.
        if moment.epoch > 0:
            self.epoch_ends[moment.epoch] = min(moment, self.epoch_ends.get(moment.epoch, moment))

    def _take_scores(self, payload: Fields) -> Moment:
        moment = _moment(payload)
        scores: dict[str, float] = {}
        for kind, key in (("metric", "metric_scores"), ("loss", "loss_scores")):
            for each in map(Fields, payload.items(key)):
                scores[f"{each.text('split')}/{each.text(kind)}"] = each.score()
        self.scores[moment] = scores
        tables = [Fields(table) for table in payload.items("tables")]
        self.tables[moment] = {
            f"{table.text('split')}/{table.text('metric')}": [_row(row) for row in table.items("values")]
            for table in tables
        }
        return moment

    def _take_fingerprint(self, payload: Fields) -> None:
        sha256 = payload.text("sha256")
        if sha256:
            covers = payload.text("covers") or "all"
            entry = Fingerprint(payload.integer("num_samples") or 0, sha256, covers)
            self.fingerprints[payload.text("split") or ""] = entry

    def _take_status(self, payload: Fields) -> None:
        self.end = self.error = None
        if payload.text("status") == "DONE":
            self.error = payload.text("error")
            self.end = "interrupted" if payload.says("interrupted") else "failed" if payload.has("error") else "done"
        else:
            self.stopped = None

    def _begin_lineage(self, lineage: int, last: Moment) -> None:
        """Cuts what came after the point where a lineage begins, unless it has begun there before."""
        if self._lineage_began == (lineage, last):
            return
        self._lineage_began = (lineage, last)
        self.digests = {moment: entry for moment, entry in self.digests.items() if moment <= last}
        self.scores = {moment: entry for moment, entry in self.scores.items() if moment <= last}
        self.tables = {moment: entry for moment, entry in self.tables.items() if moment <= last}
        self.epoch_ends = {epoch: moment for epoch, moment in self.epoch_ends.items() if moment <= last}
        self._last_digest = max(self.digests, default=_BEGINNING)


def results_of(events: Iterable[tuple[int, Any]]) -> dict[int, ExperimentResults]:
    """Gives the results of every experiment that a log tells of, by id.

    Args:
        events: as `read_log` yields them.
    """
    results: dict[int, ExperimentResults] = {}
    for _, event in events:
        experiment_id = experiment_of(event)
        if experiment_id is not None:
            results.setdefault(experiment_id, ExperimentResults()).take(event)
    return results


def differences_told(payload: Fields) -> list[Difference]:
    """Gives the differences that an event `code_changed` tells of; what is malformed is passed over."""
    found: list[Difference] = []
    for item in payload.items("changes"):
        with suppress(msgspec.ValidationError):
            found.append(msgspec.convert(item, Difference))
    return found


def experiment_of(event: Any) -> int | None:
    """Gives the experiment that an event tells of, None where it tells of none."""
    experiment_id = Fields(event).inner("payload").integer("experiment_id")
    return experiment_id if experiment_id is not None and experiment_id >= 0 else None


def _moment(payload: Fields) -> Moment:
    step = payload.integer("step")
    return Moment(payload.integer("epoch") or 0, -1 if step is None else step)


def _short_hashes(text: str | None) -> tuple[str, ...]:
    text = text or ""
    return tuple(text[i : i + HASH_DIGITS] for i in range(0, len(text), HASH_DIGITS))


def _loss_trace(payload: Fields, before: int, step: int) -> dict[Steps, str]:
    """Gives the short hash of each range of steps after step `before` up to `step`."""
    per_hash = max(1, payload.integer("steps_per_loss") or 1)
    hashes = _short_hashes(payload.text("losses"))
    return {
        Steps(first, min(first + per_hash - 1, step)): each
        for first, each in zip(range(before + 1, step + 1, per_hash), hashes, strict=False)
    }


def _row(row: Any) -> list[float]:
    cells = row if isinstance(row, list) else []
    return [math.nan if (number := Fields({"cell": cell}).number("cell")) is None else number for cell in cells]
