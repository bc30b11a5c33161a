"""Commands that are killed, and run again: nothing is lost, and a line says what to do.

    PYTHONPATH=. python tests/kills/try_kills.py [--count N] [--only NAME] [--seed S] [--list]

Every command runs once undisturbed: what it leaves is the truth. Then each case starts it on empty
folders, waits for a moment of the case, and kills: a worker, the driver, Ray's processes, all of
them, or it stops the command as people and schedulers do. Then the same command runs again. Checked
are the exit status and what is said of each run, how fast a stop is answered, that no process,
lease or part of a file is left, that what was finished is not made twice, and that the results are
the truth. At the end stands a table; exit status 1 if anything was wrong.

With ``--chain`` four kills happen to one command, one after the other on the same folders.
"""

import argparse
import itertools
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import boto3

sys.path.insert(0, str(Path(__file__).parent))  # also where pytest runs this

from kill_works import (
    FIRST_SHARD,
    RAY_STARTS,
    ROWS_WRITTEN,
    TRAINED,
    TRAINS,
    TRIALS_RUN,
    WORKS,
    Moment,
    Run,
    at_share,
    difference,
    on_line,
    result,
)

from gseg.storage.leases import EXPIRY_SECONDS, LEASE
from gseg.storage.store import count_builds

_LONGEST: Final = 400.0  # seconds of a run, on a busy machine
_ANSWER: Final = 1.0
# Seconds after which no process of a command is left. Those of Ray that only look for its server
# end a minute after it, if nobody has stopped them.
_GONE: Final = 20.0
_GONE_WHEN_KILLED: Final = 90.0
_RUNS: Final = 3  # of the same command, until it must have come to its end
_INTERRUPTED: Final = "interrupted; the same command "
_AGAIN: Final = re.compile(r"(?i)same command")
# What Python, Ray and C++ tell their programmers.
_TRACE: Final = re.compile(
    r"Traceback|core_worker|\[20\d\d-\d\d-\d\d|\*\*\* SIG|terminate called|\(raylet\)|ray::"
    r"|Exception ignored|Fatal Python|Stack Trace|leaked|    @ +0x"
)
_MOST_LINES: Final = 3


