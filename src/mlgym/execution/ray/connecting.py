"""Attaching to a cluster, or starting one on this machine; who may do what there is decided here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from mlgym.errors import RunError
from mlgym.execution import marked
from mlgym.execution.ray import security
from mlgym.execution.ray.cluster import Cluster
from mlgym.execution.ray.code_package import UserCode
from mlgym.execution.ray.listening import descendants, open_ports
from mlgym.execution.ray.quiet import Quiet
from mlgym.execution.ray_options import RayOptions

_NAMESPACE: Final = "mlgym"
_OBJECT_STORE_BYTES: Final = 100 * 1024 * 1024
# Loopback, for what Ray lets itself be told; it replaces 127.0.0.1 by the machine's public address.
_OWN_ADDRESS: Final = "127.0.0.2"
_OURS: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def connect(options: RayOptions, code: UserCode, *, num_cpus: int | None = None) -> Cluster:
    """Attaches this process to a cluster, or starts one on this machine.

    Args:
        options: which cluster.
        code: what experiments import.
        num_cpus: cores of a cluster that is started here; None for all that this process may use.

    Raises:
        RunError: Ray is not installed, there is no such cluster, it lets anybody in, or the code is too large to send.
    """
    _require_ray()
    import ray

    if ray.is_initialized():
        raise RunError("this process uses a Ray cluster already: call `ray.shutdown()` before the run starts")
    if options.address is not None and options.address.startswith("ray://"):
        raise RunError(
            f"`{options.address}` is an address for Ray's client mode, which does not stream: start `mlgym` on a node "
            "of the cluster, by `ray job submit` for example, and give `--address auto`"
        )
    quiet = Quiet()
    with ExitStack() as undo:
        undo.callback(_put_back, dict(os.environ))
        undo.callback(quiet.end)
        quiet.begin()
        os.environ.update({name: value for name, value in _OURS.items() if name not in os.environ})
        address = _start(undo, num_cpus) if options.address is None else _attach(options, code)
        undo.callback(_shut_down)
        if options.address is None:
            _tell_open_ports(quiet)
        return Cluster(
            address,
            is_own=options.address is None,
            code="shared" if options.address is None else options.code,
            quiet=quiet,
            leave=undo.pop_all().close,
        )


def _require_ray() -> None:
    try:
        import ray  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise RunError(f"the executor `ray` needs Ray: install it with `pip install 'mlgym[ray]'` ({error})") from None


def _start(undo: ExitStack, num_cpus: int | None) -> str:
    """Starts a cluster of one node for this process alone, behind a token that nobody else has."""
    scratch = Path(tempfile.mkdtemp(prefix="mlgym-ray-"))
    token = security.write_token(scratch)
    undo.callback(_end_guard, _start_guard(token, scratch))
    os.environ[security.TOKEN_PATH_VARIABLE] = str(token)
    os.environ.pop(security.TOKEN_VARIABLE, None)
    os.environ.pop("RAY_ADDRESS", None)
    use_token_mode("token")
    settings: dict[str, Any] = {
        "address": "local",
        "num_cpus": num_cpus or len(os.sched_getaffinity(0)),
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        # Ray opens its folder of logs and sockets to everybody; this one lies in a folder of this user alone.
        "_temp_dir": str(scratch / "ray"),
        "_node_ip_address": _OWN_ADDRESS,
    }
    try:
        return _init(settings, "a Ray cluster cannot be started on this machine")
    except RunError:
        # On a machine that is busy the head is sometimes later than Ray waits.
        return _init(settings, "a Ray cluster cannot be started on this machine")


def _start_guard(token: Path, scratch: Path) -> subprocess.Popen[bytes]:
    """Starts what ends the cluster's processes, which all know where the token is, when this process has ended."""
    mark = f"{security.TOKEN_PATH_VARIABLE}={token}"
    return subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-I", marked.__file__, mark, str(scratch)], stdin=subprocess.PIPE, start_new_session=True
    )


def _end_guard(process: subprocess.Popen[bytes]) -> None:
    process.communicate()


def _attach(options: RayOptions, code: UserCode) -> str:
    assert options.address is not None
    address = _resolved(options.address)
    if options.insecure:
        use_token_mode(os.environ.get(security.MODE_VARIABLE, "disabled"))
    else:
        security.require_token()
        security.refuse_open_cluster(address)
        use_token_mode("token")
    _ask_for_entry(address)
    failure = f"cannot attach to the Ray cluster at {address}"
    if options.code == "shared" or code.is_empty:
        return _init({"address": address}, failure)
    with tempfile.TemporaryDirectory(prefix="mlgym-ray-") as package:
        code.collect(Path(package))
        return _init({"address": address, "runtime_env": {"working_dir": package}}, failure)


def _init(settings: dict[str, Any], failure: str) -> str:
    import ray

    with _own_signal_handler():
        try:
            context: Any = ray.init(
                namespace=_NAMESPACE,
                configure_logging=False,
                log_to_driver=False,
                ignore_reinit_error=False,
                **settings,
            )
        except Exception as error:
            _shut_down()
            raise RunError(f"{failure}: {_first_sentence(error)}") from error
    return str(context.address_info["gcs_address"])


def _shut_down() -> None:
    import ray

    with suppress(Exception):  # it may be gone already
        ray.shutdown()


def _resolved(address: str) -> str:
    from ray._private import services

    try:
        return str(services.canonicalize_bootstrap_address_or_die(address))
    except (ConnectionError, ValueError, OSError) as error:
        raise RunError(f"there is no Ray cluster at `{address}`: {error}") from error


def _ask_for_entry(address: str) -> None:
    """Shows the token to a head; attaching would fail, too, but without a word why."""
    import ray
    from ray.exceptions import AuthenticationError

    library: Any = ray._raylet
    try:
        library.GcsClient(address=address).internal_kv_keys(b"", b"mlgym", 10)
    except AuthenticationError as error:
        raise RunError(
            f"the Ray cluster at {address} does not take the token that this process has, or asks for one and it has "
            f"none: give the cluster's in `{security.TOKEN_VARIABLE}` or {security.token_file()}"
        ) from error
    except Exception as error:
        raise RunError(f"the Ray cluster at {address} does not answer: {_first_sentence(error)}") from error


def use_token_mode(mode: str) -> None:
    """Has Ray's library look again: it reads mode and token once, when it is loaded."""
    import ray

    library: Any = ray._raylet
    os.environ[security.MODE_VARIABLE] = mode
    library.Config.initialize("")
    library.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _own_signal_handler() -> Iterator[None]:
    # Ray's handler ends the process at once; a run ends at the next step of its experiments.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _tell_open_ports(quiet: Quiet) -> None:
    ports = open_ports(descendants(os.getpid()))
    if ports:
        message = (
            f"the Ray cluster that was started for this run listens on all network interfaces (ports "
            f"{', '.join(map(str, ports))}), since Ray cannot be kept to this machine; it takes only who shows "
            "the "
            "token of this run, which is in a file that only you can read"
        )
        quiet.told.append(("warning", message))


def _put_back(environment: dict[str, str]) -> None:
    names = [security.MODE_VARIABLE, security.TOKEN_VARIABLE, security.TOKEN_PATH_VARIABLE, "RAY_ADDRESS", *_OURS]
    for name in names:
        if name in environment:
            os.environ[name] = environment[name]
        else:
            os.environ.pop(name, None)


def _first_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
