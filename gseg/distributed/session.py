"""Ray while a command runs: one of its own on this machine, or a cluster's, without chatter.

One's own keeps to itself. It listens on the loopback alone, and its token is in the environment of
its processes instead of a file in the user's home. What it writes is in a private folder, in the
first temporary place that will do for it, which goes when it ends.
"""

import fcntl
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]

from gseg.interruptions import current_interruption, kill_children
from gseg.storage.files import format_bytes
from gseg.storage.mirror import locked

_KNOCK_SECONDS: Final = 10.0
_OBJECT_STORE_BYTES: Final = 256 * 2**20
_ENVIRONMENT: Final = {
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Huge pages, where the C library knows them, save trials a twentieth to a tenth of their time.
    # Trials compute in a thread; with an arena of its own it would meet 40 % more page faults.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1",
    "RAY_DEDUP_LOGS": "0",
    # Of calls whose answers nobody waits for, such as Ray Data's for its statistics.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ctrl-C ends what runs; Tune would go on for as long as a step takes, and end well.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}
_SHARED_MEMORY: Final = Path("/dev/shm")
_PLACES: Final = ("/tmp", "/var/tmp", str(_SHARED_MEMORY))
# Names of sockets have up to 107 bytes, and up to 84 of them are Ray's and the folder's own.
_LONGEST_PLACE: Final = 20
_PREFIX: Final = "gseg-"
_LOCK: Final = ".gseg-ray.lock"
_RAYS: Final = "r"
_YOUNG_SECONDS: Final = 5.0
_ROOM_BYTES: Final = 64 * 2**20  # logs of a long sweep
_AUTHENTICATION: Final = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_LOOK_SECONDS: Final = 0.5
# Whoever ends Ray's processes together with the command has the command say so itself.
_GRACE_SECONDS: Final = 1.5
_DIED: Final = (
    "Ray's own process on this machine has ended (killed, or out of memory): run the same command "
    "again; it goes on from here."
)

_FOLDER: Final[ContextVar[Path | None]] = ContextVar("folder of one's own Ray", default=None)


def session_folder() -> Path | None:
    """Give the folder of one's own Ray, for temporary files; None without one."""
    return _FOLDER.get()


@contextmanager
def ray_session(
    address: str | None = None, *, num_cpus: int | None = None, dashboard: bool = False
) -> Iterator[None]:
    """Connect to Ray, or start it on this machine, without chatter on the console.

    If Ray's own process on this machine ends meanwhile, so does this one, with a line that says so:
    Ray would end it without a word.

    Args:
        address: Of a running cluster, or ``auto``; None starts a Ray of one's own, which is
            stopped at the end.
        num_cpus: CPUs of the own Ray; all by default.
        dashboard: Start the own Ray's dashboard, on this machine's loopback; Ray Train needs it.

    Raises:
        ValueError: There is no cluster at the address, or Ray cannot be started here.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)  # Ray reads some of them when it is imported
    import ray

    for name in ("ray", "ray.data", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Tune writes a stack trace for every process that a node takes along, and at the end the names
    # of such trials; `Listener` hears of them.
    for name in ("ray.tune.execution", "ray.tune.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if ray.is_initialized():  # somebody else's session: use it, leave it
        yield
        return
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    with ExitStack() as session:
        put_back = partial(_set_sigterm, signal.getsignal(signal.SIGTERM))
        session.callback(put_back)
        # What its daemons tell the driver goes to standard output, between tables.
        worker = ray._private.worker
        session.enter_context(_set(worker, "print_to_stdstream", lambda *_, **__: None))
        if address is None:
            folder = session.enter_context(_private_folder())
            _FOLDER.set(folder)
            session.callback(_FOLDER.set, None)
            session.enter_context(_own_token())
            session.callback(_stop, folder)
            _start(folder, num_cpus=num_cpus, include_dashboard=dashboard, **quiet)
        else:
            session.callback(ray.shutdown)
            try:
                _knock(address)
                ray.init(address=address, **quiet)
            except (OSError, ValueError, RuntimeError, OverflowError) as error:
                raise ValueError(
                    f"No Ray cluster answers at {address!r}: start one (`ray start --head`, "
                    "`ray up ray_cluster.yaml`) or leave out --address."
                ) from error
        put_back()
        session.enter_context(_watched(session_folder()))
        yield


def _set_sigterm(handler: Any) -> None:  # noqa: ANN401 as `signal` has it
    """Give SIGTERM its handler of before; Ray sets others as it starts, in C++, too.

    One that is not Python's (None) cannot be given back.
    """
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _knock(address: str) -> None:
    """Fail at once where nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "://" not in address:
        # Addresses with a scheme (ray://) go through a proxy of Ray's.
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()


def _start(folder: Path, **options: Any) -> None:  # noqa: ANN401 of `ray.init`
    """Start a Ray that listens on the loopback alone."""
    import ray
    from ray._private import ray_constants

    try:
        # As on macOS and Windows; given as an option, the loopback would become an outer address.
        with _set(ray_constants, "ENABLE_RAY_CLUSTER", False):
            ray.init(
                address="local",
                object_store_memory=_OBJECT_STORE_BYTES,
                # A folder in ours: Ray lets everybody write to its own.
                _temp_dir=str(folder / _RAYS),
                _plasma_directory=None if _has_shared_memory() else str(folder),
                **options,
            )
    except Exception as error:  # Ray raises bare ones, too
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"Ray cannot be started on this machine: {reason.rstrip('.')}. It may lack memory, "
            "processes (`ulimit -u`) or open files (`ulimit -n`)."
        ) from error


