"""The tables of a report, free of any format: columns of texts, with what may be left out where room is scarce."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from mlgym.texts import NOTHING, duration, first_line, key_text, number, short_heads, value_text
from mlgym.validation.report.facts import (
    ComparisonFacts,
    ConfigurationFacts,
    ImportancesFacts,
    NestedFacts,
    ReportFacts,
    ScoreFacts,
    SearchFacts,
    SpreadFacts,
)
from mlgym.validation.report.wording import (
    direction_of,
    interval_text,
    is_test_split,
    p_text,
    share_text,
    signed,
    with_spread,
)

DEFAULT_ROWS: Final = 30
_MAX_FOLDS: Final = 10
_MAX_METRICS: Final = 6
_MAX_SHARES: Final = 12


@dataclass(frozen=True)
class Column:
    """A column.

    Args:
        head: what is above it.
        cells: one text a row.
        align: `right` for numbers.
        detail: 0 for what a table is nothing without; the larger, the sooner it is left out.
    """

    head: str
    cells: list[str]
    align: Literal["left", "right"] = "right"
    detail: int = 0


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        title: what it shows.
        columns: all as long as each other.
        best: the row to emphasize; None for none.
        note: a line below it; empty for none.
    """

    title: str
    columns: list[Column]
    best: int | None = None
    note: str = ""

    @property
    def num_rows(self) -> int:
        """How many rows it has."""
        return len(self.columns[0].cells) if self.columns else 0

    def without(self, detail: int) -> list[Column]:
        """Gives the columns whose detail is less than a number."""
        return [column for column in self.columns if column.detail < detail]


def tables_of(facts: ReportFacts, max_rows: int = DEFAULT_ROWS) -> list[Table]:
    """Gives the tables of a report, the one that matters most first; those that have no rows are left out."""
    tables = []
    if facts.nested is not None:
        tables.append(_outer_table(facts.nested, swept_keys(facts.configurations)))
    tables.append(_configurations_table(facts, max_rows))
    if facts.search is not None:
        tables.append(_rungs_table(facts.search, _metric_head(facts)))
    if facts.nested is None:
        tables.append(_folds_table(facts, max_rows))
    tables.append(_comparisons_table(facts.comparisons))
    if facts.importance is not None:
        tables.append(_importance_table(facts.importance))
    return [table for table in tables if table.num_rows]


def swept_keys(configurations: Sequence[ConfigurationFacts]) -> list[str]:
    """Gives the swept keys in the order of the grid: the best configuration need not have all that come first."""
    in_order = sorted(configurations, key=lambda one: one.configuration)
    return list(dict.fromkeys(key for one in in_order for key in one.swept))


