# ruff: noqa: T201 - its answers are what it prints
"""SLURM's commands for one machine: `sbatch` really runs the tasks of an array, each as a process.

`python fake_slurm.py COMMAND ARGUMENTS` stands behind small scripts on the path. What is known of a task is in files of
the folder `$FAKE_SLURM`: `<array>_<index>.state`, `.step` (the process of its script), `.told` (what becomes of it
once that has ended). A controller per array starts tasks and buries them, and ends with them. Who changes what is known
does so alone.

Beyond SLURM: `end STATE TASK` ends a task as a cluster would that has lost its node or its patience.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(os.environ.get("FAKE_SLURM", "."))
LIFETIME_S = 280.0
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")


def get(task: str, what: str) -> str:
    try:
        return (ROOT / f"{task}.{what}").read_text()
    except FileNotFoundError:
        return ""


def put(task: str, what: str, text: str) -> None:
    temporary = ROOT / f".{task}.{what}.{os.getpid()}"
    temporary.write_text(text)
    temporary.replace(ROOT / f"{task}.{what}")


@contextmanager
def alone() -> Iterator[None]:
    with (ROOT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tasks_of(ids: list[str]) -> list[str]:
    """The tasks that ids name, a whole array by its own."""
    known = sorted(path.stem for path in ROOT.glob("*.state"))
    return [task for task in known if task in ids or task.partition("_")[0] in ids]


def sbatch(arguments: list[str]) -> int:
    script = Path(arguments[-1]).read_text()
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script, re.MULTILINE))
    if options.get("partition") == "closed":
        print("sbatch: error: invalid partition specified: closed", file=sys.stderr)
        return 1
    if (ROOT / "refuses").exists():
        print("sbatch: error: Unable to contact slurm controller (connect failure)", file=sys.stderr)
        return 1
    last, _, parallel = options["array"].removeprefix("0-").partition("%")
    if (ROOT / "largest").exists() and int(last) >= int((ROOT / "largest").read_text()):
        print("sbatch: error: Batch job submission failed: Invalid job array specification", file=sys.stderr)
        return 1
    number = 1
    while True:
        try:
            (ROOT / f"array-{number}").mkdir()
            break
        except FileExistsError:
            number += 1
    (ROOT / f"array-{number}" / "script").write_text(script)
    for index in range(int(last) + 1):
        put(f"{number}_{index}", "state", "PENDING")
    command = [sys.executable, __file__, "controller", str(number), parallel, options["output"], options["error"]]
    with (ROOT / f"array-{number}" / "log").open("ab") as log:
        own = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    (ROOT / f"array-{number}" / "pid").write_text(str(own.pid))
    print(f"Submitted batch job {number}")
    return 0


def controller(arguments: list[str]) -> int:
    number, parallel, output, error = arguments
    running: dict[str, subprocess.Popen[bytes]] = {}
    restarts: dict[str, int] = {}
    give_up_at = time.monotonic() + LIFETIME_S
    while time.monotonic() < give_up_at:
        tasks = tasks_of([number])
        if all(get(task, "state").startswith(ENDED) for task in tasks):
            return 0
        with alone():
            for task in tasks:
                if get(task, "state") == "PENDING" and get(task, "told").startswith("CANCELLED"):
                    put(task, "state", get(task, "told"))
                if get(task, "state") == "PENDING" and len(running) < int(parallel) and not (ROOT / "full").exists():
                    restarts[task] = restarts.get(task, -1) + 1
                    put(task, "told", "")
                    running[task] = begin(number, task, restarts[task], output, error)
                    put(task, "step", str(running[task].pid))
                    put(task, "state", "RUNNING")
                    put(task, "restarts", str(restarts[task]))
            for task, process in list(running.items()):
                if process.poll() is not None:
                    del running[task]
                    put(task, "step", "")
                    put(task, "state", get(task, "told") or ("FAILED" if process.returncode else "COMPLETED"))
        time.sleep(0.02)
    for process in running.values():
        os.killpg(process.pid, signal.SIGKILL)
    return 1


def begin(number: str, task: str, restarts: int, output: str, error: str) -> subprocess.Popen[bytes]:
    index = task.partition("_")[2]
    with (
        Path(output.replace("%A", number).replace("%a", index)).open("ab") as out,
        Path(error.replace("%A", number).replace("%a", index)).open("ab") as err,
    ):
        return subprocess.Popen(
            ["bash", str(ROOT / f"array-{number}" / "script")],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            env=os.environ
            | {
                "SLURM_ARRAY_JOB_ID": number,
                "SLURM_ARRAY_TASK_ID": index,
                "SLURM_JOB_ID": str(1000 * int(number) + int(index)),
                "SLURM_RESTART_COUNT": str(restarts),
            },
        )


def kill_step(task: str, signum: int) -> None:
    step = get(task, "step")
    if step:
        with suppress(ProcessLookupError):
            os.kill(int(step), signum)


def scancel(arguments: list[str]) -> int:
    signame = next((each.partition("=")[2] for each in arguments if each.startswith("--signal=")), None)
    with alone():
        for task in tasks_of([each for each in arguments if not each.startswith("--")]):
            if get(task, "state").startswith(ENDED):
                continue
            if signame is not None:
                kill_step(task, signal.Signals[f"SIG{signame}"])
                continue
            put(task, "told", "CANCELLED by 1000")
            if get(task, "state") == "RUNNING":
                kill_step(task, signal.SIGTERM)
    return 0


def scontrol(arguments: list[str]) -> int:
    assert arguments[0] == "requeue"
    if (ROOT / "no_requeue").exists():
        print("Job/step already completing or completed for job", file=sys.stderr)
        return 1
    with alone():
        for task in tasks_of(arguments[1:]):
            put(task, "told", "PENDING")
    return 0


def end(arguments: list[str]) -> int:
    state, *ids = arguments
    with alone():
        for task in tasks_of(ids):
            put(task, "told", state)
            kill_step(task, signal.SIGKILL)
    return 0


def sacct(arguments: list[str]) -> int:
    if (ROOT / "no_accounting").exists():
        print("Slurm accounting storage is disabled", file=sys.stderr)
        return 1
    ids = next(each for each in arguments if each.startswith("--jobs=")).partition("=")[2].split(",")
    print("JobID|State")
    for task in tasks_of(ids):
        print(f"{task}|{get(task, 'state')}")
        print(f"{task}.batch|RUNNING")
    return 0


def squeue(arguments: list[str]) -> int:
    ids = next(each for each in arguments if each.startswith("--jobs=")).partition("=")[2].split(",")
    tasks = tasks_of(ids)
    if not tasks:
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    for task in tasks:
        print(f"{task}|{get(task, 'state').split()[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](sys.argv[2:]))
