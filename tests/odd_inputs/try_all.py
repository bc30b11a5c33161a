"""Damaged and odd inputs, a thousand of them: each is refused in one line, or changes nothing.

    PYTHONPATH=. python tests/odd_inputs/try_all.py [--only KIND] [--seed S] [--count N] [--list]

For every kind of file that a command reads (`kinds`) a sound input is made from scratch, and the
real command line is run on it in this process. Then each case damages a fresh copy, runs the same
command, and compares with its expectation (`damages`, and each kind's own). Never allowed: an
exception that leaves the command line, a traceback, code out of a data file that runs, more memory
than the limit, half a minute. At the end stands a table; exit status 1 if anything was wrong.
"""

import argparse
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # also where pytest runs this

import odd_arrays
import odd_code
import odd_pictures
import odd_storage
from damages import CONTENTS, FINITE, NAMES, REFUSED, SAFE, SAME, SEEDED, TOLD, Damage
from odd_base import CANARY, Kind, Like, Unlike

KINDS: Final = [
    *(*odd_pictures.KINDS, *odd_arrays.KINDS, *odd_code.KINDS, *odd_storage.KINDS),
]
_SECONDS: Final = 30
_MEMORY: Final = 3 * 2**29
_LONGEST_LINE: Final = 400
_TOLERANCE: Final = 1e-6
_SEEDS: Final = 4  # of each seeded damage, for a kind
# What PyTorch tells its programmers, and no user can use.
_ADVICE: Final = re.compile(r"Traceback|weights_only|report a bug|INTERNAL ASSERT|torch\.load\(")


@dataclass(frozen=True, kw_only=True)
class Said:
    status: int | None
    out: str
    err: str
    trace: str = ""


Expected = str | float | Like | Unlike


@dataclass(frozen=True)
class Case:
    kind: Kind
    name: str
    change: Callable[[Path], Path | None]
    expected: Expected


@contextmanager
def _captured(folder: Path) -> Iterator[None]:
    """Send what this process writes, libraries in C included, to two files."""
    kept = [os.dup(1), os.dup(2)]
    try:
        for number, name in ((1, "stdout"), (2, "stderr")):
            opened = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(opened, number)
            os.close(opened)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, old in enumerate(kept, start=1):
            os.dup2(old, number)
            os.close(old)


class _TooLongError(BaseException):
    """Nothing that a command may take for an error of its own."""


def _too_long(*_: object) -> None:
    raise _TooLongError(f"more than {_SECONDS} s of computing")


def said_by(run: Callable[[], int], folder: Path) -> Said:
    """Run a command; whatever leaves it becomes the trace."""
    status, trace = None, ""
    before = Path.cwd()
    # Of computing, not of waiting: the machine may be busy.
    signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, _SECONDS)
    with _captured(folder), warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("always", RuntimeWarning)
        warnings.filterwarnings("ignore", "coroutine .* was never awaited")
        # The program leaves it out as soon as it opens the first picture.
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        try:
            status = run()
        except BaseException as error:  # also sys.exit of a user's code
            trace = "".join(traceback.format_exception(error)[-2:])
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.chdir(before)
    out, err = ((folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))
    return Said(status=status, out=out, err=err, trace=trace)


def run_case(case: Case, above: Path, sound: object) -> tuple[str, str]:
    """Try a case in a folder of its own.

    Returns:
        What came out ("refused", "same", "other") and what is wrong, empty if nothing is.
    """
    home, log = above / "in", above / "log"
    log.mkdir(parents=True)
    target = case.kind.make(home)
    before = _contents(home)
    home, target = _moved(home, target, case.change(target))
    changed = {name for name, content in _contents(home).items() if before.get(name) != content}
    said = said_by(lambda: case.kind.run(home, target), log)
    wrong = _never(said, above)
    if wrong:
        return "wrong", wrong
    result = case.kind.result(home) if said.status == 0 else None
    if isinstance(case.expected, Like | Unlike):
        other = Case(case.kind, "", case.expected.change, SAME)
        # What is refused today, such as masks that are all background, is no result to compare.
        sound = _result(other, above / "other")
    return _judged(case, said, result, sound, _marks(home, target, changed))


