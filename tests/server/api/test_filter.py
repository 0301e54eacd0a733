"""The language of filters: what each form matches, what binds how, and that every fault is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgym.server.api.filter import parse_filter
from mlgym.server.refusal import RefusedError

ROWS: list[dict[str, Any]] = [
    {"status": "done", "optimizer.lr": 0.1, "model": "mlp", "val/f1": 0.9, "flag": True, "error": None,
     "hidden": [8, 4]},
    {"status": "failed", "optimizer.lr": 1e-3, "model": "conv net", "val/f1": math.nan, "flag": False,
     "error": "RuntimeError: CUDA out of memory (2 GiB)", "hidden": None},
    {"status": "running", "optimizer.lr": 1, "model": None, "val/f1": math.inf, "flag": None, "error": None,
     "hidden": [8]},
]  # fmt: skip


class Rows:
    """Rows as a filter sees them."""

    def __len__(self) -> int:
        return len(ROWS)

    def values(self, key: str) -> Sequence[Any]:
        if key not in ROWS[0]:
            raise KeyError(f"no `{key}`")
        return [row[key] for row in ROWS]

    def texts(self) -> Sequence[str]:
        return [f"{row['status']} {row['error']} {row['model']}".casefold() for row in ROWS]


def matching(text: str) -> list[int]:
    return [number for number, one in enumerate(parse_filter(text).matches(Rows())) if one]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [0, 1, 2]),
        ("   ", [0, 1, 2]),
        ("status:failed", [1]),
        ("status:FAILED", [1]),
        ("status=failed", [1]),
        ("status : 'failed'", [1]),
        ("status:failed,running", [1, 2]),
        ("status!=failed", [0, 2]),
        ("optimizer.lr<0.01", [1]),
        ("optimizer.lr <= 1e-3", [1]),
        ("optimizer.lr>=0.1", [0, 2]),
        ("optimizer.lr=1.0", [2]),
        ("optimizer.lr:0.1,1", [0, 2]),
        ("optimizer.lr==0.1", [0]),
        ("val/f1>0.5", [0, 2]),
        ("val/f1=nan", [1]),
        ("val/f1:inf", [2]),
        ("val/f1!=nan", [0, 2]),
        ("model='conv net'", [1]),
        ("model!=mlp", [1]),
        ("model:*", [0, 1]),
        ("not model:*", [2]),
        ("error:*", [1]),
        ("flag=true", [0]),
        ("hidden=[8,4]", [0]),
        ('error~"out of (memory|time)"', [1]),
        (r'error~"\(\d GiB\)"', [1]),
        ("error~^runtime", []),
        ("error~(?i)^runtime", None),
        ('error~"(?i)^runtime"', [1]),
        ("model!~m", [1]),
        ("optimizer.lr~^0", [0, 1]),
        ("cuda", [1]),
        ("'out of memory'", [1]),
        ("CONV", [1]),
        ("status:done or status:running", [0, 2]),
        ("status:done or status:failed and optimizer.lr>0.5", [0]),
        ("(status:done or status:failed) and optimizer.lr<0.5", [0, 1]),
        ("status:done optimizer.lr<0.5", [0]),
        ("not status:done and not status:failed", [2]),
        ("NOT (status:done OR status:failed)", [2]),
        ("not not status:done", [0]),
        ("`optimizer.lr`<0.01", [1]),
    ],
)
def test_forms(text: str, rows: list[int] | None) -> None:
    """Each form matches what the reference says; None where it is refused."""
    if rows is None:
        with pytest.raises(RefusedError):
            matching(text)
    else:
        assert matching(text) == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr<", "at its end: expected a value after `<`"),
        ("status:failed and", "at its end: expected a comparison"),
        ("(status:failed", "expected `)`"),
        ("status:failed)", "opening parenthesis"),
        ("optimizer.lr<fast", "at `fast`: `<` compares with a number"),
        ("optimizer.lr<'1'", "compares with a number"),
        ("< 3", "expected a key"),
        ("error~[", "`[` is no regular expression: unclosed character class"),
        ("colour:red", "no `colour`"),
        ('status:"failed', None),
        ("'unclosed", "not understood"),
        ("(" * 60 + "a" + ")" * 60, "nested more than 50"),
        ("not " * 60 + "a", "nested more than 50"),
        ("error~'(a{1000}){1000}'", "is no regular expression"),
    ],
)
def test_faults(text: str, said: str | None) -> None:
    """Whatever is not understood is refused, with the place and what was expected there."""
    if said is None:  # a quote that nobody closes is a part of the value
        assert matching(text) == []
        return
    with pytest.raises(RefusedError) as caught:
        matching(text)
    assert said in str(caught.value)
    assert (caught.value.status, caught.value.path) == (422, "filter")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.text("ab()<>=!~:,'\"`\\ ornotd*.1", max_size=40))
def test_any_text_is_answered_or_refused(text: str) -> None:
    """No text raises anything else."""
    with suppress(RefusedError):
        assert len(parse_filter(text).matches(Rows())) == len(ROWS)


def test_a_pattern_that_keeps_other_engines_busy_for_ever_is_answered() -> None:
    """Patterns take time in proportion to the text: this one takes Python's `re` some 2^40 steps."""
    ROWS[0]["status"] = "a" * 40 + "!"
    try:
        assert matching("status~'^(a+)+$'") == []
    finally:
        ROWS[0]["status"] = "done"