def swept_columns(swept: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[Column]:
    """Gives a column for each swept key, with short heads where they say enough."""
    return [
        Column(head, [value_text(one[key]) if key in one else "" for one in swept])
        for key, head in zip(keys, short_heads(keys), strict=True)
    ]


def _configurations_table(facts: ReportFacts, max_rows: int) -> Table:
    every = facts.configurations
    shown = every[:max_rows]
    metric = _metric_head(facts)
    columns = [
        Column("#", [_rank(one) for one in shown]),
        Column(_id_head(shown), [str(_id_of(one)) for one in shown], detail=1),
        *swept_columns([one.swept for one in shown], swept_keys(every)),
        *_ranking_column(facts, shown),
        Column(metric, [_score(one) for one in shown]),
    ]
    columns += _search_columns(facts, shown) + _interval_columns(shown)
    columns += _metric_columns(facts, shown)
    if any(one.num_failed for one in shown):
        columns.append(
            Column("failed" if _has_failed(every) else "no score", [str(one.num_failed or "") for one in shown])
        )
    if any(one.num_open for one in shown):
        columns.append(Column("open", [str(one.num_open or "") for one in shown]))
    columns.append(Column("time", [duration(one.duration_s) for one in shown], detail=2))
    note = f"The best {len(shown)} of {len(every)}; CSV and JSON have all." if len(shown) < len(every) else ""
    return Table(_title(facts), columns, best=0 if shown and shown[0].rank == 1 else None, note=note)


def _search_columns(facts: ReportFacts, shown: Sequence[ConfigurationFacts]) -> list[Column]:
    """Gives how far a search came with each configuration, and why no further."""
    if facts.search is None:
        return []
    trials = {one.trial: one for one in facts.search.trials}
    own = [trials.get(one.configuration) for one in shown]
    return [
        Column("epochs", ["" if one is None else str(one.epochs) for one in own]),
        Column("search", ["" if one is None else one.standing for one in own], "left", detail=1),
    ]


def _rungs_table(search: SearchFacts, metric: str) -> Table:
    rungs = search.rungs
    columns = [
        Column("rung", [str(one.rung) for one in rungs]),
        Column("epochs", [str(one.epochs) for one in rungs]),
        Column("trials", [str(one.num_trials) for one in rungs]),
        Column("went on", [str(one.num_promoted) for one in rungs]),
        Column(f"best {metric}", [number(one.best) for one in rungs]),
    ]
    return Table(f"Rungs of the search: {search.strategy}", columns)


def _title(facts: ReportFacts) -> str:
    if facts.nested is not None:
        return "Configurations over the inner folds of all outer folds"
    return "Configurations"


def _metric_head(facts: ReportFacts) -> str:
    if facts.selection is None:
        return "score"
    return f"{key_text(facts.selection.score)} {direction_of(facts.selection.best)}"


def _rank(one: ConfigurationFacts) -> str:
    return NOTHING if one.rank is None else str(one.rank)


def _id_of(one: ConfigurationFacts) -> int:
    # A single experiment is what `mlgym show` calls it.
    return one.scores[0].experiment_id if len(one.scores) == 1 else one.configuration


def _id_head(shown: Sequence[ConfigurationFacts]) -> str:
    return "id" if all(len(one.scores) == 1 for one in shown) else "config"


def _ranking_column(facts: ReportFacts, shown: Sequence[ConfigurationFacts]) -> list[Column]:
    """Gives what ranks, where scores are of something else."""
    if facts.selection is None or facts.selection.metric == facts.selection.score:
        return []
    head = f"by {key_text(facts.selection.metric)}"
    return [Column(head, [number(one.ranked_by) for one in shown], detail=2)]


def _score(one: ConfigurationFacts) -> str:
    if one.mean is None:
        return "failed" if _has_failed([one]) else NOTHING
    return with_spread(one.mean, one.sd)


def _has_failed(configurations: Sequence[ConfigurationFacts]) -> bool:
    """Says whether an experiment failed, rather than ended without a score."""
    return any(score.status == "failed" for one in configurations for score in one.scores)


def _interval_columns(shown: Sequence[ConfigurationFacts]) -> list[Column]:
    columns = []
    level = next((one.interval.confidence for one in shown if one.interval), None)
    if level is not None:
        cells = [interval_text(one.interval) if one.interval else NOTHING for one in shown]
        columns.append(Column(f"\N{ALMOST EQUAL TO}{level:.0%} interval", cells, detail=3))
    if any(one.p_to_best is not None for one in shown):
        cells = [NOTHING if one.p_to_best is None else p_text(one.p_to_best) for one in shown]
        columns.append(Column("p to best", cells, detail=4))
    return columns


def _metric_columns(facts: ReportFacts, shown: Sequence[ConfigurationFacts]) -> list[Column]:
    """Gives the metrics that were measured on test data, then those of the split that decides.

    Competitors of a nested cross validation have no business with test data.
    """
    own = facts.selection.score if facts.selection else ""
    keys = list(dict.fromkeys(key for one in shown for key in one.metrics))
    split = own.partition("/")[0]
    keys = [key for key in keys if facts.nested is None or not is_test_split(key.partition("/")[0])]
    test = [key for key in keys if is_test_split(key.partition("/")[0]) and key != own]
    same = [key for key in keys if key.startswith(f"{split}/") and key != own]
    chosen = [(key, 5) for key in sorted(test, key=lambda key: key.partition("/")[2] != own.partition("/")[2])]
    chosen += [(key, 6) for key in same]
    return [
        Column(key_text(key), [_spread(one.metrics.get(key)) for one in shown], detail=detail)
        for key, detail in chosen[:_MAX_METRICS]
    ]


def _spread(spread: SpreadFacts | None) -> str:
    return NOTHING if spread is None else with_spread(spread.mean, spread.sd)


def _folds_table(facts: ReportFacts, max_rows: int) -> Table:
    """Gives the score on each fold, or with each seed, where they are few."""
    shown = [one for one in facts.configurations[:max_rows] if len(one.scores) > 1]
    heads = list(dict.fromkeys(_fold_head(score) for one in shown for score in one.scores))
    if len(heads) > _MAX_FOLDS:
        return Table("", [])
    scores = [{_fold_head(score): number(score.value) for score in one.scores} for one in shown]
    columns = [
        Column("#", [_rank(one) for one in shown]),
        Column("config", [str(one.configuration) for one in shown]),
        *(Column(head, [row.get(head, NOTHING) for row in scores]) for head in heads),
    ]
    return Table(f"Scores one by one: {_metric_head(facts)}", columns)


def _fold_head(score: ScoreFacts) -> str:
    parts = [f"repeat {score.repeat}"] if score.repeat else []
    parts += [f"fold {score.fold}"] if score.fold is not None else []
    parts += [f"seed {score.seed}"] if score.fold is None and score.seed is not None else []
    return " ".join(parts) or f"experiment {score.experiment_id}"


def _outer_table(nested: NestedFacts, keys: Sequence[str]) -> Table:
    folds = nested.outer_folds
    won = {key for one in folds for key in one.swept}
    columns = [
        Column("outer fold", [str(one.outer_fold) for one in folds]),
        Column("winner", [NOTHING if one.configuration is None else str(one.configuration) for one in folds]),
        *swept_columns([one.swept for one in folds], [key for key in keys if key in won]),
        Column("inner score", [number(one.inner_score) for one in folds]),
        Column("outer score", [_outer(one.outer_score, one.status) for one in folds]),
        Column("optimism", [signed(one.optimism, 2) for one in folds], detail=2),
        Column("train", [_whole(one.num_train) for one in folds], detail=3),
        Column("test", [_whole(one.num_test) for one in folds], detail=3),
    ]
    if any(one.num_failed for one in folds):
        columns.append(Column("failed", [str(one.num_failed or "") for one in folds], detail=1))
    note = ""
    if nested.mean is not None:
        interval = nested.interval
        level = f", approximate {interval.confidence:.0%} interval {interval_text(interval)}" if interval else ""
        note = f"Outer score, mean \N{PLUS-MINUS SIGN} sd: {with_spread(nested.mean, nested.sd)}{level}"
    return Table(f"Outer folds: {key_text(nested.metric)}", columns, note=note)


def _outer(score: float | None, status: str) -> str:
    return status if score is None else number(score)


def _whole(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def _comparisons_table(comparisons: Sequence[ComparisonFacts]) -> Table:
    columns = [
        Column("first", [first_line(one.first, 60) for one in comparisons], "left"),
        Column("second", [first_line(one.second, 60) for one in comparisons], "left"),
        Column("pairs", [str(one.num_pairs) for one in comparisons], detail=1),
        Column("difference", [signed(one.difference) for one in comparisons]),
        Column("interval", [interval_text(one.interval) if one.interval else NOTHING for one in comparisons], detail=1),
        Column("p", [NOTHING if one.p is None else p_text(one.p) for one in comparisons]),
        Column("effect size", [number(one.effect_size, 2) for one in comparisons], detail=2),
        Column("first better", [share_text(one.probability_first_better) for one in comparisons], detail=1),
        Column("equivalent", [share_text(one.probability_equivalent) for one in comparisons], detail=1),
        Column("second better", [share_text(one.probability_second_better) for one in comparisons], detail=1),
    ]
    if any(one.p_holm is not None for one in comparisons):
        holm = [NOTHING if one.p_holm is None else p_text(one.p_holm) for one in comparisons]
        columns.insert(6, Column("p (Holm)", holm))
    metric = key_text(comparisons[0].metric) if comparisons else ""
    return Table(f"Comparison: {metric}", columns)


def _importance_table(importance: ImportancesFacts) -> Table:
    shares = importance.shares[:_MAX_SHARES]
    columns = [
        Column("swept", [_together(one.keys) for one in shares], "left"),
        Column("share of variance", [f"{one.share:.1%}" for one in shares]),
    ]
    return Table("What mattered: variance between configurations explained", columns, note=importance_note(importance))


def importance_note(importance: ImportancesFacts) -> str:
    """Gives how the shares were found, and what they leave."""
    if importance.method == "anova":
        rest = f"{importance.unexplained:.1%} is left for more keys together"
        return f"Exact, over the complete grid of {importance.num_configurations} configurations; {rest}"
    fit = f"R\N{SUPERSCRIPT TWO} on points not seen {number(importance.fit, 2)}"
    return f"By a random forest over {importance.num_configurations} configurations ({fit})"


def _together(keys: Iterable[str]) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(map(key_text, keys))
