"""What the live display shows: the run in one or two lines, and a table of the experiments that run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from mlgym.display.fitting import FittingTable
from mlgym.display.standing import Standing, epoch_text, share_done
from mlgym.events import ExperimentState, RunState
from mlgym.texts import key_text, number, rough_duration, short_heads, value_text

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

_MAX_SHOWN: Final = 12
_LINES_AROUND: Final = 5
_BAR_WIDTHS: Final = (28, 10)
_MAX_SPLIT: Final = 12


def live_page(state: RunState, standing: Standing, overall: str, best: str, *, height: int) -> Group:
    """Gives the page; no line of it wraps, so that it keeps its height while numbers change.

    Args:
        state: the run.
        standing: what has been worked out about it.
        overall: the line about the run.
        best: the line about the best experiment; empty for none yet.
        height: lines of the terminal.
    """
    from rich.console import Group
    from rich.text import Text

    counts = state.counts
    ended = counts["done"] + counts["failed"] + counts["interrupted"]
    share = ended / (state.num_experiments or 1)
    head = FittingTable([partial(_head, overall, share, width) for width in (*_BAR_WIDTHS, 0)])
    parts: list[RenderableType] = [head]
    if best:
        parts.append(_line(best))
    running = [one for one in state.experiments.values() if one.status == "running"]
    shown = running[: max(1, min(_MAX_SHOWN, height - _LINES_AROUND))]
    if shown:
        columns = _Columns(swept=list(dict.fromkeys(key for one in shown for key in one.swept)))
        parts.append(FittingTable([partial(one.table, shown, standing) for one in columns.layouts()]))
    if len(running) > len(shown):
        parts.append(Text(f"... and {len(running) - len(shown)} more", style="dim"))
    return Group(*parts)


def _head(overall: str, share: float, bar_width: int) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    head = Table.grid(padding=(0, 1))
    bar = [ProgressBar(total=1.0, completed=share, width=bar_width)] if bar_width else []
    head.add_row(*bar, _line(overall))
    return head


@dataclass(frozen=True)
class _Columns:
    """The columns of one layout of the table of running experiments."""

    swept: list[str]
    is_short: bool = False
    has_bar: bool = True
    has_phase: bool = True
    has_rate: bool = True

    def layouts(self) -> list[_Columns]:
        """Gives this layout and ever narrower ones; the swept values go last."""
        short = replace(self, is_short=True)
        no_bar = replace(short, has_bar=False)
        no_phase = replace(no_bar, has_phase=False)
        no_rate = replace(no_phase, has_rate=False)
        return [self, short, no_bar, no_phase, no_rate, replace(no_phase, swept=[]), replace(no_rate, swept=[])]

    def table(self, experiments: list[ExperimentState], standing: Standing) -> Table:
        """Gives the table; least widths keep it from jumping as numbers come and go."""
        from rich.table import Table

        table = Table(box=None, header_style="dim", pad_edge=False)
        table.add_column("id", justify="right", min_width=3, no_wrap=True)
        for head in short_heads(self.swept) if self.is_short else map(key_text, self.swept):
            table.add_column(head, justify="right", no_wrap=True)
        table.add_column("epoch", justify="right", min_width=7, no_wrap=True)
        if self.has_bar:
            table.add_column("", width=16)
        if self.has_phase:
            table.add_column("", min_width=10, no_wrap=True)
        if self.has_rate:
            table.add_column("steps/s", justify="right", no_wrap=True)
        table.add_column("left", justify="right", min_width=7, no_wrap=True)
        table.add_column("best", justify="right", min_width=8, no_wrap=True)
        for one in experiments:
            table.add_row(*self._cells(one, standing))
        return table

    def _cells(self, experiment: ExperimentState, standing: Standing) -> list[RenderableType]:
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        progress, swept = experiment.progress, experiment.swept
        cells: list[RenderableType] = [Text(str(experiment.experiment_id), style="blue")]
        cells += [Text(value_text(swept[key]) if key in swept else "") for key in self.swept]
        cells.append(Text(epoch_text(progress) if progress else "", style="" if progress else "dim"))
        if self.has_bar:
            cells.append(ProgressBar(total=1.0, completed=share_done(progress), width=16) if progress else "")
        if self.has_phase:
            cells.append(Text(_phase(experiment), style="dim"))
        if self.has_rate:
            cells.append(Text(_rate_text(standing.steps_per_s(experiment))))
        left_s, point = standing.left_of(experiment), standing.best_of(experiment)
        cells.append(Text("" if left_s is None else rough_duration(left_s)))
        return [*cells, Text(number(point.value) if point else "")]


def _phase(experiment: ExperimentState) -> str:
    progress = experiment.progress
    if progress is None:
        return "starting"
    return "train" if progress.phase == "train" else f"eval {key_text(progress.split)[:_MAX_SPLIT]}"


def _rate_text(rate: float | None) -> str:
    if rate is None:
        return ""
    return f"{rate:.0f}" if rate >= 100 else number(rate, 3)


def _line(text: str) -> RenderableType:
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")
