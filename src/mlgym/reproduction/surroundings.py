"""In which surroundings each attempt of an experiment ran, as the log of its run tells; pure data.

A run may go on elsewhere, or with other code, and so may a single experiment that a cluster put back into its queue.
What stands at the end comes of all attempts from whose checkpoints the next one went on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from mlgym.events import Difference
from mlgym.events.fields import Fields
from mlgym.reproduction.differences import environment_differences
from mlgym.reproduction.results import differences_told, experiment_of


@dataclass(slots=True)
class Attempt:
    """One go of an experiment.

    Args:
        number: 0 for the first.
        driver: which driver of the run started it, from 0; its surroundings are those of the attempt.
        begin: finished epochs and updates that it went on from; None until it tells.
        code: files of the user's code that were others than the driver had recorded, by module.
    """

    number: int
    driver: int
    begin: tuple[int, int] | None = None
    code: dict[str, Difference] = field(default_factory=dict)


@dataclass(slots=True)
class Surroundings:
    """What a log says about where its experiments ran.

    Args:
        environments: those of the drivers, in their order.
        attempts: by experiment, in their order.
    """

    environments: list[dict[str, Any]] = field(default_factory=list)
    attempts: dict[int, list[Attempt]] = field(default_factory=dict)

    def watching(self, events: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Yields events as they come, and takes them in."""
        for event_id, event in events:
            self.take(event)
            yield event_id, event

    def take(self, event: Any) -> None:
        """Takes an event in; never raises.

        Args:
            event: plain data as `read_log` gives it.
        """
        fields = Fields(event)
        payload = fields.inner("payload")
        match fields.text("event_type"):
            case "environment":
                self.environments.append(payload.mapping("environment"))
            case "job_status" if payload.text("status") == "RUNNING":
                self._begin(experiment_of(event), payload.integer("attempt") or 0)
            case "experiment_resumed":
                for attempt in self._last(event):
                    attempt.begin = payload.integer("epoch") or 0, payload.integer("step") or 0
            case "code_changed":
                for attempt in self._last(event):
                    attempt.code |= {each.key: each for each in differences_told(payload)}

    def of(self, experiment_id: int, first: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Gives the surroundings of each attempt that the results of an experiment come of, in their order.

        Args:
            experiment_id: the experiment.
            first: those of the first driver, where a file has them; None for those of the log.
        """
        return [self._environment(attempt, first) for attempt in self._chain(experiment_id)]

    def changes(self, experiment_id: int, first: Mapping[str, Any] | None = None) -> list[Difference]:
        """Gives what was changed between attempts that the results of an experiment come of, and may change bits.

        Args:
            experiment_id: the experiment.
            first: see `of`.
        """
        found: list[Difference] = []
        chain = self._chain(experiment_id)
        for before, after in pairwise(chain):
            pair = self._environment(before, first), self._environment(after, first)
            epoch, _ = after.begin or (0, 0)
            hint = f"the original went on so from epoch {epoch + 1}: a run in one way need not repeat it"
            found += [
                Difference("meanwhile", f"{each.kind} {each.key}", each.original, each.new, True, hint)
                for each in environment_differences(*pair)
                if each.changes_bits
            ]
        return found

    def _begin(self, experiment_id: int | None, number: int) -> None:
        if experiment_id is None:
            return
        attempts = self.attempts.setdefault(experiment_id, [])
        # A driver that takes over a job tells of it again.
        if not attempts or attempts[-1].number != number:
            attempts.append(Attempt(number, max(0, len(self.environments) - 1)))

    def _last(self, event: Any) -> list[Attempt]:
        experiment_id = experiment_of(event)
        return [] if experiment_id is None else self.attempts.get(experiment_id, [])[-1:]

    def _chain(self, experiment_id: int) -> list[Attempt]:
        chain: list[Attempt] = []
        begins: list[tuple[int, int]] = []
        for attempt in self.attempts.get(experiment_id, []):
            begin = attempt.begin or ((0, 0) if attempt.number == 0 else None)
            if begin is None:  # it ended before it had gone on from anywhere
                continue
            # Nothing is left of what ran after the point from which the next one went on.
            while begins and begins[-1] >= begin:
                del begins[-1], chain[-1]
            begins.append(begin)
            chain.append(attempt)
        return chain

    def _environment(self, attempt: Attempt, first: Mapping[str, Any] | None) -> dict[str, Any]:
        told = self.environments[attempt.driver] if attempt.driver < len(self.environments) else {}
        environment = dict(first) if first is not None and attempt.driver == 0 else told
        code = environment.get("code")
        if not attempt.code or not isinstance(code, dict):
            return environment
        ran = {name: {**Fields(code).mapping(name), "sha256": each.new} for name, each in attempt.code.items()}
        return {**environment, "code": {**code, **ran}}
