"""A run whose every name comes from somebody who means harm."""

from __future__ import annotations

from pathlib import Path

from mlgym.validation.report import Report, report_of
from tests.validation.report.logs import cross_validation, state_of

NASTY = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(2)>",
    "javascript:alert(3)",
    "=cmd|' /C calc'!A0",
    "[link](http://evil.example) | cell",
    r"\input{/etc/passwd} $x^2$ 100% & #1_a~{}",
    "\x1b[2Jclear\u202eback\u2028line",
    "日本 ☃ 🙂",
    "{{ 7 * 7 }} {% raw %}",
    "![](//evil.example/x.png) www.evil.example :smile:",
)


def hostile_report(storage: Path) -> Report:
    """Gives a report on folds in which names, keys, values, metrics and errors are hostile."""
    points = [{nasty: nasty, "lr": number} for number, nasty in enumerate(NASTY)]
    planned = cross_validation(points, folds=2)
    planned[-1].error = NASTY[0] + NASTY[1]
    state = state_of(
        storage,
        planned,
        lambda trial, epoch: 0.5 + 0.01 * trial["swept"]["lr"] + 0.001 * (trial["fold"] or 0) + 0.01 * epoch,
        mode="cross_validation",
        sizes={"train": 8, "val": 2},
        name=NASTY[0],
        more={f"test/{NASTY[1]}": 0.1, "val/$x$": 0.2},
        num_classes=3,
    )
    return report_of(state, compare="lr")
