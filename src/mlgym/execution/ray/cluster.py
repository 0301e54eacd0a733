"""A connection to a cluster: the few calls of Ray that running jobs takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mlgym.execution.ray.capacity import Ask, Node
from mlgym.execution.ray.quiet import Quiet, Told
from mlgym.execution.ray.security import answers
from mlgym.execution.ray_options import CodeTransport

if TYPE_CHECKING:
    from ray import ObjectRefGenerator

# So that a job which talks faster than the driver listens has to wait, as at a pipe that is full.
_MAX_UNREAD_CHUNKS: Final = 16
_HEAD_S: Final = 2.0


class Cluster:
    """A connection; there is at most one in a process.

    Attributes:
        address: `host:port` of the head.
        is_own: whether the cluster was started for this run, and ends with it.
        code: how the user's code gets to the nodes.
    """

    def __init__(
        self, address: str, *, is_own: bool, code: CodeTransport, quiet: Quiet, leave: Callable[[], None]
    ) -> None:
        """Wraps a connection that `connect` has made."""
        import ray

        from mlgym.execution.ray.task import supervise

        self.address = address
        self.is_own = is_own
        self.code = code
        self._quiet = quiet
        self._leave: Callable[[], None] | None = leave
        remote: Any = ray.remote
        self._task: Any = remote(
            num_returns="streaming", max_retries=0, _generator_backpressure_num_objects=_MAX_UNREAD_CHUNKS
        )(supervise)
        self._ordered: set[bytes] = set()
        self._groups: dict[ObjectRefGenerator[bytes], Any] = {}

    def nodes(self) -> list[Node]:
        """Gives the living nodes."""
        from ray import nodes

        tell: Any = nodes
        return [
            Node(
                address=str(node["NodeManagerAddress"]),
                cpus=node["Resources"].get("CPU", 0.0),
                gpus=node["Resources"].get("GPU", 0.0),
            )
            for node in tell()
            if node["Alive"]
        ]

    def head_answers(self) -> bool:
        """Tells whether there is a head; without one most calls wait, and after a minute Ray ends this process."""
        return answers(self.address, _HEAD_S)

    def submit(self, job: bytes, setup: bytes, order_key: bytes, ask: Ask) -> ObjectRefGenerator[bytes]:
        """Starts a task as soon as the cluster has room, and gives the stream of what it tells.

        Args:
            job: as JSON.
            setup: a `NodeSetup` as JSON.
            order_key: where `order` leaves word for it.
            ask: what it needs. Several devices are reserved together, on one node.
        """
        options: dict[str, Any] = {"num_cpus": ask.cpus, "num_gpus": ask.gpus, "name": "mlgym experiment"}
        group = _reserved(ask) if ask.devices > 1 else None
        if group is not None:
            from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, 0)
        stream: ObjectRefGenerator[bytes] = self._task.options(**options).remote(job, setup, order_key)
        if group is not None:
            self._groups[stream] = group
        return stream

    def wait(self, streams: Sequence[ObjectRefGenerator[bytes]], timeout_s: float) -> list[ObjectRefGenerator[bytes]]:
        """Waits until one of some streams has something, at most so long, and gives those that have."""
        import ray

        ready, rest = ray.wait(list(streams), num_returns=1, timeout=timeout_s, fetch_local=False)
        if ready and rest:
            more, _ = ray.wait(rest, num_returns=len(rest), timeout=0, fetch_local=False)
            ready += more
        return ready

    def order(self, key: bytes, order: bytes) -> None:
        """Leaves word for a task, which looks for it twice a second."""
        from ray.experimental import internal_kv

        self._ordered.add(key)
        internal_kv._internal_kv_put(key, order, overwrite=True)

    def forget(self, stream: ObjectRefGenerator[bytes], order_key: bytes) -> None:
        """Gives back what a job that has ended held on the cluster."""
        from ray.experimental import internal_kv

        group, was_ordered = self._groups.pop(stream, None), order_key in self._ordered
        self._ordered.discard(order_key)
        if (group is None and not was_ordered) or not self.head_answers():
            return
        with suppress(Exception):  # a cluster that goes away forgets it all
            if group is not None:
                from ray.util import remove_placement_group

                remove_placement_group(group)
            if was_ordered:
                internal_kv._internal_kv_del(order_key)

    def cancel(self, stream: ObjectRefGenerator[bytes], *, force: bool) -> None:
        """Ends a task that has not started; with force, one that has too, and everything that it started."""
        import ray

        ray.cancel(stream, force=force)

    def take_told(self) -> list[Told]:
        """Gives what Ray itself had to say since the last time."""
        told = []
        while self._quiet.told:
            told.append(self._quiet.told.popleft())
        return told

    def close(self) -> None:
        """Ends the connection, and what it started; can be called twice."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


def _reserved(ask: Ask) -> Any:
    from ray.util import placement_group

    bundle = {"CPU": ask.cpus, **({"GPU": ask.gpus} if ask.gpus else {})}
    return placement_group([bundle], strategy="STRICT_PACK")
