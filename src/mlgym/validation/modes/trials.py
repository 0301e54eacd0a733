"""Plans that try each configuration on each fold under each seed, in this order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlgym.config import ModeView, Plan, Point, SearchSpace
from mlgym.config.plan import countable
from mlgym.errors import Fault
from mlgym.validation.modes.samples import configurations_of
from mlgym.validation.modes.seeds import with_seed


class Configurations(Sequence[Point]):
    """The configurations that a mode compares, the last one asked for kept: its trials follow each other."""

    def __init__(self, points: Sequence[Point], num_points: int) -> None:
        """Sets the points.

        Args:
            points: the grid, or a sample.
            num_points: how many there are.
        """
        self._points = points
        self._num_points = num_points
        self._last: Point | None = None

    def __len__(self) -> int:
        return self._num_points

    def __getitem__(self, number: Any) -> Any:
        if self._last is None or self._last.experiment_id != number:
            self._last = self._points[number]
        return self._last


class TrialPlan(Plan):
    """Each configuration on each fold under each seed; a mode says what becomes of a config on a fold.

    Attributes:
        configurations: what is compared.
        seeds: those of the experiments; empty where they keep the run's own.
    """

    def __init__(
        self,
        view: ModeView,
        space: SearchSpace,
        facts: Mapping[str, Any],
        warnings: Sequence[Fault],
        *,
        seeds: Sequence[int],
        num_samples: int | None,
        seed: int,
        num_folds: int = 1,
        points: Sequence[Point] | None = None,
    ) -> None:
        """Sets what is tried.

        Args:
            view: the config.
            space: its points.
            facts: what the mode adds to those of the section.
            warnings: see `Plan`.
            seeds: see the attribute.
            num_samples: how many points are drawn; None for the whole grid.
            seed: of the drawing.
            num_folds: how many folds there are.
            points: the configurations where something else chooses them, `num_samples` in number; None for those drawn.
        """
        points = configurations_of(view, space, num_samples, seed) if points is None else points
        num_configurations = space.num_points if num_samples is None else num_samples
        num_seeds = len(seeds) or 1
        num_experiments = countable(view, self._num_experiments_of(num_configurations, num_folds, num_seeds))
        shared = {"num_configurations": num_configurations, "seeds": list(seeds)}
        super().__init__(space, num_experiments, {**view.given, **shared, **facts}, warnings)
        self.configurations: Sequence[Point] = Configurations(points, num_configurations)
        self.seeds = seeds
        self._num_seeds = num_seeds
        self._num_folds = num_folds

    def _num_experiments_of(self, num_configurations: int, num_folds: int, num_seeds: int) -> int:
        return num_configurations * num_folds * num_seeds

    def point(self, number: int) -> Point:
        """See `Plan.point`."""
        configuration, rest = divmod(number, self._num_folds * self._num_seeds)
        fold, seed_index = divmod(rest, self._num_seeds)
        chosen: Point = self.configurations[configuration]
        config, facts = self.configured(chosen, fold)
        return self.trial_point(number, chosen, config, {"outer_fold": None, **facts}, seed_index)

    def configured(self, point: Point, fold: int) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """Gives the config of a configuration on a fold, and what to say of it in `Point.trial`.

        Args:
            point: the configuration.
            fold: from 0.
        """
        raise NotImplementedError

    def trial_point(
        self, number: int, chosen: Point, config: dict[str, Any], facts: Mapping[str, Any], seed_index: int
    ) -> Point:
        """Gives an experiment.

        Args:
            number: of the experiment.
            chosen: the configuration.
            config: what it becomes here.
            facts: its role and folds.
            seed_index: which of the seeds.
        """
        seeded = with_seed(config, self.seeds[seed_index] if self.seeds else None)
        trial = {
            "configuration": chosen.experiment_id,
            **facts,
            "seed_index": seed_index if self.seeds else None,
            "seed": seeded.get("seed"),
        }
        return Point(number, seeded, chosen.swept, trial)
