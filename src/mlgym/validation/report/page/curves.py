"""Learning curves of the best configurations, with their spread over folds or seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlgym.texts import key_text, value_text
from mlgym.validation.report.facts import ConfigurationFacts, ReportFacts
from mlgym.validation.report.page.canvas import SERIES, Picture, drawn
from mlgym.validation.report.trials import Trial, by_configuration
from mlgym.validation.statistics import mean_of, sd_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_CURVES: Final = 5
_MAX_POINTS: Final = 200


@dataclass(frozen=True)
class Curve:
    """Mean and spread over experiments at each epoch that all of them have, or that most have.

    Args:
        label: what the legend says.
        epochs: (points,).
        means: (points,).
        sds: (points,), 0 for a single experiment.
        num: experiments behind it.
        is_dashed: for test data.
    """

    label: str
    epochs: list[int]
    means: list[float]
    sds: list[float]
    num: int
    is_dashed: bool = False


def curve_pictures(facts: ReportFacts, trials: Sequence[Trial]) -> list[Picture]:
    """Gives the curves of what decides for the best configurations, and the losses of the best one."""
    if facts.selection is None:
        return []
    found = [_score_picture(_metric(facts), _groups(facts, trials))]
    best = next(iter(_groups(facts, trials).values()), [])
    found.append(_loss_picture(best))
    return [picture for picture in found if picture is not None]


def _metric(facts: ReportFacts) -> str:
    if facts.nested is not None:
        return facts.nested.metric
    return facts.selection.score if facts.selection else ""


def _groups(facts: ReportFacts, trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Gives the experiments behind each curve: the fits of the winners, or the best configurations."""
    if facts.nested is not None:
        fits = [trial for trial in trials if trial.role == "outer"]
        return {"winners, over outer folds": fits} if fits else {}
    groups = by_configuration(trials)
    shown = [one for one in facts.configurations if one.num_scored][:_MAX_CURVES]
    return {label_of(one): groups[one.configuration] for one in shown}


def label_of(one: ConfigurationFacts) -> str:
    """Gives what a picture calls a configuration: its rank and its swept values."""
    place = f"#{one.rank} " if one.rank is not None else ""
    values = ", ".join(f"{_short(key)} {value_text(value)}" for key, value in one.swept.items())
    return key_text(f"{place}{values}" if values else f"{place}configuration {one.configuration}")


def _short(key: str) -> str:
    return key.rpartition(".")[2] or key


def _score_picture(metric: str, groups: Mapping[str, Sequence[Trial]]) -> Picture | None:
    curves = [curve for label, group in groups.items() if (curve := curve_of(group, metric, label)) is not None]
    curves = [curve for curve in curves if len(curve.epochs) > 1]
    if not curves:
        return None
    title = f"{key_text(metric)} over training"
    return drawn(title, _caption(curves), lambda figure: _draw(figure, curves, metric), name="score")


def _loss_picture(best: Sequence[Trial]) -> Picture | None:
    keys = dict.fromkeys(key for trial in best for key in trial.experiment.metrics if key.endswith("/loss"))
    order = sorted(keys, key=lambda key: (key != "train/loss", key))
    curves = [curve for key in order if (curve := curve_of(best, key, key_text(key))) is not None]
    curves = [curve for curve in curves if len(curve.epochs) > 1]
    if not curves:
        return None
    return drawn(
        "Losses of the best over training",
        f"{_caption(curves)} Where the held-out loss rises while that of training falls, the model learns by heart.",
        lambda figure: _draw(figure, curves, "loss"),
        name="loss",
    )


def _caption(curves: Sequence[Curve]) -> str:
    most = max(curve.num for curve in curves)
    if most == 1:
        return "One experiment each."
    return f"Lines are means over {most} experiments, bands one sd to each side; both end where one of them ends."


def curve_of(trials: Iterable[Trial], key: str, label: str) -> Curve | None:
    """Gives mean and spread of a metric at the epochs that all the experiments have; None where none has any."""
    histories = [trial.experiment.metrics[key] for trial in trials if key in trial.experiment.metrics]
    columns = [dict(zip(history.epochs, history.values, strict=True)) for history in histories if len(history)]
    if not columns:
        return None
    shared = sorted(set.intersection(*(set(column) for column in columns)))
    shared = shared[:: max(1, len(shared) // _MAX_POINTS)]
    values = [[column[epoch] for column in columns] for epoch in shared]
    finite = [(epoch, row) for epoch, row in zip(shared, values, strict=True) if all(map(math.isfinite, row))]
    return Curve(
        label=label,
        epochs=[epoch for epoch, _ in finite],
        means=[mean_of(row) or 0.0 for _, row in finite],
        sds=[sd_of(row) or 0.0 for _, row in finite],
        num=len(columns),
        is_dashed=key.startswith("test"),
    )


def _draw(figure: Figure, curves: Sequence[Curve], label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes: Axes = figure.add_subplot()
    for colour, curve in zip(SERIES, curves, strict=False):
        style = "--" if curve.is_dashed else "-"
        axes.plot(curve.epochs, curve.means, style, color=colour, label=curve.label)
        if curve.num > 1:
            low = [mean - sd for mean, sd in zip(curve.means, curve.sds, strict=True)]
            high = [mean + sd for mean, sd in zip(curve.means, curve.sds, strict=True)]
            axes.fill_between(curve.epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel(key_text(label))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower left", ncols=1 if len(curves) > 2 else 2)