class Driver:
    """A command that was started, with everything that it starts.

    Args:
        words: Of its command line.
        home: Folder for what it says.
        near: Gives the processes of this and earlier commands of a case, whoever their parent is.
        environment: More of that.
    """

    def __init__(
        self,
        words: Sequence[str],
        home: Path,
        near: Callable[[], dict[int, str]],
        environment: Mapping[str, str],
    ) -> None:
        home.mkdir()
        self._home, self._near, self._earlier = home, near, near().keys()
        self.begun, self.started, self.ended = time.monotonic(), time.time(), 0.0
        with (home / "out").open("w") as out, (home / "err").open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gseg", *words],
                env={**os.environ, **environment},
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a process group, as a terminal gives each command
            )

    def said(self) -> str:
        return self.printed() + self.complained()

    def printed(self) -> str:
        return (self._home / "out").read_text(errors="replace")

    def complained(self) -> str:
        return (self._home / "err").read_text(errors="replace")

    def names(self) -> dict[int, str]:
        """Name its processes."""
        return {pid: name for pid, name in self._near().items() if pid not in self._earlier}

    def end(self, seconds: float) -> int | None:
        """Wait for its end and give its exit status; None if it had to be ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill_all()
            return None
        finally:
            self.ended = time.monotonic()

    def kill_all(self) -> None:
        """End all its processes as a power cut does."""
        for _ in range(3):  # one may just start another
            for pid in self.names():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _processes() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                yield int(folder.name), b" ".join(words).decode(errors="replace").strip()


def _belongs(pid: int, marks: Sequence[str]) -> bool:
    """Say whether a process has a folder in its words, in its environment or among its files.

    Ray's workers write their titles over the first two.
    """
    folder = Path(f"/proc/{pid}")
    with suppress(OSError):
        told = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        if any(mark.encode() in told for mark in marks):
            return True
        files = [str(file.readlink()) for file in (folder / "fd").iterdir()]
        return any(file.startswith(mark) for file in files for mark in marks)
    return False


@dataclass(kw_only=True)
class Place:
    """Where the runs of a case are.

    Attributes:
        home: Folder of the case.
        temporary: Folder for temporary files, with a short name, as sockets have.
        bucket: Name of a bucket for its storage; empty for a folder.
        server: Address of the object store.
        drivers: All that were started.
    """

    home: Path
    temporary: Path
    bucket: str
    server: str
    drivers: list[Driver] = field(default_factory=list)

    @property
    def storage(self) -> Path:
        return self.home / "cache/s3:" / self.bucket / "s" if self.bucket else self.home / "s"

    @property
    def out(self) -> Path:
        return self.home / "o"

    def start(self, words: str) -> Driver:
        storage = f"s3://{self.bucket}/s" if self.bucket else str(self.storage)
        told = words.format(storage=storage, out=self.out, input=self.home.parent / "input")
        environment = {
            "GSEG_CACHE": str(self.home / "cache"),
            "TMPDIR": str(self.temporary),
            "OMP_NUM_THREADS": "1",
        }
        if self.bucket:
            environment |= {
                "AWS_ENDPOINT_URL": self.server,
                "AWS_ACCESS_KEY_ID": "anyone",
                "AWS_SECRET_ACCESS_KEY": "anything",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
        home = self.home / f"r{len(self.drivers) + 1}"
        self.drivers.append(Driver(told.split(), home, self.names, environment))
        return self.drivers[-1]

    def names(self) -> dict[int, str]:
        """Name the processes of all that was started, whoever their parent is now."""
        marks = [f"{self.home}/", f"{self.temporary}/"]
        return {pid: name for pid, name in _processes() if _belongs(pid, marks)}

    def left(self, patience: float) -> list[str]:
        """Name the processes that are still there some time after the end, and end them."""
        limits = [
            driver.ended + (_GONE if driver.process.returncode in (0, 130) else _GONE_WHEN_KILLED)
            for driver in self.drivers
        ]
        now = time.monotonic()
        deadline = now + (max(limits) - now) * patience
        while (there := self.names()) and time.monotonic() < deadline:
            time.sleep(0.5)
        for driver in self.drivers:
            driver.kill_all()
        return sorted(there.values())

    def files(self) -> set[str]:
        """List what the storage and the results hold.

        Left out are the record of what was made, times of use of the copies of what is on S3, and
        leases that killed commands left in what was finished then: nobody looks at them.
        """
        files = {path: path.stat().st_mtime for path in _below(self.storage)}
        names = {path.relative_to(self.storage).as_posix(): at for path, at in files.items()}
        if self.bucket:
            pages = _client(self.server).get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket):
                for each in page.get("Contents", ()):
                    names[each["Key"].removeprefix("s/")] = each["LastModified"].timestamp()
        last = self.drivers[-1].started
        kept = {
            name
            for name, at in names.items()
            if not (name.startswith("builds/") or name.endswith("/.used"))
            and not (name.endswith(f"/{LEASE}") and at < last)
        }
        return kept | {f"results: {path.relative_to(self.out)}" for path in _below(self.out)}

    def finished(self) -> set[tuple[str, str]]:
        """Name what is finished, as `count_builds` does."""
        done = {path.parent for path in self.storage.glob("*/*/manifest.json")}
        shards = self.storage.glob("samples/*/shard-*.parquet")
        return {(folder.parent.name, folder.name) for folder in done} | {
            ("shard", f"{path.parent.name}/{int(path.stem.rpartition('-')[2])}") for path in shards
        }


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _client(server: str):
    keys = {"aws_access_key_id": "anyone", "aws_secret_access_key": "anything"}
    return boto3.client("s3", endpoint_url=server, region_name="us-east-1", **keys)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a command leaves that nobody disturbs.

    Attributes:
        seconds: That it took.
        found: See `result`.
        files: Of storage and results.
        lines: That it wrote to stderr, without numbers.
    """

    seconds: float
    found: Mapping[str, object]
    files: set[str]
    lines: set[str]


@dataclass(kw_only=True)
class Wrong:
    """Collects what is wrong with a case, each with what was just done."""

    after: str = ""
    told: list[str] = field(default_factory=list)

    def unless(self, fits: object, what: str) -> None:
        if not fits:
            self.told.append(f"{self.after}: {what}")


# What is done to a driver, what status may come of it, and what its last line must hold.
Hurt = Callable[[Driver, random.Random], object]


def _signal(driver: Driver, _: random.Random, number: signal.Signals) -> None:
    os.kill(driver.process.pid, number)


def _signal_group(driver: Driver, _: random.Random, number: signal.Signals) -> None:
    os.killpg(driver.process.pid, number)


