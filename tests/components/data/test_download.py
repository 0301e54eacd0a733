"""Files from the network, with mirrors that fail in every way."""

from __future__ import annotations

import hashlib
import io
import logging
import multiprocessing
import socket
import sys
from pathlib import Path

import pytest

from mlgym.components.data.download import RemoteFile, RemoteSet, fetch
from mlgym.errors import DataError
from tests.components.data.loopback_mirror import Mirror, serving

CONTENT = bytes(range(256)) * 4000


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def remote_of(files: dict[str, bytes], *mirrors: str) -> RemoteSet:
    entries = [RemoteFile(name, hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()]
    return RemoteSet("letters", tuple(entries), mirrors)


FILES = {"a.bin": CONTENT, "b.bin": b"short"}


def dead_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def contents(paths: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths}


def test_files_are_fetched_once(tmp_path: Path) -> None:
    """Missing files are downloaded; what is there is verified and not asked for again."""
    with serving(Mirror(FILES)) as mirror:
        remote = remote_of(FILES, mirror.address)
        assert contents(fetch(remote, tmp_path / "new")) == FILES
        assert contents(fetch(remote, tmp_path / "new")) == FILES
        assert [name for name, _ in mirror.requests] == ["a.bin", "b.bin"]
    assert not list(tmp_path.rglob("*.part"))


def test_no_network_is_needed_for_what_is_there(tmp_path: Path) -> None:
    """Files that were put there by hand are enough, also in a folder that cannot be written."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    tmp_path.chmod(0o500)
    try:
        assert contents(fetch(remote_of(FILES, dead_address()), tmp_path)) == FILES
    finally:
        tmp_path.chmod(0o700)


def test_dead_mirrors_are_passed_over(tmp_path: Path) -> None:
    """Nobody answering, a missing file and a wrong file each lead to the next mirror."""
    wrong = {"a.bin": CONTENT[::-1], "b.bin": b"shor!"}
    with serving(Mirror(FILES)) as good, serving(Mirror({})) as empty, serving(Mirror(wrong)) as bad:
        remote = remote_of(FILES, dead_address(), empty.address, bad.address, good.address)
        assert contents(fetch(remote, tmp_path)) == FILES


def test_mirrors_can_be_named(tmp_path: Path) -> None:
    """Mirrors that are given take the place of the published ones; a folder is one too."""
    source = tmp_path / "source"
    source.mkdir()
    for name, content in FILES.items():
        (source / name).write_bytes(content)
    with serving(Mirror(FILES)) as published:
        paths = fetch(remote_of(FILES, published.address), tmp_path / "here", mirrors=[source.as_uri()])
        assert contents(paths) == FILES
        assert published.requests == []


def test_broken_connection_is_resumed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that breaks half-way is taken up where it broke, not begun again."""
    caplog.set_level(logging.INFO)
    with serving(Mirror({"a.bin": CONTENT}, breaks=2)) as mirror:
        assert contents(fetch(remote_of({"a.bin": CONTENT}, mirror.address), tmp_path)) == {"a.bin": CONTENT}
    ranges = [wanted for _, wanted in mirror.requests]
    assert ranges == [None, f"bytes={len(CONTENT) // 2}-", f"bytes={len(CONTENT) * 3 // 4}-"]
    assert "going on from there" in caplog.text


def test_server_without_ranges_starts_again(tmp_path: Path) -> None:
    """A server that ignores ranges gives the whole file; what was there is replaced, not prolonged."""
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:1000])
    with serving(Mirror({"a.bin": CONTENT}, ranges=False)) as mirror:
        assert contents(fetch(remote_of({"a.bin": CONTENT}, mirror.address), tmp_path)) == {"a.bin": CONTENT}


def test_part_of_an_earlier_process_is_used(tmp_path: Path) -> None:
    """What an interrupted process has left is not downloaded again."""
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:1000])
    with serving(Mirror({"a.bin": CONTENT})) as mirror:
        fetch(remote_of({"a.bin": CONTENT}, mirror.address), tmp_path)
        assert mirror.requests == [("a.bin", "bytes=1000-")]


@pytest.mark.parametrize("size", [1000, len(CONTENT), len(CONTENT) + 5])
def test_part_of_another_file_is_given_up(tmp_path: Path, size: int) -> None:
    """A part whose rest does not give the published hash is fetched from the beginning."""
    (tmp_path / "a.bin.part").write_bytes(b"x" * size)
    with serving(Mirror({"a.bin": CONTENT})) as mirror:
        assert contents(fetch(remote_of({"a.bin": CONTENT}, mirror.address), tmp_path)) == {"a.bin": CONTENT}


