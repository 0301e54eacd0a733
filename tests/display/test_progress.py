"""Which display is chosen, and what lines it prints."""

from __future__ import annotations

import errno
import io
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mlgym.display import progress as module
from mlgym.display.progress import PlainDisplay, open_display
from mlgym.events import RunState
from tests.display.states import HOSTILE, START_S, UNSAFE, config, done, event, job, scores, started, state_of

SHOW = """
import os
from mlgym.display.progress import open_display
from tests.display.states import *
display = open_display()
state = state_of(started(2), config(0), config(1), job("RUNNING", 0, device="cpu"), scores(1, 0.5))
display.update(state)
os.read(int(os.environ["SHOWN"]), 1)
state.apply(50, done(0, error="ValueError: no"))
display.update(state)
display.close()
"""


def on_terminal(**environment: str) -> str:
    """Gives what a process shows on a real (pseudo) terminal of 80 columns."""
    ours, theirs = pty.openpty()
    shown_here, told = os.pipe()
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLORTERM")}
    env |= {"COLUMNS": "80", "LINES": "24", "PYTHONPATH": str(Path(__file__).parents[2])} | environment
    env["SHOWN"] = str(shown_here)
    streams: dict[str, Any] = {"stderr": theirs, "stdout": theirs, "stdin": theirs}
    with subprocess.Popen([sys.executable, "-c", SHOW], env=env, pass_fds=[shown_here], **streams) as process:
        os.close(theirs)
        os.close(shown_here)
        shown = b""
        with suppress(OSError):  # the other end is closed
            while piece := os.read(ours, 4096):
                shown += piece
                if b" running" in shown and told >= 0:  # it is drawn five times a second
                    os.close(told)
                    told = -1
        os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_a_terminal_gets_the_live_page_and_keeps_the_failure() -> None:
    """The page is drawn over itself and gone at the end; failures stay, in red; the cursor comes back."""
    shown = on_terminal(TERM="xterm-256color")
    assert "0/2 done, 1 running" in shown
    assert "best val/f1 0.5 (experiment 0)" in shown
    assert "\x1b[31mexperiment 0 failed: ValueError: no" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_without_colour() -> None:
    """NO_COLOR leaves the page alone and takes the colours away."""
    shown = on_terminal(TERM="xterm-256color", NO_COLOR="1")
    assert "1 running" in shown
    assert "experiment 0 failed: ValueError: no" in shown
    assert "\x1b[31m" not in shown
    assert "\x1b[34m" not in shown


def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    """TERM=dumb, as in editors: no escape at all, but the same news."""
    shown = on_terminal(TERM="dumb")
    assert "\x1b" not in shown
    assert "experiment 0 running on cpu" in shown
    assert "experiment 0 failed: ValueError: no" in shown


def test_a_pipe_gets_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """One line as an experiment starts and one as it ends, with its values and how many have ended."""
    display = open_display()
    state = state_of(started(2), config(0, {"optimizer.lr": 0.1}), job("RUNNING", 0, device="cpu"))
    for _ in range(3):
        display.update(state)
    for number, one in enumerate([scores(2, 0.75), done(0, 65)]):
        state.apply(10 + number, one)
        display.update(state)
    display.close()
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "experiment 0 (optimizer.lr=0.1) running on cpu",
        "experiment 0 (optimizer.lr=0.1) done in 1m 05s, best val/f1 0.75 at epoch 2  [1/2]",
    ]
    assert printed.out == ""


class Gone(io.StringIO):
    """A terminal that somebody closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_a_terminal_that_is_gone_costs_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be shown is not shown; the display itself, as control, fails."""
    monkeypatch.setattr(sys, "stderr", Gone())
    state = state_of(started(2), config(0), job("RUNNING", 0, device="cpu"))
    display = open_display()
    for status in ("RUNNING", "DONE"):
        state.apply(10, job(status, 0))
        display.update(state)
    display.close()
    with pytest.raises(OSError, match="Input/output"):
        PlainDisplay(RunState()).update(state)