def _kill_one(driver: Driver, rng: random.Random, part: str) -> bool:
    """Kill one of its processes whose title holds this."""
    there = [
        pid
        for pid, name in driver.names().items()
        if re.search(part, name) and pid != driver.process.pid
    ]
    if not there:
        return False
    os.kill(rng.choice(there), signal.SIGKILL)
    return True


def _ctrl_c_twice(driver: Driver, _: random.Random) -> None:
    os.killpg(driver.process.pid, signal.SIGINT)
    time.sleep(0.5)
    with suppress(ProcessLookupError):
        os.killpg(driver.process.pid, signal.SIGINT)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way to kill.

    Attributes:
        hurt: Does it; False if there was nothing to kill.
        statuses: What the killed command may end with, None for any other than 0; 0 is fine where
            nothing else is expected of a command than to go on.
        last: What the last line on stderr must hold.
        is_stop: Whether the command is asked to stop, and answers.
    """

    name: str
    hurt: Hurt
    statuses: tuple[int, ...] | None
    last: re.Pattern[str] = re.compile("")
    is_stop: bool = False


_WORKERS: Final = r"^ray::(?!IDLE|DashboardAgent|RuntimeEnvAgent)"
_KILLED: Final = (-signal.SIGKILL,)
_STOPPED: Final = {
    "statuses": (130,),
    "last": re.compile(re.escape(_INTERRUPTED)),
    "is_stop": True,
}
_DIED: Final = {"statuses": None, "last": _AGAIN}
KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(name="worker", hurt=partial(_kill_one, part=_WORKERS), statuses=(0,)),
        Kind(name="driver", hurt=partial(_signal, number=signal.SIGKILL), statuses=_KILLED),
        Kind(name="terminate", hurt=partial(_signal, number=signal.SIGTERM), **_STOPPED),
        Kind(name="ctrl-c", hurt=partial(_signal_group, number=signal.SIGINT), **_STOPPED),
        Kind(name="ctrl-c twice", hurt=_ctrl_c_twice, **{**_STOPPED, "last": re.compile("")}),
        Kind(name="hang up", hurt=partial(_signal, number=signal.SIGHUP), **_STOPPED),
        Kind(name="raylet", hurt=partial(_kill_one, part=r"/raylet/raylet "), **_DIED),
        Kind(name="gcs", hurt=partial(_kill_one, part=r"/gcs_server "), **_DIED),
        Kind(name="agent", hurt=partial(_kill_one, part="^ray::DashboardAgent"), **_DIED),
        Kind(name="power cut", hurt=lambda driver, _: driver.kill_all(), statuses=_KILLED),
        Kind(name="both drivers", hurt=partial(_signal, number=signal.SIGKILL), statuses=_KILLED),
        Kind(name="silent", hurt=lambda *_: None, statuses=(0,)),
    )
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kill.

    Attributes:
        kind: See `KINDS`.
        work: See `WORKS`.
        on_s3: Whether the storage is on an object store.
    """

    kind: Kind
    work: str
    moment: Moment
    on_s3: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind.name}: {self.work}{' on S3' if self.on_s3 else ''}, {self.moment.name}"


