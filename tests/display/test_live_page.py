"""The live page in terminals of all sizes."""

from __future__ import annotations

import pytest

from mlgym.display.live_page import live_page
from mlgym.display.progress import best_line, overall_line
from mlgym.display.standing import Standing
from mlgym.events import RunState
from tests.display.pages import printed
from tests.display.states import HOSTILE, START_S, UNSAFE, config, job, progress, scores, started, state_of

SWEPT = {"model.num_channels": 16, "optimizer.lr": 0.001}


def page(state: RunState, width: int, height: int = 40) -> list[str]:
    standing = Standing()
    standing.update(state)
    state.apply(10_000, progress(5, 50, START_S + 100))
    standing.update(state)
    lines = overall_line(state, standing), best_line(standing)
    return printed(live_page(state, standing, *lines, height=height), width)


def two_running() -> RunState:
    running = [job("RUNNING", number, starting_time=START_S) for number in range(2)]
    first = [config(0, SWEPT), config(1, SWEPT), *running, progress(0, 50, START_S), scores(1, 0.91234)]
    return state_of(started(4), *first)


@pytest.mark.parametrize(
    ("width", "head"),
    [
        (120, "id model.num_channels optimizer.lr epoch steps/s left best"),
        (80, "id num_channels lr epoch steps/s left best"),
        (64, "id num_channels lr epoch steps/s left best"),
        (52, "id num_channels lr epoch left best"),
        (50, "id epoch steps/s left best"),
    ],
)
def test_no_line_wraps_and_the_best_is_told_in_every_width(width: int, head: str) -> None:
    """Each running experiment has one line with epoch, time left and best value; the rest where there is room."""
    lines = page(two_running(), width)
    assert len(lines) == 5
    assert all(len(line) <= width for line in lines)
    assert "0/4 done, 2 running" in lines[0]
    assert "left" in lines[0]
    assert lines[1] == "best val/f1 0.9123 (experiment 0)"
    assert lines[2].split() == head.split()
    cells = lines[3].split()
    assert cells[0] == "0"
    assert "6/10" in cells
    assert cells[-3:] == ["1m", "30s", "0.9123"]
    assert ("5" in cells) == ("steps/s" in head)
    assert ("0.001" in cells) == ("lr" in head)
    assert lines[4].split()[0] == "1"
    assert ("starting" in lines[4]) == (width >= 80)


def test_the_table_keeps_its_width_while_numbers_come() -> None:
    """A first rate, time left and value do not move the columns: no flicker."""
    before = page(state_of(started(4), config(0, SWEPT), job("RUNNING", 0)), 120)
    after = page(two_running(), 120)
    assert before[1] == after[2]


def test_a_low_terminal_shows_fewer_experiments() -> None:
    """The page stays below the height of the terminal, and says how many it leaves out."""
    running = [job("RUNNING", number) for number in range(30)]
    state = state_of(started(30), config(0), *running)
    tall, low = page(state, 100, 40), page(state, 100, 10)
    assert tall[-1] == "... and 18 more"
    assert low[-1] == "... and 25 more"
    assert len(low) < 10


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_stays_text(text: str) -> None:
    """Names, values, splits and metrics of a config never drive the terminal or add a line."""
    state = state_of(
        started(2, text),
        config(0, {text: text}),
        job("RUNNING", 0),
        scores(1, 0.5, 0, {text: 1.0}),
        progress(1, 1, START_S, status="evaluation", current_split=text, splits=[text]),
    )
    lines = page(state, 400)
    assert len(lines) == 4
    assert not set("".join(lines)) & {*UNSAFE}
    "".join(lines).encode()
