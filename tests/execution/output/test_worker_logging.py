"""What an experiment logs, as events."""

from __future__ import annotations

import logging
import os

import pytest

from mlgym.events import Log, MemorySink
from mlgym.execution.output.worker_logging import captured_logging


def test_logging_is_captured_and_put_back() -> None:
    """INFO and above become events, long messages are cut, terminal handlers are put aside and come back."""
    root, sink = logging.getLogger(), MemorySink()
    terminal = logging.StreamHandler()
    root.addHandler(terminal)
    before = root.handlers[:], root.level
    try:
        with captured_logging(sink, "run", 1):
            assert terminal not in root.handlers
            logging.getLogger("a").debug("too much")
            logging.getLogger("a").info("x" * 10_000)
            logging.getLogger("b").exception("failed \udcff", exc_info=ValueError("why"))
        assert (root.handlers, root.level) == before
    finally:
        root.removeHandler(terminal)
    logs = [payload for payload in sink.payloads if isinstance(payload, Log)]
    assert [(log.level, log.logger) for log in logs] == [("info", "a"), ("error", "b")]
    assert logs[0].message.endswith("... (1,808 more characters)")
    assert logs[1].message.startswith("failed \\udcff\n")
    assert "ValueError: why" in logs[1].message


def test_a_flood_of_log_records_is_held_back() -> None:
    """A loop that logs cannot fill the event log; what is missing is counted."""
    sink = MemorySink()
    with captured_logging(sink, "run", 1):
        for _ in range(10_000):
            logging.getLogger("loop").info("again")
    logs = [payload for payload in sink.payloads if isinstance(payload, Log)]
    assert len(logs) < 3000
    assert "were left out here" in logs[-1].message


def test_a_forked_child_tells_no_events(capfd: pytest.CaptureFixture[str]) -> None:
    """A loader's worker that logs would repeat its parent's event numbers; it writes to stderr instead."""
    from mlgym.execution.pipe_sink import PipeSink

    read_end, write_end = os.pipe()
    sink = PipeSink(write_end)
    with captured_logging(sink, "run", 1):
        logging.getLogger("parent").info("from the parent")
        if os.fork() == 0:
            os.close(read_end)
            logging.getLogger("child").info("from the child")
            os._exit(0)
        os.wait()
    os.close(write_end)
    told = os.read(read_end, 10_000)
    os.close(read_end)
    assert b"from the parent" in told
    assert b"from the child" not in told
    assert "INFO child: from the child" in capfd.readouterr().err