def cases(seed: int) -> list[Case]:
    """Name all kills; moments that are no event are a random share of the whole time."""
    rng = random.Random(seed)
    on_the_way = [at_share(round(rng.uniform(0.2, 0.8), 2)) for _ in range(24)]
    some = iter(on_the_way)
    early, late = at_share(round(rng.uniform(0.01, 0.1), 2)), ROWS_WRITTEN
    kept_line = on_line("[1/")
    plan = {
        "worker": [
            ("sweep", TRAINS), ("search", kept_line), ("actors", FIRST_SHARD),
            ("jobs", TRAINS), ("sweep on S3", kept_line), ("sweep", TRIALS_RUN),
        ],
        "driver": [
            ("sweep", TRAINED), ("search", next(some)), ("actors", FIRST_SHARD),
            ("draw on S3", FIRST_SHARD), ("sweep", RAY_STARTS), ("fid", next(some)),
            ("directions", next(some)), ("embed", next(some)), ("segment", next(some)),
            ("sweep", late), ("jobs", FIRST_SHARD), ("sweep on S3", TRAINED),
        ],
        "terminate": [
            ("sweep", TRAINED), ("draw", FIRST_SHARD), ("search", kept_line),
            ("training", TRAINS), ("actors", FIRST_SHARD), ("sweep", RAY_STARTS),
            ("fid", next(some)), ("sweep", late), ("jobs", TRAINS), ("segment", next(some)),
            ("sweep on S3", kept_line), ("embed", next(some)),
        ],
        "ctrl-c": [
            ("sweep", TRAINED), ("search", kept_line), ("draw", FIRST_SHARD),
            ("segment", next(some)), ("training", TRAINS), ("actors", FIRST_SHARD),
            ("draw on S3", FIRST_SHARD), ("sweep", RAY_STARTS), ("embed", next(some)),
            ("fid", next(some)), ("sweep", early), ("directions", next(some)), ("jobs", TRAINS),
        ],
        "ctrl-c twice": [("sweep", TRAINED), ("actors", FIRST_SHARD), ("draw", FIRST_SHARD)],
        "hang up": [("sweep", TRAINED), ("draw", FIRST_SHARD)],
        "raylet": [
            ("sweep", TRAINED), ("actors", FIRST_SHARD), ("search", kept_line),
            ("sweep", TRIALS_RUN),
        ],
        "gcs": [("sweep", TRAINED), ("actors", FIRST_SHARD)],
        "agent": [("sweep", TRAINED)],  # its raylet ends with it
        "power cut": [
            ("sweep", TRAINED), ("draw", FIRST_SHARD), ("search", next(some)),
            ("draw on S3", FIRST_SHARD), ("sweep", late), ("actors", next(some)),
        ],
        "both drivers": [("sweep", TRAINED), ("draw", FIRST_SHARD)],
        "silent": [("draw", FIRST_SHARD), ("draw on S3", FIRST_SHARD), ("sweep", TRAINS)],
    }  # fmt: skip
    return [
        Case(
            kind=KINDS[kind],
            work=name.removesuffix(" on S3"),
            moment=moment,
            on_s3=name.endswith(" on S3"),
        )
        for kind, each in plan.items()
        for name, moment in each
    ]


def _chain() -> list[Case]:
    """Name four kills that go on from each other; what one killed command leaves, the next uses."""
    plan = {
        "driver": ("jobs", FIRST_SHARD),
        "terminate": ("sweep", TRIALS_RUN),
        "ctrl-c": ("sweep", TRAINS),
        "worker": ("sweep", TRAINS),
    }
    return [Case(kind=KINDS[kind], work=work, moment=at) for kind, (work, at) in plan.items()]


