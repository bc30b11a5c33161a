"""Trials that failed: why, and whether the same would happen again.

A trial's own fault (filters that reject nearly everything, a training that diverges) is the same
in every attempt: it is kept in the storage as a small JSON file, and later sweeps report it
instead of running the trial again, unless they are asked to or the versions have changed. What the
machines did (a full disk, too little memory, an object store that is silent) may be otherwise the
next time: that is tried again by the next sweep, and within a sweep where it may help at once.
"""

import json
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from gseg.pipeline.direction_trial import AnyTrial, DirectionTrial
from gseg.pipeline.experiment import Context
from gseg.pipeline.jobs.draw import BatchTooLargeError
from gseg.samples.shards import DamagedShardError
from gseg.storage.digests import digest
from gseg.storage.files import ChangedInputsError, DiskFullError, is_full, write_atomically
from gseg.storage.mirror import StorageError, discard, fetch
from gseg.storage.store import versions

_OWN_FAULTS: Final = (ValueError, TypeError, ArithmeticError, LookupError, AssertionError)
# Errors of a kind above that are not the trial's own fault all the same.
_MACHINES: Final = (StorageError, BatchTooLargeError, DamagedShardError)
# The machines' faults that another attempt at once would not mend.
_HOPELESS: Final = (DiskFullError, BatchTooLargeError, ChangedInputsError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """Why a trial failed.

    Attributes:
        reason: One line.
        own_fault: Whether it would fail again in the same way.
        details: File with the whole story.
    """

    reason: str
    own_fault: bool
    details: str


def is_own_fault(error: BaseException) -> bool:
    """Say whether a trial that ended with this error would end with it again."""
    return isinstance(error, _OWN_FAULTS) and not isinstance(error, _MACHINES)


def is_worth_another_attempt(error: BaseException) -> bool:
    """Say whether the same trial may succeed if it is started again at once."""
    return not (is_own_fault(error) or isinstance(error, _HOPELESS) or is_full(error))


def note_failure(trial: AnyTrial, setting: Context, error: BaseException) -> Failed:
    """Keep in the storage why a trial failed; to be called while the error is handled."""
    details = details_file(trial, setting)
    failed = Failed(
        reason=(str(error) or type(error).__name__).splitlines()[0],
        own_fault=is_own_fault(error),
        details=str(details),
    )
    story = "".join(traceback.format_exception(error))
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    content = asdict(failed) | {"trial": trial.label, "when": when, "versions": versions()}
    try:
        write_atomically(details, story.encode(errors="backslashreplace"))
        write_atomically(_file(trial, setting), json.dumps(content, indent=1).encode())
    except StorageError:  # the disk is full, which is what this failure says then
        return replace(failed, details="")
    return failed


def known_failure(trial: AnyTrial, setting: Context) -> Failed | None:
    """Say why a trial has failed before and would fail again.

    None if it has not failed, if that was not its own fault, or under other versions.
    """
    path = _file(trial, setting)
    # Again: another machine may have failed or forgotten it since.
    if not fetch(path, again=True):
        return None
    try:
        kept: dict[str, Any] = json.loads(path.read_text())
        failed = Failed(**{name: kept[name] for name in Failed.__slots__})
    # An older version's form, or a damaged file, counts as no failure: the trial is run again.
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return failed if failed.own_fault and kept.get("versions") == versions() else None


def forget_failure(trial: AnyTrial, setting: Context) -> None:
    """Remove what is kept about a trial's failure, after it has succeeded."""
    discard(_file(trial, setting))
    discard(details_file(trial, setting))


def details_file(trial: AnyTrial, setting: Context) -> Path:
    """Say where the whole story of a trial's last failure stands, if it has failed."""
    return setting.storage / "errors" / f"{_name(trial, setting)}.txt"


def _file(trial: AnyTrial, setting: Context) -> Path:
    return setting.storage / "failures" / f"{_name(trial, setting)}.json"


def _name(trial: AnyTrial, setting: Context) -> str:
    """Name a trial with all that it does: the distance and the benchmarks may fail, too."""
    if isinstance(trial, DirectionTrial):
        return trial.digest
    plain = replace(trial, recipe="", train_preset="")
    # Who repairs the files of a benchmark has another one.
    pictures = filter(None, setting.identities)
    return digest("trial", plain, list(setting.benchmarks), setting.eval_protocol, *pictures)
