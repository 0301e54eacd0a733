"""Snapshots: a restart reads on where they end, and takes none that could be wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlgym.server.projection import snapshot
from mlgym.server.projection.projection import Projection
from mlgym.server.projection.projections import Projections
from mlgym.server.store import HubStore
from tests.server.projection.logs import RUN_ID, Recorder, shown, state_after, write_random_run, write_run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / RUN_ID / "event_storage.log"


@pytest.fixture
def saved(log: Path, tmp_path: Path) -> Path:
    write_random_run(log, 300)
    projection = Projection(log)
    projection.refresh()
    path = tmp_path / "cache" / "run.snapshot"
    snapshot.save(projection, path)
    return path


def test_a_restart_goes_on_where_the_snapshot_ends(log: Path, saved: Path) -> None:
    """It reads only what was added, and is equal to the fold now and at any earlier moment."""
    recorder = Recorder(log)
    recorder.num_events = 300
    recorder.evaluate(3, 40, f1=0.5)
    restored = snapshot.load(log, saved)
    assert restored is not None
    assert restored.refresh() == 1
    assert shown(restored.view().state) == shown(state_after(log, 301))
    for count in (0, 17, 150, 299, 300):
        assert shown(restored.view(count).state) == shown(state_after(log, count))
    plain = Projection(log)
    plain.refresh()
    assert restored.index == plain.index
    assert (restored.last_crc, restored.num_bytes, restored.tail) == (plain.last_crc, plain.num_bytes, plain.tail)
    assert restored.longest_silence_s == plain.longest_silence_s


def test_every_byte_counts(log: Path, saved: Path) -> None:
    """A snapshot with one wrong byte anywhere, or cut off anywhere, is not taken; the log is folded then."""
    data = saved.read_bytes()
    for place in [*range(0, len(data), max(1, len(data) // 100)), len(data) - 1]:
        saved.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert snapshot.load(log, saved) is None
        saved.write_bytes(data[:place])
        assert snapshot.load(log, saved) is None
    saved.write_bytes(data)
    assert snapshot.load(log, saved) is not None


def test_a_snapshot_of_other_code_or_another_log_is_not_taken(
    log: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What folds differently now, or was folded from something else, is no short cut."""
    with monkeypatch.context() as patched:
        patched.setattr(snapshot, "code", lambda: "older")
        assert snapshot.load(log, saved) is None
    lines = log.read_bytes().splitlines(keepends=True)
    log.unlink()
    write_random_run(log, 300, seed=1)
    other = snapshot.load(log, saved)
    assert other is None or (other.refresh() == 300 and shown(other.view().state) == shown(state_after(log, 300)))
    log.write_bytes(b"".join(lines[:100]))  # taken back
    shorter = snapshot.load(log, saved)
    assert shorter is not None
    shorter.refresh()
    assert shown(shorter.view().state) == shown(state_after(log, 100))


def test_a_service_keeps_large_runs_and_forgets_those_it_has_no_room_for(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snapshots are made once they are worth it; what is pushed out of memory comes back equal."""
    monkeypatch.setattr("mlgym.server.projection.projections._WORTH_A_SNAPSHOT", 100)
    write_random_run(log, 200)
    write_run(tmp_path / "small" / "event_storage.log", "small")
    projections = Projections(HubStore(tmp_path), max_points=1)
    for _ in range(2):
        for run_id, num_events in ((RUN_ID, 200), ("small", None)):
            with projections.hold(run_id) as projection:
                count = num_events or projection.state.num_events
                path = tmp_path / run_id / "event_storage.log"
                assert shown(projection.view().state) == shown(state_after(path, count))
        assert len(projections._held) == 1
    projections.close()
    assert [path.name for path in (tmp_path / ".cache").iterdir()] == [f"{RUN_ID}.snapshot"]
    shutil.rmtree(tmp_path / ".cache")
    (tmp_path / ".cache").write_text("no folder")  # a disk that refuses costs the snapshot only
    again = Projections(HubStore(tmp_path))
    with again.hold(RUN_ID) as projection:
        assert projection.state.num_events == 200
    again.close()
    (tmp_path / ".cache").unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".cache").symlink_to(tmp_path / "elsewhere")  # nothing is written where a link leads
    with Projections(HubStore(tmp_path)).hold(RUN_ID) as projection:
        assert projection.state.num_events == 200
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_run_that_another_thread_was_faster_with(log: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both get the same one; who was slower counts nothing in it, since the other one may be reading it by now."""
    projections = Projections(HubStore(log.parent.parent))
    found: list[Projection] = []
    counted: list[Projection] = []
    load = snapshot.load

    def load_slowly(log_path: Path, path: Path) -> Projection | None:
        if not found:
            found.append(Projection(log))  # so that this one does not wait, too
            found[0] = projections._projection(log)
        return load(log_path, path)

    def num_points(projection: Projection) -> int:
        counted.append(projection)
        return 0

    monkeypatch.setattr(snapshot, "load", load_slowly)
    monkeypatch.setattr(Projection, "num_points", property(num_points))
    assert projections._projection(log) is found[0]
    assert counted == [found[0]]