def _moved(home: Path, target: Path, changed: Path | None) -> tuple[Path, Path]:
    """Follow a file, or the folder of all, that was renamed."""
    if changed is None:
        return home, target
    if changed.parent == home.parent:  # the whole folder has another name
        return changed, changed / target.relative_to(home)
    return home, changed


def _result(case: Case, above: Path) -> object:
    """Give the result of an input, None if it is refused."""
    home, log = above / "in", above / "log"
    log.mkdir(parents=True)
    target = case.kind.make(home)
    home, target = _moved(home, target, case.change(target))
    said = said_by(lambda: case.kind.run(home, target), log)
    return case.kind.result(home) if said.status == 0 else None


def _sound_result(kind: Kind, above: Path) -> object:
    result = _result(Case(kind, "", lambda path: None, SAME), above)
    assert result is not None, f"{kind.name}: the sound input is refused: {above / 'log'}"
    return result


def _never(said: Said, above: Path) -> str:
    if any(above.rglob(CANARY)) or Path(tempfile.gettempdir(), CANARY).exists():
        return "code out of the file ran"
    if said.trace:
        return f"left the command line: {said.trace.strip()[-300:]}"
    found = _ADVICE.search(said.out + said.err)
    if found:
        return f"said {found[0]!r}: {(said.out + said.err)[-300:]}"
    if re.search(r"\.py:\d+: \w*Warning", said.err):
        return f"a warning of Python's: {said.err[:300]}"
    return ""


def _contents(home: Path) -> dict[Path, bytes]:
    return {each.relative_to(home): each.read_bytes() for each in home.rglob("*") if each.is_file()}


def _marks(home: Path, target: Path, changed: set[Path]) -> list[str]:
    """What a message may call the input by: if it is gone, or of several files, by their folder."""
    several = {each.parent.name for each in changed} | {home.name} if len(changed) > 1 else set()
    if not target.exists():
        several.add(target.parent.name)
    renamed = {home.name} - {"in"}
    return sorted({target.stem, *(each.stem for each in changed)} | several | renamed - {""})


def _named(text: str, marks: list[str]) -> bool:
    flat = "".join(text.split())
    # As Python's repr has it, too, and as a terminal shows what is no UTF-8.
    forms = {form for mark in marks for form in (mark, repr(mark)[1:-1], ascii(mark)[1:-1])}
    forms |= {os.fsencode(mark).decode(errors="replace") for mark in marks}
    return any("".join(form.split()) in flat for form in forms)


def _refusal(said: Said, marks: list[str]) -> str:
    """Say what is wrong with a refusal."""
    text = said.out + said.err if said.status == 1 else said.err
    if not _named(text, marks):
        return f"does not name the file: {text[-300:]!r}"
    if said.status == 1:
        return ""
    plain = re.sub(r"/tmp/[^\s'\"]*", "PATH", said.err).strip()
    # Of several bad files each has a line that is indented, and advice follows.
    lines = [line for line in plain.splitlines() if not line.startswith("  ")]
    if len(plain) > _LONGEST_LINE or len(lines) > (2 if "\n  " in plain else 1):
        return f"{len(plain)} characters in {len(lines)} lines: {plain[:500]!r}"
    return ""


def _judged(
    case: Case, said: Said, result: object, sound: object, marks: list[str]
) -> tuple[str, str]:
    expected = case.expected
    if said.status in (1, 2):
        wrong = _refusal(said, marks)
        if not wrong and expected in (SAME, TOLD):
            wrong = f"refused, expected {expected}: {(said.out + said.err)[-300:]!r}"
        return "refused", wrong
    if said.status != 0:
        return "wrong", f"exit status {said.status}: {said.err[-300:]}"
    same = _equal(result, sound)
    came = "same" if same else "other"
    if expected == REFUSED:
        return came, f"taken without a word ({came} result): {said.out[-200:]!r}"
    if isinstance(expected, Unlike):
        return came, f"read as {expected.what}" if same else ""
    if isinstance(expected, float):
        sound = expected
        same = _equal(result, sound)
    if expected == FINITE:
        return came, "" if _finite(result) else f"not finite: {result}"
    if not same:
        return came, f"another result: {result}, expected {sound}"
    if expected == TOLD and not _named(said.out + said.err, ["left out", "skipped"]):
        return came, "nothing is said of the file that was left out"
    return came, ""