def test_a_resumed_run_is_not_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    """What had ended before is not news, nor that an interrupted experiment waits; that it runs and ends is."""
    before = [started(2), config(0), config(1), job("RUNNING", 0), job("RUNNING", 1), done(0, 5)]
    state = state_of(*before)
    display = open_display(state)
    news = [started(2), job("INIT", 1, attempt=1), job("RUNNING", 1, device="cpu", attempt=1), done(1, 5)]
    for number, happened in enumerate(news):
        state.apply(10 + number, happened)
        display.update(state)
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" in ")[0] for line in told] == ["experiment 1 running on cpu", "experiment 1 done"]


def test_stopped_before_it_began(capsys: pytest.CaptureFixture[str]) -> None:
    """An experiment that took no time has none in its line."""
    display = open_display()
    display.update(state_of(started(1), config(0), job("DONE", 0, error="interrupted", interrupted=True)))
    assert capsys.readouterr().err == "experiment 0 interrupted  [1/1]\n"


def test_a_long_silence_is_broken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of a batch system shows every half minute that the run is alive, and how far it is."""
    display = PlainDisplay(RunState())
    state = state_of(
        started(3), config(0), config(1), job("RUNNING", 0), job("RUNNING", 1), scores(1, 0.5), done(1, 30)
    )
    display.update(state)
    capsys.readouterr()
    display.update(state)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(module, "_HEARTBEAT_S", -1.0)
    display.update(state)
    assert capsys.readouterr().err == "1/3 done, 1 running, about 1m 00s left, best val/f1 0.5 (experiment 0)\n"


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_stays_on_its_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a config or an error says, each piece of news is one line that a strict UTF-8 stream takes."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True)
    monkeypatch.setattr(sys, "stderr", stream)
    display = PlainDisplay(RunState())
    state = state_of(started(1), config(0, {text: text}), job("RUNNING", 0, device=text or "cpu"))
    display.update(state)
    state.apply(10, done(0, error=text or "x"))
    display.update(state)
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    lines = raw.getvalue().decode().split("\n")
    assert len(lines) == 3
    assert not set("".join(lines)) & {*UNSAFE}


def test_what_the_driver_has_to_say_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Its warnings, not what it printed, nor what it said before this process took the run up."""

    def log(at: float, level: str, logger: str, message: str) -> dict[str, Any]:
        return event("log", None, at, level=level, logger=logger, message=message)

    old = log(START_S, "warning", "mlgym.execution", "of an earlier driver")
    told = [log(START_S + 1, "warning", "mlgym.execution", "stopping: soon"), log(START_S + 2, "info", "x", "nothing")]
    display = PlainDisplay(state_of(started(1), old))
    state = state_of(started(1), old, *told)
    display.update(state)
    display.update(state)
    assert capsys.readouterr().err == "warning: stopping: soon\n"


@pytest.mark.parametrize(("metric", "is_told"), [("f1", False), ("f1_marco", True)])
def test_a_metric_that_nobody_measures_is_told_at_the_first_evaluation(
    metric: str, is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, with the nearest one; a run that measures what it selects by says nothing."""
    begun = started(2)
    begun["payload"]["validation"] = {"select": {"metric": f"val/{metric}", "best": "max"}}
    display = PlainDisplay(RunState())
    state = state_of(begun, config(0), config(1), job("RUNNING", 0, device="cpu"))
    display.update(state)
    assert "warning" not in capsys.readouterr().err
    for epoch in (1, 2):
        state.apply(50 + epoch, scores(epoch, 0.5))
        display.update(state)
    told = capsys.readouterr().err
    assert told.count("warning: the run selects by `val/f1_marco`, which was not measured; did you mean") == is_told
    assert ("`val/f1`" in told) == is_told


def test_lines_of_one_look_count_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Two experiments that ended between two looks are the first and the second, not both the second."""
    display = PlainDisplay(RunState())
    state = state_of(started(3), *(config(one) for one in range(3)), *(job("RUNNING", one) for one in range(3)))
    display.update(state)
    state.apply(50, done(0))
    state.apply(51, done(1, error="ValueError: no"))
    state.apply(52, done(2))
    display.update(state)
    ended = [line for line in capsys.readouterr().err.splitlines() if "running" not in line]
    assert [line.partition("  ")[2] for line in ended] == ["[1/3]", "", "[3/3]"]
