"""How commands print: tables that fit the terminal, and JSON for scripts."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mlgym.texts import jsonable

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_OF_A_PIPE: Final = 220


def print_json(data: Any) -> None:
    """Prints data as JSON; NaN and infinities, which JSON cannot carry, become null."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(jsonable(data)), indent=2).decode() + "\n")


def console(*, stderr: bool = False) -> Console:
    """Gives the terminal, or a wide page where the output goes into a pipe or a file."""
    from rich.console import Console

    class _Console(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(errno.EPIPE, "nobody reads any more")  # Rich would end the process, and a run with it

        def print(self, *objects: Any, **options: Any) -> None:
            if self.is_terminal:
                super().print(*objects, **options)
                return
            with self.capture() as page:
                super().print(*objects, **options)
            # Tables fill their lines up with spaces, which `diff`, editors and pasted text would show.
            self.file.write("".join(line.rstrip(" \n") + "\n" for line in page.get().splitlines(keepends=True)))
            self.file.flush()  # what goes to stderr next comes after it

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_A_PIPE
    # What is printed comes from configs and logs: `[red]` and `:smile:` are text there.
    return _Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)
