"""A run in one file: goes on elsewhere, and is refused once anything in it was changed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlgym.api import unpack as unpack_module
from mlgym.api.archive import Manifest, Member, refuse_bad_names
from mlgym.api.pack import Packed, pack
from mlgym.api.unpack import unpack
from mlgym.api.user_code import code_folder
from mlgym.errors import RunError
from mlgym.events import EventLog
from mlgym.tracking import find_run

CONFIG = """\
version: 1
extends: preset/classification
imports: [little_net]
components:
  data: {use: table, path: tables/flowers.csv, target: kind}
  model: {use: little_net, inputs: 2, classes: 2}
  optimizer: {use: adam, model: $model}
experiment: {use: training, epochs: 2}
"""
MODULE = """\
from torch import nn
from mlgym.config import register
import little_size

@register("little_net")
def little_net(*, inputs: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, little_size.HIDDEN), nn.ReLU(), nn.Linear(little_size.HIDDEN, classes))
"""
RUN_ID = "one"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def mlgym_command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlgym", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config, modules, data and a finished run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "tables").mkdir()
    rows = [f"{number % 7}.5,{number % 5}.25,{'ab'[number % 2]}\n" for number in range(40)]
    (folder / "tables" / "flowers.csv").write_text("x,y,kind\n" + "".join(rows))
    (folder / "config.yml").write_text(CONFIG)
    (folder / "little_net.py").write_text(MODULE)
    (folder / "little_size.py").write_text("HIDDEN = 3\n")
    done = mlgym_command(folder, "run", "config.yml", "--run-id", RUN_ID, "--executor", "inline")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def packed(inside: Path, tmp_path: Path) -> Packed:
    return pack(RUN_ID, to=tmp_path / "packed.zip", data=True)


def names(archive: Path) -> set[str]:
    with zipfile.ZipFile(archive) as file:
        return {name.removeprefix(f"{RUN_ID}/") for name in file.namelist()}


def test_it_holds_all_that_is_needed(packed: Packed) -> None:
    """Config, environment, log, modules with what they import, data, one checkpoint, packages, and how to go on."""
    found = names(packed.path)
    assert packed.left_out == ()
    assert {
        "manifest.json", "README.md", "requirements.txt", "run/event_storage.log", "run/grid_search_config.yml",
        "run/run_config.yml", "run/environment.json", "run/0/experiment_config.json", "code/little_net.py",
        "code/little_size.py", "data/tables/flowers.csv",
    } <= found  # fmt: skip
    assert len({name.rsplit("/", 1)[0] for name in found if "/checkpoints/" in name}) == 1
    with zipfile.ZipFile(packed.path) as file:
        requirements = file.read(f"{RUN_ID}/requirements.txt").decode()
        assert "\ntorch==" in requirements
        # A version between two releases is on no index, and would stop `pip install -r`.
        assert "\nmlgym==" not in requirements
        assert f"mlgym reproduce {RUN_ID}" in file.read(f"{RUN_ID}/README.md").decode()


def test_the_same_run_gives_the_same_bytes(packed: Packed, tmp_path: Path) -> None:
    """Packing again gives an equal file: order and times in it do not depend on the moment."""
    again = pack(RUN_ID, to=tmp_path / "again.zip", data=True)
    assert again.path.read_bytes() == packed.path.read_bytes()


@pytest.mark.parametrize(("which", "count"), [("none", 0), ("last", 1), ("all", None)])
def test_checkpoints_are_chosen(inside: Path, tmp_path: Path, which: Any, count: int | None) -> None:
    """None, the last, or all that stand."""
    found = names(pack(RUN_ID, to=tmp_path / "x.zip", checkpoints=which).path)
    standing = len(list((inside / "event_storage" / RUN_ID / "0" / "checkpoints").glob("epoch_*")))
    assert len([name for name in found if name.endswith("checkpoints") or "manifest.json" in name]) - 1 == (
        standing if count is None else count
    )


def test_round_trip_in_another_folder(packed: Packed, tmp_path: Path) -> None:
    """Unpacked elsewhere, by another process and without the first folder's files, the run's model is rebuilt, and a
    run of the same config gives the same digests."""
    away = tmp_path / "away"
    away.mkdir()
    done = mlgym_command(away, "unpack", str(packed.path), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    folder = find_run(away / "event_storage", RUN_ID)
    assert (told["run_id"], told["path"]) == (RUN_ID, str(folder.path))
    assert code_folder(folder) == away / "unpacked_code" / RUN_ID == Path(told["code"])
    assert (away / "tables" / "flowers.csv").is_file()
    script = (
        "import mlgym, sys; from pathlib import Path; model = mlgym.load_model('one', 0)\n"
        "where = sys.modules['little_net'].__file__; assert where.startswith(str(Path.cwd() / 'unpacked_code')), where"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=away, env=environment(), capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    shutil.copy(folder.path / "grid_search_config.yml", away / "unpacked_code" / RUN_ID / "config.yml")
    again = mlgym_command(away, "run", f"unpacked_code/{RUN_ID}/config.yml", "--run-id", "two", "--executor", "inline")
    assert again.returncode == 0, again.stderr

    def digests(run_id: str) -> list[str]:
        events = [each.event for each in find_run(away / "event_storage", run_id).events()]
        return [each["payload"]["parameters"] for each in events if each["event_type"] == "digest"]

    assert digests("two") == digests("one") != []


def test_no_path_of_the_machine_is_a_name(packed: Packed) -> None:
    """Every member lies below a folder named like the run; none is absolute."""
    with zipfile.ZipFile(packed.path) as file:
        assert all(name.startswith(f"{RUN_ID}/") and ".." not in name for name in file.namelist())


def test_data_that_could_have_been_packed_is_said(inside: Path, tmp_path: Path) -> None:
    """Who packs without it learns what the receiver will miss, and how to add it."""
    result = pack(RUN_ID, to=tmp_path / "x.zip")
    assert result.left_out == ("data: `tables/flowers.csv`; `--data` packs it",)
    assert not any(name.startswith("data/") for name in names(result.path))


def test_changed_and_missing_modules_are_said(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A module that changed since the run, or is gone, and data that is not there, are named in the result."""
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    monkeypatch.chdir(copy)
    record = copy / "event_storage" / RUN_ID / "run_config.yml"
    record.write_text(record.read_text().replace(str(project), str(copy)))
    (copy / "little_net.py").write_text(MODULE + "\n")
    (copy / "little_size.py").unlink()
    (copy / "tables" / "flowers.csv").unlink()
    result = pack(RUN_ID, to=tmp_path / "x.zip", data=True)
    assert result.left_out == (
        "module `little_net`: `little_net.py` has changed since the run",
        "module `little_size`: `little_size.py` is not there any more",
        "data of `table`: `tables/flowers.csv` is not below `copy`, the working directory",
    )
    assert not any(name.startswith("data/") for name in names(result.path))


