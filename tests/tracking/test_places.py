"""Checkpoints at places behind URLs and at a real hub: whole or not there, and never taken for what they are not."""

from __future__ import annotations

import hashlib
import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgym.errors import InvalidNameError, MlgymError, PlaceError
from mlgym.tracking.manifest import MANIFEST_FILE, FileEntry, read_manifest
from mlgym.tracking.places import CheckpointPlace, check_place, claim_place, open_place, resolved_place
from mlgym.tracking.places import url_place as url_place_module
from mlgym.tracking.places.url_place import UrlPlace
from tests.server.service import Service
from tests.tracking.faulty_filesystem import FaultyFileSystem

RUN = "2026-11-30--12-00-00"
NAME, OLDER = "epoch_2-step_20", "epoch_1-step_10"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture(params=["file", "memory", "faulty", "hub"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CheckpointPlace]:
    """An empty place of each kind."""
    if request.param == "hub":
        running: Service = request.getfixturevalue("hub")
        shutil.rmtree(running.storage / RUN, ignore_errors=True)
        opened = open_place(running.url, RUN)
    else:
        opened = open_place(f"{request.param}://{tmp_path}/place", RUN)
    yield opened
    opened.close()


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[UrlPlace]:
    """A place whose filesystem does what it is told to."""
    FaultyFileSystem.heal()
    yield UrlPlace(f"faulty://{tmp_path}/place", RUN)
    FaultyFileSystem.heal()


def put(place: CheckpointPlace, name: str = NAME, content: bytes = b"weights") -> dict[str, FileEntry]:
    contents = {"model.safetensors": content, "state.json": b"{}", "empty.bin": b""}
    files = {file: FileEntry(len(data), hashlib.sha256(data).hexdigest()) for file, data in contents.items()}
    place.put(3, name, {file: io.BytesIO(data) for file, data in contents.items()}, files)
    return files


def test_what_was_put_is_listed_fetched_replaced_and_deleted(place: CheckpointPlace, tmp_path: Path) -> None:
    """Every kind of place keeps checkpoints by experiment and name, and gives them back byte for byte."""
    assert place.checkpoints(3) == {}
    files, older = put(place), put(place, OLDER, b"older")
    assert place.checkpoints(3) == {NAME: files, OLDER: older}
    assert place.checkpoints(4) == {}
    brought = place.fetch(3, NAME, files, tmp_path / "here")
    assert brought == tmp_path / "here" / NAME
    assert (brought / "model.safetensors").read_bytes() == b"weights"
    assert read_manifest(brought / MANIFEST_FILE) == files
    replaced = put(place, NAME, b"other weights")
    assert place.checkpoints(3) == {NAME: replaced, OLDER: older}
    place.fetch(3, NAME, replaced, tmp_path / "here")
    assert (brought / "model.safetensors").read_bytes() == b"other weights"
    place.delete(3, NAME)
    place.delete(3, NAME)
    assert list(place.checkpoints(3)) == [OLDER]
    assert [path.name for path in (tmp_path / "here").iterdir()] == [NAME]


def test_no_other_names_become_paths(place: CheckpointPlace, tmp_path: Path) -> None:
    """Nothing but names of checkpoints and plain file names is ever asked for."""
    for name in ("..", "epoch_1-step_1/../..", "", "manifest.json"):
        for ask in (place.delete, lambda number, name: place.fetch(number, name, {}, tmp_path)):
            with pytest.raises(InvalidNameError):
                ask(3, name)
    entry = FileEntry(0, "0" * 64)
    with pytest.raises(InvalidNameError):
        place.fetch(3, NAME, {"../x": entry}, tmp_path / "here")
    with pytest.raises(InvalidNameError):
        open_place("memory://place", "../run")
    assert not list((tmp_path / "here").iterdir())


def test_a_manifest_that_names_other_folders_is_none(tmp_path: Path) -> None:
    """Who can write to the place cannot make anybody write elsewhere."""
    place = UrlPlace(f"file://{tmp_path}", RUN)
    put(place)
    path = tmp_path / RUN / "3/checkpoints" / NAME / MANIFEST_FILE
    whole = path.read_text()
    assert NAME in place.checkpoints(3)
    for bad in (
        whole.replace("state.json", "../../x"),
        whole.replace("state.json", MANIFEST_FILE),
        "[" * 100_000,
        " " * 2**20 + whole,
    ):
        path.write_text(bad)
        assert place.checkpoints(3) == {}


@pytest.mark.parametrize("file", ["model.safetensors", MANIFEST_FILE])
def test_an_upload_that_dies_halfway_is_not_there_and_goes_on(faulty: UrlPlace, file: str, tmp_path: Path) -> None:
    """What was there stays, half of the new one is none, and the next attempt sends only what is missing."""
    put(faulty, OLDER)
    FaultyFileSystem.dies_in = f"{NAME}/{file}"
    with pytest.raises(PlaceError, match=r"cannot be written to: the connection was reset") as caught:
        put(faulty)
    assert not caught.value.is_damage
    assert list(faulty.checkpoints(3)) == [OLDER]
    FaultyFileSystem.heal()
    files = put(faulty)
    assert FaultyFileSystem.num_writes == (1 if file == MANIFEST_FILE else 4)
    faulty.fetch(3, NAME, files, tmp_path / "here")


def test_wrong_bytes_are_seen_when_they_are_written(faulty: UrlPlace) -> None:
    """A file that came out otherwise makes no checkpoint."""
    FaultyFileSystem.spoils = "model.safetensors"
    with pytest.raises(PlaceError, match="is not there as it was sent") as caught:
        put(faulty)
    assert caught.value.is_damage
    assert faulty.checkpoints(3) == {}


def test_control_without_reading_back_whoever_fetches_notices(
    faulty: UrlPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then wrong bytes stand there as a checkpoint; they are still never taken for one."""
    answers = iter([False, True] * 3)
    monkeypatch.setattr(UrlPlace, "_is", lambda self, path, entry: next(answers))
    FaultyFileSystem.spoils = "model.safetensors"
    files = put(faulty)
    assert faulty.checkpoints(3) == {NAME: files}
    with pytest.raises(PlaceError, match="does not match its manifest") as caught:
        faulty.fetch(3, NAME, files, tmp_path / "here")
    assert caught.value.is_damage
    assert not list((tmp_path / "here").iterdir())


def test_what_lost_its_manifest_or_a_file_is_not_taken(faulty: UrlPlace, tmp_path: Path) -> None:
    """One without manifest is not listed; one whose file is missing cannot be fetched, and says so."""
    FaultyFileSystem.loses = f"{NAME}/{MANIFEST_FILE}"
    with pytest.raises(PlaceError, match="does not give back the manifest"):
        put(faulty)
    assert faulty.checkpoints(3) == {}
    FaultyFileSystem.heal()
    files = put(faulty)
    (tmp_path / "place" / RUN / "3/checkpoints" / NAME / "state.json").unlink()
    with pytest.raises(PlaceError, match=r"`state\.json` is missing") as caught:
        faulty.fetch(3, NAME, files, tmp_path / "here")
    assert caught.value.is_damage


def test_a_place_is_claimed_once(place: CheckpointPlace) -> None:
    """Two runs of one id do not share a place; who goes on with the run may."""
    place.claim(is_new=True)
    put(place)
    with pytest.raises(PlaceError, match=RUN):
        place.claim(is_new=True)
    place.claim(is_new=False)


def test_what_can_be_no_place_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text says what to install, or to write instead."""
    wrong = {
        "s3://bucket/prefix": "pip install s3fs",
        "az://container/prefix": "`adlfs`, which is installed and cannot be imported: No module named 'lacks_this'",
        "bucket/prefix": "s3://BUCKET/PREFIX",
        "zip://a::s3://b": "s3://BUCKET/PREFIX",
        "nonsense://a/b": "Protocol not known",
        "s3://user:secret@bucket/prefix": "password",
        "memory://a": "--executor inline",
        "hub": "--rest-endpoint URL",
        "http://127.0.0.1:5001": "--checkpoint-place hub",
        f"file://{tmp_path}": "the storage folder itself",
    }
    monkeypatch.setitem(sys.modules, "s3fs", None)
    (tmp_path / "adlfs.py").write_text("import lacks_this")
    monkeypatch.syspath_prepend(tmp_path)
    for url, said in wrong.items():
        with pytest.raises(MlgymError, match=said) as caught:
            check_place(url, storage=tmp_path, rest_endpoint=None, is_one_process=False)
        assert "secret" not in str(caught.value)
    check_place(f"file://{tmp_path}/a", storage=tmp_path, rest_endpoint=None, is_one_process=False)
    check_place("memory://a", storage=tmp_path, rest_endpoint=None, is_one_process=True)
    assert resolved_place("hub", "http://127.0.0.1:5001/") == "http://127.0.0.1:5001"
    (tmp_path / "file").write_text("")
    with pytest.raises(PlaceError, match="cannot be written to"):
        claim_place(f"file://{tmp_path}/file/below", RUN, None, is_new=True)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(PlaceError, match=r"pip install 'mlgym\[remote\]'"):
        url_place_module.check_url("memory://a")


def test_a_bucket_that_is_not_there_is_told(faulty: UrlPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store says nothing but an address of its own."""

    def refuse(self: FaultyFileSystem, path: str, content: bytes) -> None:
        raise FileNotFoundError("https://store/o")

    monkeypatch.setattr(FaultyFileSystem, "pipe_file", refuse)
    with pytest.raises(PlaceError, match=r"cannot be written to: it is not there, and buckets.* \(https://store/o\)"):
        faulty.claim(is_new=True)
