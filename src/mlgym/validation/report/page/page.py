"""The report as one HTML file that needs no network and no script, reads in light and dark, on paper and on a phone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from mlgym.texts import key_text
from mlgym.validation.report.formats import headline, sections
from mlgym.validation.report.page.canvas import Picture
from mlgym.validation.report.page.course import course_pictures
from mlgym.validation.report.page.curves import curve_pictures
from mlgym.validation.report.page.folds import fold_pictures
from mlgym.validation.report.page.matrices import matrix_pictures
from mlgym.validation.report.page.search import search_pictures
from mlgym.validation.report.tables import tables_of

if TYPE_CHECKING:
    from jinja2 import Environment

    from mlgym.validation.report.facts import ReportFacts
    from mlgym.validation.report.trials import Trial

_FIRST: Final = ("Beware", "What may be claimed")


def to_html(facts: ReportFacts, trials: Sequence[Trial], max_rows: int) -> str:
    """Gives the whole page.

    Args:
        facts: what it says.
        trials: the experiments, for curves and matrices.
        max_rows: configurations in a table; the best ones.
    """
    style = _style()
    return _rendered(
        "report.html.jinja",
        **_content(facts, max_rows),
        pictures=list(pictures_of(facts, trials)),
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )


def to_fragment(facts: ReportFacts, max_rows: int) -> str:
    """Gives tables and sentences alone, as a notebook shows them."""
    return _rendered("fragment.html.jinja", **_content(facts, max_rows))


def pictures_of(facts: ReportFacts, trials: Sequence[Trial]) -> Iterator[Picture]:
    """Gives the pictures that the log has the data for, those that matter most first."""
    yield from fold_pictures(facts)
    yield from course_pictures(facts)
    yield from search_pictures(facts)
    yield from curve_pictures(facts, trials)
    yield from matrix_pictures(facts, trials)


def _content(facts: ReportFacts, max_rows: int) -> dict[str, object]:
    found = sections(facts)
    return {
        "title": key_text(facts.name or facts.run_id),
        "headline": headline(facts),
        "first": [one for one in found if one[0] in _FIRST],
        "last": [one for one in found if one[0] not in _FIRST],
        "tables": tables_of(facts, max_rows),
    }


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("mlgym.validation.report.page", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _rendered(name: str, **content: object) -> str:
    text: str = _environment().get_template(name).render(**content)
    return text


def _style() -> str:
    return files("mlgym.validation.report.page").joinpath("templates/report.css").read_text(encoding="utf-8")
