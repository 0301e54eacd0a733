"""A report as text, Markdown, LaTeX and CSV. Names out of configs and logs stay text in each of them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from mlgym.texts import duration, jsonable, key_text, one_line
from mlgym.validation.columns import swept_columns
from mlgym.validation.report.facts import ReportFacts
from mlgym.validation.report.tables import Column, Table, swept_keys, tables_of

# Beside the marks: what GitHub makes links and pictures of although nothing marks it.
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>#|!~&@]|(?<=www)\.|:(?=//)|:(?=[a-z0-9_+-]+:))")
_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "\N{PLUS-MINUS SIGN}": r"\(\pm\)",
    "\N{EN DASH}": "--",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{UPWARDS ARROW}": r"\(\uparrow\)",
    "\N{DOWNWARDS ARROW}": r"\(\downarrow\)",
    "\N{ALMOST EQUAL TO}": r"\(\approx\)",
    "\N{GREATER-THAN OR EQUAL TO}": r"\(\geq\)",
    "\N{MULTIPLICATION SIGN}": r"\(\times\)",
    "\N{SUPERSCRIPT TWO}": r"\(^2\)",
}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def headline(facts: ReportFacts) -> str:
    """Gives what run this is and how it stands, in a line."""
    counts = ", ".join(f"{count} {status}" for status, count in facts.counts.items() if count) or "no experiments yet"
    took = f", {duration(facts.duration_s)}" if facts.duration_s is not None else ""
    name = f"{key_text(facts.name)}  " if facts.name else ""
    return f"{facts.run_id}  {name}{facts.mode.replace('_', ' ')}, {facts.status}: {counts}{took}"


def sections(facts: ReportFacts) -> list[tuple[str, list[str]]]:
    """Gives the sentences of a report under their headings, in the order of their weight; empty ones are left out."""
    found = [
        ("Beware", facts.warnings),
        ("What may be claimed", [*(one.claim for one in facts.comparisons), *facts.claims]),
        ("Which data", [f"{one.numbers}: {one.data}." for one in facts.data]),
        ("Missing", facts.missing),
        ("Reproduced", facts.reproductions),
    ]
    return [(title, [one_line(line, 1000) for line in lines]) for title, lines in found if lines]


def to_text(facts: ReportFacts, max_rows: int) -> str:
    """Gives the report as aligned text."""
    parts = [headline(facts)]
    for table in tables_of(facts, max_rows):
        parts.append("\n".join([table.title, *_aligned(table.columns), *([table.note] if table.note else [])]))
    parts += ["\n".join([title, *(f"- {line}" for line in lines)]) for title, lines in sections(facts)]
    return "\n\n".join(parts) + "\n"


def _aligned(columns: Sequence[Column]) -> list[str]:
    widths = [max(len(cell) for cell in [column.head, *column.cells]) for column in columns]
    rows = [[column.head for column in columns], *zip(*(column.cells for column in columns), strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column.align == "right" else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in rows
    ]


def to_markdown(facts: ReportFacts, max_rows: int) -> str:
    """Gives the report in Markdown, with tables as GitHub has them."""
    parts = [f"# {markdown(headline(facts))}"]
    for table in tables_of(facts, max_rows):
        note = [f"\n{markdown(table.note)}"] if table.note else []
        parts.append("\n".join([f"## {markdown(table.title)}\n", *_pipes(table), *note]))
    for title, lines in sections(facts):
        parts.append("\n".join([f"## {title}\n", *(f"- {markdown(line)}" for line in lines)]))
    return "\n\n".join(parts) + "\n"


def _pipes(table: Table) -> list[str]:
    head = [markdown(column.head) for column in table.columns]
    rule = ["---:" if column.align == "right" else ":---" for column in table.columns]
    rows = []
    for place, row in enumerate(zip(*(column.cells for column in table.columns), strict=True)):
        cells = [markdown(cell) for cell in row]
        rows.append([f"**{cell}**" if place == table.best and cell.strip() else cell for cell in cells])
    return ["| " + " | ".join(cells) + " |" for cells in [head, rule, *rows]]


def markdown(text: str) -> str:
    """Gives text that Markdown shows as it is."""
    return _MARKDOWN.sub(r"\\\1", one_line(text, 2000))


def to_latex(facts: ReportFacts, max_rows: int) -> str:
    """Gives the tables for a paper; they need the package `booktabs`."""
    parts = [f"% {one_line(headline(facts), 300)}", "% needs: \\usepackage{booktabs}"]
    parts += [_tabular(table, facts) for table in tables_of(facts, max_rows)]
    lines = [f"% {title}: {line}" for title, found in sections(facts) for line in found]
    return "\n".join([*parts, *lines]) + "\n"


def _tabular(table: Table, facts: ReportFacts) -> str:
    spec = "".join("r" if column.align == "right" else "l" for column in table.columns)
    rows = []
    for place, row in enumerate(zip(*(column.cells for column in table.columns), strict=True)):
        cells = [latex(cell) for cell in row]
        rows.append(_latex_row([rf"\textbf{{{cell}}}" if place == table.best and cell else cell for cell in cells]))
    caption = f"{table.title}{'. ' + table.note if table.note else ''}"
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{latex(caption)}. Run {latex(facts.run_id)}.}}",
            rf"  \begin{{tabular}}{{{spec}}}",
            r"    \toprule",
            _latex_row([latex(column.head) for column in table.columns]),
            r"    \midrule",
            *rows,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def _latex_row(cells: Iterable[str]) -> str:
    # Braces: a cell that begins with a bracket would be taken for an argument of the row break before it.
    return "    " + " & ".join("{}" + cell if cell.startswith(("[", "*")) else cell for cell in cells) + r" \\"


def latex(text: str) -> str:
    """Gives text that LaTeX prints as it is; what its usual fonts lack is written as its code."""
    return "".join(map(_latex_character, one_line(text, 2000)))


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    return character if ord(character) < 0x7F else rf"\texttt{{U+{ord(character):04X}}}"


def to_csv(facts: ReportFacts) -> str:
    """Gives all numbers, one experiment a row, with those of its configuration beside them.

    Texts that a spreadsheet would take for a formula get an apostrophe before them.
    """
    stream = io.StringIO()
    keys = swept_keys(facts.configurations)
    metrics = list(dict.fromkeys(key for one in facts.configurations for key in one.metrics))
    writer = csv.writer(stream, lineterminator="\n")
    names = swept_columns(keys, _CSV_HEAD).values()
    writer.writerow(map(_csv_cell, [*_CSV_HEAD, *names, *(f"mean {key}" for key in metrics)]))
    for row in _csv_rows(facts, keys, metrics):
        writer.writerow(map(_csv_cell, row))
    return stream.getvalue()


_CSV_HEAD: Final = (
    "run_id", "role", "rank", "configuration", "experiment_id", "status", "outer_fold", "repeat", "fold", "seed",
    "epoch", "score", "num_train", "num_held_out", "mean", "sd", "interval_low", "interval_high", "p_to_best",
    "num_failed",
)  # fmt: skip


def _csv_rows(facts: ReportFacts, keys: Sequence[str], metrics: Sequence[str]) -> Iterable[list[Any]]:
    role = "inner" if facts.nested is not None else "experiment"
    for one in facts.configurations:
        interval = one.interval
        ends = [interval.low, interval.high] if interval else [None, None]
        spread = [one.mean, one.sd, *ends, one.p_to_best, one.num_failed]
        own = [one.swept.get(key) for key in keys]
        means = [one.metrics[key].mean if key in one.metrics else None for key in metrics]
        for score in one.scores:
            where = [score.outer_fold, score.repeat, score.fold, score.seed, score.epoch, score.value]
            sizes = [score.num_train, score.num_held_out]
            which = [facts.run_id, role, one.rank, one.configuration, score.experiment_id, score.status]
            yield [*which, *where, *sizes, *spread, *own, *means]
    for fold in facts.nested.outer_folds if facts.nested else []:
        which = [facts.run_id, "outer", None, fold.configuration, next(iter(fold.experiment_ids), None), fold.status]
        where = [fold.outer_fold, fold.repeat, None, None, fold.epoch, fold.outer_score, fold.num_train, fold.num_test]
        spread = [None, None, None, None, None, fold.num_failed]
        means = [fold.metrics[key].mean if key in fold.metrics else None for key in metrics]
        yield [*which, *where, *spread, *(fold.swept.get(key) for key in keys), *means]


def _csv_cell(value: Any) -> Any:
    if value is None or isinstance(value, (int, float)):
        return value
    text = one_line(value if isinstance(value, str) else str(jsonable(value)), 2000)
    return f"'{text}" if text.startswith(_FORMULA) else text