def test_broken_file_is_replaced(tmp_path: Path) -> None:
    """A file with another hash is downloaded again; without a network it is reported as broken."""
    (tmp_path / "b.bin").write_bytes(b"shorT")
    remote = remote_of({"b.bin": b"short"})
    with pytest.raises(DataError, match=r"b\.bin \(broken; 5 bytes, sha256 f9b0078b"):
        fetch(remote, tmp_path, download=False)
    with serving(Mirror({"b.bin": b"short"})) as mirror:
        assert contents(fetch(remote, tmp_path, mirrors=[mirror.address])) == {"b.bin": b"short"}


def test_wrong_hash_everywhere_leaves_nothing(tmp_path: Path) -> None:
    """A file that no mirror has with the published hash does not appear."""
    with serving(Mirror({"a.bin": CONTENT[::-1]})) as mirror:
        with pytest.raises(DataError, match="another hash than the published sha256"):
            fetch(remote_of({"a.bin": CONTENT}, mirror.address), tmp_path)
        assert not list(tmp_path.glob("a.bin*"))


def test_longer_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A mirror that sends more than the published size cannot fill the disk."""
    with serving(Mirror({"b.bin": b"short" + CONTENT})) as mirror:
        assert contents(fetch(remote_of({"b.bin": b"short"}, mirror.address), tmp_path)) == {"b.bin": b"short"}


def test_offline_message_says_what_to_do(tmp_path: Path) -> None:
    """All files with their places, sizes and hashes, what each mirror answered, and the way out."""
    dead = dead_address()
    with serving(Mirror({})) as empty, pytest.raises(DataError) as caught:
        fetch(remote_of(FILES, dead, empty.address), tmp_path)
    text = str(caught.value)
    assert "`letters` cannot be loaded: 2 of its 2 files" in text
    assert f"{tmp_path / 'a.bin'} (missing; 1,024,000 bytes, sha256 {hashlib.sha256(CONTENT).hexdigest()})" in text
    assert str(tmp_path / "b.bin") in text
    assert f"{dead}/a.bin: [Errno 111] Connection refused" in text
    assert f"{empty.address}/a.bin: answers 404 Not Found" in text
    assert f"put the files into {tmp_path.absolute()} by hand" in text


def test_download_false_asks_nobody(tmp_path: Path) -> None:
    """Without `download` no mirror is asked and nothing is written."""
    with serving(Mirror(FILES)) as mirror, pytest.raises(DataError, match="`download` is false"):
        fetch(remote_of(FILES, mirror.address), tmp_path / "new", download=False)
    assert mirror.requests == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("address", ["ftp://127.0.0.1", "data:text/plain,", "/etc"])
def test_other_addresses_are_refused(tmp_path: Path, address: str) -> None:
    """Only http, https and file are mirrors."""
    with pytest.raises(DataError, match="begins with http, https, file"):
        fetch(remote_of(FILES, address), tmp_path)


def test_endless_breaks_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that breaks off again and again is given up."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    with serving(Mirror({"a.bin": CONTENT}, breaks=1000)) as mirror:
        with pytest.raises(DataError, match="broke off after"):
            fetch(remote_of({"a.bin": CONTENT}, mirror.address), tmp_path)
        assert len(mirror.requests) < 10


def _fetch_in_child(remote: RemoteSet, folder: Path) -> None:
    fetch(remote, folder)


def test_parallel_processes_download_once(tmp_path: Path) -> None:
    """Of three processes that need the files at once, one downloads and the others wait for it."""
    with serving(Mirror(FILES, delay_s=0.2)) as mirror:
        context = multiprocessing.get_context("fork")
        remote = remote_of(FILES, mirror.address)
        children = [context.Process(target=_fetch_in_child, args=(remote, tmp_path)) for _ in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0, 0, 0]
        assert [name for name, _ in mirror.requests] == ["a.bin", "b.bin"]
    assert contents([tmp_path / name for name in FILES]) == FILES


def test_without_the_lock_all_processes_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: with the lock off, each process asks the mirror."""
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    with serving(Mirror({"b.bin": b"short"}, least=2)) as mirror:
        context = multiprocessing.get_context("fork")
        remote = remote_of({"b.bin": b"short"}, mirror.address)
        children = [context.Process(target=_fetch_in_child, args=(remote, tmp_path)) for _ in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert len(mirror.requests) > 1


def test_progress_bar_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar shows how far the download is."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with serving(Mirror(FILES)) as mirror:
        fetch(remote_of(FILES, mirror.address), tmp_path)
    assert "a.bin" in terminal.getvalue()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A folder that cannot be written is said, before any mirror is asked."""
    (tmp_path / "file").write_text("")
    with serving(Mirror(FILES)) as mirror, pytest.raises(DataError, match="cannot be downloaded into"):
        fetch(remote_of(FILES, mirror.address), tmp_path / "file" / "folder")
    assert mirror.requests == []