def _stop(folder: Path) -> None:
    """Stop one's own Ray, and its agents: one that just starts makes its folders anew, later."""
    import ray

    # At once: where a signal ends Ray's server too, Ray would end this process without a word.
    ray.shutdown()
    left = [
        each
        for each in psutil.process_iter(["cmdline"])
        # An option's value: somebody's `tail -f` of a log in there is left alone.
        if any(w.startswith("--") and str(folder) in w for w in each.info["cmdline"] or ())
    ]
    for each in left:
        with suppress(psutil.Error):
            each.kill()
    psutil.wait_procs(left, timeout=_GRACE_SECONDS)


@contextmanager
def _set(module: object, name: str, value: object) -> Iterator[None]:
    """Give a name of a module of Ray's another value inside the block."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _has_shared_memory() -> bool:
    return _free(_SHARED_MEMORY) >= _OBJECT_STORE_BYTES


def _free(place: str | Path) -> int:
    """Give a place's free bytes; 0 if there is no such place."""
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return 0


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Make a folder for all that Ray writes here.

    Raises:
        ValueError: There is no place for one.
    """
    named = [os.environ[name] for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)]
    needed = _ROOM_BYTES + (0 if _has_shared_memory() else _OBJECT_STORE_BYTES)
    for place in (*named, *_PLACES):
        # Ray hands paths on in command lines that it takes apart at blanks.
        if len(place) > _LONGEST_PLACE or not re.fullmatch(r"/[\w./-]+", place, re.ASCII):
            continue
        if _free(place) < needed:
            continue
        with suppress(OSError):
            folder = tempfile.TemporaryDirectory("", _PREFIX, place, ignore_cleanup_errors=True)
            break
    else:
        raise ValueError(
            f"Ray needs a temporary folder with {format_bytes(needed)} of room, and none of "
            f"{', '.join((*named, *_PLACES))} is one: make room, or let TMPDIR name a folder with "
            f"at most {_LONGEST_PLACE} letters that can be written."
        )
    with folder as name, locked(Path(name) / _LOCK):  # while this process is there
        _remove_left(Path(name).parent)
        yield Path(name)


def _remove_left(place: Path) -> None:
    """Remove the folders of sessions whose process was killed."""
    for folder in place.glob(f"{_PREFIX}*"):
        # That of one that runs is locked; one that is just being made may not be, yet.
        with suppress(OSError):
            about = folder.stat()
            if about.st_uid == os.getuid() and time.time() - about.st_mtime > _YOUNG_SECONDS:
                _remove_unlocked(folder)


def _remove_unlocked(folder: Path) -> None:
    # An agent of Ray's that outlives its server by seconds may make the folder anew, for Ray alone.
    made_anew = [each.name for each in folder.iterdir()] == [_RAYS]
    with (folder / _LOCK).open("a" if made_anew else "r") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own_token() -> Iterator[None]:
    """Let the processes of this Ray know each other by a token that is in no file."""
    before = {name: os.environ.get(name) for name in _AUTHENTICATION}
    if before["RAY_AUTH_MODE"] == "disabled" or any(list(before.values())[1:]):
        yield
        return
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    _read_again()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _read_again()


def _read_again() -> None:
    """Have Ray, which keeps them, read mode and token again."""
    module: Any = import_module("ray._raylet")
    with suppress(AttributeError):  # an older Ray has no tokens
        module.Config.initialize("")
        module.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _watched(folder: Path | None) -> Iterator[None]:
    """End this process if Ray's on this machine ends before the block does."""
    over, processes = threading.Event(), _without_which(own=folder is not None)
    interruption = current_interruption()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            if not all(map(_is_alive, processes)) and not over.wait(_GRACE_SECONDS):
                if interruption is not None and interruption.is_asked:
                    return  # it ends by itself
                _give_up(folder)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _without_which(*, own: bool) -> list[psutil.Process]:
    """Find the processes of Ray without which nothing goes on."""
    if own:
        children = psutil.Process().children()
        return [each for each in children if each.name() in ("raylet", "gcs_server")]
    import ray

    here = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    sockets = {
        f"--raylet_socket_name={n['RayletSocketName']}" for n in nodes if n["NodeID"] == here
    }
    found = psutil.process_iter(["name", "cmdline"])
    return [
        each
        for each in found
        if each.info["name"] == "raylet" and not sockets.isdisjoint(each.info["cmdline"] or ())
    ]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _give_up(folder: Path | None) -> None:
    """Say that Ray has ended, and end this process with all that it has started."""
    # Nothing that waits for Ray would come back: it would end this process a little later.
    with suppress(OSError, ValueError):
        if (stream := sys.__stderr__) is not None:
            if stream.isatty():
                stream.write("\n\x1b[?25h")  # the cursor, which a live view hides
            stream.write(f"gseg: {_DIED}\n")
            stream.flush()
    kill_children()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
