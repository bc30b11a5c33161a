"""What a part is asked for, and what it has found so far."""

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.report import cell, flat

SLACK = 3.0
"""Seconds before its limit at which a part begins nothing new."""

Finding = dict[str, Any]


class Findings:
    """What a part has found, in a file, so that nothing is lost if the part is ended.

    Args:
        file: Where to.
        until: Time (`time.time`) at which the part is ended.
    """

    def __init__(self, file: Path, until: float) -> None:
        self._file, self._began, self._end = file, time.time(), until - SLACK
        self.content: dict[str, dict[str, Finding]] = {}

    @property
    def seconds_left(self) -> float:
        """Seconds in which new work may begin."""
        return self._end - time.time()

    def attempt(
        self, group: str, name: str, work: Callable[[], Finding], *, takes: float = 0
    ) -> Finding:
        """Do one piece of work if there is time; its error is a finding, too."""
        began = time.time()
        found: Finding
        if self.seconds_left < takes:
            found = {"not_reached": "the part's time was up"}
        else:
            try:
                found = work()
            except Exception as error:
                found = told(error)
        found["seconds"] = round(time.time() - began, 2)
        self.add({group: {name: found}})
        shown = ", ".join(f"{key} {cell(value)}" for key, value in flat(found).items())
        print(f"[{time.time() - self._began:6.1f} s] {group}: {name}: {shown}"[:600])
        return found

    def add(self, groups: dict[str, dict[str, Finding]]) -> None:
        """Keep findings."""
        for group, entries in groups.items():
            self.content.setdefault(group, {}).update(entries)
        write_json(self._file, self.content)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a part is asked for.

    Attributes:
        device: Where to compute.
        rehearsal: In small, to see that everything works.
        shared: Folder with all conformance cases; without it tests skip them.
        logs: Folder of logs.
        findings: Where findings go.
    """

    device: torch.device
    rehearsal: bool
    shared: Path | None
    logs: Path
    findings: Findings


def told(error: Exception) -> Finding:
    """Give an error as a finding."""
    return {
        "error": f"{type(error).__name__}: {error}"[:2000],
        "traceback": "".join(traceback.format_exception(error))[-4000:],
    }


def write_json(file: Path, content: object) -> None:
    """Write a file that is there as a whole or not at all."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(file)