def test_secrets_are_refused(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A config with a token is not packed unless it is asked for, and the line is named without the token."""
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    monkeypatch.chdir(copy)
    token = "ghp_" + "a1" * 18
    (copy / "event_storage" / RUN_ID / "grid_search_config.yml").write_text(f"{CONFIG}# {token}\n")
    with pytest.raises(RunError, match=r"run/grid_search_config.yml:9") as caught:
        pack(RUN_ID, to=tmp_path / "x.zip")
    assert token not in str(caught.value)
    assert not (tmp_path / "x.zip").exists()
    assert pack(RUN_ID, to=tmp_path / "x.zip", allow_secrets=True).num_files > 5


def test_the_command_of_a_run_is_recorded_without_secrets(
    inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a secret variable holds is in none of the run's files, though the command line had it."""
    secret = "qwertz-0815-geheim"
    monkeypatch.setenv("SERVICE_TOKEN", secret)
    done = mlgym_command(
        inside, "run", "config.yml", "--storage", str(tmp_path / "runs"), "--run-id", "masked", "--executor", "inline",
        "--text-logging-path", str(tmp_path / secret),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = [path for path in (tmp_path / "runs" / "masked").iterdir() if path.is_file()]
    assert {path.name for path in files} >= {"event_storage.log", "run_config.yml", "environment.json"}
    assert [path.name for path in files if secret in path.read_text()] == []
    assert "***" in (tmp_path / "runs" / "masked" / "run_config.yml").read_text()


def test_a_file_system_without_links(inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stick with exFAT takes an archive, too, and keeps the one that is there; other errors stay errors."""
    away = tmp_path / "away.zip"

    def refuse(number: int) -> None:
        def link(*names: Path) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "link", link)

    refuse(errno.EPERM)
    pack(RUN_ID, to=away)
    with pytest.raises(RunError, match="exists already"):
        pack(RUN_ID, to=away)
    refuse(errno.EIO)
    with pytest.raises(RunError, match="cannot be written: Input/output error"):
        pack(RUN_ID, to=tmp_path / "other.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["away.zip"]
    assert unpack(away, tmp_path / "there").folder.run_id == RUN_ID


def test_what_is_there_stays(packed: Packed, tmp_path: Path) -> None:
    """A file, a run, code or other data of the same name is never overwritten; equal data is no obstacle."""
    with pytest.raises(RunError, match="exists already"):
        pack(RUN_ID, to=packed.path)
    away = tmp_path / "away"
    (away / "tables").mkdir(parents=True)
    (away / "tables" / "flowers.csv").write_text("mine")
    with pytest.raises(RunError, match=r"flowers.csv` is there already with other content"):
        unpack(packed.path, away)
    assert [path.name for path in away.iterdir()] == ["tables"]
    shutil.copy("tables/flowers.csv", away / "tables" / "flowers.csv")
    assert unpack(packed.path, away).data == ()
    with pytest.raises(RunError, match="is there already"):
        unpack(packed.path, away)
    shutil.rmtree(away / "event_storage")
    with pytest.raises(RunError, match=r"unpacked_code.* is there already"):
        unpack(packed.path, away)


def test_a_run_that_is_written_is_not_packed(inside: Path, tmp_path: Path) -> None:
    """While a driver has the log, packing is refused: the archive would hold half a run."""
    with EventLog.open(inside / "event_storage" / RUN_ID / "event_storage.log"), pytest.raises(RunError, match="still"):
        pack(RUN_ID, to=tmp_path / "x.zip")


Change = Callable[[dict[str, bytes], dict[str, Any]], None]


def changed(archive: Path, target: Path, change: Change) -> Path:
    """Writes an archive again after `change` of its members and its manifest (`members`: name -> bytes, sha256)."""
    with zipfile.ZipFile(archive) as file:
        members = {name: file.read(name) for name in file.namelist()}
    manifest = json.loads(members.pop(f"{RUN_ID}/manifest.json"))
    change(members, manifest)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{RUN_ID}/manifest.json", json.dumps(manifest))
        for name, content in members.items():
            file.writestr(name, content)
    return target


def added(name: str, content: bytes = b"x") -> Change:
    """Gives a change that adds a member in the archive and in its manifest, as somebody who forges both would."""

    def change(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        import hashlib

        members[f"{RUN_ID}/{name}"] = content
        manifest["members"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    return change


def refused(archive: Path, tmp_path: Path, match: str, **limits: Any) -> None:
    away = tmp_path / "refused"
    with pytest.raises(RunError, match=match):
        unpack(archive, away, **limits)
    assert list(away.iterdir()) == [], "nothing is left behind"


def test_control_a_rewritten_archive_is_taken(packed: Packed, tmp_path: Path) -> None:
    """Written again without a change, and with an allowed addition, an archive is unpacked."""
    assert unpack(changed(packed.path, tmp_path / "same.zip", lambda *_: None), tmp_path / "a").folder.run_id == RUN_ID
    more = changed(packed.path, tmp_path / "more.zip", added("code/more.py"))
    assert (unpack(more, tmp_path / "b").code / "more.py").read_bytes() == b"x"


def test_tampered_archives(packed: Packed, tmp_path: Path) -> None:
    """A changed byte, another size, a member too many, one too few: each is refused, and nothing is left behind."""

    def flip(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        name = f"{RUN_ID}/code/little_net.py"
        members[name] = members[name].replace(b"ReLU", b"SiLU")

    def grow(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        members[f"{RUN_ID}/code/little_net.py"] += b"\n"

    def extra(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        members[f"{RUN_ID}/code/extra.py"] = b""

    def drop(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        del members[f"{RUN_ID}/code/little_net.py"]

    for change, message in (
        (flip, "little_net.py' is not what its manifest says"),
        (grow, "little_net.py' is not what its manifest says"),
        (extra, "extra.py' is not in its manifest"),
        (drop, "little_net.py' is missing"),
    ):
        refused(changed(packed.path, tmp_path / f"{change.__name__}.zip", change), tmp_path, message)


def test_control_without_hashes(packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the check of hashes off, a changed module comes through: the check is what keeps it out."""

    def flip(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        name = f"{RUN_ID}/code/little_net.py"
        members[name] = members[name].replace(b"ReLU", b"SiLU")

    bad = changed(packed.path, tmp_path / "bad.zip", flip)

    def unchecked(file: zipfile.ZipFile, name: str, member: Member, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.read(name))

    monkeypatch.setattr(unpack_module, "_write", unchecked)
    assert b"SiLU" in (unpack(bad, tmp_path / "away").code / "little_net.py").read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "code/../../evil.py", "/etc/passwd", "code//x.py", "code/./x.py", "run/../x", "run/0/../../x",
        "code\\..\\x.py", "code/C:x.py", "code/.git/hooks/post-checkout", "code/~/x", "other/x", "run/0/x.lock",
        "run/event_storage.log.torn", "run/0/event_storage.log", "code/x.py.", "code/a\nb.py", "code/\u202egpj.py",
        "data/sitecustomize.py", "data/x.pth", "data/.bashrc", "code/" + "a" * 300, "code/" + "a/" * 40 + "x",
        "manifest.json/x", "code/LITTLE_NET.py", "code/little_net.py/x", "run/CON:x",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere(packed: Packed, tmp_path: Path, name: str) -> None:
    """Traversal, absolute, hidden, reserved, unprintable and colliding names are refused, right hashes or not."""
    refused(changed(packed.path, tmp_path / "bad.zip", added(name)), tmp_path, "archive")
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "evil.py").exists()


@pytest.mark.parametrize("run_id", ["..", "a/b", "", "x.lock"])
def test_run_ids_that_lead_elsewhere(packed: Packed, tmp_path: Path, run_id: str) -> None:
    """The run id in the manifest becomes a folder's name, so it is held to the same rules as everywhere."""

    def change(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        manifest["run_id"] = run_id

    refused(changed(packed.path, tmp_path / "bad.zip", change), tmp_path, "run id|manifest")


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060666, 0o010666, 0o040755])
def test_links_and_devices(packed: Packed, tmp_path: Path, mode: int) -> None:
    """A symbolic link, a device, a pipe or a folder is no file, whatever the manifest says."""
    with zipfile.ZipFile(packed.path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode if name.endswith("little_net.py") else 0o100644) << 16
            file.writestr(info, content)
    refused(bad, tmp_path, "link or other special file")


def test_bombs(packed: Packed, tmp_path: Path) -> None:
    """Too much is refused before it is written: by what the manifest says, and by what comes where that lies."""
    refused(packed.path, tmp_path, "more than 1,000", max_bytes=1000)

    def lie(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        added("code/bomb.py", b"\0" * 50_000_000)(members, manifest)
        manifest["members"]["code/bomb.py"]["bytes"] = 10

    refused(changed(packed.path, tmp_path / "bomb.zip", lie), tmp_path, "bomb.py' is not what its manifest says")


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "no zip of ours"])
def test_damaged_files(packed: Packed, tmp_path: Path, damage: str) -> None:
    """A file that was cut off, is empty, or is something else gives an error that says so."""
    bad = tmp_path / "bad.zip"
    content = packed.path.read_bytes()
    bad.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"hello"}.get(damage, b""))
    if damage == "no zip of ours":
        with zipfile.ZipFile(bad, "w") as file:
            file.writestr("a.txt", "")
    refused(bad, tmp_path, "is no archive of a run")