class Trial:
    """Tries cases.

    Args:
        folder: For everything; a short path, as sockets have.
        server: Address of an object store.
        seed: Of what is chosen at random.
        patience: How many times slower than a quiet machine this one is.
    """

    def __init__(self, folder: Path, server: str, seed: int, patience: float) -> None:
        self._folder, self._server, self._seed = folder, server, seed
        self._patience, self._longest = patience, _LONGEST * patience
        self._truths: dict[str, Truth] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def place(self, name: str, *, on_s3: bool = False) -> Place:
        home, temporary = self._folder / name, self._folder / f"t{next(self._numbers)}"
        for folder in (home, temporary):
            folder.mkdir()
        bucket = f"bucket-{name}" if on_s3 else ""
        if bucket:
            _client(self._server).create_bucket(Bucket=bucket)
        return Place(home=home, temporary=temporary, bucket=bucket, server=self._server)

    def truth(self, work: str) -> Truth:
        """Run a command undisturbed, once."""
        with self._lock:
            if work not in self._truths:
                self._truths[work] = self._undisturbed(work)
            return self._truths[work]

    def _undisturbed(self, name: str) -> Truth:
        place, work = self.place(f"truth-{name}"), WORKS[name]
        if work.input:
            made = place.start(work.input)
            assert made.end(self._longest) == 0, made.said()
        driver = place.start(work.words)
        status, seconds = driver.end(self._longest), time.monotonic() - driver.begun
        assert status == 0, f"{name} undisturbed: {status}: {driver.said()[-2000:]}"
        return Truth(
            seconds=seconds,
            found=result(place.storage, place.out),
            files=place.files(),
            lines=_lines(driver.complained()),
        )

    def chain(self, number: int, killed: Sequence[Case]) -> list[str]:
        """Kill the same command again and again, then let it end.

        Returns:
            What is wrong.
        """
        truth = self.truth(killed[-1].work)
        place = self.place(f"k{number}", on_s3=killed[0].on_s3)
        rng, wrong = random.Random(f"{self._seed} {number}"), Wrong()
        try:
            statuses = [self._kill(case, truth, place, rng, wrong) for case in killed]
            if 0 not in statuses:
                self._again(WORKS[killed[-1].work].words, truth, place, wrong)
            self._compare(truth, place, wrong)
        finally:
            wrong.after = "at the end"
            left = place.left(self._patience)
            wrong.unless(not left, f"{len(left)} processes are left: {left[:3]}")
            # Ray and PyTorch keep theirs.
            folders = sorted(path.name for path in place.temporary.glob("gseg-*"))
            wrong.unless(not folders, f"temporary folders are left: {folders}")
            if not wrong.told:
                shutil.rmtree(place.home)
        return [f"{told} ({place.home})" for told in wrong.told]

    def _kill(
        self, case: Case, truth: Truth, place: Place, rng: random.Random, wrong: Wrong
    ) -> int | None:
        """Start a command and kill it; give its exit status."""
        words, kind = WORKS[case.work].words, case.kind
        wrong.after = kind.name
        driver = place.start(words)
        drivers = [driver]
        if kind.name == "both drivers":
            drivers.append(place.start(words))
        run = Run(
            storage=place.storage,
            out=place.out,
            said=driver.said,
            seconds=lambda: time.monotonic() - driver.begun,
            whole=truth.seconds,
            names=lambda: list(driver.names().values()),
            begun=driver.started,
        )
        if not _wait_for(case.moment, run, driver, self._longest):
            wrong.unless(False, f"never {case.moment.name}: {driver.said()[-300:]}")
            return driver.end(0)
        hurt_at = time.monotonic()
        if kind.name == "silent":
            self._silence(words, driver, place, wrong)
        for each in drivers:
            wrong.unless(kind.hurt(each, rng) is not False, "there was nothing to kill")
        answered = _answer(driver, hurt_at) if kind.is_stop else None
        status = driver.end(self._longest)
        ended_after = time.monotonic() - hurt_at
        if status is None:
            wrong.unless(False, f"no end after {self._longest:.0f} s: {driver.said()[-300:]}")
            return None
        self._judge(kind, driver, status, truth, wrong)
        if answered is not None:
            limit = _ANSWER * self._patience
            wrong.unless(answered <= limit, f"answered after {answered:.1f} s")
        if kind.name == "ctrl-c twice":
            limit = 2 * _ANSWER * self._patience
            wrong.unless(ended_after <= limit, f"went on for {ended_after:.1f} s")
        return status

    def _silence(self, words: str, driver: Driver, place: Place, wrong: Wrong) -> None:
        """Let a driver and its workers sleep until their leases have expired; another works."""
        sleeping = [*driver.names()]
        for pid in sleeping:
            os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        try:
            other = place.start(words)
            status = other.end(self._longest)
            wrong.unless(status == 0, f"the other driver: {status}: {other.said()[-300:]}")
            time.sleep(max(0.0, EXPIRY_SECONDS + 15 - (time.monotonic() - begun)))
        finally:
            for pid in sleeping:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _judge(self, kind: Kind, driver: Driver, status: int, truth: Truth, wrong: Wrong) -> None:
        fits = status != 0 if kind.statuses is None else status in kind.statuses
        wrong.unless(fits, f"exit status {status}: {driver.said()[-300:]}")
        lines = driver.complained().strip().splitlines()
        last = lines[-1] if lines else ""
        wrong.unless(kind.last.search(last), f"the last line is {last[:300]!r}")
        _check_words(driver, truth, wrong)

    def _again(self, words: str, truth: Truth, place: Place, wrong: Wrong) -> None:
        """Run the same command until it ends well."""
        wrong.after = "the same command again"
        made, finished = count_builds(place.storage), place.finished()
        for _ in range(_RUNS):
            driver = place.start(words)
            status = driver.end(self._longest)
            _check_words(driver, truth, wrong)
            if status == 0:
                break
        wrong.unless(status == 0, f"exit status {status}: {driver.said()[-300:]}")
        twice = sorted(each for each in finished if count_builds(place.storage)[each] > made[each])
        wrong.unless(not twice, f"{len(twice)} were made again: {twice[:2]}")

    def _compare(self, truth: Truth, place: Place, wrong: Wrong) -> None:
        other = difference(result(place.storage, place.out), truth.found)
        wrong.unless(not other, f"another result: {other}")
        more = {re.sub(r"/shard-\d+\.", "/shard.", name) for name in place.files()}
        more -= {re.sub(r"/shard-\d+\.", "/shard.", name) for name in truth.files}
        wrong.unless(not more, f"{len(more)} files are left: {sorted(more)[:3]}")


