"""What a run has to know of a Ray cluster; plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from mlgym.errors import RunError
from mlgym.names import did_you_mean

CodeTransport: TypeAlias = Literal["upload", "shared"]


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Which cluster runs the experiments, and how they get there.

    Args:
        address: `host:port` of the cluster's head, or `auto` for the one of this machine; None starts one here, for
            this run alone.
        insecure: attach to a cluster even where everybody who reaches it may run code on it.
        code: `upload`: the folder of the config goes to the nodes where the config imports modules of the user's;
            `shared`: nodes see it under the same path. A cluster of this run alone always shares.
        wait_s: how long to wait for a cluster that grows until one experiment fits on it, in s, >= 0.
    """

    address: str | None = None
    insecure: bool = False
    code: CodeTransport = "upload"
    wait_s: float = 0.0

    def changed(self, given: RayOptions | Mapping[str, Any] | None) -> RayOptions:
        """Gives these options but for what somebody gives anew.

        Args:
            given: other options; or some by name, of which None keeps what is here; None for none.

        Raises:
            RunError: there is no such option.
        """
        if isinstance(given, RayOptions):
            return given
        changes = {name: value for name, value in (given or {}).items() if value is not None}
        known = [each.name for each in fields(self)]
        for name in changes:
            if name not in known:
                raise RunError(f"there is no option `{name}` of a Ray cluster{did_you_mean(name, known)}")
        return replace(self, **changes)
