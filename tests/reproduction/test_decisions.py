"""What a run decided, decided again: in words, for scripts, and in the exit code."""

from __future__ import annotations

import pytest

from mlgym.display.reproduction import verdicts_facts, verdicts_text
from mlgym.reproduction.comparison import compare
from mlgym.reproduction.decisions import Decisions
from mlgym.reproduction.verdict import Verdict, exit_code
from tests.reproduction.logs import epochs, results


def decisions(num_equal: int, *, new: str | None = None, from_new_results: bool = True) -> Decisions:
    return Decisions(
        of="the search",
        num_recorded=5,
        num_equal=num_equal,
        original=None if new is None else "`promote` trial 3",
        new=new,
        from_new_results=from_new_results,
    )


@pytest.mark.parametrize(
    ("compared", "text", "code"),
    [
        (decisions(5), "the search, told the new results, decides the same: 5 decisions", 0),
        (decisions(2), "the search, told the new results, decides the same as far as it came: 2 of 5 decisions", 0),
        (
            decisions(2, new="`stop` trial 3"),
            (
                "the search, told the new results, decides otherwise after 2 that are the same: "
                "`promote` trial 3 -> `stop` trial 3"
            ),
            4,
        ),
        # The experiments that were run again are what was to be reproduced.
        (
            decisions(0, new="`finish`", from_new_results=False),
            "the search, told the recorded results, decides otherwise: `promote` trial 3 -> `finish`",
            0,
        ),
    ],
)
def test_decisions_stand_below_the_verdicts(compared: Decisions, text: str, code: int) -> None:
    """Once for all experiments of the run; the event of each has the line."""
    found = compare(results(epochs(2)), results(epochs(2)))
    verdicts = [
        Verdict(experiment_id=number, original_run_id="old", new_run_id="new", comparison=found, decisions=compared)
        for number in range(2)
    ]
    assert verdicts_text(verdicts).splitlines()[-2:] == ["2 identical", text]
    assert exit_code(verdicts) == code
    facts = verdicts_facts(verdicts)
    assert facts["decisions"]["same"] == (compared.num_equal == 5)
    event = verdicts[0].to_event("new")
    assert event is not None
    assert event.decisions == text