def _flat(result: object) -> np.ndarray | None:
    try:
        return np.ravel(np.asarray(result, dtype=float))
    except (TypeError, ValueError):
        return None


def _equal(result: object, sound: object) -> bool:
    one, other = _flat(result), _flat(sound)
    if one is None or other is None:
        return bool(result == sound)
    return one.shape == other.shape and bool(np.allclose(one, other, atol=_TOLERANCE, rtol=1e-5))


def _finite(result: object) -> bool:
    flat = _flat(result)
    return flat is None or bool(np.isfinite(flat).all())


def cases_of(kind: Kind, seed: int) -> Iterator[Case]:
    """Name everything that is tried with a kind of file."""

    def case(name: str, damage: Damage, expected: Expected) -> Case:
        rng = np.random.default_rng([seed, *f"{kind.name} {name}".encode()])
        return Case(kind, name, lambda path: damage(path, rng), expected)

    for name, (damage, expected) in CONTENTS.items():
        told = kind.hard if expected == REFUSED else expected
        yield case(name, damage, kind.expected.get(name, told))
    for name, damage in SEEDED.items():
        for number in range(_SEEDS):
            yield case(f"{name} {seed + number}", damage, kind.expected.get(name, kind.soft))
    for name, renamed in NAMES.items():
        change = partial(kind.rename, renamed=renamed)
        yield Case(kind, f"named with {name}", change, SAFE if name == "no UTF-8" else SAME)
    for name, (change, expected) in kind.specials.items():
        yield Case(kind, name, change, expected)


def chosen_cases(only: str, seed: int, count: int | None) -> list[Case]:
    """Choose cases: all, or so many, spread evenly over the kinds that are not slow."""
    kinds = [kind for kind in KINDS if only in kind.name and not (kind.slow and count)]
    cases = [case for kind in kinds for case in cases_of(kind, seed)]
    if count is None or count >= len(cases):
        return cases
    places = np.random.default_rng(seed).permutation(len(cases))
    nth: Counter[str] = Counter()
    order = []
    for place in places:  # the first of every kind, then the second of every kind ...
        name = cases[place].kind.name
        order.append((nth[name], int(place)))
        nth[name] += 1
    return [cases[place] for place in sorted(place for _, place in sorted(order)[:count])]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="kinds whose names hold this")
    parser.add_argument("--case", default="", help="cases whose names hold this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="so many of all cases, spread over the kinds")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    given = parser.parse_args()
    cases = [
        case
        for case in chosen_cases(given.only, given.seed, given.count)
        if given.case in case.name
    ]
    if given.list:
        for case in cases:
            print(f"{case.kind.name}: {case.name}: {case.expected}")
        print(f"{len(cases)} cases")
        return 0
    table: dict[str, Counter[str]] = {}
    sound: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="odd-", dir="/tmp") as folder:
        for number, case in enumerate(cases):
            above, kind = Path(folder, f"{number:04d}"), case.kind.name
            if kind not in sound:
                sound[kind] = _sound_result(case.kind, Path(folder, f"{number:04d} sound"))
                _limit_memory()
            came, wrong = run_case(case, above, sound[kind])
            counts = table.setdefault(kind, Counter())
            counts.update(["cases", came, *(["wrong"] if wrong and came != "wrong" else [])])
            if wrong:
                print(f"WRONG {kind}: {case.name} (expected {case.expected}): {wrong}", flush=True)
            shutil.rmtree(above, ignore_errors=True)
    return _tell(table)


def _limit_memory() -> None:
    """Allow so much more than what is mapped now, libraries and models included."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def _tell(table: dict[str, Counter[str]]) -> int:
    columns = ("cases", "refused", "same", "other", "wrong")
    print(f"{'kind':36}" + "".join(f"{name:>9}" for name in columns))
    for kind, counts in table.items():
        print(f"{kind:36}" + "".join(f"{counts[name]:9}" for name in columns))
    total = sum(table.values(), Counter())
    print(f"{'all':36}" + "".join(f"{total[name]:9}" for name in columns))
    return int(total["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
