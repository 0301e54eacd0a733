"""What all tasks of a run import and set before they fork experiments; the same that a fork server at home is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mlgym.execution.processes.server_process import ServerSettings


class TaskSetup(msgspec.Struct, kw_only=True, frozen=True):
    """The settings of fork servers as plain data; see `ServerSettings`. Nodes see the same folders as the driver."""

    imports: list[str] = []
    folder: str | None = None
    main_script: str | None = None
    threads: int = 1
    preload: list[str] = []
    preload_if_installed: list[str] = []
    example: dict[str, Any] | None = None

    @classmethod
    def of(cls, settings: ServerSettings) -> TaskSetup:
        """Gives the setup of tasks whose fork servers are to be like one with these settings."""
        return cls(
            imports=list(settings.imports),
            folder=str(settings.folder.absolute()) if settings.folder else None,
            main_script=str(settings.main_script) if settings.main_script else None,
            threads=settings.threads,
            preload=list(settings.preload),
            preload_if_installed=list(settings.preload_if_installed),
            example=settings.example,
        )

    def server_settings(self) -> ServerSettings:
        """Gives the settings of the fork server on this node, on the node's own environment variables."""
        return ServerSettings(
            imports=self.imports,
            folder=Path(self.folder) if self.folder else None,
            main_script=Path(self.main_script) if self.main_script else None,
            threads=self.threads,
            preload=self.preload,
            preload_if_installed=self.preload_if_installed,
            example=self.example,
        )
