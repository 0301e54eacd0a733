"""The report of a grid search: experiments ranked by one metric, in several formats."""

from __future__ import annotations

import html
from typing import Any

from mlgym.api.columns import swept_columns
from mlgym.events import RunState
from mlgym.validation import Selection, rank
from mlgym.validation.report import reproduction_lines


class Report:
    """The experiments of a run ranked by one metric.

    Args:
        run_id: the run's id.
        state: the run.
        selection: what ranks them; None where nothing was measured.

    Attributes:
        reproductions: a line for each experiment that was run again, or repeats another, with its last verdict.
    """

    def __init__(self, run_id: str, state: RunState, selection: Selection | None) -> None:
        self.run_id = run_id
        self.name = state.name
        self.status = state.status
        self.selection = selection
        self.reproductions = reproduction_lines(state.experiments.values())
        self._is_fast = state.environment.get("deterministic") is False
        self._ranked = rank(state, selection)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per experiment, the best first: id, status, rank, best value, its epoch, swept values, error."""
        own = ("experiment_id", "status", "rank", "best", "epoch", "error")
        swept = swept_columns((key for one in self._ranked for key in one.experiment.swept), own)
        return [
            {
                "experiment_id": one.experiment.experiment_id,
                "status": one.experiment.status,
                "rank": one.rank,
                **{name: one.experiment.swept.get(key) for key, name in swept.items()},
                "best": one.best.value if one.best else None,
                "epoch": one.best.epoch if one.best else None,
                "error": one.experiment.error,
            }
            for one in self._ranked
        ]

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        rows = self.rows
        keys = list(dict.fromkeys(key for row in rows for key in row))
        if not any(row["error"] for row in rows):
            keys = [key for key in keys if key != "error"]
        metric = self.selection.metric if self.selection else "best"
        header = [f"best {metric}" if key == "best" else key for key in keys]
        return header, [[_text(row.get(key)) for key in keys] for row in rows]

    def to_text(self) -> str:
        """Gives the table as aligned text."""
        header, rows = self._cells()
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]
        ]
        return "\n".join([self._title(), *lines, *(["", *self.reproductions] if self.reproductions else [])])

    def to_html(self) -> str:
        """Gives the table as HTML; every text in it is escaped."""
        header, rows = self._cells()
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        title = f"<p>{html.escape(self._title())}</p>"
        verdicts = "".join(f"<li>{html.escape(line)}</li>" for line in self.reproductions)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return title + table + (f"<ul>{verdicts}</ul>" if verdicts else "")

    def _title(self) -> str:
        ranked_by = f", ranked by {self.selection.metric} ({self.selection.best})" if self.selection else ""
        # Where operations may give other bits each time, nobody should read a number without knowing.
        fast = ", determinism: fast" if self._is_fast else ""
        return f"{self.name or 'run'} {self.run_id}: {self.status}{ranked_by}{fast}"

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value).split("\n", 1)[0]