def test_a_missing_archive(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(RunError, match=r"nothing\.zip`: no such file"):
        unpack(tmp_path / "nothing.zip", tmp_path)


def test_a_link_below_the_folder_is_not_followed(packed: Packed, tmp_path: Path) -> None:
    """Data is not written through a symbolic link that leads out of the folder."""
    away, outside = tmp_path / "away", tmp_path / "outside"
    away.mkdir()
    outside.mkdir()
    (away / "tables").symlink_to(outside)
    with pytest.raises(RunError, match="leads out of"):
        unpack(packed.path, away)
    assert list(outside.iterdir()) == []


def test_good_names() -> None:
    """What real runs have is allowed: packages, private modules, spaces and letters of any language in data."""
    refuse_bad_names(
        ["README.md", "run/event_storage.log", "run/0/checkpoints/epoch_1-step_2/model.safetensors",
         "code/_inner/__init__.py", "data/Bilder ü/katze 1.png"]
    )  # fmt: skip


def test_the_manifest_is_what_the_archive_holds(packed: Packed) -> None:
    """Every member but the manifest is listed, with size and hash."""
    with zipfile.ZipFile(packed.path) as file:
        manifest = json.loads(file.read(f"{RUN_ID}/manifest.json"))
    assert set(manifest) == set(Manifest.__struct_fields__)
    assert set(manifest["members"]) == names(packed.path) - {"manifest.json"}


def test_commands_tell_what_they_did(project: Path, tmp_path: Path) -> None:
    """`pack` prints the file, `unpack` the run id; what goes on stderr says how to go on; a bad choice has code 2."""
    archive = tmp_path / "out.zip"
    done = mlgym_command(project, "pack", RUN_ID, "--to", str(archive), "--checkpoints", "none")
    assert (done.returncode, done.stdout) == (0, f"{archive}\n"), done.stderr
    done = mlgym_command(tmp_path, "unpack", str(archive), "--to", "there")
    assert (done.returncode, done.stdout) == (0, f"{RUN_ID}\n"), done.stderr
    assert f"cd there && mlgym reproduce {RUN_ID}" in done.stderr
    done = mlgym_command(project, "pack", RUN_ID, "--checkpoints", "newest")
    assert done.returncode == 2
    assert "one of none, best, last, all" in done.stderr
    assert "Traceback" not in done.stderr
