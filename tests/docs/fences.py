"""The fenced blocks of a Markdown page as a script: files to save, commands to type, output to compare.

| block | after | is |
|---|---|---|
| `python`, `yaml` | a paragraph that names a file | a file to save |
| `python` | any other paragraph | a program to run |
| `console` | | commands after `$ `, each followed by what it prints |
| no language | | commands, each of which must succeed |
| `text` | a program or commands | what they print |

In expected output `...` stands for anything, and spaces for any number of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FENCE: Final = re.compile(r"(?P<before>[^\n]*(?:\n[^\n]+)*?)\n\n```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_FILE: Final = re.compile(r"`([\w-]+\.(?:py|yml))`")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        language: what follows the opening fence.
        text: what is inside, with a newline at the end.
        file: the file that the paragraph before names last; None where it names none.
    """

    language: str
    text: str
    file: str | None


def blocks(markdown: str) -> list[Block]:
    """Gives the fenced blocks of a page in their order."""
    found = []
    for match in _FENCE.finditer(markdown):
        named = _FILE.findall(match["before"])
        found.append(Block(match["language"], match["text"], named[-1] if named else None))
    return found


def matches(expected: str, printed: str) -> bool:
    """Says whether expected output, with its wildcards, is in what was printed."""
    words = [".*?".join(map(re.escape, word.split("..."))) for word in expected.split()]
    pattern = r"\s+".join(words).replace(r".*?\s+", r".*?\s*").replace(r"\s+.*?", r"\s*.*?")
    return re.search(pattern, printed, re.S) is not None


def follow(page: list[Block], folder: Path) -> str:
    """Does what a page says, as a reader would.

    Args:
        page: its blocks.
        folder: an empty folder to do it in.

    Returns:
        Everything that was printed.

    Raises:
        AssertionError: something failed, or printed something else.
    """
    everything = printed = ""
    for block in page:
        if block.language in ("python", "yaml") and block.file:
            (folder / block.file).write_text(block.text)
        elif block.language == "python":
            printed = _run([sys.executable, "-c", block.text], folder)
        elif block.language == "":
            printed = _run(["bash", "-ec", block.text], folder)
        elif block.language == "console":
            for command, expected in _typed(block.text):
                printed = _run(["bash", "-c", command], folder, may_fail=True)
                assert matches(expected, printed), f"`{command}` printed:\n{printed}\nbut the page says:\n{expected}"
                everything += printed
            continue
        elif block.language == "text":
            assert matches(block.text, printed), f"printed:\n{printed}\nbut the page says:\n{block.text}"
            continue
        else:
            raise AssertionError(f"nobody knows what to do with a block of `{block.language}`: {block.text[:80]}")
        everything += printed
    return everything


def _typed(console: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", console, flags=re.M)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def _run(command: list[str], folder: Path, *, may_fail: bool = False) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert "Traceback" not in done.stdout, done.stdout
    assert may_fail or done.returncode == 0, f"{command[-1]}\nended with {done.returncode}:\n{done.stdout}"
    return done.stdout