def _wait_for(moment: Moment, run: Run, driver: Driver, seconds: float) -> bool:
    """Wait for a moment; False if the command has ended before, or it never comes."""
    while driver.process.poll() is None and run.seconds() < seconds:
        if moment.is_there(run):
            return True
        time.sleep(0.02)
    return False


def _answer(driver: Driver, since: float) -> float:
    """Wait until it says that it stops, or has ended; give the seconds that it took."""
    while driver.process.poll() is None and time.monotonic() < since + _LONGEST:
        if re.search(r"(?i)interrupt|stopp", driver.complained()):
            break
        time.sleep(0.02)
    return time.monotonic() - since


def _lines(text: str) -> set[str]:
    return {re.sub(r"[\da-f]+", "", line) for line in text.splitlines()}


def _check_words(driver: Driver, truth: Truth, wrong: Wrong) -> None:
    """Check that nothing is said that is for programmers, and little beside."""
    found = _TRACE.search(driver.said())
    new = [
        line
        for line in driver.complained().splitlines()
        if line.strip() and re.sub(r"[\da-f]+", "", line) not in truth.lines
    ]
    if found and any(_TRACE.search(line) for line in [*new, driver.printed()]):
        wrong.unless(False, f"said {found[0]!r}: {driver.complained()[-500:]}")
    wrong.unless(len(new) <= _MOST_LINES, f"{len(new)} lines on stderr: {new[:4]}")


def chosen_cases(only: str, seed: int, count: int | None) -> list[Case]:
    """Choose cases: all, or so many, the first of every kind, then the second of every kind ..."""
    found = [case for case in cases(seed) if re.search(only, case.name)]
    nth: Counter[str] = Counter()
    order = []
    for place, case in enumerate(found):
        order.append((nth[case.kind.name], place))
        nth[case.kind.name] += 1
    return [found[place] for _, place in sorted(order)[:count]]


@contextmanager
def object_store() -> Iterator[str]:
    """Run an object store that speaks S3, in this process: it outlives what is killed."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="kills whose names fit this expression")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="so many of all, spread over the kinds")
    parser.add_argument("--at-once", type=int, default=1, help="so many at the same time")
    parser.add_argument("--patience", type=float, default=1.0, help="factor of limits of time")
    parser.add_argument("--chain", action="store_true", help="four, on the same folders")
    parser.add_argument("--list", action="store_true", help="name the kills and stop")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    chosen = _chain() if given.chain else chosen_cases(given.only, given.seed, given.count)
    if given.list:
        print(*(case.name for case in chosen), f"{len(chosen)} kills", sep="\n")
        return 0
    # Commands inherit what is ignored, such as by a shell that runs this in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    folder = Path(tempfile.mkdtemp(prefix="k-", dir="/tmp"))
    groups = [chosen] if given.chain else [[case] for case in chosen]
    table: dict[str, Counter[str]] = {}
    with object_store() as server, ThreadPoolExecutor(given.at_once) as pool:
        trial = Trial(folder, server, given.seed, given.patience)
        jobs = [pool.submit(trial.chain, number, group) for number, group in enumerate(groups)]
        for group, job in zip(groups, jobs, strict=True):
            wrong = job.result()
            for case in group:
                counts = table.setdefault(case.kind.name, Counter())
                counts.update(["kills", "wrong" if wrong else "went on"])
                print(f"{'WRONG' if wrong else 'went on'} {case.name}", flush=True)
            for told in wrong:
                print(f"    {told}", flush=True)
    if not any(counts["wrong"] for counts in table.values()):
        shutil.rmtree(folder)
    return _tell(table)


def _tell(table: dict[str, Counter[str]]) -> int:
    columns = ("kills", "went on", "wrong")
    table["all"] = sum(table.values(), Counter())
    print(f"{'kind':16}" + "".join(f"{name:>9}" for name in columns))
    for kind, counts in table.items():
        print(f"{kind:16}" + "".join(f"{counts[name]:9}" for name in columns))
    return int(table["all"]["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
