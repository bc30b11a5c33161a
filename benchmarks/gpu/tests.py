"""The tests marked `gpu`: all have to pass, and on a card kernels have to have run for them.

Skips fail, too, except in a rehearsal without the shared folder of conformance cases.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.gpu.findings import Task

ROOT = Path(__file__).resolve().parents[2]
MARKED = ("mark.gpu", "each_device")
"""What stands in a file with such tests: the mark, or the fixture whose values have it."""
KERNELS = re.compile(r"^kernels on the card: ([\d,]+)", re.MULTILINE)
OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}


def tests(task: Task) -> None:
    log, report = task.logs / "pytest.log", task.logs / "pytest.xml"
    marked = [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if any(word in file.read_text(encoding="utf-8") for word in MARKED)
    ]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-rA", "--tb=short"]
    command += [f"--junit-xml={report}", "-p", "no:cacheprovider"]
    # Another machine's libraries may warn of other things than ours, and have other plugins.
    command += ["-o", "filterwarnings=default", "-p", "pytest_timeout", "--timeout=60", *marked]
    told = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        **({"GSEG_TEST_DEVICE": "cpu"} if task.rehearsal else {}),
        **({"GSEG_SHARED": str(task.shared.resolve())} if task.shared else {}),
    }

    def run() -> dict[str, Any]:
        with log.open("wb") as output:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, **told},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=max(1.0, task.findings.seconds_left),
                check=False,
            )
        each = outcomes(report.read_text(encoding="utf-8"))
        task.findings.add({"each test": each})
        text = log.read_text(encoding="utf-8", errors="replace")
        on_card = not task.rehearsal
        may_skip = task.rehearsal and task.shared is None
        return verdict(done.returncode, text, each, on_card=on_card, may_skip=may_skip)

    task.findings.attempt("pytest", "-m gpu", run)


def outcomes(report: str) -> dict[str, dict[str, Any]]:
    """Read outcome, seconds and reason of each test off pytest's JUnit report."""
    found = {}
    for case in ElementTree.fromstring(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        facts: dict[str, Any] = {"outcome": "passed", "took": float(case.get("time", "nan"))}
        for child in case:
            if child.tag in OUTCOMES:
                facts |= {"outcome": OUTCOMES[child.tag], "why": child.get("message", "")[:500]}
        found[name] = facts
    return found


def verdict(
    code: int, log: str, each: dict[str, dict[str, Any]], *, on_card: bool, may_skip: bool
) -> dict[str, Any]:
    """Say how the tests went; an error unless all passed and, on a card, kernels ran."""
    counts = {
        outcome: sum(facts["outcome"] == outcome for facts in each.values())
        for outcome in ("passed", "failed", "skipped")
    }
    told = KERNELS.findall(log)
    kernels = int(told[-1].replace(",", "")) if told else None
    asked = ("failed",) if may_skip else ("failed", "skipped")
    wrong = [f"{counts[outcome]} {outcome}" for outcome in asked if counts[outcome]]
    if code != 0:
        wrong.append(f"pytest's exit code is {code}")
    if counts["passed"] == 0:
        wrong.append("none passed")
    if on_card and not kernels:
        wrong.append("no kernel ran on the card" if told else "no line says how many kernels ran")
    return {**counts, "kernels": kernels, **({"error": ", ".join(wrong)} if wrong else {})}
